//! Pixel operations on a GPU: `kernels/pixel.cu`.

use super::{Adaptive, Ball, Momentum, Noise, Norm, Stand};
use crate::base::rng::Philox;
use crate::device::{Gpu, Grid, kernel};
use crate::ops::launch::{THREADS, flat, rows};
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

/// A block an image.
fn images(count: usize) -> Grid {
    Grid::of([count, 1, 1], THREADS)
}

pub fn unit(gpu: &Gpu, x: &Tensor, norm: Norm) -> Tensor {
    let shape = x.shape();
    let mut out = Tensor::unspecified(x.device(), shape);
    let kernel = match norm {
        Norm::Linf => &kernel::pixel_unit_linf,
        Norm::L2 => &kernel::pixel_unit_l2,
    };
    gpu.run(kernel, images(shape[0])).array(x).array_mut(&mut out).value((shape.count() / shape[0].max(1)) as u32).go();
    out
}

pub fn momentum_step(gpu: &Gpu, at: &Stand, ball: Ball, share: f32) -> Tensor {
    let shape = at.images.shape();
    let len = shape.count() / shape[0].max(1);
    let mut out = Tensor::unspecified(at.images.device(), shape);
    let (kernel, grid) = match ball.norm {
        Norm::Linf => (&kernel::pixel_momentum_step_linf, rows(shape[0], len)),
        Norm::L2 => (&kernel::pixel_momentum_step_l2, images(shape[0])),
    };
    gpu.run(kernel, grid)
        .array(at.images)
        .array(at.adv)
        .array(at.previous)
        .array(at.gradient)
        .array(at.steps)
        .value(ball.eps)
        .value(share)
        .array_mut(&mut out)
        .value(len as u32)
        .go();
    out
}

pub fn adaptive_step(gpu: &Gpu, of: [&Tensor; 3], momentum: &mut Momentum, constants: Adaptive) -> Tensor {
    let [images, adv, gradient] = of;
    let mut out = Tensor::unspecified(images.device(), images.shape());
    gpu.run(&kernel::pixel_adaptive_step, self::images(images.shape()[0]))
        .value(constants)
        .array(images)
        .array(adv)
        .array(gradient)
        .array_mut(&mut momentum.mean)
        .array_mut(&mut momentum.squares)
        .array_mut(&mut out)
        .go();
    out
}

pub fn replace(gpu: &Gpu, to: &mut Tensor, mask: &Array<u32>, from: &Tensor) {
    let shape = to.shape();
    let len = shape.count() / shape[0].max(1);
    gpu.run(&kernel::pixel_replace, rows(shape[0], len)).array_mut(to).array(mask).array(from).value(len as u32).go();
}
