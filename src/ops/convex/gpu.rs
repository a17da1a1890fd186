//! The convex pair on a GPU: `kernels/convex.cu`.

use super::{Gradients, framed};
use crate::device::{Gpu, Grid, kernel};
use crate::ops::launch::{THREADS, Tiling};
use crate::tensor::{Array, Tensor};

pub fn forward(gpu: &Gpu, a: &Tensor, b: &Tensor, c: &Tensor) -> Tensor {
    let shape = if a.shape()[3] >= b.shape()[3] { a.shape() } else { b.shape() };
    let (tiling, grid) = Tiling::over(shape[0] * shape[1] * shape[2] * shape[3], shape[4], THREADS);
    let mut y = Tensor::unspecified(a.device(), shape);
    let launch = gpu.run(&kernel::convex_forward, grid).value(tiling).array(a).array(b).array(c).array_mut(&mut y);
    launch.value(shape[3] as u32).value(a.shape()[3] as u32).value(b.shape()[3] as u32).go();
    y
}

pub fn backward(gpu: &Gpu, dy: &Tensor, a: &Tensor, b: &Tensor, c: &Tensor) -> Gradients {
    let shape = dy.shape();
    let (tiling, grid) = Tiling::over(shape[0] * shape[1] * shape[2], shape[4], THREADS);
    let blocks = grid.blocks.iter().product::<u32>();
    let (mut da, mut db) = (Tensor::unspecified(a.device(), a.shape()), Tensor::unspecified(b.device(), b.shape()));
    let mut sums = Array::<f64>::unspecified(dy.device(), [blocks as usize, 2]);
    gpu.run(&kernel::convex_backward, grid)
        .value(tiling)
        .array(dy)
        .array(a)
        .array(b)
        .array(c)
        .array_mut(&mut da)
        .array_mut(&mut db)
        .array_mut(&mut sums)
        .value(shape[3] as u32)
        .value(a.shape()[3] as u32)
        .value(b.shape()[3] as u32)
        .go();
    let mut dc = Tensor::unspecified(dy.device(), [2]);
    gpu.run(&kernel::convex_finish, Grid::blocks(1, THREADS)).array(&sums).value(blocks).array_mut(&mut dc).go();
    Gradients { da, db, dc }
}

pub fn backward_members(gpu: &Gpu, dy: &Tensor, frames: [usize; 2], c: &Tensor) -> [Tensor; 2] {
    let shape = dy.shape();
    let (tiling, grid) = Tiling::over(shape[0] * shape[1] * shape[2], shape[4], THREADS);
    let [mut da, mut db] = frames.map(|frames| Tensor::unspecified(dy.device(), framed(shape, frames)));
    let launch = gpu.run(&kernel::convex_backward_members, grid).value(tiling).array(dy).array(c).array_mut(&mut da).array_mut(&mut db);
    launch.value(shape[3] as u32).value(frames[0] as u32).value(frames[1] as u32).go();
    [da, db]
}
