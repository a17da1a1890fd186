//! ResNet: convolution, norm, neuron; three groups of blocks, each a sum before its second neuron; mean over the image,
//! linear.

use super::maker::Maker;
use super::residual::{MOST_BLOCKS, STEM, Seat, check, head, number, seats};
use crate::base::{Result, usage};
use crate::nn::{Block, Layer, Origin, Spec};

/// Blocks a group of the network called `arch`: `resnetD`, D = 6n + 2. None: no ResNet. Errors (usage): another depth.
pub fn plan(arch: &str) -> Result<Option<usize>> {
    let Some(depth) = arch.strip_prefix("resnet").and_then(number) else { return Ok(None) };
    match depth.checked_sub(2).map(|rest| (rest / 6, rest % 6)) {
        Some((blocks, 0)) if (1..=MOST_BLOCKS).contains(&blocks) => Ok(Some(blocks)),
        _ => Err(usage!("arch {arch}: a depth of {depth}; it must be 6n + 2 (8, 14, 20, 26, 32 ...), at most {}", 6 * MOST_BLOCKS + 2)),
    }
}

/// The layers that `maker` makes, `blocks` blocks a group. Errors (usage): images too small, a size beyond reason.
pub fn layers(mut maker: Maker, blocks: usize, spec: &Spec) -> Result<Vec<Layer>> {
    let seats = seats([16, 32, 64], blocks, 3);
    check(spec, &seats)?;
    let conv = maker.conv("features.0", [spec.input[0], STEM], 3, 1);
    let norm = maker.norm("features.1", STEM);
    let v_th = maker.threshold("features.2");
    let mut layers = vec![conv, maker.neuron(Some(norm), v_th)];
    layers.extend(seats.iter().flat_map(|seat| block(&mut maker, seat)));
    layers.extend(head(&mut maker, spec, 64));
    Ok(layers)
}

/// act2(c₀·shortcut(x) + c₁·bn2(conv2(act1(bn1(conv1 x))))); the sum is the block, act2 a layer of its own behind it.
fn block(maker: &mut Maker, Seat { name, channels: [inputs, outputs], stride }: &Seat) -> [Layer; 2] {
    let part = |leaf: &str| format!("{name}.{leaf}");
    // As the public code declares them, which is not the order of computation.
    let conv1 = maker.conv(&part("conv1"), [*inputs, *outputs], 3, *stride);
    let conv2 = maker.conv(&part("conv2"), [*outputs, *outputs], 3, 1);
    let [bn1, bn2] = ["bn1", "bn2"].map(|leaf| maker.norm(&part(leaf), *outputs));
    let [act1, act2] = ["act1", "act2"].map(|leaf| maker.threshold(&part(leaf)));
    let comb = maker.pair(name);
    let shortcut = if *stride == 1 && inputs == outputs {
        Vec::new()
    } else {
        let conv = maker.conv(&part("shortcut.0"), [*inputs, *outputs], 1, *stride);
        vec![conv, Layer::Norm(maker.norm(&part("shortcut.1"), *outputs))]
    };
    let branch = vec![conv1, maker.neuron(Some(bn1), act1), conv2, Layer::Norm(bn2)];
    let block = Block { stem: Vec::new(), branch, shortcut, origin: Origin::Input, comb };
    [Layer::Block(block), maker.neuron(None, act2)]
}
