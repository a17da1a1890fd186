//! ReLU on the CPU: a strip of pixels a task.

use crate::device::{Cpu, Disjoint};
use crate::ops::lif::route::Route;
use crate::ops::lif::{Down, Upstream};
use crate::ops::norm::Affine;
use crate::ops::vector::lanes;
use crate::ops::wide::wide;
use crate::tensor::Tensor;
use std::ops::Range;

const STRIP: usize = 256;

/// Scale and shift a channel, 1 and 0 without a map.
fn coefficients(affine: Option<&Affine>, channels: usize) -> (Vec<f32>, Vec<f32>) {
    match affine {
        Some(affine) => (affine.scale.to_vec(), affine.shift.to_vec()),
        None => (vec![1.0; channels], vec![0.0; channels]),
    }
}

pub fn forward(cpu: &Cpu, y: &Tensor, affine: Option<&Affine>) -> Tensor {
    let channels = y.shape()[4];
    let (scale, shift) = coefficients(affine, channels);
    let mut z = Tensor::unspecified(y.device(), y.shape());
    let out = Disjoint::new(z.host_mut());
    cpu.pieces(y.shape().count(), STRIP * channels.max(1), |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { out.part(range.clone()) };
        rectify(cpu.isa(), &y.host()[range], &scale, &shift, out);
    });
    z
}

wide! {
    fn rectify(y: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
        let (channels, zero) = (scale.len(), V::splat(0.0));
        for c in lanes(channels) {
            let (scale, shift) = (V::load(&scale[c.clone()]), V::load(&shift[c.clone()]));
            for (y, out) in y.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
                let x = V::load(&y[c.clone()]).mul(scale).add(shift);
                // Zero where x < 0, so that NaN goes on: training has to notice it.
                x.zero_where(x.lt(zero)).store(&mut out[c.clone()]);
            }
        }
    }
}

pub fn backward(cpu: &Cpu, y: &Tensor, affine: Option<&Affine>, upstream: Upstream, down: Down) -> Tensor {
    let shape = y.shape();
    let row = shape[3] * shape[4];
    let (scale, shift) = coefficients(affine, shape[4]);
    let route = Route::new(shape, upstream.spread);
    let factor: Vec<f32> = scale.iter().map(|scale| route.share() * if down == Down::Scaled { *scale } else { 1.0 }).collect();
    let mut dy = Tensor::unspecified(y.device(), shape);
    let out = Disjoint::new(dy.host_mut());
    cpu.pieces(shape[0] * shape[1] * shape[2], STRIP, |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { out.part(range.start * row..range.end * row) };
        gate(cpu.isa(), y.host(), &scale, &shift, upstream.gradient.host(), &factor, route, range, out);
    });
    dy
}

wide! {
    fn gate(y: &[f32], scale: &[f32], shift: &[f32], dz: &[f32], factor: &[f32], route: Route, range: Range<usize>, out: &mut [f32]) {
        let (channels, row, zero) = (scale.len(), out.len() / range.len().max(1), V::splat(0.0));
        for c in lanes(channels) {
            let (scale, shift, factor) = (V::load(&scale[c.clone()]), V::load(&shift[c.clone()]), V::load(&factor[c.clone()]));
            for ((pixel, above), out) in route.walk(range.clone()).zip(out.chunks_exact_mut(row)) {
                for at in (0..row).step_by(channels) {
                    let place = at + c.start..at + c.end;
                    let Some(above) = above else {
                        zero.store(&mut out[place]);
                        continue;
                    };
                    let x = V::load(&y[pixel * row..][..row][place.clone()]).mul(scale).add(shift);
                    let dz = V::load(&dz[above * row..][..row][place.clone()]).mul(factor);
                    dz.select(zero.lt(x), zero).store(&mut out[place]);
                }
            }
        }
    }
}
