//! The neuron at T = 0: z = max(0, scale·y + shift).
//!
//! Contract: results are written (`=`). y is all that forward saves; its gradient is dz where the current is > 0.

mod cpu;
mod gpu;

use crate::base::{Result, ensure};
use crate::device::Device;
use crate::ops::lif::{Down, Upstream, check_upstream};
use crate::ops::norm::Affine;
use crate::tensor::Tensor;

/// z, the shape of y.
pub fn forward(y: &Tensor, affine: Option<&Affine>) -> Tensor {
    match y.device() {
        Device::Gpu(gpu) => gpu::forward(gpu, y, affine),
        Device::Cpu(cpu) => cpu::forward(cpu, y, affine),
    }
}

/// The gradient of the current (or of y, see [`Down`]), the shape of y. Errors: a gradient of another shape.
pub fn backward(y: &Tensor, affine: Option<&Affine>, upstream: Upstream, down: Down) -> Result<Tensor> {
    check_upstream(y, upstream, y.shape()[3])?;
    ensure!(
        upstream.gradient.shape()[3] == y.shape()[3],
        "relu: a gradient of {} for a current of {}",
        upstream.gradient.shape(),
        y.shape()
    );
    match y.device() {
        Device::Gpu(gpu) => Ok(gpu::backward(gpu, y, affine, upstream, down)),
        Device::Cpu(cpu) => Ok(cpu::backward(cpu, y, affine, upstream, down)),
    }
}
