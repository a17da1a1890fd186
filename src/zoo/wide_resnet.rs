//! Wide ResNet: convolution; three groups of blocks whose norms and neurons stand before their convolutions; norm, neuron,
//! mean over the image, linear.

use super::maker::Maker;
use super::residual::{MOST_BLOCKS, STEM, Seat, check, head, number, seats};
use crate::base::{Result, usage};
use crate::nn::{Block, Layer, Origin, Spec};

/// More than this times the usual width is a slip of the hand.
const MOST_WIDTH: usize = 64;

/// A wide ResNet as data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    blocks: usize,
    widen: usize,
}

/// The network called `arch`: `wrnD_K`, D = 6n + 4. None: no wide ResNet. Errors (usage): another depth or width.
pub fn plan(arch: &str) -> Result<Option<Plan>> {
    let sizes = arch.strip_prefix("wrn").and_then(|sizes| sizes.split_once('_'));
    let Some((depth, widen)) = sizes.and_then(|(depth, widen)| Some((number(depth)?, number(widen)?))) else { return Ok(None) };
    if !(1..=MOST_WIDTH).contains(&widen) {
        return Err(usage!("arch {arch}: {widen} times the width; it must be at least 1, at most {MOST_WIDTH}"));
    }
    match depth.checked_sub(4).map(|rest| (rest / 6, rest % 6)) {
        Some((blocks, 0)) if (1..=MOST_BLOCKS).contains(&blocks) => Ok(Some(Plan { blocks, widen })),
        _ => Err(usage!("arch {arch}: a depth of {depth}; it must be 6n + 4 (10, 16, 22, 28 ...), at most {}", 6 * MOST_BLOCKS + 4)),
    }
}

/// The layers of `plan`, made by `maker`. Errors (usage): images too small, a size beyond reason.
pub fn layers(mut maker: Maker, Plan { blocks, widen }: Plan, spec: &Spec) -> Result<Vec<Layer>> {
    let seats = seats([16, 32, 64].map(|width| width * widen), blocks, 1);
    check(spec, &seats)?;
    let mut layers = vec![maker.conv("features.0", [spec.input[0], STEM], 3, 1)];
    layers.extend(seats.iter().map(|seat| block(&mut maker, seat)));
    let (last, next) = (64 * widen, 1 + seats.len());
    let norm = maker.norm(&format!("features.{next}"), last);
    let v_th = maker.threshold(&format!("features.{}", next + 1));
    layers.push(maker.neuron(Some(norm), v_th));
    // The public networks pool 8x8, which is the whole of their images.
    layers.extend(head(&mut maker, spec, last));
    Ok(layers)
}

/// h = act1(bn1 x); c₀·(x, or convShortcut h where the width changes) + c₁·conv2(act2(bn2(conv1 h))).
fn block(maker: &mut Maker, Seat { name, channels: [inputs, outputs], stride }: &Seat) -> Layer {
    let part = |leaf: &str| format!("{name}.{leaf}");
    let (bn1, act1) = (maker.norm(&part("bn1"), *inputs), maker.threshold(&part("act1")));
    let conv1 = maker.conv(&part("conv1"), [*inputs, *outputs], 3, *stride);
    let (bn2, act2) = (maker.norm(&part("bn2"), *outputs), maker.threshold(&part("act2")));
    let conv2 = maker.conv(&part("conv2"), [*outputs, *outputs], 3, 1);
    let (origin, shortcut) = if inputs == outputs {
        (Origin::Input, Vec::new())
    } else {
        (Origin::Stem, vec![maker.conv(&part("convShortcut"), [*inputs, *outputs], 1, *stride)])
    };
    let stem = vec![maker.neuron(Some(bn1), act1)];
    let branch = vec![conv1, maker.neuron(Some(bn2), act2), conv2];
    Layer::Block(Block { stem, branch, shortcut, origin, comb: maker.pair(name) })
}
