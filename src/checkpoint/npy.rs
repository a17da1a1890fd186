//! One array a file, as `numpy.load` reads it (NPY format 1.0).

use super::{Kind, Named};
use crate::base::{Result, file};
use std::path::{Path, PathBuf};

/// Writes each tensor to `NAME.npy` in `folder`, whole or not at all. Returns where they are.
///
/// # Errors
/// A file that cannot be written.
pub fn save_arrays(folder: &Path, tensors: &[Named]) -> Result<Vec<PathBuf>> {
    let one = |(name, shape, values): &Named| {
        let path = folder.join(format!("{name}.npy"));
        let (kind, bytes): (&str, &[u8]) = match values {
            Kind::Floats(values) => ("<f4", bytemuck::cast_slice(values)),
            Kind::Integers(values) => ("<i8", bytemuck::cast_slice(values)),
            Kind::Bytes(values) => ("|u1", values),
        };
        file::write_parts(&path, &[&header(kind, shape), bytes])?;
        Ok(path)
    };
    tensors.iter().map(one).collect()
}

/// What stands before the numbers, in row-major order: padded so that they begin at a multiple of 64 bytes.
fn header(kind: &str, shape: &[usize]) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let extents: String = shape.iter().map(|extent| format!("{extent}, ")).collect();
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", extents.trim_end()).into_bytes();
    let before = MAGIC.len() + 2;
    text.resize((before + text.len() + 1).next_multiple_of(64) - before - 1, b' ');
    text.push(b'\n');
    [MAGIC, &(text.len() as u16).to_le_bytes(), &text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_numpys() {
        // As numpy 2 writes `numpy.zeros((2, 3), "<f4")`, whose numbers begin at byte 128.
        let bytes = header("<f4", &[2, 3]);
        assert_eq!(bytes.len(), 128);
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let text = std::str::from_utf8(&bytes[10..]).unwrap();
        assert_eq!(text.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3,), }");
        assert!(text.ends_with(" \n"));
        // One extent, and none.
        for (shape, said) in [(&[7][..], "(7,)"), (&[], "()")] {
            assert!(header("|u1", shape).windows(said.len()).any(|window| window == said.as_bytes()), "{said}");
        }
    }
}
