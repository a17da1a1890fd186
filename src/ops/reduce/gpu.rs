//! Reductions on a GPU: `kernels/reduce.cu`.

use crate::device::{Gpu, Grid, Kernel, OnGpuMut, kernel};
use crate::ops::launch::THREADS;
use crate::tensor::{Array, Tensor};

/// Blocks that share a tensor: as many as fill a large GPU, each with four numbers a thread or more.
fn blocks(count: usize) -> usize {
    count.div_ceil(4 * THREADS as usize).clamp(1, 512)
}

pub fn sum(gpu: &Gpu, parts: &[(&Tensor, f64)]) -> Tensor {
    total(gpu, &kernel::reduce_sum, parts)
}

pub fn squares(gpu: &Gpu, x: &Tensor) -> Tensor {
    total(gpu, &kernel::reduce_squares, &[(x, 1.0)])
}

fn total(gpu: &Gpu, kernel: &'static Kernel, parts: &[(&Tensor, f64)]) -> Tensor {
    let device = parts[0].0.device();
    let counts = || parts.iter().map(|(part, _)| part.shape().count());
    let mut partials = Array::<f64>::unspecified(device, [counts().map(blocks).sum::<usize>()]);
    let mut at = 0;
    for ((part, factor), count) in parts.iter().zip(counts()) {
        gpu.run(kernel, Grid::blocks(blocks(count), THREADS))
            .array(*part)
            .value(count as u64)
            .value(*factor)
            .value(partials.address_mut().offset(at * size_of::<f64>()))
            .go();
        at += blocks(count);
    }
    let mut out = Tensor::unspecified(device, []);
    gpu.run(&kernel::reduce_finish, Grid::blocks(1, THREADS)).array(&partials).value(at as u32).array_mut(&mut out).go();
    out
}

pub fn finite(gpu: &Gpu, tensors: &[&Tensor]) -> Array<u32> {
    let mut flags = Array::full(tensors[0].device(), [tensors.len()], 1u32);
    for (at, x) in tensors.iter().enumerate() {
        let count = x.shape().count();
        gpu.run(&kernel::reduce_finite, Grid::blocks(blocks(count), THREADS))
            .array(*x)
            .value(count as u64)
            .array_mut(&mut flags)
            .value(at as u32)
            .go();
    }
    flags
}
