//! Decoded pictures kept beside the files they came from: a header, then the pixels of all training and test images.
//!
//! The header has the format's version, the counts and extents, a digest of the names, sizes and times of the sources, and
//! a checksum of the pixels; labels and names of classes are read from the folders every time. Written whole or not at all.

use crate::base::{Result, file};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// What the file is called, in the folder of the data set.
pub(super) const NAME: &str = ".caltrop-pixels.cache";

const MAGIC: [u8; 8] = *b"caltrop\n";
const VERSION: u32 = 1;
const HEADER: usize = 60;

/// What a cache is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// The number of training and test images.
    pub(super) counts: [usize; 2],
    /// The digest of the sources.
    pub(super) sources: u64,
}

/// Decoded pixels: training images, test images.
pub(super) struct Pixels {
    /// Channels, height, width.
    pub(super) extents: [usize; 3],
    /// [N, H, W, C] of each split.
    pub(super) splits: [Vec<u8>; 2],
}

/// Why a cache does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// There is none.
    Absent,
    /// The sources are others.
    Stale,
    /// It is damaged or from another version.
    Broken,
}

/// The pixels in the cache at `path`, if it is one of `key`, whole and unchanged.
pub(super) fn read(path: &Path, key: Key) -> Result<Pixels, Unfit> {
    let mut file = File::open(path).map_err(|_| Unfit::Absent)?;
    let size = file.metadata().map_err(|_| Unfit::Broken)?.len();
    let mut header = [0; HEADER];
    file.read_exact(&mut header).map_err(|_| Unfit::Broken)?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    if header[..8] != MAGIC || word(8) != VERSION || word(56) != checksum(&[&header[..56]]) {
        return Err(Unfit::Broken);
    }
    if [long(24), long(32)] != key.counts.map(|count| count as u64) || long(40) != key.sources {
        return Err(Unfit::Stale);
    }
    let extents = [word(12), word(16), word(20)].map(|extent| extent as usize);
    // The header's checksum holds; its sizes are believed only as far as the file goes.
    let image = extents.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent)).ok_or(Unfit::Broken)?;
    let bytes = key.counts.map(|count| count.checked_mul(image));
    let [Some(train), Some(test)] = bytes else { return Err(Unfit::Broken) };
    if train.checked_add(test).and_then(|bytes| bytes.checked_add(HEADER)).is_none_or(|bytes| bytes as u64 != size) {
        return Err(Unfit::Broken);
    }
    let mut split = |bytes| {
        let mut pixels = vec![0; bytes];
        file.read_exact(&mut pixels).map(|()| pixels).map_err(|_| Unfit::Broken)
    };
    let splits = [split(train)?, split(test)?];
    if word(48) != checksum(&[&splits[0], &splits[1]]) {
        return Err(Unfit::Broken);
    }
    Ok(Pixels { extents, splits })
}

/// Writes the cache at `path`.
///
/// # Errors
/// If it cannot be written; then there is none.
pub(super) fn write(path: &Path, key: Key, pixels: &Pixels) -> Result<()> {
    let [train, test] = &pixels.splits;
    let mut header = MAGIC.to_vec();
    header.extend(VERSION.to_le_bytes());
    header.extend(pixels.extents.iter().flat_map(|&extent| (extent as u32).to_le_bytes()));
    header.extend(key.counts.iter().flat_map(|&count| (count as u64).to_le_bytes()));
    header.extend(key.sources.to_le_bytes());
    header.extend(checksum(&[train, test]).to_le_bytes());
    header.extend([0; 4]);
    header.extend(checksum(&[&header]).to_le_bytes());
    file::write_parts(path, &[&header, train, test])
}

/// CRC-32, of which flate2 has a fast one.
fn checksum(parts: &[&[u8]]) -> u32 {
    let mut crc = flate2::Crc::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.sum()
}

/// The name, size and time of a file as bytes for [`digest`]; an unreadable one has neither size nor time.
pub(super) fn mark(root: &Path, name: &Path) -> Vec<u8> {
    let (size, time) = std::fs::metadata(root.join(name)).map_or((0, 0), |meta| {
        let time = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        (meta.len(), time.map_or(0, |time| time.as_nanos()))
    });
    let name = name.as_os_str().as_encoded_bytes();
    [&(name.len() as u64).to_le_bytes(), name, &size.to_le_bytes(), &time.to_le_bytes()].concat()
}

/// FNV-1a, 64 bits, of all marks.
pub(super) fn digest<'a>(marks: impl IntoIterator<Item = &'a Vec<u8>>) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    marks.into_iter().flatten().fold(0xcbf2_9ce4_8422_2325, step)
}
