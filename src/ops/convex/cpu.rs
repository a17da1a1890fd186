//! The convex pair on the CPU: strips of pixels.

use super::Gradients;
use crate::device::{Cpu, Disjoint};
use crate::tensor::Tensor;

const STRIP: usize = 64;

pub fn forward(cpu: &Cpu, a: &Tensor, b: &Tensor, c: &Tensor) -> Tensor {
    let c = c.host();
    let shape = if a.shape()[3] >= b.shape()[3] { a.shape() } else { b.shape() };
    let (pixels, frames, channels) = (shape[0] * shape[1] * shape[2], shape[3], shape[4]);
    let mut y = Tensor::unspecified(a.device(), shape);
    let out = Disjoint::new(y.host_mut());
    cpu.pieces(pixels, STRIP, |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { out.part(range.start * frames * channels..range.end * frames * channels) };
        for (pixel, out) in range.zip(out.chunks_exact_mut(frames * channels)) {
            for (t, out) in out.chunks_exact_mut(channels).enumerate() {
                let (a, b) = (row(a, pixel, t), row(b, pixel, t));
                for ((y, a), b) in out.iter_mut().zip(a).zip(b) {
                    *y = c[0] * a + c[1] * b;
                }
            }
        }
    });
    y
}

/// The channels of `pixel` at step t (the one frame of a held tensor).
fn row(x: &Tensor, pixel: usize, t: usize) -> &[f32] {
    let (frames, channels) = (x.shape()[3], x.shape()[4]);
    &x.host()[(pixel * frames + if frames == 1 { 0 } else { t }) * channels..][..channels]
}

pub fn backward(cpu: &Cpu, dy: &Tensor, a: &Tensor, b: &Tensor, c: &Tensor) -> Gradients {
    let c = c.host();
    let (da, dc0) = one_side(cpu, dy, a, c[0]);
    let (db, dc1) = one_side(cpu, dy, b, c[1]);
    Gradients { da, db, dc: Tensor::from_slice(dy.device(), [2], &[dc0 as f32, dc1 as f32]) }
}

/// The gradient of one member and Σ dy·x.
fn one_side(cpu: &Cpu, dy: &Tensor, x: &Tensor, c: f32) -> (Tensor, f64) {
    let shape = x.shape();
    let (pixels, frames, channels) = (shape[0] * shape[1] * shape[2], shape[3], shape[4]);
    let steps = dy.shape()[3];
    let mut dx = Tensor::unspecified(x.device(), shape);
    let out = Disjoint::new(dx.host_mut());
    let partial = cpu.map(pixels.div_ceil(STRIP), |strip| {
        let range = strip * STRIP..((strip + 1) * STRIP).min(pixels);
        // SAFETY: the strips do not overlap.
        let out = unsafe { out.part(range.start * frames * channels..range.end * frames * channels) };
        out.fill(0.0);
        let mut product = 0.0f64;
        for (pixel, out) in range.zip(out.chunks_exact_mut(frames * channels)) {
            for t in 0..steps {
                let (dy, x) = (row(dy, pixel, t), row(x, pixel, t));
                let out = &mut out[if frames == 1 { 0 } else { t * channels }..][..channels];
                for ((dx, dy), x) in out.iter_mut().zip(dy).zip(x) {
                    *dx += c * dy;
                    product += f64::from(dy * x);
                }
            }
        }
        product
    });
    (dx, partial.into_iter().sum())
}
