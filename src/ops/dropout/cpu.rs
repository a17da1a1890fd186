//! Dropout on the CPU, four elements a Philox block.

use crate::base::rng::Philox;
use crate::device::{Cpu, Disjoint};
use crate::tensor::Tensor;

pub fn mask(cpu: &Cpu, x: &Tensor, p: f32, stream: Philox) -> Tensor {
    let scale = 1.0 / (1.0 - p);
    let mut z = Tensor::unspecified(x.device(), x.shape());
    let out = Disjoint::new(z.host_mut());
    cpu.pieces(x.shape().count(), 4096, |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { out.part(range.clone()) };
        for (block, (x, z)) in x.host()[range.clone()].chunks(4).zip(out.chunks_mut(4)).enumerate() {
            let draws = stream.uniforms(range.start as u64 / 4 + block as u64);
            for ((x, z), u) in x.iter().zip(z).zip(draws) {
                *z = if u >= p { x * scale } else { 0.0 };
            }
        }
    });
    z
}
