//! Rows by weight: forward and input gradient, and what may follow a forward while its results are on the chip.

use super::{Form, Tile, terms, with};
use crate::device::{Gpu, Grid, Kernel, kernel};
use crate::ops::conv::{Firing, Geometry, KeepCurrent};
use crate::ops::lif::Coded;
use crate::ops::norm::{self, Affine, Moments};
use crate::ops::product::{Side, Weight};
use crate::tensor::{Array, Data, Tensor, planes};
use bytemuck::{Pod, Zeroable};

/// `Rows` of kernels/tail.cuh: which pixels are computed and what their taps read.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Rows {
    images: u32,
    frames: u32,
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    out_step: u32,
    out_top: u32,
    out_left: u32,
    in_height: u32,
    in_width: u32,
    in_step: u32,
    in_top: i32,
    in_left: i32,
    tap_sign: i32,
    taps_high: u32,
    taps_wide: u32,
    tap_top: u32,
    tap_left: u32,
    tap_step: u32,
    kernel_height: u32,
    kernel_width: u32,
    depth: u32,
    columns: u32,
    block_rows: u32,
}

impl Rows {
    fn forward(g: &Geometry) -> Rows {
        Rows {
            images: g.images,
            frames: g.frames,
            height: g.out_height,
            width: g.out_width,
            out_height: g.out_height,
            out_width: g.out_width,
            out_step: 1,
            out_top: 0,
            out_left: 0,
            in_height: g.in_height,
            in_width: g.in_width,
            in_step: g.stride,
            in_top: -(g.pad as i32),
            in_left: -(g.pad as i32),
            tap_sign: 1,
            taps_high: g.kernel_height,
            taps_wide: g.kernel_width,
            tap_top: 0,
            tap_left: 0,
            tap_step: 1,
            kernel_height: g.kernel_height,
            kernel_width: g.kernel_width,
            depth: g.in_channels,
            columns: g.out_channels,
            block_rows: 0,
        }
    }

    /// The input's pixels of rows `top`, `top + stride`, … and columns likewise: the taps that meet them are every
    /// stride-th, so none is multiplied in vain.
    fn backward(g: &Geometry, top: u32, left: u32) -> Rows {
        let first = |start: u32| (start + g.pad) % g.stride;
        let taps = |start: u32, kernel: u32| kernel.saturating_sub(first(start)).div_ceil(g.stride);
        let source = |start: u32| ((start + g.pad - first(start)) / g.stride) as i32;
        Rows {
            images: g.images,
            frames: g.frames,
            height: (g.in_height - top).div_ceil(g.stride),
            width: (g.in_width - left).div_ceil(g.stride),
            out_height: g.in_height,
            out_width: g.in_width,
            out_step: g.stride,
            out_top: top,
            out_left: left,
            in_height: g.out_height,
            in_width: g.out_width,
            in_step: 1,
            in_top: source(top),
            in_left: source(left),
            tap_sign: -1,
            taps_high: taps(top, g.kernel_height),
            taps_wide: taps(left, g.kernel_width),
            tap_top: first(top),
            tap_left: first(left),
            tap_step: g.stride,
            kernel_height: g.kernel_height,
            kernel_width: g.kernel_width,
            depth: g.out_channels,
            columns: g.in_channels,
            block_rows: 0,
        }
    }

    fn count(&self) -> usize {
        [self.images, self.height, self.width, self.frames].iter().map(|&extent| extent as usize).product()
    }
}

/// What is wanted of a product.
#[derive(Default)]
struct Tail<'a> {
    bias: Option<&'a Tensor>,
    y: Option<&'a mut Tensor>,
    moments: Option<&'a mut Array<f64>>,
    affine: Option<&'a Affine>,
    v_th: Option<&'a Tensor>,
    spikes: Option<&'a mut Array<u8>>,
    z: Option<&'a mut Tensor>,
    dynamics: Coded,
}

/// How a product is cut: kernel family, tile, rows a block (whole pixels where they must be).
#[derive(Debug, Clone, Copy)]
struct Plan {
    form: Form,
    terms: usize,
    /// None: ordinary multiply-adds.
    tile: Option<Tile>,
    block_rows: usize,
}

/// The rows of a block of multiply-adds.
const SIMT: usize = 64;

impl Plan {
    /// `whole`: frames that must not be parted (1: any cut will do).
    fn new(gpu: &Gpu, form: Form, rows: &Rows, whole: usize) -> Plan {
        let count = rows.count();
        let suits = (rows.depth as usize).is_multiple_of(form.vector());
        let tile = suits.then(|| if whole > 64 { Tile::Large } else { Tile::of(count, rows.columns as usize, 1) });
        let side = tile.map_or(SIMT, Tile::side);
        Plan { form, terms: terms(gpu), tile, block_rows: side / whole * whole }
    }

    fn row_blocks(&self, rows: &Rows) -> usize {
        rows.count().div_ceil(self.block_rows)
    }

    /// Shared memory: the stages, and afterwards a staging of results (`tail_bytes`).
    fn grid(&self, rows: &Rows) -> Grid {
        let (side, threads) = self.tile.map_or((SIMT, 256), |tile| (tile.side(), if self.terms == 1 { 128 } else { tile.threads() }));
        let stages = self.tile.map_or(0, |tile| tile.stages(self.form.terms(self.terms), self.terms));
        let staging = side * 72 * 4 + threads as usize / 64 * 2 * 64 * 8;
        Grid::blocks(self.row_blocks(rows) * (rows.columns as usize).div_ceil(side), threads).with_shared(stages.max(staging))
    }

    fn kernel(&self, tile: Tile) -> &'static Kernel {
        match (self.form, self.terms, tile) {
            (Form::Real, 3, Tile::Large) => &kernel::conv_rows_real_3_large,
            (Form::Real, 3, Tile::Small) => &kernel::conv_rows_real_3_small,
            (Form::Real, _, Tile::Large) => &kernel::conv_rows_real_1_large,
            (Form::Real, _, Tile::Small) => &kernel::conv_rows_real_1_small,
            (Form::Spikes, 3, Tile::Large) => &kernel::conv_rows_spikes_3_large,
            (Form::Spikes, 3, Tile::Small) => &kernel::conv_rows_spikes_3_small,
            (Form::Spikes, _, Tile::Large) => &kernel::conv_rows_spikes_1_large,
            (Form::Spikes, _, Tile::Small) => &kernel::conv_rows_spikes_1_small,
            (Form::Quarters, 3, Tile::Large) => &kernel::conv_rows_quarters_3_large,
            (Form::Quarters, 3, Tile::Small) => &kernel::conv_rows_quarters_3_small,
            (Form::Quarters, _, Tile::Large) => &kernel::conv_rows_quarters_1_large,
            (Form::Quarters, _, Tile::Small) => &kernel::conv_rows_quarters_1_small,
        }
    }

    fn run(&self, gpu: &Gpu, rows: Rows, x: &Data, weight: &Weight, side: Side, tail: Tail) {
        let rows = Rows { block_rows: self.block_rows as u32, ..rows };
        let grid = self.grid(&rows);
        let launch = match self.tile {
            Some(tile) => with(gpu.run(self.kernel(tile), grid).value(rows), x).array(weight.split(gpu, side, self.terms)),
            None => {
                let [row, tap, depth] = side.steps(weight.value().shape());
                with(gpu.run(&kernel::conv_rows_ffma, grid).value(rows), x)
                    .value(self.form as u32)
                    .array(weight.value())
                    .value(row)
                    .value(tap)
                    .value(depth)
            }
        };
        launch
            .optional(tail.bias)
            .optional_mut(tail.y)
            .optional_mut(tail.moments)
            .optional(tail.affine.map(|affine| &affine.scale))
            .optional(tail.affine.map(|affine| &affine.shift))
            .optional(tail.v_th)
            .optional_mut(tail.spikes)
            .optional_mut(tail.z)
            .value(tail.dynamics)
            .go();
    }
}

pub fn forward(gpu: &Gpu, geometry: &Geometry, x: &Data, weight: &Weight, bias: Option<&Tensor>) -> Tensor {
    let mut y = Tensor::unspecified(x.device(), geometry.output_shape());
    let rows = Rows::forward(geometry);
    let tail = Tail { bias, y: Some(&mut y), ..Tail::default() };
    Plan::new(gpu, Form::of(x), &rows, 1).run(gpu, rows, x, weight, Side::Forward, tail);
    y
}

/// y and its moments over everything but channels, from sums that blocks take on the way.
pub fn forward_moments(gpu: &Gpu, geometry: &Geometry, x: &Data, weight: &Weight, bias: Option<&Tensor>) -> (Tensor, Moments) {
    let (device, channels) = (x.device(), geometry.out_channels as usize);
    let mut y = Tensor::unspecified(device, geometry.output_shape());
    let rows = Rows::forward(geometry);
    let plan = Plan::new(gpu, Form::of(x), &rows, 1);
    let mut sums = Array::<f64>::unspecified(device, [channels, plan.row_blocks(&rows), 2]);
    let tail = Tail { bias, y: Some(&mut y), moments: Some(&mut sums), ..Tail::default() };
    plan.run(gpu, rows, x, weight, Side::Forward, tail);
    let moments = norm::from_sums(gpu, &sums, rows.count());
    (y, moments)
}

/// Whether a block holds all steps of a neuron behind a product of x.
pub fn fires(x: &Data) -> bool {
    let tensor_cores = x.shape()[4].is_multiple_of(Form::of(x).vector());
    x.frames() <= if tensor_cores { Tile::Large.side() } else { SIMT }
}

pub fn fire(
    gpu: &Gpu,
    geometry: &Geometry,
    x: &Data,
    weight: &Weight,
    bias: Option<&Tensor>,
    firing: Firing,
    keep: KeepCurrent,
) -> (Option<Tensor>, Data) {
    let Firing { affine, v_th, dynamics } = firing;
    let shape = geometry.output_shape();
    let mut y = (keep == KeepCurrent::Yes).then(|| Tensor::unspecified(x.device(), shape));
    let mut codes = Array::unspecified(x.device(), [shape[0], shape[1], shape[2], planes(dynamics.steps), shape[4]]);
    let rows = Rows::forward(geometry);
    let coded = Coded::of(dynamics);
    let tail = Tail { bias, y: y.as_mut(), affine, v_th: Some(v_th), spikes: Some(&mut codes), dynamics: coded, ..Tail::default() };
    Plan::new(gpu, Form::of(x), &rows, shape[3].max(1)).run(gpu, rows, x, weight, Side::Forward, tail);
    (y, Data::Spikes { codes, steps: dynamics.steps })
}

/// z, and y if it is kept.
pub fn rectify(
    gpu: &Gpu,
    geometry: &Geometry,
    x: &Data,
    weight: &Weight,
    bias: Option<&Tensor>,
    affine: Option<&Affine>,
    keep: KeepCurrent,
) -> (Option<Tensor>, Tensor) {
    let blank = || Tensor::unspecified(x.device(), geometry.output_shape());
    let (mut y, mut z) = ((keep == KeepCurrent::Yes).then(blank), blank());
    let rows = Rows::forward(geometry);
    let tail = Tail { bias, y: y.as_mut(), affine, z: Some(&mut z), ..Tail::default() };
    Plan::new(gpu, Form::of(x), &rows, 1).run(gpu, rows, x, weight, Side::Forward, tail);
    (y, z)
}

pub fn backward_input(gpu: &Gpu, geometry: &Geometry, dy: &Tensor, weight: &Weight) -> Tensor {
    let mut dx = Tensor::unspecified(dy.device(), geometry.input_shape());
    let dy = Data::Real(dy.clone());
    for top in 0..geometry.stride.min(geometry.in_height) {
        for left in 0..geometry.stride.min(geometry.in_width) {
            let rows = Rows::backward(geometry, top, left);
            let tail = Tail { y: Some(&mut dx), ..Tail::default() };
            Plan::new(gpu, Form::Real, &rows, 1).run(gpu, rows, &dy, weight, Side::Backward, tail);
        }
    }
    dx
}
