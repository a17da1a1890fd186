//! Average pooling: 2x2 with stride 2 (a last odd row or column is left out), and over the whole image.
//!
//! Contract: results are written (`=`). Pooled spikes stay codes: the number of spikes among four, a nibble a step.
//! The 2x2 backward is left to the neuron below ([`crate::ops::lif::Spread`]), or spelled out by [`spread`].

mod cpu;
mod gpu;

use crate::base::{Result, Shape, ensure};
use crate::device::Device;
use crate::tensor::{Data, Tensor};

/// 2x2 means `[N,H/2,W/2,F,C]` of x `[N,H,W,F,C]`. Errors: an image with no 2x2 square.
pub fn average(x: &Data) -> Result<Data> {
    let shape = x.shape();
    ensure!(shape[1] >= 2 && shape[2] >= 2, "pool: a 2x2 pool does not fit an image of {}x{}", shape[1], shape[2]);
    match x.device() {
        Device::Gpu(gpu) => Ok(gpu::average(gpu, x)),
        Device::Cpu(cpu) => Ok(cpu::average(cpu, x)),
    }
}

/// The gradient of a 2x2 pool spelled out: `shape` is x's, its F that of `dy`.
pub fn spread(dy: &Tensor, shape: Shape) -> Tensor {
    let shape = Shape::new(&[shape[0], shape[1], shape[2], dy.shape()[3], shape[4]]);
    match dy.device() {
        Device::Gpu(gpu) => gpu::spread(gpu, dy, shape),
        Device::Cpu(cpu) => cpu::spread(cpu, dy, shape),
    }
}

/// Means over the image: `[N,1,1,F,C]` of x `[N,H,W,F,C]`.
pub fn global(x: &Data) -> Tensor {
    match x.device() {
        Device::Gpu(gpu) => gpu::global(gpu, x),
        Device::Cpu(cpu) => cpu::global(cpu, x),
    }
}

/// The gradient of [`global`]: dy/(H·W) at every pixel of `shape` (x's, its F that of `dy`).
pub fn global_backward(dy: &Tensor, shape: Shape) -> Tensor {
    let shape = Shape::new(&[shape[0], shape[1], shape[2], dy.shape()[3], shape[4]]);
    match dy.device() {
        Device::Gpu(gpu) => gpu::global_backward(gpu, dy, shape),
        Device::Cpu(cpu) => cpu::global_backward(cpu, dy, shape),
    }
}

/// The numbers `[N,H,W,F,C]` of an activation in any form.
pub fn numbers(x: &Data) -> Tensor {
    match x {
        Data::Real(tensor) => tensor.clone(),
        _ => match x.device() {
            Device::Gpu(gpu) => gpu::numbers(gpu, x),
            Device::Cpu(cpu) => cpu::numbers(cpu, x),
        },
    }
}
