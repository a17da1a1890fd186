//! Dropout on a GPU: `kernels/dropout.cu`.

use crate::base::rng::Philox;
use crate::device::{Gpu, kernel};
use crate::ops::launch::flat;
use crate::tensor::Tensor;

pub fn mask(gpu: &Gpu, x: &Tensor, p: f32, stream: Philox) -> Tensor {
    let count = x.shape().count();
    let mut z = Tensor::unspecified(x.device(), x.shape());
    gpu.run(&kernel::dropout_mask, flat(count))
        .dial(stream)
        .value(p)
        .value(1.0 / (1.0 - p))
        .array(x)
        .array_mut(&mut z)
        .value(count as u64)
        .go();
    z
}
