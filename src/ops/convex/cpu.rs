//! The convex pair on the CPU: strips of pixels.

use super::{Gradients, framed};
use crate::device::{Cpu, Disjoint, Isa};
use crate::ops::vector::{LANES, load, simd, store};
use crate::tensor::Tensor;
use std::ops::Range;

const STRIP: usize = 64;

pub fn forward(cpu: &Cpu, a: &Tensor, b: &Tensor, c: &Tensor) -> Tensor {
    let shape = framed(a.shape(), a.shape()[3].max(b.shape()[3]));
    let (frames, channels) = (shape[3], shape[4]);
    let pair = [c.host()[0], c.host()[1]];
    let mut y = Tensor::unspecified(a.device(), shape);
    let out = Disjoint::new(y.host_mut());
    cpu.pieces(shape.count() / (frames * channels), STRIP, |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { out.part(range.start * frames * channels..range.end * frames * channels) };
        if a.shape() == b.shape() {
            return mix(cpu.isa(), rows(a, range.clone()), rows(b, range), pair, out);
        }
        for (row, out) in out.chunks_exact_mut(channels).enumerate() {
            let (pixel, t) = (range.start + row / frames, row % frames);
            mix(cpu.isa(), frame(a, pixel, t), frame(b, pixel, t), pair, out);
        }
    });
    y
}

/// The numbers of these pixels.
fn rows(x: &Tensor, pixels: Range<usize>) -> &[f32] {
    let pixel = x.shape()[3] * x.shape()[4];
    &x.host()[pixels.start * pixel..pixels.end * pixel]
}

/// The channels of `pixel` at step t (the one frame of a held tensor).
fn frame(x: &Tensor, pixel: usize, t: usize) -> &[f32] {
    let (frames, channels) = (x.shape()[3], x.shape()[4]);
    &x.host()[(pixel * frames + if frames == 1 { 0 } else { t }) * channels..][..channels]
}

simd! {
    fn mix(a: &[f32], b: &[f32], c: [f32; 2], out: &mut [f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = c[0] * a + c[1] * b;
        }
    }
}

pub fn backward(cpu: &Cpu, dy: &Tensor, a: &Tensor, b: &Tensor, c: &Tensor) -> Gradients {
    let (da, dc0) = one_side(cpu, dy, a.shape()[3], Some(a), c.host()[0]);
    let (db, dc1) = one_side(cpu, dy, b.shape()[3], Some(b), c.host()[1]);
    Gradients { da, db, dc: Tensor::from_slice(dy.device(), [2], &[dc0 as f32, dc1 as f32]) }
}

pub fn backward_members(cpu: &Cpu, dy: &Tensor, frames: [usize; 2], c: &Tensor) -> [Tensor; 2] {
    [0, 1].map(|side| one_side(cpu, dy, frames[side], None, c.host()[side]).0)
}

/// The gradient of one member of so many frames, and Σ dy·x where x is given.
fn one_side(cpu: &Cpu, dy: &Tensor, frames: usize, x: Option<&Tensor>, c: f32) -> (Tensor, f64) {
    let (steps, channels) = (dy.shape()[3], dy.shape()[4]);
    let pixels = dy.shape().count() / (steps * channels);
    let mut dx = Tensor::unspecified(dy.device(), framed(dy.shape(), frames));
    let out = Disjoint::new(dx.host_mut());
    let partial = cpu.map(pixels.div_ceil(STRIP), |strip| {
        let range = strip * STRIP..((strip + 1) * STRIP).min(pixels);
        // SAFETY: the strips do not overlap.
        let out = unsafe { out.part(range.start * frames * channels..range.end * frames * channels) };
        share(cpu.isa(), rows(dy, range.clone()), steps, channels, frames, c, out);
        x.map_or(0.0, |x| together(cpu.isa(), dy, x, range))
    });
    (dx, partial.into_iter().sum())
}

simd! {
    /// out = c·dy, its steps summed where it has but one frame.
    fn share(dy: &[f32], steps: usize, channels: usize, frames: usize, c: f32, out: &mut [f32]) {
        if frames == steps {
            out.iter_mut().zip(dy).for_each(|(out, dy)| *out = c * dy);
            return;
        }
        out.fill(0.0);
        for (out, pixel) in out.chunks_exact_mut(channels).zip(dy.chunks_exact(steps * channels)) {
            for dy in pixel.chunks_exact(channels) {
                out.iter_mut().zip(dy).for_each(|(out, dy)| *out += c * dy);
            }
        }
    }
}

/// Σ dy·x over these pixels, x repeated where it is held.
fn together(isa: Isa, dy: &Tensor, x: &Tensor, pixels: Range<usize>) -> f64 {
    let mut sums = [0.0; LANES];
    if x.shape() == dy.shape() {
        add_products(isa, rows(dy, pixels.clone()), rows(x, pixels), &mut sums);
    } else {
        for (pixel, t) in pixels.flat_map(|pixel| (0..dy.shape()[3]).map(move |t| (pixel, t))) {
            add_products(isa, frame(dy, pixel, t), frame(x, pixel, t), &mut sums);
        }
    }
    sums.into_iter().sum()
}

simd! {
    /// Adds products to sixteen sums, in turn.
    fn add_products(a: &[f32], b: &[f32], sums: &mut [f64; LANES]) {
        let mut own = load(&sums[..]);
        for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
            let (a, b) = (load(a), load(b));
            for i in 0..LANES {
                own[i] += f64::from(a[i] * b[i]);
            }
        }
        store(&mut sums[..], &own);
    }
}
