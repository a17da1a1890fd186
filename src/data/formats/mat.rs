//! Numeric arrays of MAT-files, version 5: a header of 128 bytes, then elements of a tag (type, bytes) and a payload; an
//! array may lie in a zlib stream.
//!
//! Source: "MAT-File Format", MathWorks, chapter 1. Why no crate: docs/adr/0010-own-mat-reader.md.

use crate::base::{Error, Result, ensure, fail, nature};
use flate2::read::ZlibDecoder;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

const HEADER: u64 = 128;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// More numbers than this are a broken header (all of SVHN's extra images are 1.6e9).
const MOST_BYTES: usize = 1 << 31;
/// No flags, extents or name take more.
const MOST_SMALL: usize = 256;

/// A numeric array, as stored: column-major.
pub(super) struct Array {
    /// The extent of each axis, the first of which varies fastest.
    pub(super) extents: Vec<usize>,
    storage: Storage,
    raw: Vec<u8>,
}

/// How numbers are stored, which says little of what they are: MATLAB stores whole doubles as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Storage {
    fn of(kind: u32) -> Result<Storage> {
        Ok(match kind {
            1 => Storage::I8,
            2 => Storage::U8,
            3 => Storage::I16,
            4 => Storage::U16,
            5 => Storage::I32,
            6 => Storage::U32,
            7 => Storage::F32,
            9 => Storage::F64,
            _ => return Err(fail!("numbers of type {kind}, which is none of 8- to 32-bit integers, singles and doubles")),
        })
    }

    fn width(self) -> usize {
        match self {
            Storage::I8 | Storage::U8 => 1,
            Storage::I16 | Storage::U16 => 2,
            Storage::I32 | Storage::U32 | Storage::F32 => 4,
            Storage::F64 => 8,
        }
    }

    /// The number in these bytes, little-endian, [`Storage::width`] of them.
    fn number(self, b: &[u8]) -> f64 {
        match self {
            Storage::I8 => f64::from(b[0] as i8),
            Storage::U8 => f64::from(b[0]),
            Storage::I16 => f64::from(i16::from_le_bytes([b[0], b[1]])),
            Storage::U16 => f64::from(u16::from_le_bytes([b[0], b[1]])),
            Storage::I32 => f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Storage::U32 => f64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Storage::F32 => f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Storage::F64 => f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]),
        }
    }
}

impl Array {
    /// The numbers, the first axis fastest.
    pub(super) fn numbers(&self) -> Vec<f64> {
        self.raw.chunks_exact(self.storage.width()).map(|bytes| self.storage.number(bytes)).collect()
    }

    /// The numbers of an array that is stored as bytes.
    ///
    /// # Errors
    /// If it is stored otherwise.
    pub(super) fn bytes(self) -> Result<Vec<u8>> {
        ensure!(self.storage == Storage::U8, "the pixels are stored as {:?}, not as bytes; is this another file?", self.storage);
        Ok(self.raw)
    }

    /// The extents as people write them.
    pub(super) fn shape(&self) -> String {
        self.extents.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
    }
}

/// Reads the arrays called `names` from a MAT-file; others are passed over.
///
/// # Errors
/// One line with the file: it cannot be read, is no MAT-file of version 5, is truncated or corrupt, or lacks an array.
pub(super) fn read<const N: usize>(path: &Path, names: [&str; N]) -> Result<[Array; N]> {
    let file = File::open(path).map_err(|cause| Error::io("cannot open", path, &cause))?;
    let size = file.metadata().map_err(|cause| Error::io("cannot read", path, &cause))?.len();
    let found = arrays(&mut BufReader::new(file), size, &names).map_err(|error| error.within(path.display()))?;
    let mut missing = names.iter().zip(&found).filter(|(_, array)| array.is_none()).map(|(name, _)| *name);
    if let Some(name) = missing.next() {
        return Err(fail!("{}: there is no array {name} in it; is this another file?", path.display()));
    }
    let found: Vec<Array> = found.into_iter().flatten().collect();
    found.try_into().map_err(|_| fail!("{}: arrays are missing", path.display()))
}

/// The arrays called `names` of a file of `size` bytes.
fn arrays(file: &mut BufReader<File>, size: u64, names: &[&str]) -> Result<Vec<Option<Array>>> {
    let mut header = Vec::new();
    file.by_ref().take(HEADER).read_to_end(&mut header).map_err(|cause| broken(&cause))?;
    if !header.starts_with(b"MATLAB 5.0 MAT-file") {
        let nature = nature(&header).map(|nature| format!(" but {nature}")).unwrap_or_default();
        return Err(fail!("not a MAT-file of version 5{nature}; download it again"));
    }
    ensure!(header.len() as u64 == HEADER, "truncated: only {} bytes; half-downloaded? download it again", header.len());
    ensure!(header[126..] == *b"IM", "a big-endian MAT-file, which is not read; save it on another machine");

    let mut found: Vec<Option<Array>> = names.iter().map(|_| None).collect();
    let mut at = HEADER;
    while at < size {
        let tag = exactly(file, 8)?;
        let (kind, bytes) = (word(&tag), u64::from(word(&tag[4..])));
        let end = at + 8 + bytes;
        ensure!(end <= size, "truncated: an element ends at byte {end}, the file at {size}; half-downloaded? download it again");
        let array = match kind {
            MATRIX => array(&mut file.by_ref().take(bytes), names)?,
            COMPRESSED => inflated(&mut ZlibDecoder::new(file.by_ref().take(bytes)), names)?,
            _ => None,
        };
        if let Some((which, array)) = array {
            found[which] = Some(array);
        }
        // All but zlib streams are padded to eight bytes, of which their tags say nothing.
        at = if kind == COMPRESSED { end } else { at + 8 + bytes.next_multiple_of(8) };
        file.seek(SeekFrom::Start(at)).map_err(|cause| broken(&cause))?;
    }
    Ok(found)
}

/// The array in a zlib stream, which is read to its end for the sake of its checksum.
fn inflated(stream: &mut dyn Read, names: &[&str]) -> Result<Option<(usize, Array)>> {
    let tag = exactly(stream, 8)?;
    if word(&tag) != MATRIX {
        return Ok(None);
    }
    let bytes = u64::from(word(&tag[4..]));
    let found = array(&mut stream.take(bytes), names)?;
    if found.is_some() {
        let mut rest = Vec::new();
        stream.take(9).read_to_end(&mut rest).map_err(|cause| broken(&cause))?;
        ensure!(rest.len() < 9, "corrupt: bytes left over behind an array; download it again");
    }
    Ok(found)
}

/// The array of a matrix element, and which of `names` it has; none for other arrays.
fn array(element: &mut dyn Read, names: &[&str]) -> Result<Option<(usize, Array)>> {
    let flags = small(element)?;
    let extents: Vec<usize> = small(element)?.chunks_exact(4).map(|b| word(b) as usize).collect();
    let name = small(element)?;
    let Some(which) = names.iter().position(|wanted| wanted.as_bytes() == name) else { return Ok(None) };
    let name = names[which];

    let (class, complex) = flags.first().zip(flags.get(1)).map_or((0, 0), |(class, flags)| (*class, flags & 8));
    ensure!((6..=15).contains(&class) && complex == 0, "{name} is no array of real numbers (class {class}); is this another file?");
    let (kind, bytes, inline) = tag(element)?;
    let storage = Storage::of(kind).map_err(|error| error.within(name))?;
    let count = extents.iter().try_fold(storage.width(), |product, &extent| product.checked_mul(extent)).unwrap_or(usize::MAX);
    let shape = extents.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    ensure!(
        count == bytes && bytes <= MOST_BYTES,
        "{name}: {bytes} bytes for {shape} numbers of {storage:?}, which cannot be; download it again"
    );
    let raw = match inline {
        Some(inline) => inline[..bytes].to_vec(),
        None => exactly(element, bytes)?,
    };
    Ok(Some((which, Array { extents, storage, raw })))
}

/// Type and size of the next element, and its payload where that stands in the tag itself (at most four bytes).
fn tag(reader: &mut dyn Read) -> Result<(u32, usize, Option<[u8; 4]>)> {
    let tag = exactly(reader, 8)?;
    match word(&tag) {
        packed if packed >> 16 > 0 => {
            ensure!(packed >> 16 <= 4, "corrupt: a packed element of {} bytes; download it again", packed >> 16);
            Ok((packed & 0xffff, (packed >> 16) as usize, Some([tag[4], tag[5], tag[6], tag[7]])))
        }
        kind => Ok((kind, word(&tag[4..]) as usize, None)),
    }
}

/// The payload of a small element: flags, extents, a name.
fn small(reader: &mut dyn Read) -> Result<Vec<u8>> {
    let (_, bytes, inline) = tag(reader)?;
    if let Some(inline) = inline {
        return Ok(inline[..bytes].to_vec());
    }
    ensure!(bytes <= MOST_SMALL, "corrupt: {bytes} bytes where an array's flags, extents or name should be; download it again");
    let mut payload = exactly(reader, bytes.next_multiple_of(8))?;
    payload.truncate(bytes);
    Ok(payload)
}

/// So many bytes, which are not allocated before they come.
fn exactly(reader: &mut dyn Read, bytes: usize) -> Result<Vec<u8>> {
    let mut read = Vec::new();
    reader.take(bytes as u64).read_to_end(&mut read).map_err(|cause| broken(&cause))?;
    ensure!(read.len() == bytes, "truncated: {} bytes where {bytes} should be; half-downloaded? download it again", read.len());
    Ok(read)
}

fn word(b: &[u8]) -> u32 {
    u32::from_le_bytes([b[0], b[1], b[2], b[3]])
}

fn broken(cause: &std::io::Error) -> Error {
    match cause.kind() {
        ErrorKind::UnexpectedEof => fail!("truncated: a zlib stream ends too early; half-downloaded? download it again"),
        ErrorKind::InvalidInput | ErrorKind::InvalidData => fail!("corrupt: a zlib stream is broken ({cause}); download it again"),
        _ => fail!("cannot read it: {cause}"),
    }
}
