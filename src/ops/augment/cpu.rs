//! Augmentation on the CPU, an image a task.

use crate::base::rng::Philox;
use crate::data::Augment;
use crate::device::{Cpu, Disjoint};
use crate::tensor::{Array, Tensor};

pub fn augment(cpu: &Cpu, images: &Array<u8>, ids: &Array<u32>, augment: Augment, stream: Philox, mean: &Tensor) -> Tensor {
    let shape = images.shape();
    let extents = [shape[1], shape[2], shape[3]];
    let len: usize = extents.iter().product();
    let mut out = Tensor::unspecified(images.device(), shape);
    let all = Disjoint::new(out.host_mut());
    cpu.each(shape[0], |n| {
        // SAFETY: each image is another part.
        let image = unsafe { all.part(n * len..(n + 1) * len) };
        augment.place(&images.host()[n * len..][..len], extents, stream, ids.host()[n] as usize, mean.host(), image);
    });
    out
}
