//! What both families of residual networks have: three groups of blocks, then a mean over the image and a linear layer.

use super::maker::Maker;
use crate::base::{Result, usage};
use crate::nn::{Layer, Spec};

/// Channels behind the first convolution.
pub const STEM: usize = 16;

/// More blocks a group than this are a slip of the hand.
pub const MOST_BLOCKS: usize = 200;

/// The number in `text`, if it is written in digits alone.
pub fn number(text: &str) -> Option<usize> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A block's place.
pub struct Seat {
    /// Its prefix in the state dict.
    pub name: String,
    /// C_in and C_out.
    pub channels: [usize; 2],
    /// Of its first convolution.
    pub stride: usize,
}

/// The seats of `blocks` blocks in each group of these widths, `features.first` on; the second and third group halve the
/// image.
pub fn seats(widths: [usize; 3], blocks: usize, first: usize) -> Vec<Seat> {
    let mut inputs = STEM;
    let mut seats = Vec::new();
    for (group, width) in widths.into_iter().enumerate() {
        for block in 0..blocks {
            let stride = if group > 0 && block == 0 { 2 } else { 1 };
            seats.push(Seat { name: format!("features.{}", first + seats.len()), channels: [inputs, width], stride });
            inputs = width;
        }
    }
    seats
}

/// Errors (usage) where a network with these seats does not fit its images, or memory should not be asked for it.
pub fn check(spec: &Spec, seats: &[Seat]) -> Result<()> {
    let [channels, height, width] = spec.input;
    if height < 4 || width < 4 {
        return Err(usage!("arch {}: images of {height}x{width} are too small to be halved twice; use 4x4 or more", spec.arch));
    }
    let weights = seats.iter().fold(9 * STEM * channels, |count, seat| {
        let [inputs, outputs] = seat.channels;
        count.saturating_add(outputs.saturating_mul(9 * (inputs + outputs)))
    });
    let last = seats.last().map_or(STEM, |seat| seat.channels[1]);
    super::check_weights(spec, weights.saturating_add(last.saturating_mul(spec.classes)))
}

/// The end: mean over the image, linear.
pub fn head(maker: &mut Maker, spec: &Spec, channels: usize) -> [Layer; 3] {
    [Layer::GlobalPool, Layer::Flatten, maker.linear("classifier.1", [channels, spec.classes])]
}
