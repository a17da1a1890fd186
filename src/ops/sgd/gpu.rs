//! SGD on a GPU: `kernels/sgd.cu`.

use super::Rates;
use crate::device::{Gpu, kernel};
use crate::ops::launch::flat;
use crate::tensor::Tensor;

pub fn step(gpu: &Gpu, p: &mut Tensor, gradient: &Tensor, velocity: &mut Option<Tensor>, rates: Rates) {
    let (count, first) = (p.shape().count(), velocity.is_none());
    let velocity = velocity.get_or_insert_with(|| Tensor::unspecified(gradient.device(), gradient.shape()));
    gpu.run(&kernel::sgd_step, flat(count))
        .dial(rates)
        .value(u32::from(first))
        .array_mut(p)
        .array(gradient)
        .array_mut(velocity)
        .value(count as u64)
        .go();
}

pub fn at_least(gpu: &Gpu, p: &mut Tensor, floor: f32) {
    let count = p.shape().count();
    gpu.run(&kernel::sgd_at_least, flat(count)).array_mut(p).value(floor).value(count as u64).go();
}
