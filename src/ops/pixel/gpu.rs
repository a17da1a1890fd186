//! Pixel operations on a GPU: `kernels/pixel.cu`.

use super::Noise;
use crate::base::rng::Philox;
use crate::device::{Gpu, kernel};
use crate::ops::launch::{flat, rows};
use crate::tensor::{Array, Tensor};

/// The streams are uploaded, so noise is drawn before a recording begins.
pub fn noise(gpu: &Gpu, like: &Tensor, noise: Noise, streams: &[Philox]) -> Tensor {
    let shape = like.shape();
    let len = shape.count() / shape[0].max(1);
    let streams = Array::<u32>::from_slice(like.device(), [streams.len(), 4], bytemuck::cast_slice(streams));
    let mut out = Tensor::unspecified(like.device(), shape);
    let grid = rows(shape[0], len.div_ceil(4));
    let launch = match noise {
        Noise::Uniform(radius) => gpu.run(&kernel::pixel_noise_uniform, grid).value(radius),
        Noise::Normal(deviation) => gpu.run(&kernel::pixel_noise_normal, grid).value(deviation),
        Noise::Sign => gpu.run(&kernel::pixel_noise_sign, grid),
    };
    launch.array(&streams).array_mut(&mut out).value(len as u32).go();
    out
}

pub fn sign(gpu: &Gpu, x: &Tensor) -> Tensor {
    let count = x.shape().count();
    let mut out = Tensor::unspecified(x.device(), x.shape());
    gpu.run(&kernel::pixel_sign, flat(count)).array(x).array_mut(&mut out).value(count as u64).go();
    out
}

pub fn displace(gpu: &Gpu, x: &Tensor, noise: &Tensor, factor: f32) -> Tensor {
    let count = x.shape().count();
    let mut out = Tensor::unspecified(x.device(), x.shape());
    gpu.run(&kernel::pixel_displace, flat(count)).array(x).array(noise).value(factor).array_mut(&mut out).value(count as u64).go();
    out
}

pub fn signed_step(gpu: &Gpu, x: &Tensor, adv: &Tensor, gradient: &Tensor, alpha: f32, eps: f32) -> Tensor {
    let count = x.shape().count();
    let mut out = Tensor::unspecified(x.device(), x.shape());
    gpu.run(&kernel::pixel_signed_step, flat(count))
        .array(x)
        .array(adv)
        .array(gradient)
        .value(alpha)
        .value(eps)
        .array_mut(&mut out)
        .value(count as u64)
        .go();
    out
}
