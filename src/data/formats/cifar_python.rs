//! CIFAR-10 and CIFAR-100, Python version: pickles of a dict with `data`, a numpy array u1 [N, 3072], and `labels` or
//! `fine_labels`, a list; beside them one with the classes' names. Read as data: no code is ever run.
//!
//! Source: the CIFAR page, "python version".

use super::cifar::{BYTES, MOST_RECORDS, Which, blank, interleave};
use super::{Contents, Wanted, foreign, told, whole};
use crate::base::pickle::{self, NUMPY, Order, Value};
use crate::base::{Error, Result, ensure, fail};
use crate::data::Images;
use std::path::Path;

/// The files: those of training images, then the one of test images.
pub(super) fn wanted(which: Which, origin: &str) -> Wanted<'_> {
    match which {
        Which::Ten => Wanted {
            set: "cifar10",
            files: &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"],
            endings: &[""],
            below: &["cifar-10-batches-py"],
            archives: &[],
            origin,
        },
        Which::Hundred => {
            Wanted { set: "cifar100", files: &["train", "test"], endings: &[""], below: &["cifar-100-python"], archives: &[], origin }
        }
    }
}

/// Reads the Python version in `dir` or below it.
///
/// # Errors
/// One line with the file and the cure: files that are missing, other files, pickles without images and their labels, a label
/// out of range.
pub(super) fn read(which: Which, dir: &Path, origin: &str) -> Result<Contents> {
    let paths = wanted(which, origin).find(dir)?;
    let (test_path, train_paths) = paths.split_last().ok_or_else(|| fail!("{}: no files", dir.display()))?;
    let (mut train, mut test, mut files) = (blank(which), blank(which), Vec::new());
    for path in train_paths {
        files.push(append(which, path, &mut train)?);
    }
    files.push(append(which, test_path, &mut test)?);
    let (meta, key) = match which {
        Which::Ten => ("batches.meta", "label_names"),
        Which::Hundred => ("meta", "fine_label_names"),
    };
    let class_names = class_names(which, &test_path.with_file_name(meta), key)?;
    Ok(Contents { train, test, class_names, files })
}

/// Appends the images of a file; returns what it was.
fn append(which: Which, path: &Path, images: &mut Images) -> Result<String> {
    let bytes = pickled(which, path)?;
    let broken = |error: Error| error.within(path.display());
    let batch = pickle::parse(&bytes, &NUMPY).map_err(|error| foreign(path, &plain(&bytes), &what(which), || broken(error)))?;
    let batch = batch.root();
    let key = if which == Which::Ten { "labels" } else { "fine_labels" };
    let field =
        |key: &str| batch.get(key).ok_or_else(|| fail!("{}: a pickle without \"{key}\"; is this another set's file?", path.display()));
    let data = pickle::array(field("data")?).map_err(broken)?;
    let count = data.shape.first().copied().unwrap_or(0);
    ensure!(
        data.dtype == "u1" && data.shape[..] == [count, BYTES] && data.order == Order::RowMajor && count > 0,
        "{}: data is a numpy array {:?} of {}, [N, {BYTES}] of u1 is wanted; download it again",
        path.display(),
        data.shape,
        data.dtype
    );
    let labels = field(key)?.items().ok_or_else(|| fail!("{}: \"{key}\" is no list; download it again", path.display()))?;
    ensure!(labels.len() == count, "{}: {} labels for {count} images; download it again", path.display(), labels.len());
    for (index, label) in labels.enumerate() {
        let number = label.count().filter(|&label| label < which.classes());
        let last = which.classes() - 1;
        let number = number.ok_or_else(|| {
            let said = label.int().map_or_else(|| label.kind().to_string(), |label| label.to_string());
            fail!("{}: label {said} of image {index}, labels go from 0 to {last}; download it again", path.display())
        })?;
        images.labels.push(number as u16);
    }
    images.pixels.reserve(data.bytes.len());
    data.bytes.chunks_exact(BYTES).for_each(|planes| interleave(planes, &mut images.pixels));
    Ok(told(path, count))
}

/// The names in the pickle beside the batches; none where there is none.
fn class_names(which: Which, path: &Path, key: &str) -> Result<Vec<String>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let bytes = pickled(which, path)?;
    let meta = pickle::parse(&bytes, &NUMPY).map_err(|error| error.within(path.display()))?;
    let names = meta.root().get(key).and_then(Value::items).map(|names| names.map(|name| name.text().map(str::to_string)).collect());
    match names.unwrap_or(None::<Vec<String>>) {
        Some(names) if names.len() == which.classes() => Ok(names),
        _ => Err(fail!("{}: no list \"{key}\" of {} names; delete it or download it again", path.display(), which.classes())),
    }
}

fn pickled(which: Which, path: &Path) -> Result<Vec<u8>> {
    let bytes = whole(path, MOST_RECORDS * (BYTES as u64 + 64), &what(which))?;
    ensure!(!bytes.is_empty(), "{} is empty; download it again", path.display());
    Ok(bytes)
}

fn what(which: Which) -> String {
    format!("a Python batch of CIFAR-{}", which.classes())
}

/// The bytes by which a file that is no pickle may be known; none of a pickle.
fn plain(bytes: &[u8]) -> Vec<u8> {
    if bytes.first() == Some(&0x80) { Vec::new() } else { bytes.iter().take(64).copied().collect() }
}
