"""Judges `caltrop export --format nir`: loads the graph with the Python package `nir`, simulates it in NumPy, compares logits.

    python nir_check.py net.nir images.safetensors predicted.safetensors [--images 8] [--float64] [--with snntorch]

`images` is [N,C,H,W] in [0,1], `predicted` what `caltrop predict` wrote for them. The simulation goes node by node in
topological order, T times, knows nothing of Caltrop but the dialect that the graph names, and follows NIR's definitions by
forward Euler; --with runs the graph in an importer instead (it must be installed). Needs nir, numpy and safetensors.
"""

import argparse
import sys

import nir
import numpy as np
from safetensors.numpy import load_file

# What importers make of a graph (docs/nir.md): time step, whether v = v_threshold fires, what IF multiplies its current by.
DIALECTS = {
    "standard": dict(dt=1.0, at=False, timed=True, exponential=False),
    "snntorch": dict(dt=1e-4, at=False, timed=True, exponential=False),
    "spikingjelly": dict(dt=1e-4, at=True, timed=True, exponential=False),
    "norse": dict(dt=1e-3, at=False, timed=False, exponential=False),
    "sinabs": dict(dt=1.0, at=True, timed=False, exponential=True),
}


def conv(x, node, dtype):
    weight, (sh, sw), (ph, pw) = node.weight.astype(dtype), node.stride, node.padding
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::sh, ::sw]
    y = np.tensordot(windows, weight, axes=((1, 4, 5), (1, 2, 3)))
    return y.transpose(0, 3, 1, 2) + node.bias.astype(dtype)[:, None, None]


def pool(x, node, reduce):
    (kh, kw), (sh, sw) = np.broadcast_to(node.kernel_size, 2), np.broadcast_to(node.stride, 2)
    return reduce(np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(2, 3))[:, :, ::sh, ::sw], axis=(4, 5))


class Cells:
    """Forward Euler of NIR's IF and LIF, or what a dialect makes of them."""

    def __init__(self, node, dialect, dtype):
        self.at, self.v = dialect["at"], 0.0
        self.threshold, self.reset = node.v_threshold.astype(dtype), node.v_reset.astype(dtype)
        dt, r = dialect["dt"], node.r.astype(np.float64)
        if isinstance(node, nir.LIF):
            assert not node.v_leak.any()
            tau = node.tau.astype(np.float64)
            exponential = dialect["exponential"]
            self.leak, self.gain = (np.exp(-dt / tau), r) if exponential else (1 - dt / tau, r * dt / tau)
        else:
            self.leak, self.gain = np.ones_like(r), r * dt if dialect["timed"] else r
        # Values a hair from 1 are 1: time steps such as 1e-4 are no binary fractions.
        snap = lambda x: np.where(np.abs(x - 1) < 1e-6, 1, x).astype(dtype)
        self.leak, self.gain = snap(self.leak), snap(self.gain)

    def __call__(self, current):
        u = self.leak * self.v + self.gain * current
        spikes = u >= self.threshold if self.at else u > self.threshold
        self.v = np.where(spikes, self.reset, u)
        return spikes.astype(current.dtype)


def order(graph):
    waiting, done = {name: {a for a, b in graph.edges if b == name} for name in graph.nodes}, []
    while waiting:
        ready = [name for name, inputs in waiting.items() if inputs <= set(done)]
        assert ready, "a cycle"
        done += ready
        for name in ready:
            del waiting[name]
    return done


def simulate(graph, images, steps, dialect, dtype):
    """Logits [T,N,K]."""
    cells = {name: Cells(node, dialect, dtype) for name, node in graph.nodes.items() if isinstance(node, (nir.IF, nir.LIF))}
    sequence, logits = order(graph), []
    for _ in range(steps):
        signal = {}
        for name in sequence:
            node = graph.nodes[name]
            x = images.astype(dtype) if isinstance(node, nir.Input) else sum(signal[a] for a, b in graph.edges if b == name)
            if isinstance(node, nir.Conv2d):
                x = conv(x, node, dtype)
            elif isinstance(node, (nir.Affine, nir.Linear)):
                x = x @ node.weight.astype(dtype).T + (node.bias.astype(dtype) if isinstance(node, nir.Affine) else 0)
            elif isinstance(node, nir.Scale):
                x = x * node.scale.astype(dtype)
            elif isinstance(node, nir.AvgPool2d):
                x = pool(x, node, np.mean)
            elif isinstance(node, nir.SumPool2d):
                x = pool(x, node, np.sum)
            elif isinstance(node, nir.Flatten):
                x = x.reshape(len(x), -1)
            elif name in cells:
                x = cells[name](x)
            else:
                assert isinstance(node, (nir.Input, nir.Output)), type(node)
            signal[name] = x
        (output,) = [name for name, node in graph.nodes.items() if isinstance(node, nir.Output)]
        logits.append(signal[output])
    return np.stack(logits)


def ordered(net, graph):
    """nirtorch.load (2.6) runs the nodes of a residual graph before what they read: in topological order instead."""
    rank = {name: index for index, name in enumerate(order(graph))}
    net.execution_order.sort(key=lambda node: rank[node.name])
    return net


def imported(path, images, steps, importer):
    """Logits [T,N,K] by an importer, one image at a time: some flatten the batch too."""
    import torch

    logits = []
    for image in torch.from_numpy(images):
        graph = nir.read(path)
        frames = []
        if importer == "snntorch":
            from snntorch.import_nir import import_from_nir

            net, state = import_from_nir(graph), None
            for _ in range(steps):
                y, state = net(image, state)
                frames.append(y)
        elif importer == "spikingjelly":
            from spikingjelly.activation_based.nir_exchange import import_from_nir

            net, state = import_from_nir(graph), None
            for _ in range(steps):
                y, state = net(image[None], state)
                frames.append(y[0])
        elif importer == "norse":
            from norse.torch.utils.import_nir import from_nir

            net, state = ordered(from_nir(graph), graph), None
            for _ in range(steps):
                y, state = net(image, state)
                frames.append(y)
        else:
            import sinabs.activation as sa
            import sinabs.layers as sl
            from sinabs.nir import from_nir

            net = ordered(from_nir(graph, batch_size=1), graph)
            for layer in net.modules():
                if isinstance(layer, sl.IAFSqueeze):  # as docs/nir.md says
                    layer.spike_fn, layer.reset_fn, layer.min_v_mem = sa.SingleSpike, sa.MembraneReset(), None
            y = net(image[None].repeat(steps, 1, 1, 1))
            frames = list(y[0] if isinstance(y, tuple) else y)
        logits.append(torch.stack(frames).detach().numpy())
    return np.stack(logits, axis=1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("graph")
    parser.add_argument("images")
    parser.add_argument("predicted")
    parser.add_argument("--images", type=int, default=8, dest="count")
    parser.add_argument("--float64", action="store_true")
    parser.add_argument("--with", dest="importer", choices=list(DIALECTS)[1:])
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()
    graph = nir.read(args.graph)
    name = graph.metadata.get("caltrop_dialect", "standard")
    name = name.decode() if isinstance(name, bytes) else name
    images = load_file(args.images)["images"][: args.count]
    wanted = load_file(args.predicted)["logits_t"][:, : args.count]
    if args.importer:
        found = imported(args.graph, images, len(wanted), args.importer)
    else:
        found = simulate(graph, images, len(wanted), DIALECTS[name], np.float64 if args.float64 else np.float32)
    apart = np.abs(found - wanted).max(axis=(0, 2))
    equal = int((apart <= args.tolerance).sum())
    print(
        f"{args.graph}: {name}, {len(graph.nodes)} nodes, T = {len(wanted)}, {len(images)} images: {equal} equal within {args.tolerance:g}, "
        f"largest difference among them {apart[apart <= args.tolerance].max(initial=0):.2e}, of all {apart.max():.2e}"
    )
    return 0 if equal == len(images) else 1


if __name__ == "__main__":
    sys.exit(main())
