//! The exact k-th smallest current of a layer, k = 1 + round(q·(n−1)) with ties to even (METHOD §4).
//!
//! n counts every value `repeats` times: a held current stands for T equal ones. k is computed in integers.

mod cpu;
mod gpu;

use crate::base::{Result, ensure};
use crate::device::Device;
use crate::ops::norm::Affine;
use crate::tensor::Tensor;

/// A percentile in millionths: 99.7 % is 997 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentile(u64);

impl Percentile {
    /// From percent, to a millionth. Errors (usage): outside 0..=100.
    pub fn new(percent: f64) -> Result<Percentile> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(crate::base::usage!("percentile {percent}: must be between 0 and 100"));
        }
        Ok(Percentile((percent * 10_000.0).round() as u64))
    }

    /// The zero-based rank k − 1 among `n` values.
    pub fn rank(self, n: u64) -> u64 {
        let product = u128::from(self.0) * u128::from(n.saturating_sub(1));
        let (whole, rest) = (product / 1_000_000, product % 1_000_000);
        let up = rest > 500_000 || (rest == 500_000 && whole % 2 == 1);
        (whole + u128::from(up)) as u64
    }
}

/// The percentile of scale·y + shift over all values of y, each counted `repeats` times. Errors: no values, NaN.
pub fn percentile(y: &Tensor, affine: Option<&Affine>, repeats: usize, percentile: Percentile) -> Result<f32> {
    let count = y.shape().count();
    ensure!(count > 0 && repeats > 0, "percentile: no values in {}", y.shape());
    let rank = percentile.rank((count * repeats) as u64) / repeats as u64;
    match y.device() {
        Device::Gpu(gpu) => gpu::kth_smallest(gpu, y, affine, rank),
        Device::Cpu(cpu) => cpu::kth_smallest(cpu, y, affine, rank),
    }
}

/// The number of an order-preserving key: its bits, all turned where it is negative, the sign alone where it is not.
fn number(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key ^ 0x8000_0000 } else { !key })
}
