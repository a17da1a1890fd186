"""Caltrop against PyTorch on the CPU, the faster of PyTorch's memory formats. See README.md."""
import contextlib
import time

import torch

import compare
import networks


def high_water():
    """Peak resident bytes of this process, from /proc."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def lower_high_water():
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def peer(args, mode, layout, seconds):
    """Measure PyTorch once: (images/s, peak bytes)."""
    net = networks.build(args.arch, args.steps, args.size, args.classes).to(memory_format=layout)
    net.credit = args.credit if mode == "attack" else "bptt"
    images = torch.rand(args.batch, *args.size).contiguous(memory_format=layout)
    labels = torch.randint(args.classes, (args.batch,))
    steps = networks.Steps(net, images, labels, mode, args.defense, contextlib.nullcontext)

    def once():
        begin = time.perf_counter()
        steps.one()
        return time.perf_counter() - begin

    lower_high_water()
    seconds = compare.median_seconds(once, seconds)
    return args.batch / seconds, high_water()


def main():
    args = compare.arguments(__doc__, batch=16)
    threads = 2
    torch.set_num_threads(threads)
    print(f"PyTorch {torch.__version__}, {threads} threads; {args.rounds} rounds of {args.seconds} s each, medians (lowest to highest)")
    layouts = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

    def peers_of(mode):
        rates = {name: peer(args, mode, layout, args.seconds / 2)[0] for name, layout in layouts.items()}
        better = max(rates, key=rates.get)
        return {f"PyTorch f32, {better}": lambda: peer(args, mode, layouts[better], args.seconds)}

    def ours_of(mode):
        def measure():
            result = compare.caltrop(args, mode, ["--device", "cpu", "--threads", threads])
            return result["images_per_s"], result["peak_memory_bytes"] or 0

        return {"Caltrop f32": measure}

    compare.run(args, peers_of, ours_of)


if __name__ == "__main__":
    main()
