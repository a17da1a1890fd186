"""The roofline page: each product of VGG-11 at T = 8 beside its floors (docs/roofline.md).

caltrop bench kernels --ops conv --network vgg11 --steps 8 --batch 16 --density 0.31,0.21,0.13,0.08 --json > kernels.json
python benches/roofline.py kernels.json
"""
import json
import sys

# What reaches a layer: the firing rate of the layer below (benches of networks: 31, 21, 13, 8 % from the first quarter of
# the layers to the last).
RATE = {"conv2": 0.31, "conv3": 0.31, "conv4": 0.31, "conv5": 0.21, "conv6": 0.21, "conv7": 0.13, "conv8": 0.13, "fc1": 0.13, "fc2": 0.08, "fc3": 0.08}
PARTS = {"forward": "forward", "backward-input": "input gradient", "backward-weight": "weight gradient"}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        found = json.load(file)
    copy, product = found["ceilings"]["copy"], found["ceilings"]["f32"]
    print(f"{found['device']}, commit {found['commit']}, {found['date'][:10]}; copy {copy / 1e9:.0f} GB/s, product {product / 1e9:.0f} GFLOP/s\n")
    print("| layer | input | bytes | dense | spikes alone | forward | input gradient | weight gradient |")
    print("|---|---|---|---|---|---|---|---|")
    total = dict.fromkeys(["bytes", "dense", "spikes", *PARTS], 0.0)
    for layer in ["conv1", *RATE]:
        rows = {row["part"]: row for row in found["rows"] if row["layer"] == layer}
        rows |= {row["part"]: row for row in found["rows"] if row["layer"] == layer and row["density"] == RATE.get(layer)}
        forward = rows["forward"]
        floors = {
            "bytes": forward["gb_s"] * 1e9 * forward["seconds"] / copy,
            "dense": forward["gflop_s"] * 1e9 * forward["seconds"] / product,
        }
        floors["spikes"] = floors["dense"] * RATE.get(layer, 1.0)
        took = {part: rows[part]["seconds"] for part in PARTS}
        for name, value in {**floors, **took}.items():
            total[name] += value
        print("| " + " | ".join([layer, forward["form"], *(f"{1e3 * x:.2f}" for x in [*floors.values(), *took.values()])]) + " |")
    print("| **sum** | | " + " | ".join(f"{1e3 * x:.1f}" for x in total.values()) + " |")


if __name__ == "__main__":
    main()
