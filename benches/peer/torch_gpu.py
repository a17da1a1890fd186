"""Caltrop against PyTorch on one CUDA GPU: eager f32, eager tf32, and bf16 + channels_last + torch.compile. See README.md."""
import contextlib

import torch

import compare
import networks


def peer(args, mode, tf32, best):
    """Measure PyTorch once: (images/s, peak bytes)."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    torch._dynamo.reset()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    net = networks.build(args.arch, args.steps, args.size, args.classes).cuda()
    net.credit = args.credit if mode == "attack" else "bptt"
    images = torch.rand(args.batch, *args.size, device="cuda")
    labels = torch.randint(args.classes, (args.batch,), device="cuda")
    autocast = contextlib.nullcontext
    if best:
        net, images = net.to(memory_format=torch.channels_last), images.contiguous(memory_format=torch.channels_last)
        net.layers.compile()
        autocast = lambda: torch.autocast("cuda", dtype=torch.bfloat16)
    steps = networks.Steps(net, images, labels, mode, args.defense, autocast)

    def once():
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        steps.one()
        after.record()
        after.synchronize()
        return before.elapsed_time(after) / 1e3

    for _ in range(3):  # compile and let cuDNN choose
        once()
    seconds = compare.median_seconds(once, args.seconds)
    return args.batch / seconds, torch.cuda.max_memory_allocated()


def main():
    args = compare.arguments(__doc__, batch=256)
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device; on a CPU run torch_cpu.py")
    name = torch.cuda.get_device_name()
    print(f"PyTorch {torch.__version__}, {name}; {args.rounds} rounds of {args.seconds} s each, medians (lowest to highest)")

    def peers_of(mode):
        return {
            "PyTorch eager f32": lambda: peer(args, mode, tf32=False, best=False),
            "PyTorch eager tf32": lambda: peer(args, mode, tf32=True, best=False),
            "PyTorch bf16 channels_last compile": lambda: peer(args, mode, tf32=True, best=True),
        }

    def ours_of(mode):
        def measure(precision):
            torch.cuda.empty_cache()  # leave the memory to the other program
            result = compare.caltrop(args, mode, ["--device", "cuda", "--precision", precision])
            return result["images_per_s"], result["peak_memory_bytes"]

        return {"Caltrop f32": lambda: measure("f32"), "Caltrop bf16": lambda: measure("bf16")}

    compare.run(args, peers_of, ours_of)


if __name__ == "__main__":
    main()
