//! ReLU on the CPU: rows of channels.

use crate::device::{Cpu, Disjoint};
use crate::ops::lif::{Down, Spread, Upstream};
use crate::ops::norm::Affine;
use crate::ops::vector::simd;
use crate::tensor::Tensor;

const STRIP: usize = 256;

pub fn forward(cpu: &Cpu, y: &Tensor, affine: Option<&Affine>) -> Tensor {
    let channels = y.shape()[4];
    let mut z = Tensor::unspecified(y.device(), y.shape());
    let out = Disjoint::new(z.host_mut());
    cpu.pieces(y.shape().count(), STRIP * channels.max(1), |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { out.part(range.clone()) };
        let y = &y.host()[range];
        match affine {
            Some(affine) => rectify(cpu.isa(), y, affine.scale.host(), affine.shift.host(), out),
            None => out.iter_mut().zip(y).for_each(|(z, &y)| *z = y.max(0.0)),
        }
    });
    z
}

simd! {
    fn rectify(y: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
        for (y, out) in y.chunks_exact(scale.len()).zip(out.chunks_exact_mut(scale.len())) {
            for (((z, y), scale), shift) in out.iter_mut().zip(y).zip(scale).zip(shift) {
                *z = (y * scale + shift).max(0.0);
            }
        }
    }
}

pub fn backward(cpu: &Cpu, y: &Tensor, affine: Option<&Affine>, upstream: Upstream, down: Down) -> Tensor {
    let shape = y.shape();
    let (height, width, row) = (shape[1], shape[2], shape[3] * shape[4]);
    let ones = affine.is_none().then(|| (vec![1.0; shape[4]], vec![0.0; shape[4]]));
    let (scale, shift) = match (affine, &ones) {
        (Some(affine), _) => (affine.scale.host(), affine.shift.host()),
        (None, Some((ones, zeros))) => (&ones[..], &zeros[..]),
        (None, None) => (&[][..], &[][..]),
    };
    let gradient = upstream.gradient.host();
    let factor = if upstream.spread == Spread::Quarters { 0.25 } else { 1.0 };
    let zeros = vec![0.0; row];
    let mut dy = Tensor::unspecified(y.device(), shape);
    let out = Disjoint::new(dy.host_mut());
    cpu.pieces(shape[0] * height * width, STRIP, |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { out.part(range.start * row..range.end * row) };
        for (pixel, out) in range.zip(out.chunks_exact_mut(row.max(1))) {
            let dz = match upstream.spread {
                Spread::Plain => &gradient[pixel * row..][..row],
                Spread::Quarters => {
                    let (n, h, w) = (pixel / (height * width), pixel / width % height / 2, pixel % width / 2);
                    if h >= height / 2 || w >= width / 2 {
                        &zeros[..]
                    } else {
                        &gradient[((n * (height / 2) + h) * (width / 2) + w) * row..][..row]
                    }
                }
            };
            let y = &y.host()[pixel * row..][..row];
            match down {
                Down::Scaled => gate(cpu.isa(), y, scale, shift, dz, factor, out, |scale| scale),
                Down::Current => gate(cpu.isa(), y, scale, shift, dz, factor, out, |_| 1.0),
            }
        }
    });
    dy
}

simd! {
    fn gate[F: Fn(f32) -> f32](y: &[f32], scale: &[f32], shift: &[f32], dz: &[f32], factor: f32, out: &mut [f32], down: F) {
        let channels = scale.len();
        for ((y, dz), out) in y.chunks_exact(channels).zip(dz.chunks_exact(channels)).zip(out.chunks_exact_mut(channels)) {
            for c in 0..channels {
                let open = y[c] * scale[c] + shift[c] > 0.0;
                out[c] = if open { dz[c] * (factor * down(scale[c])) } else { 0.0 };
            }
        }
    }
}
