"""The networks, neuron, losses and steps of the method in PyTorch: what Caltrop is compared with.

Written from the paper's equations. As in the published code, time is merged into the batch ([T*N, C, H, W]), the image is
presented T times, and every product is dense. Weights are random: dense work does not depend on them.
"""
import re

import torch
import torch.nn as nn
import torch.nn.functional as F

PLANS = {
    "vgg11": ("64,A,128,256,A,512,512,512,A,512,512/4096,4096", False),
    "vgg16": ("64,64,A,128,128,A,256,256,256,A,512,512,512,A,512,512,512,A/4096,4096", False),
    "vgg11_tin": ("64,A,128,A,256,256,A,512,512,A,512,512/4096", True),
}
CIFAR = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
EPS_TEST, EPS_TRAIN = 8 / 255, 2 / 255


class Spike(torch.autograd.Function):
    """Heaviside step; backward by a surrogate derivative: PCW with gamma = 1, max(0, 1 - |u|), unless it is replaced."""

    derivative = staticmethod(lambda u: torch.clamp(1 - u.abs(), min=0))

    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx, dy):
        (u,) = ctx.saved_tensors
        return dy * Spike.derivative(u)


class Rate(torch.autograd.Function):
    """Spikes over T; backward through the rate: where the neuron fired at all."""

    @staticmethod
    def forward(ctx, x, v_th):
        v, spikes = torch.zeros_like(x[0]), []
        for current in x:
            v = v + current
            s = (v >= v_th).to(v.dtype)
            v = (1 - s) * v
            spikes.append(s)
        out = torch.stack(spikes)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, dy):
        (out,) = ctx.saved_tensors
        return dy * (out.mean(0, keepdim=True) > 0).to(dy.dtype), None


class Neuron(nn.Module):
    """Integrate and fire with hard reset; ReLU at T = 0."""

    def __init__(self, net):
        super().__init__()
        self.net = [net]  # in a list: not a submodule
        self.v_th = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        net = self.net[0]
        if net.steps == 0:
            return F.relu(x)
        x = x.view(net.steps, -1, *x.shape[1:])
        if net.credit == "rate":
            return Rate.apply(x, self.v_th).flatten(0, 1)
        v, spikes = 0.0, []
        for current in x:
            u = v + current
            s = Spike.apply(u - self.v_th)
            v = (1 - s) * u
            spikes.append(s)
        return torch.stack(spikes).flatten(0, 1)


class Net(nn.Module):
    """Pixels to logits: normalisation, the layers that a subclass makes, the mean over the steps."""

    def __init__(self, steps, channels):
        super().__init__()
        self.steps, self.credit = steps, "bptt"
        mean, std = CIFAR if channels == 3 else ((0.286,) * channels, (0.353,) * channels)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x):
        """Logits: the mean over the steps."""
        x = (x - self.mean) / self.std
        if self.steps == 0:
            return self.layers(x)
        x = x.unsqueeze(0).expand(self.steps, *x.shape).flatten(0, 1)
        y = self.layers(x)
        return y.view(self.steps, -1, y.shape[-1]).mean(0)


class Vgg(Net):
    """[conv, norm, neuron]* with average pools, then [linear, neuron, dropout]*, linear. Biases at T > 0."""

    def __init__(self, arch, steps, size, classes):
        channels, height, width = size
        super().__init__(steps, channels)
        plan, pooled = PLANS.get(arch) or (arch.removeprefix("vgg:"), False)
        features, _, hidden = plan.partition("/")
        layers = []
        for part in features.split(","):
            if part == "A":
                layers.append(nn.AvgPool2d(2))
                height, width = height // 2, width // 2
            else:
                layers += [nn.Conv2d(channels, int(part), 3, padding=1, bias=steps > 0), nn.BatchNorm2d(int(part)), Neuron(self)]
                channels = int(part)
        if pooled:
            layers.append(nn.AdaptiveAvgPool2d(1))
            height = width = 1
        layers.append(nn.Flatten())
        inputs = channels * height * width
        for part in filter(None, hidden.split(",")):
            layers += [nn.Linear(inputs, int(part), bias=steps > 0), Neuron(self)] + ([] if pooled else [nn.Dropout(0.2)])
            inputs = int(part)
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, classes, bias=steps > 0))


def conv(inputs, outputs, stride=1, kernel=3):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    """neuron(c0 shortcut(x) + c1 norm(conv neuron(norm(conv x))))."""

    def __init__(self, net, inputs, outputs, stride):
        super().__init__()
        self.branch = nn.Sequential(
            conv(inputs, outputs, stride), nn.BatchNorm2d(outputs), Neuron(net), conv(outputs, outputs), nn.BatchNorm2d(outputs)
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(conv(inputs, outputs, stride, 1), nn.BatchNorm2d(outputs))
        self.comb, self.act = nn.Parameter(torch.full((2,), 0.5)), Neuron(net)

    def forward(self, x):
        return self.act(self.comb[0] * self.shortcut(x) + self.comb[1] * self.branch(x))


class WideBlock(nn.Module):
    """h = neuron(norm x); c0 (x, or a 1x1 convolution of h where the width changes) + c1 conv(neuron(norm(conv h)))."""

    def __init__(self, net, inputs, outputs, stride):
        super().__init__()
        self.stem = nn.Sequential(nn.BatchNorm2d(inputs), Neuron(net))
        self.branch = nn.Sequential(conv(inputs, outputs, stride), nn.BatchNorm2d(outputs), Neuron(net), conv(outputs, outputs))
        self.shortcut = None if inputs == outputs else conv(inputs, outputs, stride, 1)
        self.comb = nn.Parameter(torch.full((2,), 0.5))

    def forward(self, x):
        h = self.stem(x)
        across = x if self.shortcut is None else self.shortcut(h)
        return self.comb[0] * across + self.comb[1] * self.branch(h)


class Residual(Net):
    """resnetD, D = 6n + 2, or wrnD_K, D = 6n + 4: a convolution, three groups of n blocks, mean over the image, linear."""

    def __init__(self, arch, steps, size, classes):
        super().__init__(steps, size[0])
        wide = arch.startswith("wrn")
        depth, _, widen = arch.removeprefix("wrn").removeprefix("resnet").partition("_")
        blocks, widths = (int(depth) - (4 if wide else 2)) // 6, [16 * int(widen or 1) * 2**group for group in range(3)]
        layers, inputs = [conv(size[0], 16)], 16
        if not wide:
            layers += [nn.BatchNorm2d(16), Neuron(self)]
        for group, outputs in enumerate(widths):
            for block in range(blocks):
                stride = 2 if group > 0 and block == 0 else 1
                layers.append((WideBlock if wide else Block)(self, inputs, outputs, stride))
                inputs = outputs
        if wide:
            layers += [nn.BatchNorm2d(inputs), Neuron(self)]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes, bias=steps > 0)]
        self.layers = nn.Sequential(*layers)


def build(arch, steps, size, classes=10):
    torch.manual_seed(0)
    if re.fullmatch(r"resnet\d+|wrn\d+_\d+", arch):
        return Residual(arch, steps, size, classes)
    if arch in PLANS or arch.startswith("vgg:"):
        return Vgg(arch, steps, size, classes)
    raise SystemExit(f"arch {arch}: unknown here; one of {', '.join(PLANS)}, resnetD, wrnD_K, or a plan such as vgg:16,A,32/256")


def kl(adv, clean):
    """Sum over the batch of KL(softmax clean || softmax adv)."""
    return F.kl_div(F.log_softmax(adv.float(), 1), F.softmax(clean.float(), 1), reduction="sum")


def project(x, adv, eps):
    return torch.clamp(x + torch.clamp(adv - x, -eps, eps), 0, 1)


def gradient(net, x, loss):
    x = x.detach().requires_grad_(True)
    return torch.autograd.grad(loss(net(x)), x)[0]


class Steps:
    """The steps that `caltrop bench network` times, the same in number and kind of passes."""

    def __init__(self, net, images, labels, mode, defense, autocast):
        self.net, self.images, self.labels, self.autocast = net, images, labels, autocast
        steps = net.steps
        self.defense = defense or ("trades" if steps else "at")
        if mode == "train" and self.defense not in (("natural", "trades") if steps else ("natural", "at")):
            raise SystemExit(f"defense {self.defense}: not written here")
        # A rate of 0 is the same work as any other and leaves the network as it is.
        self.optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9, weight_decay=1e-3 if steps else 5e-4)
        self.one = getattr(self, mode)

    def infer(self):
        """Logits of a batch, eval mode."""
        self.net.eval()
        with torch.no_grad(), self.autocast():
            return self.net(self.images)

    def attack(self):
        """One step of PGD, eval mode: forward, cross-entropy, gradient of the pixels, signed step, projection."""
        self.net.eval()
        with self.autocast():
            g = gradient(self.net, self.images, lambda z: F.cross_entropy(z, self.labels))
        return project(self.images, self.images + EPS_TEST / 4 * g.sign(), EPS_TEST)

    def pgd(self):
        """10 steps of PGD from a uniform start, eval mode."""
        self.net.eval()
        x, adv = self.images, torch.clamp(self.images + torch.empty_like(self.images).uniform_(-EPS_TRAIN, EPS_TRAIN), 0, 1)
        for _ in range(10):
            g = gradient(self.net, adv, lambda z: F.cross_entropy(z, self.labels))
            adv = project(x, adv + EPS_TRAIN / 4 * g.sign(), EPS_TRAIN)
        return adv

    def rfgsm(self):
        """One signed step on KL from a random corner, eval mode; the clean logits are computed for it."""
        self.net.eval()
        x, alpha = self.images, EPS_TRAIN / 2
        with torch.no_grad():
            clean = self.net(x)
        corner = torch.clamp(x + alpha * torch.randn_like(x).sign(), 0, 1)
        g = gradient(self.net, corner, lambda z: kl(z, clean))
        return project(x, corner + (EPS_TRAIN - alpha) * g.sign(), EPS_TRAIN)

    def train(self):
        """natural: forward, backward, SGD. at: PGD, then the same on its images. trades: clean train-mode forward, RFGSM-KL,
        adversarial train-mode forward, CE + 2 KL / N backward through both, SGD."""
        with self.autocast():
            if self.defense == "trades":
                self.net.train()
                clean = self.net(self.images)
                adversarial = self.rfgsm()
                self.net.train()
                loss = F.cross_entropy(clean, self.labels) + 2 * kl(self.net(adversarial), clean) / len(self.labels)
            else:
                images = self.pgd() if self.defense == "at" else self.images
                self.net.train()
                loss = F.cross_entropy(self.net(images), self.labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss
