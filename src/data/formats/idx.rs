//! The IDX format of MNIST: a big-endian magic number and extents, then bytes. Plain or gzipped: the first two
//! bytes decide, not the file's name.
//!
//! Source: the format note on the MNIST page. Images have magic 0x00000803 and extents N, H, W; labels have
//! 0x00000801 and extent N. Nothing is allocated from an unchecked header: the payload grows as it arrives.

use super::{Contents, Wanted, told};
use crate::base::{Result, ensure, fail};
use crate::data::Images;
use std::io::{Cursor, ErrorKind, Read};
use std::path::Path;

const IMAGES: u32 = 0x0000_0803;
const LABELS: u32 = 0x0000_0801;
/// More images, or rows or columns, than this are a broken header.
const MOST_IMAGES: usize = 10_000_000;
const MOST_SIDE: usize = 4096;
/// More payload than this is a broken header.
const MOST_BYTES: usize = 1 << 31;

/// The four files of `set` and where they may lie: `raw` and `MNIST/raw` are torchvision's folders.
pub(in crate::data) fn wanted<'a>(set: &'a str, below: &'a [&'a str], origin: &'a str) -> Wanted<'a> {
    const FILES: &[&str] = &["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];
    Wanted { set, files: FILES, endings: &["", ".gz"], below, archives: &[], origin }
}

/// Reads the files `wanted` in `dir` or below it, each plain or gzipped.
///
/// # Errors
/// One line with the file and the cure: files that are missing, and those of [`read`].
pub(in crate::data) fn read_folder(wanted: &Wanted, dir: &Path, classes: usize) -> Result<Contents> {
    let paths = wanted.find(dir)?;
    let split = |at: usize| read(&Source::File(&paths[at]), &Source::File(&paths[at + 1]), classes);
    let [train, test] = [split(0)?, split(2)?];
    let files = vec![told(&paths[0], train.len()), told(&paths[2], test.len())];
    Ok(Contents { train, test, class_names: Vec::new(), files })
}

/// Where the bytes of a file come from.
pub(in crate::data) enum Source<'a> {
    /// A file on disk.
    File(&'a Path),
    /// A file embedded in the program, and its name for messages.
    Embedded(&'static str, &'static [u8]),
}

impl Source<'_> {
    fn name(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::Embedded(name, _) => format!("embedded {name}"),
        }
    }

    fn open(&self) -> Result<Box<dyn Read + '_>> {
        match self {
            Source::File(path) => {
                let file = std::fs::File::open(path).map_err(|cause| fail!("cannot open {}: {cause}", self.name()))?;
                Ok(Box::new(std::io::BufReader::new(file)))
            }
            Source::Embedded(_, bytes) => Ok(Box::new(*bytes)),
        }
    }
}

/// Reads a file of images and its file of labels (`classes` of them) into [`Images`] of one channel.
///
/// # Errors
/// One line with the file and the values: unreadable, corrupt gzip, wrong magic number, impossible extents,
/// payload too short or too long, no images, another number of labels than of images, a label out of range.
pub(in crate::data) fn read(images: &Source, labels: &Source, classes: usize) -> Result<Images> {
    let (extents, pixels) = payload(images, IMAGES, "images")?;
    let (count, labels_read) = payload(labels, LABELS, "labels")?;
    let relation = if count[0] < extents[0] { "fewer" } else { "more" };
    ensure!(
        count[0] == extents[0],
        "{}: {} labels, {relation} than the {} images of {}; take both files from the same download",
        labels.name(),
        count[0],
        extents[0],
        images.name()
    );
    if let Some(index) = labels_read.iter().position(|&label| usize::from(label) >= classes) {
        return Err(fail!(
            "{}: label {} at index {index}, the data set has classes 0 to {}",
            labels.name(),
            labels_read[index],
            classes - 1
        ));
    }
    Ok(Images {
        channels: 1,
        height: extents[1],
        width: extents[2],
        pixels,
        labels: labels_read.into_iter().map(u16::from).collect(),
        classes,
    })
}

/// Extents and bytes of one IDX file with this magic number.
fn payload(source: &Source, magic: u32, what: &str) -> Result<(Vec<usize>, Vec<u8>)> {
    let name = source.name();
    let mut raw = source.open()?;
    let mut start = Vec::new();
    raw.by_ref().take(2).read_to_end(&mut start).map_err(|cause| broken(&name, &cause, Packing::Plain))?;
    let (mut reader, packing): (Box<dyn Read>, _) = match start[..] {
        [0x1f, 0x8b] => (Box::new(flate2::read::MultiGzDecoder::new(Cursor::new(start).chain(raw))), Packing::Gzip),
        _ => (Box::new(Cursor::new(start).chain(raw)), Packing::Plain),
    };

    let axes = (magic & 0xff) as usize;
    let mut header = Vec::new();
    reader.by_ref().take(4 + 4 * axes as u64).read_to_end(&mut header).map_err(|cause| broken(&name, &cause, packing))?;
    let words: Vec<u32> = header.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
    if let Some(&found) = words.first() {
        ensure!(found == magic, "{name}: magic number 0x{found:08x}, idx {what} have 0x{magic:08x}; is this another file?");
    }
    ensure!(header.len() == 4 + 4 * axes, "{name}: only {} bytes, the idx header has {}; download it again", header.len(), 4 + 4 * axes);

    let extents: Vec<usize> = words[1..].iter().map(|&extent| extent as usize).collect();
    ensure!(extents[0] > 0, "{name}: zero {what}; at least one is needed");
    let expected = extents.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent)).unwrap_or(usize::MAX);
    let sane = extents[0] <= MOST_IMAGES && extents[1..].iter().all(|side| (1..=MOST_SIDE).contains(side)) && expected <= MOST_BYTES;
    let shape = extents.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    ensure!(sane, "{name}: the header says {shape} {what}, which cannot be; download it again");

    let mut bytes = Vec::new();
    reader.take(expected as u64 + 1).read_to_end(&mut bytes).map_err(|cause| broken(&name, &cause, packing))?;
    ensure!(
        bytes.len() >= expected,
        "{name}: truncated: {} bytes of {what}, the header ({shape}) says {expected}; download it again",
        bytes.len()
    );
    ensure!(bytes.len() == expected, "{name}: bytes left over after the {expected} that the header ({shape}) says; download it again");
    Ok((extents, bytes))
}

#[derive(Clone, Copy)]
enum Packing {
    Plain,
    Gzip,
}

/// The error of a read that failed half-way.
fn broken(name: &str, cause: &std::io::Error, packing: Packing) -> crate::base::Error {
    match (packing, cause.kind()) {
        (Packing::Plain, _) => fail!("cannot read {name}: {cause}"),
        (Packing::Gzip, ErrorKind::UnexpectedEof) => fail!("{name}: truncated gzip file; download it again"),
        (Packing::Gzip, _) => fail!("{name}: corrupt gzip file ({cause}); download it again"),
    }
}

#[cfg(test)]
mod tests;
