//! What attacks do to pixels: noise, signed steps, projection. Images are `[N,H,W,C]` in `[0,1]`.
//!
//! Contract: results are written (`=`). sign(0) = 0 in every step (METHOD §6).

mod cpu;
mod gpu;

use crate::base::{Result, ensure, rng::Philox};
use crate::device::Device;
use crate::tensor::{Array, Tensor};
use bytemuck::{Pod, Zeroable};

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

/// How far an image is from another, and with that the shape of the ball around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// The largest difference of a pixel.
    Linf,
    /// The root of the sum of squares over the image.
    L2,
}

impl Norm {
    /// The length of a displacement.
    pub fn length(self, displacement: impl Iterator<Item = f64>) -> f64 {
        match self {
            Norm::Linf => displacement.fold(0.0, |most, d| d.abs().max(most)),
            Norm::L2 => displacement.map(|d| d * d).sum::<f64>().sqrt(),
        }
    }

    /// The distance of two images of as many numbers.
    pub fn distance(self, a: &[f32], b: &[f32]) -> f64 {
        self.length(a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b)))
    }
}

impl std::fmt::Display for Norm {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Norm::Linf => "l-inf",
            Norm::L2 => "l2",
        })
    }
}

/// The ball that an attack stays in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ball {
    /// Its norm.
    pub norm: Norm,
    /// Its radius, in pixels of `[0,1]`.
    pub eps: f32,
}

impl Ball {
    /// Every pixel within `eps`.
    pub fn linf(eps: f32) -> Ball {
        Ball { norm: Norm::Linf, eps }
    }

    /// The whole image within `eps`.
    pub fn l2(eps: f32) -> Ball {
        Ball { norm: Norm::L2, eps }
    }
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

/// clip(x + factor · noise) to `[0,1]`.
pub fn displace(x: &Tensor, noise: &Tensor, factor: f32) -> Result<Tensor> {
    same(x, noise)?;
    match x.device() {
        Device::Gpu(gpu) => Ok(gpu::displace(gpu, x, noise, factor)),
        Device::Cpu(cpu) => Ok(cpu::combine(cpu, [x, noise, noise], move |[x, d, _]| (x + factor * d).clamp(0.0, 1.0))),
    }
}

/// The projection of adv + alpha · sign(gradient) to the ±eps ball around x and to `[0,1]`.
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

/// Each image divided by its norm + 1e-12: the direction of a start or of a gradient.
pub fn unit(x: &Tensor, norm: Norm) -> Tensor {
    match x.device() {
        Device::Gpu(gpu) => gpu::unit(gpu, x, norm),
        Device::Cpu(cpu) => cpu::unit(cpu, x, norm),
    }
}

/// Where an ascent with momentum stands.
pub struct Stand<'a> {
    /// `[N,H,W,C]`: the images as they were, the middle of the ball.
    pub images: &'a Tensor,
    /// `[N,H,W,C]`: the images as they are.
    pub adv: &'a Tensor,
    /// `[N,H,W,C]`: as they were a step ago.
    pub previous: &'a Tensor,
    /// `[N,H,W,C]`: the gradient at `adv`.
    pub gradient: &'a Tensor,
    /// `[N]`: each image's step size.
    pub steps: &'a Tensor,
}

/// The next point of APGD (Croce & Hein 2020, equation 1): with P the projection to the ball and to `[0,1]`,
/// z = P(adv + step · direction), P(adv + share · (z − adv) + (1 − share) · (adv − previous)). The direction is the
/// gradient's sign or its [`unit()`]. In l2 a point outside is drawn in along its line to the image, d · min(eps, ‖d‖)/(‖d‖ + 1e-12).
pub fn momentum_step(at: &Stand, ball: Ball, share: f32) -> Result<Tensor> {
    let shape = at.images.shape();
    [at.adv, at.previous, at.gradient].into_iter().try_for_each(|other| same(at.images, other))?;
    ensure!(at.steps.shape().count() == shape[0], "pixel: {} images, {} step sizes", shape[0], at.steps.shape().count());
    match at.images.device() {
        Device::Gpu(gpu) => Ok(gpu::momentum_step(gpu, at, ball, share)),
        Device::Cpu(cpu) => Ok(cpu::momentum_step(cpu, at, ball, share)),
    }
}

/// What SA-PGD remembers of the gradients of images, a number each of its own: `[N,H,W,C]`.
pub struct Momentum {
    mean: Array<f64>,
    squares: Array<f64>,
}

impl Momentum {
    /// Of no gradient of `images` yet.
    pub fn of(images: &Tensor) -> Momentum {
        let nothing = || Array::zeros(images.device(), images.shape());
        Momentum { mean: nothing(), squares: nothing() }
    }
}

/// The constants of SA-PGD's step (`Adaptive` in kernels/pixel.cu).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Adaptive {
    step: f64,
    /// What a step leaves of the momentum.
    mean_kept: f64,
    /// What a step leaves of the squares.
    squares_kept: f64,
    /// So that a number that never had a gradient stays.
    least: f64,
    eps: f32,
    /// H·W·C.
    len: u32,
}

/// The next point of SA-PGD (Wang et al., arXiv 2512.22522): with g the gradient of an image's loss and means over its numbers
///   m ← 0.5·m + g / mean|g|;  v ← 0.8·v + g² / mean(g²);  P(adv + clamp(step·m / (√v + 10⁻¹²), ±step)),
/// P the projection to the ±eps ball around `images` and to `[0,1]`. An image without any gradient goes on by its momentum. In f64, each
/// image by itself.
pub fn adaptive_step(images: &Tensor, adv: &Tensor, gradient: &Tensor, momentum: &mut Momentum, step: f64, eps: f32) -> Result<Tensor> {
    same(images, adv)?;
    same(images, gradient)?;
    let (shape, known) = (images.shape(), momentum.mean.shape());
    ensure!(shape == known, "pixel: images {shape}, momentum {known}");
    let len = (shape.count() / shape[0].max(1)) as u32;
    let constants = Adaptive { step, mean_kept: 0.5, squares_kept: 0.8, least: 1e-12, eps, len };
    let of = [images, adv, gradient];
    match images.device() {
        Device::Gpu(gpu) => Ok(gpu::adaptive_step(gpu, of, momentum, constants)),
        Device::Cpu(cpu) => Ok(cpu::adaptive_step(cpu, of, momentum, constants)),
    }
}

/// Overwrite the rows of `to` whose `mask` `[N]` is not 0 with those of `from`.
pub fn replace(to: &mut Tensor, mask: &Array<u32>, from: &Tensor) -> Result<()> {
    same(to, from)?;
    let (rows, masks) = (to.shape()[0], mask.shape().count());
    ensure!(rows == masks, "pixel: {rows} images, {masks} of a mask");
    match to.device().clone() {
        Device::Gpu(gpu) => gpu::replace(&gpu, to, mask, from),
        Device::Cpu(_) => cpu::replace(to, mask, from),
    }
    Ok(())
}

fn same(a: &Tensor, b: &Tensor) -> Result<()> {
    ensure!(a.shape().count() == b.shape().count(), "pixel: images {}, other operand {}", a.shape(), b.shape());
    Ok(())
}
