//! Where time begins and ends: the mean over steps at the head, and one frame repeated.
//!
//! Contract: results are written (`=`).

mod cpu;
mod gpu;

use crate::base::Shape;
use crate::device::Device;
use crate::tensor::Tensor;

/// The mean over frames of y `[N,1,1,F,K]`: `[N,K]`.
pub fn mean(y: &Tensor) -> Tensor {
    let shape = y.shape();
    if shape[3] == 1 {
        return y.clone().reshaped([shape[0], shape[4]]);
    }
    match y.device() {
        Device::Gpu(gpu) => gpu::mean(gpu, y),
        Device::Cpu(_) => cpu::mean(y),
    }
}

/// x `[N,H,W,1,C]` at each of `steps` frames, times `factor`: `[N,H,W,T,C]`.
pub fn repeat(x: &Tensor, steps: usize, factor: f32) -> Tensor {
    let shape = x.shape();
    let shape = Shape::new(&[shape[0], shape[1], shape[2], steps, shape[4]]);
    match x.device() {
        Device::Gpu(gpu) => gpu::repeat(gpu, x, shape, factor),
        Device::Cpu(cpu) => cpu::repeat(cpu, x, shape, factor),
    }
}
