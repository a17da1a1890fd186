//! Pixel operations on the CPU.

use super::Noise;
use crate::base::rng::Philox;
use crate::device::{Cpu, Disjoint};
use crate::tensor::Tensor;

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
