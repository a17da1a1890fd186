//! Radix selection: three passes of histograms over order-preserving keys, 11 + 11 + 10 bits.
//!
//! Counts are integers, so their sum does not depend on the order of threads.

use super::number;
use crate::base::{Result, ensure};
use crate::device::Cpu;
use crate::ops::norm::Affine;
use crate::ops::vector::simd;
use crate::tensor::Tensor;

const STRIP: usize = 1 << 14;

/// An unsigned key in the order of the numbers (−0 and +0 share one).
#[inline(always)]
fn key(x: f32) -> u32 {
    let bits = (x + 0.0).to_bits();
    bits ^ (((bits as i32) >> 31) as u32 | 0x8000_0000)
}

pub fn kth_smallest(cpu: &Cpu, y: &Tensor, affine: Option<&Affine>, mut rank: u64) -> Result<f32> {
    let channels = y.shape()[y.shape().rank() - 1];
    let rows = (STRIP / channels).max(1) * channels;
    let identity = (vec![1.0; channels], vec![0.0; channels]);
    let (scale, shift) = affine.map_or((&identity.0[..], &identity.1[..]), |affine| (affine.scale.host(), affine.shift.host()));
    let values = y.host();
    let mut prefix = 0u32;
    for (shift_bits, width) in [(21u32, 11u32), (10, 11), (0, 10)] {
        let above = shift_bits + width;
        let counts = cpu.map(values.len().div_ceil(rows), |strip| {
            let mut counts = vec![0u32; 1 << width];
            let end = ((strip + 1) * rows).min(values.len());
            let mut keys = vec![0u32; rows];
            keys_of(cpu.isa(), &values[strip * rows..end], scale, shift, &mut keys);
            let keys = &keys[..end - strip * rows];
            let nan = above == 32 && keys.iter().any(|&k| k < key(f32::NEG_INFINITY) || k > key(f32::INFINITY));
            for &key in keys {
                if above == 32 || key >> above == prefix {
                    counts[(key >> shift_bits) as usize & ((1 << width) - 1)] += 1;
                }
            }
            (counts, nan)
        });
        let mut total = vec![0u64; 1 << width];
        for (counts, nan) in counts {
            ensure!(!nan, "percentile: the currents hold NaN");
            total.iter_mut().zip(counts).for_each(|(total, count)| *total += u64::from(count));
        }
        for (digit, count) in total.into_iter().enumerate() {
            if rank < count {
                prefix = prefix << width | digit as u32;
                break;
            }
            rank -= count;
        }
    }
    Ok(number(prefix))
}

simd! {
    fn keys_of(values: &[f32], scale: &[f32], shift: &[f32], keys: &mut [u32]) {
        let channels = scale.len();
        for (row, keys) in values.chunks_exact(channels).zip(keys.chunks_exact_mut(channels)) {
            for c in 0..channels {
                keys[c] = key(row[c] * scale[c] + shift[c]);
            }
        }
    }
}
