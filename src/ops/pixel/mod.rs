//! What attacks do to pixels: noise, signed steps, projection. Images are `[N,H,W,C]` in [0,1].
//!
//! Contract: results are written (`=`). sign(0) = 0 in every step (METHOD §6).

mod cpu;
mod gpu;

use crate::base::{Result, ensure, rng::Philox};
use crate::device::Device;
use crate::tensor::Tensor;

/// The law of a noise tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise {
    /// Uniform in ±radius.
    Uniform(f32),
    /// Normal with this standard deviation.
    Normal(f32),
    /// ±1 with equal odds: the sign of a normal draw.
    Sign,
}

/// Noise for images `like`, image n drawn from `streams[n]`: it depends on the image, not on its place in a batch.
pub fn noise(like: &Tensor, noise: Noise, streams: &[Philox]) -> Result<Tensor> {
    ensure!(like.shape()[0] == streams.len(), "pixel: {} images, {} streams", like.shape()[0], streams.len());
    match like.device() {
        Device::Gpu(gpu) => Ok(gpu::noise(gpu, like, noise, streams)),
        Device::Cpu(cpu) => Ok(cpu::noise(cpu, like, noise, streams)),
    }
}

/// −1, 0 or 1 for every element.
pub fn sign(x: &Tensor) -> Tensor {
    match x.device() {
        Device::Gpu(gpu) => gpu::sign(gpu, x),
        Device::Cpu(cpu) => cpu::combine(cpu, [x, x, x], |[x, ..]| cpu::sign(x)),
    }
}

/// clip(x + factor · noise) to [0,1].
pub fn displace(x: &Tensor, noise: &Tensor, factor: f32) -> Result<Tensor> {
    same(x, noise)?;
    match x.device() {
        Device::Gpu(gpu) => Ok(gpu::displace(gpu, x, noise, factor)),
        Device::Cpu(cpu) => Ok(cpu::combine(cpu, [x, noise, noise], move |[x, d, _]| (x + factor * d).clamp(0.0, 1.0))),
    }
}

/// The projection of adv + alpha · sign(gradient) to the ±eps ball around x and to [0,1].
pub fn signed_step(x: &Tensor, adv: &Tensor, gradient: &Tensor, alpha: f32, eps: f32) -> Result<Tensor> {
    same(x, adv)?;
    same(x, gradient)?;
    match x.device() {
        Device::Gpu(gpu) => Ok(gpu::signed_step(gpu, x, adv, gradient, alpha, eps)),
        Device::Cpu(cpu) => Ok(cpu::combine(cpu, [x, adv, gradient], move |[x, adv, g]| {
            (x + (adv + alpha * cpu::sign(g) - x).clamp(-eps, eps)).clamp(0.0, 1.0)
        })),
    }
}

fn same(a: &Tensor, b: &Tensor) -> Result<()> {
    ensure!(a.shape().count() == b.shape().count(), "pixel: images {}, other operand {}", a.shape(), b.shape());
    Ok(())
}
