"""Both programs in turn, A B A B, and the ratio of the medians."""
import argparse
import json
import statistics
import subprocess
import time

MODES = ("infer", "attack", "train")


def arguments(about, batch):
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--caltrop", default="target/release/caltrop", help="the program (default: %(default)s)")
    parser.add_argument("--arch", default="vgg11")
    parser.add_argument("--input", default=None, help="CxHxW (default: 3x32x32; 3x64x64 for vgg11_tin)")
    parser.add_argument("--steps", type=int, default=8, help="T; 0 is the ANN (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=batch, help="images a step (default: %(default)s)")
    parser.add_argument("--mode", choices=MODES, action="append", help="repeatable (default: all)")
    parser.add_argument("--credit", choices=("bptt", "rate"), default="bptt", help="of the attack (default: %(default)s)")
    parser.add_argument("--defense", help="of training (default: at for T = 0, trades for T > 0)")
    parser.add_argument("--rounds", type=int, default=5, help="times both are measured (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="seconds a measurement (default: %(default)s)")
    parser.add_argument("--json", help="write all figures here")
    args = parser.parse_args()
    args.mode = args.mode or MODES
    args.input = args.input or ("3x64x64" if args.arch == "vgg11_tin" else "3x32x32")
    args.size = [int(part) for part in args.input.split("x")]
    args.classes = 200 if args.arch == "vgg11_tin" else 10
    return args


def median_seconds(once, seconds):
    """Median time of `once`, which returns seconds: warmed up twice, at least three times."""
    once(), once()
    begin, samples = time.perf_counter(), []
    while len(samples) < 3 or time.perf_counter() - begin < seconds:
        samples.append(once())
    return statistics.median(samples)


def caltrop(args, mode, extra):
    """`caltrop bench network` in a process of its own."""
    command = [args.caltrop, "bench", "network", "--arch", args.arch, "--input", args.input, "--steps", args.steps]
    command += ["--batch", args.batch, "--mode", mode, "--seconds", args.seconds, "--quiet", *extra, "--json"]
    if mode == "attack" and args.steps > 0:
        command[-1:-1] = ["--credit", args.credit]
    if mode == "train" and args.defense:
        command[-1:-1] = ["--defense", args.defense]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return json.loads(done.stdout)


def in_turn(args, mode, peers, ours):
    """`peers`: name -> function that measures and returns (images/s, peak bytes); `ours`: the same for Caltrop by precision.
    Prints and returns the medians."""
    figures = {name: [] for name in [*peers, *ours]}
    for _ in range(args.rounds):
        for name, measure in [*peers.items(), *ours.items()]:
            figures[name].append(measure())
    rows = {name: (statistics.median(rate for rate, _ in runs), max(bytes for _, bytes in runs)) for name, runs in figures.items()}
    best = max(rows[name][0] for name in peers)
    for name, (rate, peak) in rows.items():
        ratios = [f"{rate / rows[peer][0]:6.2f}x {peer}" for peer in peers] if name in ours else []
        lows, highs = min(rate for rate, _ in figures[name]), max(rate for rate, _ in figures[name])
        head = f"{args.arch} T={args.steps} batch {args.batch} {mode}"
        print(f"{head:34} {name:34} {rate:10.1f} images/s ({lows:.1f} to {highs:.1f}) {peak / 1e9:6.2f} GB  {'  '.join(ratios)}", flush=True)
        if name in ours and len(peers) > 1:
            print(f"{'':34} {'':34} {rate / best:10.2f}x the best of them")
    return {name: {"images_per_s": rate, "peak_memory_bytes": peak, "runs": figures[name]} for name, (rate, peak) in rows.items()}


def run(args, peers_of, ours_of):
    results = {mode: in_turn(args, mode, peers_of(mode), ours_of(mode)) for mode in args.mode}
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"arguments": vars(args), "results": results}, file, indent=2)
