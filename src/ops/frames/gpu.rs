//! Frames on a GPU: `kernels/frames.cu`.

use crate::base::Shape;
use crate::device::{Gpu, Grid, kernel};
use crate::ops::launch::{THREADS, Tiling};
use crate::tensor::Tensor;

pub fn mean(gpu: &Gpu, y: &Tensor) -> Tensor {
    let shape = y.shape();
    let (images, frames, classes) = (shape[0], shape[3], shape[4]);
    let mut logits = Tensor::unspecified(y.device(), [images, classes]);
    let launch = gpu.run(&kernel::frames_mean, Grid::over(images * classes, THREADS)).array(y).array_mut(&mut logits);
    launch.value(images as u32).value(frames as u32).value(classes as u32).go();
    logits
}

pub fn repeat(gpu: &Gpu, x: &Tensor, shape: Shape, factor: f32) -> Tensor {
    let (tiling, grid) = Tiling::over(shape[0] * shape[1] * shape[2], shape[4], THREADS);
    let mut y = Tensor::unspecified(x.device(), shape);
    gpu.run(&kernel::frames_repeat, grid).value(tiling).array(x).array_mut(&mut y).value(shape[3] as u32).value(factor).go();
    y
}
