//! PyTorch's dtypes, and their numbers as ours: floats f32, integers i64.

use super::archive::Endian;
use crate::checkpoint::container::Kind;

/// A dtype of tensors that a network may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

/// Every dtype: its name in `torch`, and that of its typed storage.
const NAMES: [(Dtype, &str, &str); 10] = [
    (Dtype::F64, "float64", "DoubleStorage"),
    (Dtype::F32, "float32", "FloatStorage"),
    (Dtype::F16, "float16", "HalfStorage"),
    (Dtype::Bf16, "bfloat16", "BFloat16Storage"),
    (Dtype::I64, "int64", "LongStorage"),
    (Dtype::I32, "int32", "IntStorage"),
    (Dtype::I16, "int16", "ShortStorage"),
    (Dtype::I8, "int8", "CharStorage"),
    (Dtype::U8, "uint8", "ByteStorage"),
    (Dtype::Bool, "bool", "BoolStorage"),
];

impl Dtype {
    /// The globals that name dtypes and their storages.
    pub fn globals() -> impl Iterator<Item = String> {
        NAMES.iter().flat_map(|(_, name, storage)| [format!("torch.{name}"), format!("torch.{storage}")])
    }

    /// The dtype called `global`, by its own name or its storage's.
    pub fn named(global: &str) -> Option<Dtype> {
        let word = global.strip_prefix("torch.")?;
        NAMES.iter().find(|(_, name, storage)| [*name, *storage].contains(&word)).map(|(dtype, ..)| *dtype)
    }

    /// PyTorch's name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(dtype, ..)| *dtype == self).map_or("", |(_, name, _)| name)
    }

    /// Bytes an element.
    pub fn width(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }

    /// As what its numbers come out, by safetensors' names.
    pub fn read_as(self) -> &'static str {
        if matches!(self, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16) { "F32" } else { "I64" }
    }

    /// The numbers at `elements` (indices of elements) of `bytes`, which hold them all.
    pub fn numbers(self, bytes: &[u8], endian: Endian, elements: impl Iterator<Item = usize>) -> Kind {
        let width = self.width();
        // The element's bits, whatever its width.
        let bits = elements.map(|index| {
            let element = &bytes[index * width..(index + 1) * width];
            let gather = |bits: u64, byte: &u8| bits << 8 | u64::from(*byte);
            match endian {
                Endian::Little => element.iter().rev().fold(0, gather),
                Endian::Big => element.iter().fold(0, gather),
            }
        });
        match self {
            Dtype::F64 => Kind::Floats(bits.map(|bits| f64::from_bits(bits) as f32).collect()),
            Dtype::F32 => Kind::Floats(bits.map(|bits| f32::from_bits(bits as u32)).collect()),
            Dtype::F16 => Kind::Floats(bits.map(|bits| half(bits as u16)).collect()),
            Dtype::Bf16 => Kind::Floats(bits.map(|bits| f32::from_bits((bits as u32) << 16)).collect()),
            Dtype::I64 => Kind::Integers(bits.map(|bits| bits as i64).collect()),
            Dtype::I32 => Kind::Integers(bits.map(|bits| i64::from(bits as i32)).collect()),
            Dtype::I16 => Kind::Integers(bits.map(|bits| i64::from(bits as i16)).collect()),
            Dtype::I8 => Kind::Integers(bits.map(|bits| i64::from(bits as i8)).collect()),
            Dtype::U8 | Dtype::Bool => Kind::Integers(bits.map(|bits| bits as i64).collect()),
        }
    }
}

/// An IEEE half as f32, exactly: sign, 5 bits of exponent, 10 of mantissa.
fn half(bits: u16) -> f32 {
    let (sign, exponent, mantissa) = (u32::from(bits >> 15) << 31, u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    match exponent {
        // Zero and subnormals count in 2^-24.
        0 => f32::from_bits(sign | (mantissa as f32 * 2f32.powi(-24)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | mantissa << 13),
        _ => f32::from_bits(sign | (exponent + 127 - 15) << 23 | mantissa << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_exact() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits).to_bits(), f32::to_bits(value), "{bits:04x}");
        }
        assert!(half(0x7e00).is_nan());
        assert_eq!(half(0x8000).to_bits(), (-0.0f32).to_bits());
    }

    #[test]
    fn every_dtype_is_read_in_both_byte_orders() {
        let read = |dtype: Dtype, bytes: &[u8]| {
            let little = dtype.numbers(bytes, Endian::Little, 0..bytes.len() / dtype.width());
            let swapped: Vec<u8> = bytes.chunks_exact(dtype.width()).flat_map(|element| element.iter().rev()).copied().collect();
            assert_eq!(little, dtype.numbers(&swapped, Endian::Big, 0..bytes.len() / dtype.width()), "{dtype:?}");
            little
        };
        assert_eq!(read(Dtype::F64, &[1.5f64.to_le_bytes(), (-3f64).to_le_bytes()].concat()), Kind::Floats(vec![1.5, -3.0]));
        assert_eq!(read(Dtype::F32, &0.1f32.to_le_bytes()), Kind::Floats(vec![0.1]));
        assert_eq!(read(Dtype::F16, &[0, 0x3c, 0, 0xc0]), Kind::Floats(vec![1.0, -2.0]));
        assert_eq!(read(Dtype::Bf16, &[0x80, 0x3f]), Kind::Floats(vec![1.0]));
        assert_eq!(read(Dtype::I64, &(-7i64).to_le_bytes()), Kind::Integers(vec![-7]));
        assert_eq!(read(Dtype::I32, &(-7i32).to_le_bytes()), Kind::Integers(vec![-7]));
        assert_eq!(read(Dtype::I16, &(-7i16).to_le_bytes()), Kind::Integers(vec![-7]));
        assert_eq!(read(Dtype::I8, &[0xf9]), Kind::Integers(vec![-7]));
        assert_eq!(read(Dtype::U8, &[0xf9]), Kind::Integers(vec![249]));
        assert_eq!(read(Dtype::Bool, &[1, 0]), Kind::Integers(vec![1, 0]));
    }
}
