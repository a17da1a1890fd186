//! ReLU on a GPU: `kernels/relu.cu`.

use crate::device::{Gpu, kernel};
use crate::ops::launch::{THREADS, Tiling, elementwise};
use crate::ops::lif::route::Geometry;
use crate::ops::lif::{Down, Upstream};
use crate::ops::norm::{self, Affine, Moving, Normalised, finish};
use crate::tensor::{Array, Tensor};

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

pub fn backward_norm(gpu: &Gpu, y: &Tensor, norm: Normalised, upstream: Upstream) -> norm::Gradients {
    let (shape, channels) = (y.shape(), y.shape()[4]);
    let (tiling, grid) = Tiling::over(shape[0] * shape[1] * shape[2] * shape[3], channels, THREADS);
    let mut dx = Tensor::unspecified(y.device(), shape);
    let mut sums = Array::<f64>::unspecified(y.device(), [channels, grid.blocks[0] as usize, 2]);
    gpu.run(&kernel::relu_backward_norm, grid)
        .value(tiling)
        .value(Geometry::new(shape, upstream, shape[3]))
        .array(y)
        .array(&norm.affine.scale)
        .array(&norm.affine.shift)
        .array(&norm.moments.mean)
        .array(&norm.moments.variance)
        .array(upstream.gradient)
        .array_mut(&mut dx)
        .array_mut(&mut sums)
        .value(u32::from(norm.moving == Moving::Constant))
        .go();
    finish(gpu, dx, y, norm, &sums)
}
