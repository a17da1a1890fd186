//! Augmentation on a GPU: `kernels/augment.cu`.

use crate::base::rng::Philox;
use crate::data::{Augment, Flip};
use crate::device::{Gpu, kernel};
use crate::ops::launch::rows;
use crate::tensor::{Array, Tensor};
use bytemuck::{Pod, Zeroable};

/// Extents and what is done (`Augment` in kernels/augment.cu).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Geometry {
    images: u32,
    height: u32,
    width: u32,
    channels: u32,
    pad: u32,
    flip: u32,
    cutout: u32,
}

pub fn augment(gpu: &Gpu, images: &Array<u8>, ids: &Array<u32>, augment: Augment, pad: usize, stream: Philox, mean: &Tensor) -> Tensor {
    let shape = images.shape();
    let [count, height, width, channels] = [0, 1, 2, 3].map(|axis| shape[axis] as u32);
    let (pad, flip, cutout) = (pad as u32, u32::from(augment.flip == Flip::Half), augment.cutout as u32);
    let mut out = Tensor::unspecified(images.device(), shape);
    gpu.run(&kernel::augment_images, rows(shape[0] * shape[1], (shape[2] * shape[3]).div_ceil(4)))
        .value(Geometry { images: count, height, width, channels, pad, flip, cutout })
        .value(stream)
        .array(images)
        .array(ids)
        .array(mean)
        .array_mut(&mut out)
        .go();
    out
}
