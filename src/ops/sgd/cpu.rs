//! SGD on the CPU: one pass.

use super::Rates;
use crate::device::{Cpu, Disjoint};
use crate::ops::vector::simd;
use crate::tensor::Tensor;

pub fn step(cpu: &Cpu, p: &mut Tensor, gradient: &Tensor, velocity: &mut Option<Tensor>, rates: Rates) {
    // b = g at the first step is momentum · 0 + g.
    let velocity = velocity.get_or_insert_with(|| Tensor::zeros(gradient.device(), gradient.shape()));
    let (count, g) = (p.shape().count(), gradient.host());
    let (p, b) = (Disjoint::new(p.host_mut()), Disjoint::new(velocity.host_mut()));
    cpu.pieces(count, 1 << 14, |range| {
        // SAFETY: the pieces do not overlap.
        let (p, b) = unsafe { (p.part(range.clone()), b.part(range.clone())) };
        descend(cpu.isa(), p, &g[range], b, rates);
    });
}

pub fn at_least(p: &mut Tensor, floor: f32) {
    for p in p.host_mut() {
        if *p < floor {
            *p = floor;
        }
    }
}

simd! {
    fn descend(p: &mut [f32], g: &[f32], b: &mut [f32], rates: Rates) {
        for ((p, g), b) in p.iter_mut().zip(g).zip(b) {
            *b = rates.momentum * *b + (g + rates.decay * *p);
            *p -= rates.rate * *b;
        }
    }
}
