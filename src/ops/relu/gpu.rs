//! ReLU on a GPU: `kernels/relu.cu`.

use crate::device::{Gpu, kernel};
use crate::ops::launch::elementwise;
use crate::ops::lif::route::Geometry;
use crate::ops::lif::{Down, Upstream};
use crate::ops::norm::Affine;
use crate::tensor::Tensor;

pub fn forward(gpu: &Gpu, y: &Tensor, affine: Option<&Affine>) -> Tensor {
    let (count, channels) = (y.shape().count(), y.shape()[4]);
    let mut z = Tensor::unspecified(y.device(), y.shape());
    gpu.run(&kernel::relu_forward, elementwise(count, channels))
        .array(y)
        .optional(affine.map(|affine| &affine.scale))
        .optional(affine.map(|affine| &affine.shift))
        .array_mut(&mut z)
        .value(count as u64)
        .value(channels as u32)
        .go();
    z
}

pub fn backward(gpu: &Gpu, y: &Tensor, affine: Option<&Affine>, upstream: Upstream, down: Down) -> Tensor {
    let shape = y.shape();
    let mut dx = Tensor::unspecified(y.device(), shape);
    gpu.run(&kernel::relu_backward, elementwise(shape.count(), shape[4]))
        .value(Geometry::new(shape, upstream, shape[3]))
        .array(y)
        .optional(affine.map(|affine| &affine.scale))
        .optional(affine.map(|affine| &affine.shift))
        .array(upstream.gradient)
        .array_mut(&mut dx)
        .value(u32::from(down == Down::Scaled))
        .go();
    dx
}
