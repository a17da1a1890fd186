//! The neuron on a GPU: `kernels/lif.cu`.

use super::route::Geometry;
use super::{Credit, Down, Dynamics, NormGradients, Reset, Upstream};
use crate::base::Result;
use crate::device::{Gpu, Grid, kernel};
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

#[allow(clippy::too_many_arguments)] // the formula's operands
pub fn backward(
    gpu: &Gpu,
    y: &Tensor,
    affine: Option<&Affine>,
    v_th: &Tensor,
    dynamics: Dynamics,
    upstream: Upstream,
    credit: Credit,
    down: Down,
    dx: &mut Tensor,
) -> Result<Tensor> {
    let (tiling, grid) = Tiling::over(pixels(y), y.shape()[4], BACK_THREADS);
    let (scale, shift) = (affine.map(|affine| &affine.scale), affine.map(|affine| &affine.shift));
    let geometry = Geometry::new(y.shape(), upstream, dynamics.steps);
    let scaled = u32::from(down == Down::Scaled);
    let start = |kernel| gpu.run(kernel, grid).value(tiling).value(geometry).value(Coded::of(dynamics));
    Ok(match credit {
        Credit::Pdsg | Credit::Hart(_) | Credit::Assg => return Err(credit.refusal()),
        Credit::Rate => {
            let frames = dx.shape()[3] as u32;
            let launch = start(&kernel::lif_rate).array(y).optional(scale).optional(shift).array(v_th).array(upstream.gradient);
            launch.array_mut(dx).value(frames).value(scaled).go();
            Tensor::zeros(y.device(), [])
        }
        Credit::Bptt(surrogate) => {
            let mut checkpoints = checkpoints(y, dynamics.steps);
            let mut thresholds = Array::<f64>::unspecified(y.device(), [blocks(grid)]);
            start(&kernel::lif_backward)
                .value(surrogate.coded())
                .array(y)
                .optional(scale)
                .optional(shift)
                .array(v_th)
                .array(upstream.gradient)
                .optional_mut(checkpoints.as_mut())
                .array_mut(dx)
                .array_mut(&mut thresholds)
                .value(scaled)
                .go();
            threshold(gpu, &thresholds)
        }
    })
}

/// dL/dv_th from its parts by block.
fn threshold(gpu: &Gpu, parts: &Array<f64>) -> Tensor {
    let mut dv_th = Tensor::unspecified(parts.device(), []);
    gpu.run(&kernel::lif_threshold, Grid::blocks(1, THREADS)).array(parts).value(parts.shape().count() as u32).array_mut(&mut dv_th).go();
    dv_th
}

pub fn backward_norm(
    gpu: &Gpu,
    y: &Tensor,
    norm: Normalised,
    v_th: &Tensor,
    dynamics: Dynamics,
    upstream: Upstream,
    credit: Credit,
) -> Result<NormGradients> {
    let channels = y.shape()[4];
    let (tiling, grid) = Tiling::over(pixels(y), channels, BACK_THREADS);
    let geometry = Geometry::new(y.shape(), upstream, dynamics.steps);
    let scaled = u32::from(norm.moving == Moving::Constant);
    let mut dx = Tensor::unspecified(y.device(), y.shape());
    let strips = grid.blocks[0] as usize;
    let mut sums = Array::<f64>::unspecified(y.device(), [channels, strips, 2]);
    let start = |kernel| gpu.run(kernel, grid).value(tiling).value(geometry).value(Coded::of(dynamics));
    let dv_th = match credit {
        Credit::Pdsg | Credit::Hart(_) | Credit::Assg => return Err(credit.refusal()),
        Credit::Rate => {
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
        Credit::Bptt(surrogate) => {
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
    Ok(NormGradients { norm: finish(gpu, dx, y, norm, &sums), dv_th })
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
