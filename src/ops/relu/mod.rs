//! The neuron at T = 0: z = max(0, scale·y + shift).
//!
//! Contract: results are written (`=`). y is all that forward saves; its gradient is dz where the current is > 0.

mod cpu;
mod gpu;

use crate::base::{Result, ensure};
use crate::device::Device;
use crate::ops::lif::{Down, Upstream, check_upstream};
use crate::ops::norm::{self, Affine, Normalised};
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
    check(y, upstream)?;
    match y.device() {
        Device::Gpu(gpu) => Ok(gpu::backward(gpu, y, affine, upstream, down)),
        Device::Cpu(cpu) => Ok(cpu::backward(cpu, y, affine, upstream, down)),
    }
}

/// [`backward`] and [`norm::backward`] behind it, in one pass over y where the device can. Errors: those of the two.
pub fn backward_norm(y: &Tensor, norm: Normalised, upstream: Upstream) -> Result<norm::Gradients> {
    match y.device() {
        Device::Gpu(gpu) => {
            check(y, upstream)?;
            Ok(gpu::backward_norm(gpu, y, norm, upstream))
        }
        Device::Cpu(_) => {
            let dx = backward(y, Some(norm.affine), upstream, Down::Current)?;
            norm::backward(&dx, y, norm.moments, norm.weight, norm.moving)
        }
    }
}

fn check(y: &Tensor, upstream: Upstream) -> Result<()> {
    check_upstream(y, upstream, y.shape()[3])?;
    ensure!(
        upstream.gradient.shape()[3] == y.shape()[3],
        "relu: a gradient of {} for a current of {}",
        upstream.gradient.shape(),
        y.shape()
    );
    Ok(())
}
