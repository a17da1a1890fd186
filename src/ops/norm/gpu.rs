//! Batch normalisation on a GPU: `kernels/norm.cu`.

use super::{Affine, Gradients, MOMENTUM, Moments, Moving, Normalised};
use crate::base::Shape;
use crate::device::{Gpu, Grid, kernel};
use crate::ops::launch::{THREADS, Tiling};
use crate::tensor::{Array, Tensor};

/// Rows (pixels and frames) and channels of a signal.
fn extents(shape: Shape) -> (usize, usize) {
    (shape.count() / shape[4].max(1), shape[4])
}

/// A grid of a warp for each channel.
fn warps(channels: usize) -> Grid {
    Grid::over(channels * 32, THREADS)
}

pub fn moments(gpu: &Gpu, y: &Tensor) -> Moments {
    let (rows, channels) = extents(y.shape());
    let (tiling, grid) = Tiling::over(rows, channels, THREADS);
    let mut sums = Array::<f64>::unspecified(y.device(), [channels, grid.blocks[0] as usize, 2]);
    gpu.run(&kernel::norm_moments, grid).value(tiling).array(y).array_mut(&mut sums).go();
    finish_moments(gpu, y, &sums, rows)
}

/// The moments of `rows` numbers a channel, of which blocks left Σ y and Σ y² in `sums` `[C, blocks, 2]`.
pub fn from_sums(gpu: &Gpu, sums: &Array<f64>, rows: usize) -> Moments {
    finish_moments(gpu, &Tensor::zeros(sums.device(), [sums.shape()[0]]), sums, rows)
}

/// `pivot`: what was taken from each channel's numbers before they were summed, in its first row.
fn finish_moments(gpu: &Gpu, pivot: &Tensor, sums: &Array<f64>, rows: usize) -> Moments {
    let (channels, blocks) = (sums.shape()[0], sums.shape()[1]);
    let (mut mean, mut variance) = (Tensor::unspecified(sums.device(), [channels]), Tensor::unspecified(sums.device(), [channels]));
    gpu.run(&kernel::norm_moments_finish, warps(channels))
        .array(pivot)
        .array(sums)
        .value(blocks as u32)
        .value(channels as u32)
        .value(rows as u32)
        .array_mut(&mut mean)
        .array_mut(&mut variance)
        .go();
    Moments { mean, variance }
}

pub fn affine(gpu: &Gpu, moments: &Moments, weight: &Tensor, bias: &Tensor) -> Affine {
    let channels = weight.shape().count();
    let (mut scale, mut shift) = (Tensor::unspecified(weight.device(), [channels]), Tensor::unspecified(weight.device(), [channels]));
    gpu.run(&kernel::norm_affine, Grid::over(channels, THREADS))
        .array(&moments.mean)
        .array(&moments.variance)
        .array(weight)
        .array(bias)
        .array_mut(&mut scale)
        .array_mut(&mut shift)
        .value(channels as u32)
        .go();
    Affine { scale, shift }
}

pub fn apply(gpu: &Gpu, y: &Tensor, affine: &Affine) -> Tensor {
    let (rows, channels) = extents(y.shape());
    let (tiling, grid) = Tiling::over(rows, channels, THREADS);
    let mut x = Tensor::unspecified(y.device(), y.shape());
    gpu.run(&kernel::norm_apply, grid).value(tiling).array(y).array(&affine.scale).array(&affine.shift).array_mut(&mut x).go();
    x
}

pub fn backward(gpu: &Gpu, dx: &Tensor, y: &Tensor, moments: &Moments, weight: &Tensor, moving: Moving) -> Gradients {
    let (rows, channels) = extents(y.shape());
    let (tiling, grid) = Tiling::over(rows, channels, THREADS);
    let mut sums = Array::<f64>::unspecified(y.device(), [channels, grid.blocks[0] as usize, 2]);
    let mut dy = Tensor::unspecified(y.device(), y.shape());
    let constant = moving == Moving::Constant;
    gpu.run(&kernel::norm_backward, grid)
        .value(tiling)
        .array(dx)
        .array(y)
        .array(&moments.mean)
        .array(&moments.variance)
        .array(weight)
        .optional_mut(constant.then_some(&mut dy))
        .array_mut(&mut sums)
        .go();
    let (dbias, dweight, coefficients) = totals(gpu, y, moments, weight, moving, &sums);
    if let Some(coefficients) = coefficients {
        project(gpu, dx, y, &moments.mean, &coefficients, &mut dy);
    }
    Gradients { dy, dweight, dbias }
}

/// The rest of a backward whose first pass left `sums` `[C, blocks, 2]` (Σ dx, Σ dx·x̂) and dx: with constant moments
/// that is dy already, else it is turned into dy where it lies.
pub fn finish(gpu: &Gpu, mut dx: Tensor, y: &Tensor, norm: Normalised, sums: &Array<f64>) -> Gradients {
    let (dbias, dweight, coefficients) = totals(gpu, y, norm.moments, norm.weight, norm.moving, sums);
    if let Some(coefficients) = coefficients {
        let (tiling, grid) = rows(y);
        let launch = gpu.run(&kernel::norm_project, grid).value(tiling).array(&dx).array(y).array(&norm.moments.mean).array(&coefficients);
        launch.array_mut(&mut dx).go();
    }
    Gradients { dy: dx, dweight, dbias }
}

fn rows(y: &Tensor) -> (Tiling, Grid) {
    let (rows, channels) = extents(y.shape());
    Tiling::over(rows, channels, THREADS)
}

fn project(gpu: &Gpu, dx: &Tensor, y: &Tensor, mean: &Tensor, coefficients: &Tensor, dy: &mut Tensor) {
    let (tiling, grid) = rows(y);
    gpu.run(&kernel::norm_project, grid).value(tiling).array(dx).array(y).array(mean).array(coefficients).array_mut(dy).go();
}

/// dbias, dweight, and with the batch's moments what `norm_project` needs, `[3, C]`.
fn totals(
    gpu: &Gpu,
    y: &Tensor,
    moments: &Moments,
    weight: &Tensor,
    moving: Moving,
    sums: &Array<f64>,
) -> (Tensor, Tensor, Option<Tensor>) {
    let (rows, channels) = extents(y.shape());
    let vector = || Tensor::unspecified(y.device(), [channels]);
    let (mut dbias, mut dweight) = (vector(), vector());
    let mut coefficients = (moving == Moving::Batch).then(|| Tensor::unspecified(y.device(), [3, channels]));
    gpu.run(&kernel::norm_backward_finish, warps(channels))
        .array(sums)
        .value(sums.shape()[1] as u32)
        .value(channels as u32)
        .value(rows as u32)
        .array(&moments.variance)
        .array(weight)
        .array_mut(&mut dbias)
        .array_mut(&mut dweight)
        .optional_mut(coefficients.as_mut())
        .go();
    (dbias, dweight, coefficients)
}

pub fn running(gpu: &Gpu, mean: &Tensor, variance: &Tensor, batch: &Moments, unbiased: f32) -> (Tensor, Tensor) {
    let (mut new_mean, mut new_variance) =
        (Tensor::unspecified(mean.device(), mean.shape()), Tensor::unspecified(mean.device(), variance.shape()));
    let channels = mean.shape().count();
    gpu.run(&kernel::norm_running, Grid::over(channels, THREADS))
        .array(mean)
        .array(variance)
        .array(&batch.mean)
        .array(&batch.variance)
        .value(MOMENTUM)
        .value(unbiased)
        .array_mut(&mut new_mean)
        .array_mut(&mut new_variance)
        .value(channels as u32)
        .go();
    (new_mean, new_variance)
}
