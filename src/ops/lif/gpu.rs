//! The neuron on a GPU: `kernels/lif.cu`, and `kernels/adaptive.cu` for the credits that follow membranes.

use super::route::Geometry;
use super::sharpness::Adaptation;
use super::surrogate::Surrogate;
use super::{Credit, Down, Dynamics, NormGradients, Reset, Upstream, needed};
use crate::base::Result;
use crate::device::{Gpu, Grid, Launch, kernel};
use crate::ops::launch::{THREADS, Tiling};
use crate::ops::norm::{Affine, Moving, Normalised, finish};
use crate::tensor::{Array, Tensor};
use bytemuck::{Pod, Zeroable};

/// Steps that a thread holds in registers (kernels/lif.cu).
const WINDOW: usize = 8;
/// Threads a block of the backward kernels.
const BACK_THREADS: u32 = 128;

/// `Dynamics` in kernels/neuron.cuh.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
pub struct Coded {
    leak: f32,
    steps: u32,
    soft: u32,
}

impl Coded {
    pub fn of(dynamics: Dynamics) -> Coded {
        Coded { leak: dynamics.leak, steps: dynamics.steps as u32, soft: u32::from(dynamics.reset == Reset::Soft) }
    }
}

fn pixels(y: &Tensor) -> usize {
    y.shape()[0] * y.shape()[1] * y.shape()[2]
}

pub fn forward(gpu: &Gpu, y: &Tensor, affine: Option<&Affine>, v_th: &Tensor, dynamics: Dynamics, codes: &mut Array<u8>) {
    let (tiling, grid) = Tiling::over(pixels(y), y.shape()[4], THREADS);
    gpu.run(&kernel::lif_forward, grid)
        .value(tiling)
        .value(Coded::of(dynamics))
        .array(y)
        .optional(affine.map(|affine| &affine.scale))
        .optional(affine.map(|affine| &affine.shift))
        .array(v_th)
        .array_mut(codes)
        .value(u32::from(y.shape()[3] == 1))
        .go();
}

/// Room for the membranes between windows; none where one window is all.
fn checkpoints(y: &Tensor, steps: usize) -> Option<Tensor> {
    let between = steps.div_ceil(WINDOW) - 1;
    (between > 0).then(|| Tensor::unspecified(y.device(), [between, pixels(y), y.shape()[4]]))
}

/// The blocks of a grid.
fn blocks(grid: Grid) -> usize {
    grid.blocks.iter().map(|&count| count as usize).product()
}

/// Who shares a width (`Groups` in kernels/adaptive.cu).
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Groups {
    pixels: u32,
    channels: u32,
    frames: u32,
    lanes: u32,
}

/// The most groups that a block looks after.
const GROUPS: usize = 32;

/// PDSG's widths (`potential.rs`), one over each: `[N,T,C]`, or `[N,T,1]` where the layer is one group.
fn inverse_widths(gpu: &Gpu, y: &Tensor, affine: Option<&Affine>, v_th: &Tensor, dynamics: Dynamics) -> Tensor {
    let shape = y.shape();
    let (images, pixels, channels) = (shape[0], shape[1] * shape[2], shape[4]);
    let groups = if pixels == 1 { 1 } else { channels };
    let tiles = groups.div_ceil(GROUPS);
    let lanes = groups.div_ceil(tiles.max(1)).max(1);
    let mut rest = (dynamics.steps > WINDOW).then(|| Tensor::unspecified(y.device(), [images, pixels, channels]));
    let mut inverse = Tensor::unspecified(y.device(), [images, dynamics.steps, groups]);
    gpu.run(&kernel::lif_widths, Grid::of([images, tiles, 1], THREADS))
        .value(Groups { pixels: pixels as u32, channels: channels as u32, frames: shape[3] as u32, lanes: lanes as u32 })
        .value(Coded::of(dynamics))
        .array(y)
        .optional(affine.map(|affine| &affine.scale))
        .optional(affine.map(|affine| &affine.shift))
        .array(v_th)
        .optional_mut(rest.as_mut())
        .array_mut(&mut inverse)
        .go();
    inverse
}

#[allow(clippy::too_many_arguments)] // the formula's operands
pub fn backward<'gpu>(
    gpu: &'gpu Gpu,
    y: &Tensor,
    affine: Option<&Affine>,
    v_th: &Tensor,
    dynamics: Dynamics,
    upstream: Upstream,
    (credit, slopes): (Credit, Option<&Tensor>),
    down: Down,
    dx: &mut Tensor,
) -> Result<Tensor> {
    let (tiling, grid) = Tiling::over(pixels(y), y.shape()[4], BACK_THREADS);
    let (scale, shift) = (affine.map(|affine| &affine.scale), affine.map(|affine| &affine.shift));
    let geometry = Geometry::new(y.shape(), upstream, dynamics.steps);
    let scaled = u32::from(down == Down::Scaled);
    let start = |kernel| gpu.run(kernel, grid).value(tiling).value(geometry).value(Coded::of(dynamics));
    let operands = |launch: Launch<'gpu>| launch.array(y).optional(scale).optional(shift).array(v_th).array(upstream.gradient);
    let widths;
    let sloped = match credit {
        Credit::Rate => {
            let frames = dx.shape()[3] as u32;
            operands(start(&kernel::lif_rate)).array_mut(dx).value(frames).value(scaled).go();
            return Ok(Tensor::zeros(y.device(), []));
        }
        Credit::Hart(surrogate) => {
            operands(start(&kernel::lif_hart).value(surrogate.coded())).array_mut(dx).value(scaled).go();
            return Ok(Tensor::zeros(y.device(), []));
        }
        Credit::Bptt(surrogate) => start(&kernel::lif_backward).value(surrogate.coded()),
        Credit::Pdsg => {
            widths = inverse_widths(gpu, y, affine, v_th, dynamics);
            start(&kernel::lif_backward_pdsg).array(&widths)
        }
        Credit::Assg | Credit::Given => start(&kernel::lif_backward_sloped).array(needed(slopes)?),
    };
    let mut checkpoints = checkpoints(y, dynamics.steps);
    let mut thresholds = Array::<f64>::unspecified(y.device(), [blocks(grid)]);
    operands(sloped).optional_mut(checkpoints.as_mut()).array_mut(dx).array_mut(&mut thresholds).value(scaled).go();
    Ok(threshold(gpu, &thresholds))
}

/// ASSG's next iteration (`sharpness.rs`): `mean` and `deviation` move on, `slopes` become what they give; `[N,H,W,T,C]` each.
#[allow(clippy::too_many_arguments)] // the formula's operands
pub fn sharpen(
    gpu: &Gpu,
    y: &Tensor,
    affine: Option<&Affine>,
    v_th: &Tensor,
    dynamics: Dynamics,
    adaptation: Adaptation,
    [mean, deviation]: &mut [Tensor; 2],
    slopes: &mut Tensor,
) {
    let (tiling, grid) = Tiling::over(pixels(y), y.shape()[4], BACK_THREADS);
    gpu.run(&kernel::lif_sharpen, grid)
        .value(tiling)
        .value(Coded::of(dynamics))
        .value(adaptation)
        .array(y)
        .optional(affine.map(|affine| &affine.scale))
        .optional(affine.map(|affine| &affine.shift))
        .array(v_th)
        .array_mut(mean)
        .array_mut(deviation)
        .array_mut(slopes)
        .value(u32::from(y.shape()[3] == 1))
        .go();
}

/// dL/dv_th from its parts by block.
fn threshold(gpu: &Gpu, parts: &Array<f64>) -> Tensor {
    let mut dv_th = Tensor::unspecified(parts.device(), []);
    gpu.run(&kernel::lif_threshold, Grid::blocks(1, THREADS)).array(parts).value(parts.shape().count() as u32).array_mut(&mut dv_th).go();
    dv_th
}

/// Through time with a surrogate, or through the rate (None).
pub fn backward_norm(
    gpu: &Gpu,
    y: &Tensor,
    norm: Normalised,
    v_th: &Tensor,
    dynamics: Dynamics,
    upstream: Upstream,
    surrogate: Option<Surrogate>,
) -> NormGradients {
    let channels = y.shape()[4];
    let (tiling, grid) = Tiling::over(pixels(y), channels, BACK_THREADS);
    let geometry = Geometry::new(y.shape(), upstream, dynamics.steps);
    let scaled = u32::from(norm.moving == Moving::Constant);
    let mut dx = Tensor::unspecified(y.device(), y.shape());
    let strips = grid.blocks[0] as usize;
    let mut sums = Array::<f64>::unspecified(y.device(), [channels, strips, 2]);
    let start = |kernel| gpu.run(kernel, grid).value(tiling).value(geometry).value(Coded::of(dynamics));
    let dv_th = match surrogate {
        None => {
            start(&kernel::lif_rate_norm)
                .array(y)
                .array(&norm.affine.scale)
                .array(&norm.affine.shift)
                .array(&norm.moments.mean)
                .array(&norm.moments.variance)
                .array(v_th)
                .array(upstream.gradient)
                .array_mut(&mut dx)
                .array_mut(&mut sums)
                .value(scaled)
                .go();
            Tensor::zeros(y.device(), [])
        }
        Some(surrogate) => {
            let mut checkpoints = checkpoints(y, dynamics.steps);
            let mut thresholds = Array::<f64>::unspecified(y.device(), [blocks(grid)]);
            start(&kernel::lif_backward_norm)
                .value(surrogate.coded())
                .array(y)
                .array(&norm.affine.scale)
                .array(&norm.affine.shift)
                .array(&norm.moments.mean)
                .array(&norm.moments.variance)
                .array(v_th)
                .array(upstream.gradient)
                .optional_mut(checkpoints.as_mut())
                .array_mut(&mut dx)
                .array_mut(&mut thresholds)
                .array_mut(&mut sums)
                .value(scaled)
                .go();
            threshold(gpu, &thresholds)
        }
    };
    NormGradients { norm: finish(gpu, dx, y, norm, &sums), dv_th }
}

pub fn tally(gpu: &Gpu, codes: &Array<u8>) -> Array<u64> {
    let bytes = codes.shape().count();
    let grid = Grid::blocks(bytes.div_ceil(16 * THREADS as usize).min(1024), THREADS);
    let mut sums = Array::<u64>::unspecified(codes.device(), [blocks(grid)]);
    gpu.run(&kernel::lif_count, grid).array(codes).value(bytes as u64).array_mut(&mut sums).go();
    sums
}

pub fn silent(gpu: &Gpu, codes: &Array<u8>) -> u64 {
    let shape = codes.shape();
    let (tiling, grid) = Tiling::single(shape[0] * shape[1] * shape[2], shape[4], THREADS);
    let mut sums = Array::<u64>::unspecified(codes.device(), [blocks(grid)]);
    gpu.run(&kernel::lif_silent, grid).value(tiling).array(codes).value(shape[3] as u32).array_mut(&mut sums).go();
    sums.to_vec().iter().sum()
}
