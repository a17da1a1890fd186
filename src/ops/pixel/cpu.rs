//! Pixel operations on the CPU.

use super::{Ball, Noise, Norm, Stand};
use crate::base::rng::Philox;
use crate::device::{Cpu, Disjoint};
use crate::tensor::{Array, Tensor};

/// −1, 0 or 1.
#[inline(always)]
pub fn sign(x: f32) -> f32 {
    f32::from(u8::from(x > 0.0)) - f32::from(u8::from(x < 0.0))
}

pub fn noise(cpu: &Cpu, like: &Tensor, noise: Noise, streams: &[Philox]) -> Tensor {
    let shape = like.shape();
    let len = shape.count() / shape[0].max(1);
    let mut out = Tensor::unspecified(like.device(), shape);
    let all = Disjoint::new(out.host_mut());
    cpu.each(shape[0], |n| {
        // SAFETY: each image is another part.
        let image = unsafe { all.part(n * len..(n + 1) * len) };
        match noise {
            Noise::Uniform(radius) => {
                for (block, four) in image.chunks_mut(4).enumerate() {
                    four.iter_mut().zip(streams[n].uniforms(block as u64)).for_each(|(x, u)| *x = radius * (2.0 * u - 1.0));
                }
            }
            Noise::Normal(deviation) => {
                for (i, x) in image.iter_mut().enumerate() {
                    *x = deviation * streams[n].normal(i as u64);
                }
            }
            Noise::Sign => {
                for (block, four) in image.chunks_mut(4).enumerate() {
                    four.iter_mut().zip(streams[n].words(block as u64)).for_each(|(x, w)| *x = if w >> 31 == 0 { 1.0 } else { -1.0 });
                }
            }
        }
    });
    out
}

/// out_i = f(operands_i).
pub fn combine(cpu: &Cpu, [a, b, c]: [&Tensor; 3], f: impl Fn([f32; 3]) -> f32 + Sync + Send) -> Tensor {
    let mut out = Tensor::unspecified(a.device(), a.shape());
    let all = Disjoint::new(out.host_mut());
    cpu.pieces(a.shape().count(), 1 << 14, |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { all.part(range.clone()) };
        let (a, b, c) = (&a.host()[range.clone()], &b.host()[range.clone()], &c.host()[range]);
        for (i, out) in out.iter_mut().enumerate() {
            *out = f([a[i], b[i], c[i]]);
        }
    });
    out
}

/// The root of a sum of squares, in f64.
fn length(x: impl Iterator<Item = f32>) -> f64 {
    x.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

/// Guards a division by a norm.
const LEAST: f64 = 1e-12;

pub fn unit(cpu: &Cpu, x: &Tensor, norm: Norm) -> Tensor {
    let shape = x.shape();
    let len = shape.count() / shape[0].max(1);
    let mut out = Tensor::unspecified(x.device(), shape);
    let all = Disjoint::new(out.host_mut());
    cpu.each(shape[0], |n| {
        let image = &x.host()[n * len..(n + 1) * len];
        // SAFETY: each image is another part.
        let out = unsafe { all.part(n * len..(n + 1) * len) };
        let size = match norm {
            Norm::Linf => f64::from(image.iter().fold(0.0f32, |most, x| most.max(x.abs()))),
            Norm::L2 => length(image.iter().copied()),
        };
        out.iter_mut().zip(image).for_each(|(out, x)| *out = (f64::from(*x) / (size + LEAST)) as f32);
    });
    out
}

pub fn momentum_step(cpu: &Cpu, at: &Stand, ball: Ball, share: f32) -> Tensor {
    let shape = at.images.shape();
    let len = shape.count() / shape[0].max(1);
    let mut out = Tensor::unspecified(at.images.device(), shape);
    let all = Disjoint::new(out.host_mut());
    cpu.each(shape[0], |n| {
        let [x, adv, old, g] = [at.images, at.adv, at.previous, at.gradient].map(|t| &t.host()[n * len..(n + 1) * len]);
        let step = at.steps.host()[n];
        // SAFETY: each image is another part.
        let out = unsafe { all.part(n * len..(n + 1) * len) };
        let mixed = |i: usize, z: f32| adv[i] + share * (z - adv[i]) + (1.0 - share) * (adv[i] - old[i]);
        match ball.norm {
            Norm::Linf => {
                let project = |i: usize, z: f32| (x[i] + (z - x[i]).clamp(-ball.eps, ball.eps)).clamp(0.0, 1.0);
                for (i, out) in out.iter_mut().enumerate() {
                    *out = project(i, mixed(i, project(i, adv[i] + step * sign(g[i]))));
                }
            }
            Norm::L2 => {
                let scale = (f64::from(step) / (length(g.iter().copied()) + LEAST)) as f32;
                let moved = |i: usize| adv[i] + scale * g[i] - x[i];
                let within = drawn_in(ball.eps, length((0..len).map(moved)));
                let away = |i: usize| mixed(i, (x[i] + within * moved(i)).clamp(0.0, 1.0)) - x[i];
                let within = drawn_in(ball.eps, length((0..len).map(away)));
                out.iter_mut().enumerate().for_each(|(i, out)| *out = (x[i] + within * away(i)).clamp(0.0, 1.0));
            }
        }
    });
    out
}

/// The factor that draws a difference of this length into the ball.
fn drawn_in(eps: f32, length: f64) -> f32 {
    (length.min(f64::from(eps)) / (length + LEAST)) as f32
}

pub fn replace(to: &mut Tensor, mask: &Array<u32>, from: &Tensor) {
    let len = to.shape().count() / to.shape()[0].max(1);
    for (n, _) in mask.host().iter().enumerate().filter(|&(_, &mask)| mask != 0) {
        to.host_mut()[n * len..(n + 1) * len].copy_from_slice(&from.host()[n * len..(n + 1) * len]);
    }
}
