//! Frames on the CPU.

use crate::base::Shape;
use crate::device::{Cpu, Disjoint};
use crate::tensor::Tensor;

pub fn mean(y: &Tensor) -> Tensor {
    let shape = y.shape();
    let (frames, classes) = (shape[3], shape[4]);
    let mut logits = Tensor::unspecified(y.device(), [shape[0], classes]);
    for (out, image) in logits.host_mut().chunks_exact_mut(classes).zip(y.host().chunks_exact(frames * classes)) {
        for (k, out) in out.iter_mut().enumerate() {
            let sum: f64 = image.iter().skip(k).step_by(classes).map(|&x| f64::from(x)).sum();
            *out = (sum / frames as f64) as f32;
        }
    }
    logits
}

pub fn repeat(cpu: &Cpu, x: &Tensor, shape: Shape, factor: f32) -> Tensor {
    let (steps, channels) = (shape[3], shape[4]);
    let mut y = Tensor::unspecified(x.device(), shape);
    let out = Disjoint::new(y.host_mut());
    let pixels = shape[0] * shape[1] * shape[2];
    cpu.pieces(pixels, 64, |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { out.part(range.start * steps * channels..range.end * steps * channels) };
        for (pixel, out) in range.zip(out.chunks_exact_mut((steps * channels).max(1))) {
            let x = &x.host()[pixel * channels..][..channels];
            for out in out.chunks_exact_mut(channels) {
                out.iter_mut().zip(x).for_each(|(y, x)| *y = factor * x);
            }
        }
    });
    y
}
