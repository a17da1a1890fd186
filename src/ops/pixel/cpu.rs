//! Pixel operations on the CPU.

use super::{Adaptive, Ball, Momentum, Noise, Norm, Stand};
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

pub fn adaptive_step(cpu: &Cpu, of: [&Tensor; 3], momentum: &mut Momentum, constants: Adaptive) -> Tensor {
    let Adaptive { step, mean_kept, squares_kept, least, eps, len } = constants;
    let (shape, len, eps) = (of[0].shape(), len as usize, f64::from(eps));
    let mut out = Tensor::unspecified(of[0].device(), shape);
    let (all, means) = (Disjoint::new(out.host_mut()), Disjoint::new(momentum.mean.host_mut()));
    let squares = Disjoint::new(momentum.squares.host_mut());
    cpu.each(shape[0], |n| {
        let image = n * len..(n + 1) * len;
        let [x, adv, g] = of.map(|t| &t.host()[image.clone()]);
        // SAFETY: each image is another part.
        let (out, means, squares) = unsafe { (all.part(image.clone()), means.part(image.clone()), squares.part(image)) };
        let over = |of: fn(f64) -> f64| g.iter().map(|&g| of(f64::from(g))).sum::<f64>() / len as f64;
        let (size, square) = (over(f64::abs), over(|g| g * g));
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        for (i, out) in out.iter_mut().enumerate() {
            let g = f64::from(g[i]);
            let (mean, squares) = (&mut means[i], &mut squares[i]);
            *mean = mean_kept * *mean + share(g, size);
            *squares = squares_kept * *squares + share(g * g, square);
            let far = (step * *mean / (squares.sqrt() + least)).clamp(-step, step);
            let away = (f64::from(adv[i]) + far - f64::from(x[i])).clamp(-eps, eps);
            *out = (x[i] + away as f32).clamp(0.0, 1.0);
        }
    });
    out
}

pub fn replace(to: &mut Tensor, mask: &Array<u32>, from: &Tensor) {
    let len = to.shape().count() / to.shape()[0].max(1);
    for (n, _) in mask.host().iter().enumerate().filter(|&(_, &mask)| mask != 0) {
        to.host_mut()[n * len..(n + 1) * len].copy_from_slice(&from.host()[n * len..(n + 1) * len]);
    }
}
