//! Weighted sums on a GPU: `kernels/blend.cu`.

use crate::device::{Gpu, kernel};
use crate::ops::launch::flat;
use crate::tensor::Tensor;

pub fn blend(gpu: &Gpu, parts: &[(&Tensor, f64)]) -> Tensor {
    let (first, of_first) = parts[0];
    let second = parts.get(1);
    let count = first.shape().count();
    let mut out = Tensor::unspecified(first.device(), first.shape());
    gpu.run(&kernel::blend_sum, flat(count))
        .array(first)
        .value(of_first)
        .optional(second.map(|(tensor, _)| *tensor))
        .value(second.map_or(0.0, |(_, factor)| *factor))
        .array_mut(&mut out)
        .value(count as u64)
        .go();
    out
}
