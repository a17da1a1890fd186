//! Reductions on the CPU.

use crate::device::Cpu;
use crate::tensor::{Array, Tensor};

pub fn sum(parts: &[(&Tensor, f64)]) -> Tensor {
    let of = |values: &Tensor| values.host().iter().map(|&value| f64::from(value)).sum::<f64>();
    let total: f64 = parts.iter().map(|(values, factor)| factor * of(values)).sum();
    Tensor::full(parts[0].0.device(), [], total as f32)
}

pub fn squares(x: &Tensor) -> Tensor {
    let total: f64 = x.host().iter().map(|&value| f64::from(value).powi(2)).sum();
    Tensor::full(x.device(), [], total as f32)
}

pub fn finite(cpu: &Cpu, tensors: &[&Tensor]) -> Array<u32> {
    let flags = cpu.map(tensors.len(), |i| u32::from(tensors[i].host().iter().all(|x| x.is_finite())));
    Array::from_slice(tensors[0].device(), [flags.len()], &flags)
}
