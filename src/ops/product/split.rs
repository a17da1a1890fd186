//! Weights in bf16 terms, for tensor cores.

use crate::base::Shape;
use crate::device::{Gpu, Grid, kernel};
use crate::tensor::{Array, Tensor};

/// Which channels of a weight `[C_out, kh, kw, C_in]` are columns of a product's result; the others are its depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Output channels.
    Forward,
    /// Input channels: the input gradient.
    Backward,
}

impl Side {
    /// How far apart the numbers of neighbouring columns, taps and depths lie in the weight.
    pub fn steps(self, weight: Shape) -> [u32; 3] {
        let (inputs, taps) = (weight[3] as u32, (weight[1] * weight[2]) as u32);
        match self {
            Side::Forward => [taps * inputs, inputs, 1],
            Side::Backward => [1, inputs, taps * inputs],
        }
    }
}

/// `[terms, columns, taps, depth]`, depth rounded up to 8 with zeros.
pub(super) fn split(gpu: &Gpu, weight: &Tensor, side: Side, terms: usize) -> Array<u16> {
    let shape = weight.shape();
    let (columns, depth) = match side {
        Side::Forward => (shape[0], shape[3]),
        Side::Backward => (shape[3], shape[0]),
    };
    let (taps, padded) = (shape[1] * shape[2], depth.next_multiple_of(8));
    let elements = columns * taps * padded;
    let mut split = Array::<u16>::unspecified(weight.device(), [terms, columns, taps, padded]);
    let [column, tap, channel] = side.steps(shape);
    gpu.run(&kernel::product_split, Grid::over(elements, 256))
        .array(weight)
        .array_mut(&mut split)
        .value(terms as u32)
        .value(elements as u32)
        .value(taps as u32)
        .value(depth as u32)
        .value(padded as u32)
        .value(column)
        .value(tap)
        .value(channel)
        .go();
    split
}
