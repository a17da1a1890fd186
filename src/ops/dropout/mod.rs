//! Dropout: z = x / (1 − p) where a draw keeps it, else 0; every (n, t, feature) draws for itself.
//!
//! Contract: results are written (`=`). The mask is never stored: backward draws it again from the same stream,
//! element i of `[N,H,W,F,C]` at index i.

mod cpu;
mod gpu;

use crate::base::{Result, ensure, rng::Philox};
use crate::device::Device;
use crate::tensor::Tensor;

/// z, the shape of x. Errors: p outside 0..1.
pub fn forward(x: &Tensor, p: f32, stream: Philox) -> Result<Tensor> {
    ensure!((0.0..1.0).contains(&p), "dropout: probability {p} is not in 0..1");
    match x.device() {
        Device::Gpu(gpu) => Ok(gpu::mask(gpu, x, p, stream)),
        Device::Cpu(cpu) => Ok(cpu::mask(cpu, x, p, stream)),
    }
}

/// dx of dz: the same mask and factor.
pub fn backward(dz: &Tensor, p: f32, stream: Philox) -> Result<Tensor> {
    forward(dz, p, stream)
}
