//! Weighted sums on the CPU: one pass.

use crate::device::{Cpu, Disjoint};
use crate::ops::vector::simd;
use crate::tensor::Tensor;

pub fn blend(cpu: &Cpu, parts: &[(&Tensor, f64)]) -> Tensor {
    let (first, of_first) = parts[0];
    let mut out = Tensor::unspecified(first.device(), first.shape());
    let all = Disjoint::new(out.host_mut());
    cpu.pieces(first.shape().count(), 1 << 14, |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { all.part(range.clone()) };
        let a = &first.host()[range.clone()];
        match parts.get(1) {
            None => scale(cpu.isa(), a, of_first, out),
            Some(&(second, of_second)) => add(cpu.isa(), a, of_first, &second.host()[range], of_second, out),
        }
    });
    out
}

simd! {
    fn scale(a: &[f32], of_a: f64, out: &mut [f32]) {
        for (out, a) in out.iter_mut().zip(a) {
            *out = (0.0 + of_a * f64::from(*a)) as f32;
        }
    }
}

simd! {
    fn add(a: &[f32], of_a: f64, b: &[f32], of_b: f64, out: &mut [f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = (0.0 + of_a * f64::from(*a) + of_b * f64::from(*b)) as f32;
        }
    }
}
