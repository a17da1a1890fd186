//! Weighted sums of tensors: out = Σ factor · tensor, element by element.
//!
//! Contract: the result is written (`=`). A product and the sum, which starts at 0, are f64, rounded to f32 once.

mod cpu;
mod gpu;

use crate::base::{Result, ensure};
use crate::device::Device;
use crate::tensor::Tensor;

/// The most tensors that one blend takes.
pub const MOST: usize = 2;

/// Σ factor · tensor over `parts`, which are of one shape. Errors: shapes that differ, no part, or more than [`MOST`].
pub fn blend(parts: &[(&Tensor, f64)]) -> Result<Tensor> {
    ensure!((1..=MOST).contains(&parts.len()), "blend: {} tensors; 1 to {MOST} can be blended", parts.len());
    let (first, _) = parts[0];
    for (part, _) in parts {
        ensure!(part.shape() == first.shape(), "blend: a tensor of {} among those of {}", part.shape(), first.shape());
    }
    match first.device() {
        Device::Gpu(gpu) => Ok(gpu::blend(gpu, parts)),
        Device::Cpu(cpu) => Ok(cpu::blend(cpu, parts)),
    }
}
