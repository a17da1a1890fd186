//! The layers of the judge's networks, and the parity data's weights for them.

use std::collections::BTreeMap;

use super::named;

/// One layer; the name is its state-dict prefix.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    Conv {
        name: String,
        c_in: usize,
        c_out: usize,
        kernel: usize,
        stride: usize,
    },
    Norm {
        name: String,
        c: usize,
    },
    Neuron {
        name: String,
    },
    /// 2x2 average.
    Pool,
    GlobalPool,
    Linear {
        name: String,
        fan_in: usize,
        out: usize,
    },
    /// ResNet: neuron(c0·shortcut(x) + c1·bn2(conv2 neuron(bn1(conv1 x)))).
    Residual {
        name: String,
        c_in: usize,
        c_out: usize,
        stride: usize,
    },
    /// Wide ResNet, pre-activation: h = neuron(bn1 x); c0·(x or convShortcut h) + c1·conv2(neuron(bn2(conv1 h))).
    Wide {
        name: String,
        c_in: usize,
        c_out: usize,
        stride: usize,
    },
}

fn conv(name: String, c_in: usize, c_out: usize, kernel: usize, stride: usize) -> Layer {
    Layer::Conv { name, c_in, c_out, kernel, stride }
}

/// VGG: `features` are widths with 0 for 'A'; `side` is the image's; the last of `hidden` is the number of classes.
pub fn vgg(channels: usize, side: usize, features: &[usize], hidden: &[usize]) -> Vec<Layer> {
    let (mut layers, mut index, mut c, mut side) = (Vec::new(), 0, channels, side);
    for &width in features {
        if width == 0 {
            layers.push(Layer::Pool);
            (index, side) = (index + 1, side / 2);
            continue;
        }
        layers.push(conv(format!("features.{index}"), c, width, 3, 1));
        layers.push(Layer::Norm { name: format!("features.{}", index + 1), c: width });
        layers.push(Layer::Neuron { name: format!("features.{}", index + 2) });
        (index, c) = (index + 3, width);
    }
    let mut fan_in = side * side * c;
    for (i, &out) in hidden.iter().enumerate() {
        layers.push(Layer::Linear { name: format!("classifier.{}", 3 * i + 1), fan_in, out });
        if i + 1 < hidden.len() {
            layers.push(Layer::Neuron { name: format!("classifier.{}", 3 * i + 2) });
        }
        fan_in = out;
    }
    layers
}

/// The parity data's small network on 3x32x32.
pub fn vgg5() -> Vec<Layer> {
    vgg(3, 32, &[16, 0, 32, 0, 64, 0], &[256, 10])
}

/// VGG-11 on 3x32x32, 10 classes.
pub fn vgg11() -> Vec<Layer> {
    vgg(3, 32, &[64, 0, 128, 256, 0, 512, 512, 0, 512, 512], &[4096, 4096, 10])
}

/// ResNet with `blocks` a group on 3 channels, 10 classes (20: 3, 32: 5).
pub fn resnet(blocks: usize) -> Vec<Layer> {
    residual(3, &groups([16, 32, 64], 16, blocks), 10)
}

/// Wide ResNet of `depth` and width `k` on 3x32x32, 10 classes.
pub fn wide_resnet(depth: usize, k: usize) -> Vec<Layer> {
    wide(3, &groups([16 * k, 32 * k, 64 * k], 16, (depth - 4) / 6), 10)
}

/// Convolution, norm, neuron; `blocks` (c_in, c_out, stride); mean over the image, linear.
pub fn residual(channels: usize, blocks: &[[usize; 3]], out: usize) -> Vec<Layer> {
    let first = blocks[0][0];
    let mut layers = vec![
        conv("features.0".into(), channels, first, 3, 1),
        Layer::Norm { name: "features.1".into(), c: first },
        Layer::Neuron { name: "features.2".into() },
    ];
    for (i, &[c_in, c_out, stride]) in blocks.iter().enumerate() {
        layers.push(Layer::Residual { name: format!("features.{}", 3 + i), c_in, c_out, stride });
    }
    let fan_in = blocks[blocks.len() - 1][1];
    layers.extend([Layer::GlobalPool, Layer::Linear { name: "classifier.1".into(), fan_in, out }]);
    layers
}

/// Convolution; wide `blocks` (c_in, c_out, stride); norm, neuron, mean over the image, linear.
pub fn wide(channels: usize, blocks: &[[usize; 3]], out: usize) -> Vec<Layer> {
    let mut layers = vec![conv("features.0".into(), channels, blocks[0][0], 3, 1)];
    for (i, &[c_in, c_out, stride]) in blocks.iter().enumerate() {
        layers.push(Layer::Wide { name: format!("features.{}", 1 + i), c_in, c_out, stride });
    }
    let (next, fan_in) = (1 + blocks.len(), blocks[blocks.len() - 1][1]);
    layers.extend([
        Layer::Norm { name: format!("features.{next}"), c: fan_in },
        Layer::Neuron { name: format!("features.{}", next + 1) },
        Layer::GlobalPool,
        Layer::Linear { name: "classifier.1".into(), fan_in, out },
    ]);
    layers
}

/// Three groups of blocks (c_in, c_out, stride), the second and third halving the image.
fn groups(widths: [usize; 3], mut c: usize, blocks: usize) -> Vec<[usize; 3]> {
    let mut all = Vec::new();
    for (g, width) in widths.into_iter().enumerate() {
        for b in 0..blocks {
            all.push([c, width, if g > 0 && b == 0 { 2 } else { 1 }]);
            c = width;
        }
    }
    all
}

/// Which layers have biases (`networks` of the parity data: VGG at T = 0 has none).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Biases {
    Absent,
    Present,
    /// Of the linear layers only: the residual networks'.
    Linear,
}

/// A state dict: name → (PyTorch's shape, values in PyTorch's layout), running statistics included.
pub type StateDict = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The parity data's weights for `layers`.
pub fn state_dict(layers: &[Layer], biases: Biases, seed: u64) -> StateDict {
    let mut dict = StateDict::new();
    let mut put = |name: String, shape: &[usize]| {
        let values = named::parameter(&name, shape, seed);
        dict.insert(name, (shape.to_vec(), values));
    };
    for layer in layers.iter().flat_map(parts) {
        match layer {
            Layer::Conv { name, c_in, c_out, kernel, .. } => {
                put(format!("{name}.weight"), &[c_out, c_in, kernel, kernel]);
                if biases == Biases::Present {
                    put(format!("{name}.bias"), &[c_out]);
                }
            }
            Layer::Norm { name, c } => {
                ["weight", "bias", "running_mean", "running_var"].iter().for_each(|l| put(format!("{name}.{l}"), &[c]))
            }
            Layer::Neuron { name } => put(format!("{name}.v_th"), &[]),
            Layer::Linear { name, fan_in, out } => {
                put(format!("{name}.weight"), &[out, fan_in]);
                if biases != Biases::Absent {
                    put(format!("{name}.bias"), &[out]);
                }
            }
            Layer::Residual { name, .. } | Layer::Wide { name, .. } => put(format!("{name}.convex.comb"), &[2]),
            Layer::Pool | Layer::GlobalPool => {}
        }
    }
    dict
}

/// A block as itself (its mixing pair) followed by its layers in order; any other layer as itself.
pub fn parts(layer: &Layer) -> Vec<Layer> {
    let mut all = vec![layer.clone()];
    let (name, c_in, c_out, stride, first) = match layer {
        Layer::Residual { name, c_in, c_out, stride } => (name, *c_in, *c_out, *stride, *c_out),
        Layer::Wide { name, c_in, c_out, stride } => (name, *c_in, *c_out, *stride, *c_in),
        _ => return all,
    };
    all.extend([
        conv(format!("{name}.conv1"), c_in, c_out, 3, stride),
        Layer::Norm { name: format!("{name}.bn1"), c: first },
        Layer::Neuron { name: format!("{name}.act1") },
        conv(format!("{name}.conv2"), c_out, c_out, 3, 1),
        Layer::Norm { name: format!("{name}.bn2"), c: c_out },
        Layer::Neuron { name: format!("{name}.act2") },
    ]);
    match layer {
        Layer::Wide { .. } if c_in != c_out => all.push(conv(format!("{name}.convShortcut"), c_in, c_out, 1, stride)),
        Layer::Residual { .. } if c_in != c_out => all.extend([
            conv(format!("{name}.shortcut.0"), c_in, c_out, 1, stride),
            Layer::Norm { name: format!("{name}.shortcut.1"), c: c_out },
        ]),
        _ => {}
    }
    all
}

/// The first linear's name and the [C, H, W] that it flattens.
pub fn flat_extents(layers: &[Layer], mut side: usize) -> Option<(String, [usize; 3])> {
    for layer in layers {
        match layer {
            Layer::Pool => side /= 2,
            Layer::GlobalPool => side = 1,
            Layer::Conv { stride, .. } | Layer::Residual { stride, .. } | Layer::Wide { stride, .. } => side = side.div_ceil(*stride),
            Layer::Linear { name, fan_in, .. } => return Some((name.clone(), [fan_in / (side * side), side, side])),
            Layer::Norm { .. } | Layer::Neuron { .. } => {}
        }
    }
    None
}
