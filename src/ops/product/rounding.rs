//! bf16 on the CPU: operands rounded, sums in f32. It judges what a GPU computes with `--precision bf16`.

use crate::device::{Cpu, Disjoint, Precision};
use crate::ops::product::Weight;
use crate::tensor::{Data, Tensor};

/// Numbers a task.
const PIECE: usize = 1 << 14;

/// The nearest bf16, ties to even; NaN stays NaN.
#[inline(always)]
fn bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    let up = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000;
    // Rounding could carry a NaN with few bits over into the sign.
    f32::from_bits(if x.is_nan() { bits | 0x0040_0000 } else { up })
}

/// A copy with every number rounded.
pub fn rounded(cpu: &Cpu, x: &Tensor) -> Tensor {
    let mut out = Tensor::unspecified(x.device(), x.shape());
    let (from, to) = (x.host(), Disjoint::new(out.host_mut()));
    cpu.pieces(from.len(), PIECE, |range| {
        // SAFETY: the pieces do not overlap.
        let to = unsafe { to.part(range.clone()) };
        to.iter_mut().zip(&from[range]).for_each(|(to, &from)| *to = bf16(from));
    });
    out
}

/// A gradient or number as this device's products see it.
pub fn operand(cpu: &Cpu, x: &Tensor) -> Tensor {
    match cpu.precision() {
        Precision::F32 => x.clone(),
        Precision::Bf16 => rounded(cpu, x),
    }
}

/// An activation as this device's products see it (spikes and quarters are exact in either).
pub fn activation(cpu: &Cpu, x: &Data) -> Data {
    match x {
        Data::Real(x) => Data::Real(operand(cpu, x)),
        codes => codes.clone(),
    }
}

/// A weight as this device's products see it.
pub fn weight<'a>(cpu: &Cpu, weight: &'a Weight) -> &'a Weight {
    match cpu.precision() {
        Precision::F32 => weight,
        Precision::Bf16 => weight.rounded(cpu),
    }
}

#[cfg(test)]
mod tests {
    use super::bf16;

    #[test]
    fn rounds_to_the_nearest_and_ties_to_even() {
        assert_eq!(bf16(1.0), 1.0);
        assert_eq!(bf16(1.0 + 1.0 / 256.0), 1.0, "a tie goes to the even neighbour below");
        assert_eq!(bf16(1.0 + 3.0 / 256.0), 1.0 + 2.0 / 128.0, "and to the even one above");
        assert_eq!(bf16(-1.0 - 1.1 / 256.0), -1.0 - 1.0 / 128.0);
        assert_eq!(bf16(f32::MAX), f32::INFINITY);
        assert!(bf16(f32::NAN).is_nan() && bf16(f32::from_bits(0x7FFF_FFFF)).is_nan() && bf16(f32::from_bits(0x7F80_0001)).is_nan());
    }
}
