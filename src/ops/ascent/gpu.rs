//! An ascent's memory on a GPU: `kernels/ascent.cu`.

use super::{Ascent, Seen};
use crate::device::{Gpu, Grid, kernel};
use crate::tensor::{Array, Tensor};

/// Threads a block.
const THREADS: u32 = 128;

pub fn observe(gpu: &Gpu, ascent: &mut Ascent, values: &Tensor, right: &Array<u32>) -> Seen {
    let count = values.shape().count();
    let blank = || Array::unspecified(values.device(), values.shape());
    let mut seen = Seen { improved: blank(), broken: blank() };
    gpu.run(&kernel::ascent_observe, Grid::over(count, THREADS))
        .array(values)
        .array(right)
        .array(&ascent.open)
        .array_mut(&mut ascent.best)
        .array_mut(&mut ascent.last)
        .array_mut(&mut ascent.rises)
        .array_mut(&mut ascent.alive)
        .array_mut(&mut seen.improved)
        .array_mut(&mut seen.broken)
        .value(count as u32)
        .go();
    seen
}

pub fn check(gpu: &Gpu, ascent: &mut Ascent, few: u32) {
    let count = ascent.best.shape().count();
    gpu.run(&kernel::ascent_check, Grid::over(count, THREADS))
        .array(&ascent.best)
        .value(few)
        .array_mut(&mut ascent.at_check)
        .array_mut(&mut ascent.steps)
        .array_mut(&mut ascent.rises)
        .array_mut(&mut ascent.halved)
        .value(count as u32)
        .go();
}
