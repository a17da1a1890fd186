//! The gradients of weight and bias.

use super::{Form, Tile, terms, with};
use crate::device::{Gpu, Grid, Kernel, kernel};
use crate::ops::conv::Geometry;
use crate::tensor::{Array, Data, Tensor};
use bytemuck::{Pod, Zeroable};

/// `Divisor` of kernels/product.cuh.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Divisor {
    divisor: u32,
    mul: u32,
    shift: u32,
}

impl Divisor {
    /// n / divisor = n · mul >> (31 + shift) for n < 2^31.
    fn new(divisor: u32) -> Divisor {
        let divisor = divisor.max(1);
        let shift = divisor.next_power_of_two().trailing_zeros();
        Divisor { divisor, mul: (1u64 << (31 + shift)).div_ceil(u64::from(divisor)) as u32, shift }
    }
}

/// `Splits` of kernels/weight.cuh.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Splits {
    geometry: Geometry,
    frames: Divisor,
    width: Divisor,
    height: Divisor,
    rows: u32,
    split_rows: u32,
}

/// Rows that a split sums in f32 at most: a chain of additions loses digits with its root.
const LONGEST: usize = 16384;
/// Rows worth a split of their own.
const SHORTEST: usize = 256;
/// Blocks that fill a large GPU twice.
const ENOUGH: usize = 264;

pub fn backward_weight(gpu: &Gpu, geometry: &Geometry, x: &Data, dy: &Tensor) -> Tensor {
    let (form, terms) = (Form::of(x), terms(gpu));
    let (outputs, columns) = (geometry.out_channels as usize, geometry.patch());
    let rows = geometry.output_shape().count() / outputs.max(1);
    if rows == 0 {
        return Tensor::zeros(dy.device(), geometry.weight_shape());
    }
    let suits = outputs.is_multiple_of(4) && (geometry.in_channels as usize).is_multiple_of(form.vector());
    let tile = suits.then(|| Tile::of(outputs, columns, rows.div_ceil(SHORTEST)));
    let side = tile.map_or(64, Tile::side);
    let tiles = outputs.div_ceil(side) * columns.div_ceil(side);
    let splits = ENOUGH.div_ceil(tiles.max(1)).min(rows.div_ceil(SHORTEST)).max(rows.div_ceil(LONGEST));
    let split_rows = rows.div_ceil(splits).next_multiple_of(32);
    let splits = rows.div_ceil(split_rows);
    let value = Splits {
        geometry: *geometry,
        frames: Divisor::new(geometry.frames),
        width: Divisor::new(geometry.out_width),
        height: Divisor::new(geometry.out_height),
        rows: rows as u32,
        split_rows: split_rows as u32,
    };
    let mut partial = Tensor::unspecified(dy.device(), [splits, outputs * columns]);
    match tile {
        Some(tile) => {
            let grid = Grid::blocks(tiles * splits, tile.threads()).with_shared(tile.stages(terms, form.terms(terms)));
            with(gpu.run(of(form, terms, tile), grid).value(value), x).array(dy).array_mut(&mut partial).go();
        }
        None => {
            let grid = Grid::blocks(tiles * splits, 256);
            with(gpu.run(&kernel::conv_weight_ffma, grid).value(value), x).value(form as u32).array(dy).array_mut(&mut partial).go();
        }
    }
    if splits == 1 {
        return partial.reshaped(geometry.weight_shape());
    }
    let mut dw = Tensor::unspecified(dy.device(), geometry.weight_shape());
    let count = outputs * columns;
    gpu.run(&kernel::conv_weight_sum, Grid::over(count, 256))
        .array(&partial)
        .array_mut(&mut dw)
        .value(count as u32)
        .value(splits as u32)
        .go();
    dw
}

fn of(form: Form, terms: usize, tile: Tile) -> &'static Kernel {
    match (form, terms, tile) {
        (Form::Real, 3, Tile::Large) => &kernel::conv_weight_real_3_large,
        (Form::Real, 3, Tile::Small) => &kernel::conv_weight_real_3_small,
        (Form::Real, _, Tile::Large) => &kernel::conv_weight_real_1_large,
        (Form::Real, _, Tile::Small) => &kernel::conv_weight_real_1_small,
        (Form::Spikes, 3, Tile::Large) => &kernel::conv_weight_spikes_3_large,
        (Form::Spikes, 3, Tile::Small) => &kernel::conv_weight_spikes_3_small,
        (Form::Spikes, _, Tile::Large) => &kernel::conv_weight_spikes_1_large,
        (Form::Spikes, _, Tile::Small) => &kernel::conv_weight_spikes_1_small,
        (Form::Quarters, 3, Tile::Large) => &kernel::conv_weight_quarters_3_large,
        (Form::Quarters, 3, Tile::Small) => &kernel::conv_weight_quarters_3_small,
        (Form::Quarters, _, Tile::Large) => &kernel::conv_weight_quarters_1_large,
        (Form::Quarters, _, Tile::Small) => &kernel::conv_weight_quarters_1_small,
    }
}

pub fn backward_bias(gpu: &Gpu, dy: &Tensor) -> Tensor {
    let channels = dy.shape()[4];
    let rows = dy.shape().count() / channels.max(1);
    let tiles = channels.div_ceil(32);
    // Parts of at least 256 rows, about a thousand blocks in all: a function of the extents alone.
    let part_rows = rows.div_ceil((1024 / tiles.max(1)).max(1)).max(256);
    let parts = rows.div_ceil(part_rows);
    let mut partial = Array::<f64>::unspecified(dy.device(), [parts, channels]);
    gpu.run(&kernel::conv_bias_partial, Grid::blocks(tiles * parts, 256))
        .array(dy)
        .array_mut(&mut partial)
        .value(rows as u32)
        .value(channels as u32)
        .value(part_rows as u32)
        .go();
    let mut db = Tensor::unspecified(dy.device(), [channels]);
    gpu.run(&kernel::conv_bias_sum, Grid::over(channels, 256))
        .array(&partial)
        .array_mut(&mut db)
        .value(parts as u32)
        .value(channels as u32)
        .go();
    db
}
