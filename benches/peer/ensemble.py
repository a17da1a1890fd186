"""The ensemble of 19 gradients on a spiking network: Caltrop against PyTorch the way the published code goes, member after
member, each a separate attack on the images that the last one left. See README.md."""
import argparse
import gzip
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file

import networks

MEMBERS = (
    [("PCW", g) for g in (1.0, 2.0, 3.0, 0.5, 0.25)]
    + [(kind, g) for kind in ("EXP-D", "EXP") for g in (0.5, 1.0, 2.0)]
    + [("RECT", g) for g in (0.25, 0.5, 1.0, 2.0, 4.0)]
    + [("STE", 1.0), ("BPTR", 1.0), ("Act", 1.0)]
)
DERIVATIVES = {
    "PCW": lambda u, g: torch.clamp(g - u.abs(), min=0) / g**2,
    "EXP": lambda u, g: torch.exp(-g * u.abs()),
    "EXP-D": lambda u, g: 0.3 * torch.exp(-g * u.abs()),
    "RECT": lambda u, g: (u.abs() < g / 2).to(u.dtype) / g,
    "STE": lambda u, g: torch.ones_like(u),
}


def network(args):
    """The checkpoint in PyTorch: exported by Caltrop, its tensors put into the same layers here."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.safetensors")
        subprocess.run([args.caltrop, "export", args.checkpoint, "--out", path], check=True, stdout=subprocess.DEVNULL)
        state = load_file(path)
    with safe_open(args.checkpoint, "pt") as file:
        about = file.metadata()
    size = [int(side) for side in about["input"].split("x")]
    net = networks.build(about["arch"], int(about["steps"]), size, int(about["classes"]))
    flatten = next(i for i, layer in enumerate(net.layers) if isinstance(layer, torch.nn.Flatten))
    place = {"features": 0, "classifier": flatten}
    named = [(name.split(".", 2), tensor) for name, tensor in state.items()]
    state = {f"layers.{place[part] + int(index)}.{leaf}": tensor for (part, index, leaf), tensor in named}
    state |= {name: torch.tensor([float(x) for x in about[name].split(",")]).view(1, -1, 1, 1) for name in ("mean", "std")}
    net.load_state_dict(state)
    return net.eval()


def images(count):
    """The first test images of the Fashion-MNIST subset that Caltrop carries, [N,1,H,W] in [0,1], and their labels."""

    def read(name):
        data = gzip.open(Path("assets/fashion-mnist-7k", name)).read()
        shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
        return torch.frombuffer(bytearray(data[4 + 4 * data[3] :]), dtype=torch.uint8).view(shape)

    pixels, labels = read("t10k-images-idx3-ubyte.gz"), read("t10k-labels-idx1-ubyte.gz")
    return pixels[:count, None].float() / 255, labels[:count].long()


def attack(args, net, x, y):
    """FGSM, or PGD from a uniform start with steps of 2.5 eps / iterations."""
    eps, ce = args.eps / 255, lambda z: F.cross_entropy(z, y, reduction="sum")
    if args.attack == "fgsm":
        return torch.clamp(x + eps * networks.gradient(net, x, ce).sign(), 0, 1)
    adv = torch.clamp(x + torch.empty_like(x).uniform_(-eps, eps), 0, 1)
    for _ in range(args.iterations):
        adv = networks.project(x, adv + 2.5 * eps / args.iterations * networks.gradient(net, adv, ce).sign(), eps)
    return adv


def published(args, net, x, y):
    """Robust accuracy in percent: each member attacks the survivors of the last, batch by batch."""
    steps = net.steps

    def right(images, labels):
        with torch.no_grad():
            return net(images).argmax(1) == labels

    batches = [torch.arange(i, min(i + args.batch, len(x))) for i in range(0, len(x), args.batch)]
    alive = torch.cat([right(x[batch], y[batch]) for batch in batches])
    for kind, gamma in MEMBERS:
        networks.Spike.derivative = lambda u, kind=kind, gamma=gamma: DERIVATIVES[kind](u, gamma)
        for batch in batches:
            left = batch[alive[batch]]
            net.credit = "rate" if kind == "BPTR" else "bptt"
            net.steps = 0 if kind == "Act" else steps
            adversarial = attack(args, net, x[left], y[left])
            net.credit, net.steps = "bptt", steps
            alive[left] &= right(adversarial, y[left])
    return 100 * alive.float().mean().item()


def caltrop(args, more):
    command = [args.caltrop, "eval", args.checkpoint, "--attack", args.attack, "--ensemble", "--eps", args.eps, "--images", args.images]
    command += ["--dataset", "fashion-mnist-7k"]
    command += ["--iterations", args.iterations] if args.attack == "pgd" else []
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command += ["--no-checks", "--quiet", "--threads", 2, "--json", file.name, *more]
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
        return json.load(open(file.name, encoding="utf-8"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="a spiking VGG for Fashion-MNIST, such as the demo's snn.safetensors")
    parser.add_argument("--caltrop", default="target/release/caltrop", help="the program (default: %(default)s)")
    parser.add_argument("--attack", choices=("fgsm", "pgd"), default="fgsm")
    parser.add_argument("--iterations", type=int, default=20, help="of PGD (default: %(default)s)")
    parser.add_argument("--images", type=int, default=125, help="the first of the test set (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=125, help="images a batch of PyTorch (default: %(default)s)")
    parser.add_argument("--eps", type=float, default=16, help="in 1/255 (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="times all are measured (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(2)
    net, (x, y) = network(args), images(args.images)

    def timed(evaluate):
        begin = time.perf_counter()
        robust = evaluate()
        return time.perf_counter() - begin, robust

    ways = {
        "PyTorch, survivors": lambda: timed(lambda: published(args, net, x, y)),
        "Caltrop, all images": lambda: timed(lambda: caltrop(args, [])["robust_acc"]),
        "Caltrop, survivors (--fast)": lambda: timed(lambda: caltrop(args, ["--fast"])["robust_acc"]),
    }
    runs = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, run in ways.items():
            runs[name].append(run())
    peer = statistics.median(seconds for seconds, _ in runs["PyTorch, survivors"])
    print(f"{args.attack}, ensemble of {len(MEMBERS)}, {args.images} images; PyTorch {torch.__version__}, 2 threads; medians of {args.rounds}")
    for name, found in runs.items():
        seconds = [seconds for seconds, _ in found]
        median = statistics.median(seconds)
        print(f"{name:30} {median:7.2f} s ({min(seconds):.2f} to {max(seconds):.2f})  {peer / median:5.2f}x  robust {found[0][1]:.1f} %")


if __name__ == "__main__":
    main()
