//! Radix selection on a GPU: `kernels/percentile.cu`. Three passes, and one download at the end.

use super::number;
use crate::base::{Result, ensure};
use crate::device::{Gpu, Grid, OnGpuMut, kernel};
use crate::ops::launch::{THREADS, lanes};
use crate::ops::norm::Affine;
use crate::tensor::{Array, Tensor};

/// Bins of a pass, and the words of their 64-bit counts.
const WORDS: usize = 2048 * 2;
/// The digits: bits below them, and their width.
const DIGITS: [(u32, u32); 3] = [(21, 11), (10, 11), (0, 10)];

pub fn kth_smallest(gpu: &Gpu, y: &Tensor, affine: Option<&Affine>, rank: u64) -> Result<f32> {
    let (count, shape) = (y.shape().count(), y.shape());
    let channels = shape[shape.rank() - 1];
    // Sixteen numbers a thread or more, so that clearing and adding the bins costs little.
    let blocks = count.div_ceil(16 * THREADS as usize * lanes(channels)).clamp(1, 1024);
    let mut totals = Array::<u32>::zeros(y.device(), [DIGITS.len(), WORDS]);
    // `Selection` of the kernel: rank (two words), prefix, whether a NaN was met.
    let mut selection = Array::from_slice(y.device(), [4], &[rank as u32, (rank >> 32) as u32, 0, 0]);
    for (pass, (low, width)) in DIGITS.into_iter().enumerate() {
        let bins = totals.address_mut().offset(pass * WORDS * size_of::<u32>());
        gpu.run(&kernel::percentile_count, Grid::blocks(blocks, THREADS))
            .array(y)
            .optional(affine.map(|affine| &affine.scale))
            .optional(affine.map(|affine| &affine.shift))
            .value(count as u64)
            .value(channels as u32)
            .value(low)
            .value(width)
            .array_mut(&mut selection)
            .value(bins)
            .go();
        gpu.run(&kernel::percentile_choose, Grid::blocks(1, THREADS)).value(bins).value(width).array_mut(&mut selection).go();
    }
    let found = selection.to_vec();
    ensure!(found[3] == 0, "percentile: the currents hold NaN");
    Ok(number(found[2]))
}
