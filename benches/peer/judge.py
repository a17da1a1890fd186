"""Adversarial images that `caltrop eval --save` wrote, judged image by image by PyTorch: inside the ball and the box, and
classified as Caltrop says. See README.md."""
import argparse

import torch
from safetensors.torch import load_file

import ensemble


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="a VGG for Fashion-MNIST, an ANN or an SNN")
    parser.add_argument("saved", help="what `caltrop eval CHECKPOINT --save` wrote")
    parser.add_argument("--caltrop", default="target/release/caltrop", help="the program (default: %(default)s)")
    parser.add_argument("--eps", type=float, default=16, help="in 1/255 (default: %(default)s)")
    args = parser.parse_args()
    saved, net = load_file(args.saved), ensemble.network(args)
    images, labels = saved["images"], saved["labels"]
    clean, known = ensemble.images(len(labels))
    with torch.no_grad():
        before, after = (torch.cat([net(batch).argmax(1) for batch in x.split(125)]) for x in (clean, images))
    robust = (before == labels) & (after == labels)
    farthest = 255 * (images - clean).abs().max().item()
    print(f"labels as in the data set: {bool((labels == known).all())}; farthest pixel {farthest:.4f}/255; box {images.min().item()} to {images.max().item()}")
    print(f"clean: {int((before != saved['predicted_clean']).sum())} of {len(labels)} judged otherwise than by Caltrop, {100 * (before == labels).float().mean():.1f} % right")
    print(f"adversarial: {int((after != saved['predicted']).sum())} judged otherwise, {100 * robust.float().mean():.1f} % robust (Caltrop: {100 * saved['survived'].float().mean():.1f} %)")
    wrong = farthest > args.eps * (1 + 1e-4) or images.min() < 0 or images.max() > 1 or bool((robust != saved["survived"].bool()).any())
    raise SystemExit(f"{args.saved}: not as Caltrop says" if wrong else None)


if __name__ == "__main__":
    main()
