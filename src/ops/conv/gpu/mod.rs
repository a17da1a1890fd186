//! Convolution on a GPU: `kernels/conv.cu`.
//!
//! Tensor cores take numbers and quarters of a multiple of 4 channels and spikes of a multiple of 16; what is left (an
//! image's first layer, odd widths) goes to the kernels of ordinary multiply-adds, which take everything.

mod rows;
mod weight;

pub use rows::{backward_input, fire, fires, forward, forward_moments, rectify};
pub use weight::{backward_bias, backward_weight};

use crate::device::{Gpu, Launch, Precision};
use crate::tensor::Data;

/// The form of an activation, by its number in `kernels/simt.cuh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Real = 0,
    Spikes = 1,
    Quarters = 2,
}

impl Form {
    fn of(x: &Data) -> Form {
        match x {
            Data::Real(_) => Form::Real,
            Data::Spikes { .. } => Form::Spikes,
            Data::Quarters { .. } => Form::Quarters,
        }
    }

    /// Channels in 16 bytes: tensor cores want a multiple.
    fn vector(self) -> usize {
        match self {
            Form::Real | Form::Quarters => 4,
            Form::Spikes => 16,
        }
    }

    /// The bf16 terms of an activation where a weight or gradient has `terms`: codes are exact in one.
    fn terms(self, terms: usize) -> usize {
        if self == Form::Real { terms } else { 1 }
    }
}

/// The bf16 terms that an f32 is split into (kernels/product.cuh).
fn terms(gpu: &Gpu) -> usize {
    match gpu.precision() {
        Precision::F32 => 3,
        Precision::Bf16 => 1,
    }
}

/// Adds the numbers or codes of `x` to a launch.
fn with<'a>(launch: Launch<'a>, x: &Data) -> Launch<'a> {
    match x {
        Data::Real(tensor) => launch.array(tensor),
        Data::Spikes { codes, .. } => launch.array(codes),
        Data::Quarters { codes, .. } => launch.array(codes),
    }
}

/// The shape of a block of results (`Tile` in kernels/product.cuh).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tile {
    /// 128 x 128 by eight warps of 64 x 32, or four of 64 x 64.
    Large,
    /// 64 x 64 by four warps.
    Small,
}

impl Tile {
    /// Blocks below which the large tile leaves multiprocessors idle (an A100 has 108, an H100 132).
    const FEW: usize = 108;

    /// The tile for `rows` x `columns` results in `layers` splits: the large one reads operands half as often, the small one
    /// makes more blocks and wastes less of ragged edges.
    fn of(rows: usize, columns: usize, layers: usize) -> Tile {
        let blocks = rows.div_ceil(128) * columns.div_ceil(128) * layers;
        if rows > 64 && columns > 64 && blocks >= Tile::FEW { Tile::Large } else { Tile::Small }
    }

    fn side(self) -> usize {
        match self {
            Tile::Large => 128,
            Tile::Small => 64,
        }
    }

    fn threads(self) -> u32 {
        match self {
            Tile::Large => 256,
            Tile::Small => 128,
        }
    }

    /// Two stages of 32 bf16 deep operands in `a` and `b` terms, bytes.
    fn stages(self, a: usize, b: usize) -> usize {
        2 * 32 * 2 * self.side() * (a + b)
    }
}
