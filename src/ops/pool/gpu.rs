//! Pooling on a GPU: `kernels/pool.cu`. A row of the image that is written is one x of the grid.

use crate::base::Shape;
use crate::device::{Gpu, Kernel, OnGpu, kernel};
use crate::ops::launch::{lanes, rows};
use crate::tensor::{Array, Data, Tensor, planes};
use bytemuck::{Pod, Zeroable};

/// Extents before pooling (`Pool` in kernels/pool.cu).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Geometry {
    images: u32,
    height: u32,
    width: u32,
    frames: u32,
    channels: u32,
}

impl Geometry {
    /// Of an activation `[N,H,W,F,C]`.
    fn new(shape: Shape) -> Geometry {
        let [images, height, width, frames, channels] = [0, 1, 2, 3, 4].map(|axis| shape[axis] as u32);
        Geometry { images, height, width, frames, channels }
    }
}

pub fn average(gpu: &Gpu, x: &Data) -> Data {
    let shape = x.shape();
    let [height, width, lanes] = [shape[1] / 2, shape[2] / 2, lanes(shape[4])];
    let launch =
        |kernel, frames: usize| gpu.run(kernel, rows(shape[0] * height, width * frames * shape[4] / lanes)).value(Geometry::new(shape));
    match x {
        Data::Real(x) => {
            let mut y = Tensor::unspecified(x.device(), [shape[0], height, width, shape[3], shape[4]]);
            launch(&kernel::pool_average, shape[3]).array(x).array_mut(&mut y).go();
            Data::Real(y)
        }
        Data::Spikes { codes, steps } => {
            let mut y = Array::unspecified(codes.device(), [shape[0], height, width, planes(*steps), shape[4]]);
            launch(&kernel::pool_average_spikes, planes(*steps)).array(codes).array_mut(&mut y).go();
            Data::Quarters { codes: y, steps: *steps }
        }
        Data::Quarters { .. } => average(gpu, &Data::Real(numbers(gpu, x))),
    }
}

pub fn spread(gpu: &Gpu, dy: &Tensor, shape: Shape) -> Tensor {
    let mut dx = Tensor::unspecified(dy.device(), shape);
    gpu.run(&kernel::pool_spread, by_row(shape)).value(Geometry::new(shape)).array(dy).array_mut(&mut dx).go();
    dx
}

pub fn global(gpu: &Gpu, x: &Data) -> Tensor {
    match x {
        Data::Real(tensor) => mean(gpu, &kernel::pool_global, x, tensor, lanes(x.shape()[4])),
        Data::Spikes { codes, .. } => mean(gpu, &kernel::pool_global_spikes, x, codes, 1),
        Data::Quarters { codes, .. } => mean(gpu, &kernel::pool_global_quarters, x, codes, 1),
    }
}

/// The mean of `x`, whose elements are `array`, `lanes` of them a thread.
fn mean(gpu: &Gpu, kernel: &'static Kernel, x: &Data, array: &impl OnGpu, lanes: usize) -> Tensor {
    let shape = x.shape();
    let mut y = Tensor::unspecified(x.device(), [shape[0], 1, 1, shape[3], shape[4]]);
    gpu.run(kernel, rows(shape[0], shape[3] * shape[4] / lanes))
        .value(Geometry::new(shape))
        .value(share(shape))
        .array(array)
        .array_mut(&mut y)
        .go();
    y
}

pub fn global_backward(gpu: &Gpu, dy: &Tensor, shape: Shape) -> Tensor {
    let mut dx = Tensor::unspecified(dy.device(), shape);
    gpu.run(&kernel::pool_global_backward, by_row(shape)).value(Geometry::new(shape)).value(share(shape)).array(dy).array_mut(&mut dx).go();
    dx
}

pub fn numbers(gpu: &Gpu, x: &Data) -> Tensor {
    match x {
        Data::Real(x) => x.clone(),
        Data::Spikes { codes, .. } => decode(gpu, &kernel::pool_numbers_spikes, x, codes),
        Data::Quarters { codes, .. } => decode(gpu, &kernel::pool_numbers_quarters, x, codes),
    }
}

fn decode(gpu: &Gpu, kernel: &'static Kernel, x: &Data, codes: &impl OnGpu) -> Tensor {
    let shape = x.shape();
    let mut out = Tensor::unspecified(x.device(), shape);
    let grid = rows(shape[0] * shape[1], shape[2] * planes(shape[3]) * shape[4] / lanes(shape[4]));
    gpu.run(kernel, grid).value(Geometry::new(shape)).array(codes).array_mut(&mut out).go();
    out
}

/// A grid over the rows of an image of numbers.
fn by_row(shape: Shape) -> crate::device::Grid {
    rows(shape[0] * shape[1], shape[2] * shape[3] * shape[4] / lanes(shape[4]))
}

/// The weight of a pixel in a mean.
fn share(shape: Shape) -> f32 {
    1.0 / (shape[1] * shape[2]) as f32
}
