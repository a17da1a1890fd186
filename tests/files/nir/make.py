"""Makes foreign.nir and foreign.safetensors: a graph that others might write, and its logits by NumPy in f64.

    python tests/files/nir/make.py          (needs nir, numpy, safetensors)

Whatever a graph may do that Caltrop's own do not is in it: names of its own, no pixel normalisation, padding as a word, a scale
between layers, weights in f64, sums for means, a resistance that is no 1, a neuron's threshold as one number a neuron, one number
for both sides of a pool.
"""

import pathlib
import sys

import nir
import numpy as np
from safetensors.numpy import save_file

here = pathlib.Path(__file__).parent
sys.path.append(str(here.parent.parent / "benches" / "peer"))
from nir_check import DIALECTS, simulate

rng = np.random.default_rng(7)
full = lambda shape, value: np.full(shape, value, np.float32)


def conv(inputs, outputs, side, padding):
    weight = rng.normal(0, (2 / (9 * inputs)) ** 0.5, (outputs, inputs, 3, 3))
    bias = rng.normal(0, 0.1, outputs)
    return nir.Conv2d(input_shape=(side, side), weight=weight, stride=1, padding=padding, dilation=1, groups=1, bias=bias)


def lif(shape, threshold, r):
    # Forward Euler with dt = 1: v = (1 - 1/tau) v + r/tau I.
    return nir.LIF(tau=full(shape, 5), r=full(shape, r), v_leak=full(shape, 0), v_threshold=full(shape, threshold), v_reset=full(shape, 0))


sums = lambda: nir.SumPool2d(kernel_size=2, stride=2, padding=0)
nodes = {
    "pixels": nir.Input(np.array([2, 8, 8])),
    "a": conv(2, 4, 8, "same"),
    "a.cells": lif((4, 8, 8), 0.6, 5),
    "quarter": sums(),
    "gain": nir.Scale(np.broadcast_to(np.array([0.5, 1, 2, 0.25], np.float32)[:, None, None], (4, 4, 4)).copy()),
    "b": conv(4, 6, 4, (1, 1)),
    "b.cells": lif((6, 4, 4), 0.9, 4),
    "pool": nir.AvgPool2d(kernel_size=2, stride=2, padding=0),
    "flat": nir.Flatten({"input": np.array([6, 2, 2])}, start_dim=0, end_dim=-1),
    "scores": nir.Affine(rng.normal(0, 0.5, (3, 24)).astype(np.float32), rng.normal(0, 0.1, 3).astype(np.float32)),
    "out": nir.Output(np.array([3])),
}
names = list(nodes)
nir.write(here / "foreign.nir", nir.NIRGraph(nodes, list(zip(names, names[1:]))))
graph = nir.read(here / "foreign.nir")
# "same" of 3x3 is a padding of 1.
graph.nodes["a"].padding = (1, 1)
images = rng.uniform(0, 1, (6, 2, 8, 8)).astype(np.float32)
logits = simulate(graph, images, 6, DIALECTS["standard"], np.float64)
assert len({tuple(row) for row in logits.reshape(-1, 3).round(6)}) > 12, "the logits should differ"
save_file({"images": images, "logits_t": logits.astype(np.float32)}, here / "foreign.safetensors")
print(logits[:, 0])
