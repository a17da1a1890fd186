//! Tensors to single numbers, which stay on the device until someone reads them.
//!
//! Contract: results are written (`=`).

mod cpu;
mod gpu;

use crate::base::{Result, ensure};
use crate::device::Device;
use crate::tensor::{Array, Tensor};

/// The most tensors that one [`sum`] takes.
pub const MOST: usize = 2;

/// Σ factor · Σ values over `parts`, `[]`: in f64, in the order of the values, rounded to f32 once.
///
/// Errors: no part, or more than [`MOST`].
pub fn sum(parts: &[(&Tensor, f64)]) -> Result<Tensor> {
    ensure!((1..=MOST).contains(&parts.len()), "reduce: {} tensors; 1 to {MOST} can be summed", parts.len());
    match parts[0].0.device() {
        Device::Gpu(gpu) => Ok(gpu::sum(gpu, parts)),
        Device::Cpu(_) => Ok(cpu::sum(parts)),
    }
}

/// Σ value² over `x`, `[]`: in f64, in the order of the values, rounded to f32 once.
pub fn squares(x: &Tensor) -> Tensor {
    match x.device() {
        Device::Gpu(gpu) => gpu::squares(gpu, x),
        Device::Cpu(_) => cpu::squares(x),
    }
}

/// For each of `tensors` 1 where every element is finite, 0 where one is NaN or infinite: `[tensors]`.
///
/// Errors: no tensor.
pub fn finite(tensors: &[&Tensor]) -> Result<Array<u32>> {
    ensure!(!tensors.is_empty(), "reduce: no tensor to look at");
    match tensors[0].device() {
        Device::Gpu(gpu) => Ok(gpu::finite(gpu, tensors)),
        Device::Cpu(cpu) => Ok(cpu::finite(cpu, tensors)),
    }
}
