//! Batch normalisation: x = (y − mean) / √(var + 1e-5) · weight + bias, per channel.
//!
//! Contract: results are written (`=`). Statistics run over N·H·W and the stored frames; a held signal's running
//! variance counts all T frames that its one frame stands for (`repeats`). The normalisation is handed on as an
//! [`Affine`], which the neuron behind it applies on the fly, so no normalised tensor is ever stored there.

mod cpu;
mod gpu;

pub(super) use gpu::{finish, from_sums};

use crate::base::{Result, ensure};
use crate::device::Device;
use crate::tensor::Tensor;

/// Added to the variance (METHOD §2).
pub const EPSILON: f64 = 1e-5;
/// Weight of the newest batch in the running statistics.
pub const MOMENTUM: f32 = 0.1;

/// Mean and biased variance a channel, `[C]` each.
#[derive(Clone)]
pub struct Moments {
    /// Mean.
    pub mean: Tensor,
    /// Variance, divided by n.
    pub variance: Tensor,
}

/// x = scale · y + shift, per channel, `[C]` each.
#[derive(Clone)]
pub struct Affine {
    /// weight / √(var + ε).
    pub scale: Tensor,
    /// bias − mean · scale.
    pub shift: Tensor,
}

/// Gradients of a normalisation.
pub struct Gradients {
    /// Of its input, shape of y.
    pub dy: Tensor,
    /// Of its weight, `[C]`.
    pub dweight: Tensor,
    /// Of its bias, `[C]`.
    pub dbias: Tensor,
}

/// A normalisation in front of a neuron.
#[derive(Clone, Copy)]
pub struct Normalised<'a> {
    /// What it amounts to: the map that the neuron applies.
    pub affine: &'a Affine,
    /// The moments behind it.
    pub moments: &'a Moments,
    /// Its weight, `[C]`.
    pub weight: &'a Tensor,
    /// Whether the moments are those of y.
    pub moving: Moving,
}

/// Whether the moments move with the input (and pass gradients) or are constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moving {
    /// Statistics of the batch itself.
    Batch,
    /// Running statistics, constants of the backward pass.
    Constant,
}

/// Moments of y `[N,H,W,F,C]` over everything but channels, summed in f64. Errors: an empty batch.
pub fn moments(y: &Tensor) -> Result<Moments> {
    let shape = y.shape();
    ensure!(shape.count() > 0, "norm: no values to average in {shape}");
    match y.device() {
        Device::Gpu(gpu) => Ok(gpu::moments(gpu, y)),
        Device::Cpu(cpu) => Ok(cpu::moments(cpu, y)),
    }
}

/// The affine map that `moments`, weight and bias amount to.
pub fn affine(moments: &Moments, weight: &Tensor, bias: &Tensor) -> Affine {
    match weight.device() {
        Device::Gpu(gpu) => gpu::affine(gpu, moments, weight, bias),
        Device::Cpu(_) => cpu::affine(moments, weight, bias),
    }
}

/// x = scale · y + shift as a tensor of its own.
pub fn apply(y: &Tensor, affine: &Affine) -> Result<Tensor> {
    let channels = y.shape()[4];
    ensure!(affine.scale.shape().count() == channels, "norm: {} channels of statistics, signal has {channels}", affine.scale.shape());
    match y.device() {
        Device::Gpu(gpu) => Ok(gpu::apply(gpu, y, affine)),
        Device::Cpu(cpu) => Ok(cpu::apply(cpu, y, affine)),
    }
}

/// Gradients of x for upstream dx (both the shape of y):
/// dbias = Σ dx, dweight = Σ dx·x̂, dy = scale · (dx − β·(dbias + x̂·dweight)/n), β = 1 under the batch's statistics, else 0.
pub fn backward(dx: &Tensor, y: &Tensor, moments: &Moments, weight: &Tensor, moving: Moving) -> Result<Gradients> {
    ensure!(dx.shape() == y.shape(), "norm: the gradient wants {}, got {}", y.shape(), dx.shape());
    match y.device() {
        Device::Gpu(gpu) => Ok(gpu::backward(gpu, dx, y, moments, weight, moving)),
        Device::Cpu(cpu) => Ok(cpu::backward(cpu, dx, y, moments, weight, moving)),
    }
}

/// running ← 0.9 · running + 0.1 · batch, the variance as n/(n−1) of the batch's, n counting `repeats` frames
/// for every stored one. Returns (mean, variance).
pub fn running(mean: &Tensor, variance: &Tensor, batch: &Moments, count: usize, repeats: usize) -> (Tensor, Tensor) {
    let n = (count * repeats) as f64;
    let unbiased = if n > 1.0 { n / (n - 1.0) } else { 1.0 };
    match mean.device() {
        Device::Gpu(gpu) => gpu::running(gpu, mean, variance, batch, unbiased as f32),
        Device::Cpu(_) => cpu::running(mean, variance, batch, unbiased as f32),
    }
}
