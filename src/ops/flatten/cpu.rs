//! Exchanging the two middle axes.

use crate::base::Shape;
use crate::device::{Cpu, Disjoint};
use crate::tensor::Array;
use bytemuck::Pod;

/// `[n, a, b, c]` → `[n, b, a, c]`, labelled `shape`.
pub fn exchange<T: Pod + Default + Send + Sync>(cpu: &Cpu, x: &Array<T>, [n, a, b, c]: [usize; 4], shape: Shape) -> Array<T> {
    let mut y = Array::unspecified(x.device(), shape);
    let out = Disjoint::new(y.host_mut());
    let x = x.host();
    cpu.each(n, |n| {
        // SAFETY: each image is another part.
        let out = unsafe { out.part(n * a * b * c..(n + 1) * a * b * c) };
        for i in 0..a {
            for j in 0..b {
                out[(j * a + i) * c..][..c].copy_from_slice(&x[((n * a + i) * b + j) * c..][..c]);
            }
        }
    });
    y
}
