//! CIFAR-10 and CIFAR-100, binary version: records of a label (CIFAR-100: a coarse one before it), then 1024 red, 1024
//! green, 1024 blue pixels, row by row.
//!
//! Source: the CIFAR page, "binary version". The official files have 10,000 records (CIFAR-100's training file 50,000);
//! any number of whole records is read. The Python version beside it: [`super::cifar_python`].

use super::{Contents, Wanted, cifar_python, foreign, told, whole};
use crate::base::{Result, ensure, fail};
use crate::data::Images;
use std::path::{Path, PathBuf};

/// Rows and columns of an image.
pub(super) const SIDE: usize = 32;
/// The bytes of an image.
pub(super) const BYTES: usize = 3 * SIDE * SIDE;
/// More records in a file than this are something else: twenty times the largest official one.
pub(super) const MOST_RECORDS: u64 = 1_000_000;
const COARSE_CLASSES: u8 = 20;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) enum Which {
    /// CIFAR-10.
    Ten,
    /// CIFAR-100 with its fine labels.
    Hundred,
}

impl Which {
    /// The files of the binary version: those of training images, then the one of test images.
    fn wanted(self, origin: &str) -> Wanted<'_> {
        match self {
            Which::Ten => Wanted {
                set: "cifar10",
                files: &[
                    "data_batch_1.bin",
                    "data_batch_2.bin",
                    "data_batch_3.bin",
                    "data_batch_4.bin",
                    "data_batch_5.bin",
                    "test_batch.bin",
                ],
                endings: &[""],
                below: &["cifar-10-batches-bin"],
                archives: &["cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"],
                origin,
            },
            Which::Hundred => Wanted {
                set: "cifar100",
                files: &["train.bin", "test.bin"],
                endings: &[""],
                below: &["cifar-100-binary"],
                archives: &["cifar-100-binary.tar.gz", "cifar-100-python.tar.gz"],
                origin,
            },
        }
    }

    /// The number of classes.
    pub(super) fn classes(self) -> usize {
        match self {
            Which::Ten => 10,
            Which::Hundred => 100,
        }
    }

    /// The file of the classes' names, a line each.
    fn names(self) -> &'static str {
        match self {
            Which::Ten => "batches.meta.txt",
            Which::Hundred => "fine_label_names.txt",
        }
    }

    /// The bytes before the pixels of a record.
    fn labels(self) -> usize {
        match self {
            Which::Ten => 1,
            Which::Hundred => 2,
        }
    }
}

/// The folder in or below `dir` where either version lies, if any.
pub(in crate::data) fn home(which: Which, dir: &Path) -> Option<PathBuf> {
    which.wanted("").home(dir).or_else(|| cifar_python::wanted(which, "").home(dir))
}

/// Reads the binary version in `dir` or below it; where there is nothing of it, the Python version.
///
/// # Errors
/// One line with the file and the cure: files that are missing, no whole records, a label out of range, other files.
pub(in crate::data) fn read(which: Which, dir: &Path, origin: &str) -> Result<Contents> {
    if which.wanted(origin).home(dir).is_none() && cifar_python::wanted(which, origin).home(dir).is_some() {
        return cifar_python::read(which, dir, origin);
    }
    let paths = which.wanted(origin).find(dir)?;
    let (test_path, train_paths) = paths.split_last().ok_or_else(|| fail!("{}: no files", dir.display()))?;
    let (mut train, mut test, mut files) = (blank(which), blank(which), Vec::new());
    for path in train_paths {
        files.push(append(which, path, &mut train)?);
    }
    files.push(append(which, test_path, &mut test)?);
    let class_names = class_names(which, &test_path.with_file_name(which.names()))?;
    Ok(Contents { train, test, class_names, files })
}

/// No images yet.
pub(super) fn blank(which: Which) -> Images {
    Images { channels: 3, height: SIDE, width: SIDE, pixels: Vec::new(), labels: Vec::new(), classes: which.classes() }
}

/// Appends the records of a file; returns what it was.
fn append(which: Which, path: &Path, images: &mut Images) -> Result<String> {
    let (name, record) = (path.display(), which.labels() + BYTES);
    let wanted = format!("a file of CIFAR-{} records", which.classes());
    let bytes = whole(path, MOST_RECORDS * record as u64, &wanted)?;
    ensure!(!bytes.is_empty(), "{name} is empty; download it again");
    if !bytes.len().is_multiple_of(record) {
        let truncated = || fail!("{name}: {} bytes are no whole records of {record}; half-downloaded? download it again", bytes.len());
        return Err(foreign(path, &bytes, &wanted, truncated));
    }
    images.pixels.reserve(bytes.len() / record * BYTES);
    for (index, record) in bytes.chunks_exact(record).enumerate() {
        let (labels, planes) = record.split_at(which.labels());
        let fine = labels[which.labels() - 1];
        let coarse = if which == Which::Hundred { labels[0] } else { 0 };
        if usize::from(fine) >= which.classes() || coarse >= COARSE_CLASSES {
            let last = which.classes() - 1;
            let said = if coarse >= COARSE_CLASSES {
                format!("coarse label {coarse} of record {index}, labels go from 0 to {}", COARSE_CLASSES - 1)
            } else {
                format!("label {fine} of record {index}, labels go from 0 to {last}")
            };
            return Err(foreign(path, &bytes, &wanted, || fail!("{name}: {said}; another set's file or a corrupt one: download it again")));
        }
        images.labels.push(u16::from(fine));
        interleave(planes, &mut images.pixels);
    }
    Ok(told(path, bytes.len() / record))
}

/// Appends an image stored as [C, H, W] as [H, W, C].
pub(super) fn interleave(planes: &[u8], out: &mut Vec<u8>) {
    let (red, rest) = planes.split_at(SIDE * SIDE);
    let (green, blue) = rest.split_at(SIDE * SIDE);
    out.extend(red.iter().zip(green).zip(blue).flat_map(|((&r, &g), &b)| [r, g, b]));
}

/// The names in the file, a line each; none where there is no file.
fn class_names(which: Which, path: &Path) -> Result<Vec<String>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let bytes = whole(path, 1 << 16, "names of classes")?;
    let names: Vec<String> =
        String::from_utf8_lossy(&bytes).lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect();
    let classes = which.classes();
    ensure!(names.len() == classes, "{}: {} names of {classes} classes; delete it or download it again", path.display(), names.len());
    Ok(names)
}
