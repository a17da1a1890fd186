//! Stochastic gradient descent with momentum: g += decay·p; b = g at the first step, else momentum·b + g; p −= rate·b.
//!
//! Contract: p and b are updated in place (METHOD §3; PyTorch's SGD without dampening).

mod cpu;
mod gpu;

use crate::base::{Result, ensure};
use crate::device::Device;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// The numbers of a step (`Rates` in kernels/sgd.cu).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct Rates {
    /// Learning rate.
    pub rate: f32,
    /// Momentum.
    pub momentum: f32,
    /// Weight decay.
    pub decay: f32,
}

/// One step of `p` along `gradient`; `velocity` is b, None before the first step. Errors: another shape.
pub fn step(p: &mut Tensor, gradient: &Tensor, velocity: &mut Option<Tensor>, rates: Rates) -> Result<()> {
    ensure!(p.shape().count() == gradient.shape().count(), "sgd: parameter {}, gradient {}", p.shape(), gradient.shape());
    let device = p.device().clone();
    match &device {
        Device::Gpu(gpu) => gpu::step(gpu, p, gradient, velocity, rates),
        Device::Cpu(cpu) => cpu::step(cpu, p, gradient, velocity, rates),
    }
    Ok(())
}

/// The projection of `p` to at least `floor`, in place; NaN stays NaN, so that whoever looks for it finds it.
pub fn at_least(p: &mut Tensor, floor: f32) {
    let device = p.device().clone();
    match &device {
        Device::Gpu(gpu) => gpu::at_least(gpu, p, floor),
        Device::Cpu(_) => cpu::at_least(p, floor),
    }
}
