//! SVHN, cropped digits: `X` uint8 [32, 32, 3, N], column-major, and `y` [N, 1] from 1 to 10, of which 10 is the digit 0,
//! in two MAT-files.
//!
//! Source: the SVHN page, "Format 2: Cropped Digits".

use super::mat::{self, Array};
use super::{Contents, Wanted, told};
use crate::base::{Result, ensure, fail};
use crate::data::Images;
use std::path::Path;

const SIDE: usize = 32;
const BYTES: usize = 3 * SIDE * SIDE;

/// The two files.
pub(in crate::data) fn wanted(origin: &str) -> Wanted<'_> {
    Wanted { set: "svhn", files: &["train_32x32.mat", "test_32x32.mat"], endings: &[""], below: &["SVHN", "svhn"], archives: &[], origin }
}

/// Reads the files in `dir` or below it.
///
/// # Errors
/// One line with the file and the cure: files that are missing, truncated, no MAT-files of version 5, without the arrays, or
/// with others than images and their labels.
pub(in crate::data) fn read(dir: &Path, origin: &str) -> Result<Contents> {
    let paths = wanted(origin).find(dir)?;
    let [train, test] = [split(&paths[0])?, split(&paths[1])?];
    let files = paths.iter().zip([&train, &test]).map(|(path, images)| told(path, images.len())).collect();
    Ok(Contents { train, test, class_names: Vec::new(), files })
}

/// The images of one file.
fn split(path: &Path) -> Result<Images> {
    let name = path.display();
    let [x, y] = mat::read(path, ["X", "y"])?;
    let count = match x.extents[..] {
        [SIDE, SIDE, 3, count] if count > 0 => count,
        [SIDE, SIDE, 3] => 1, // MATLAB drops a last extent of 1
        _ => return Err(fail!("{name}: X is {}, SVHN's is 32x32x3xN; is this another file?", x.shape())),
    };
    let labels = y.extents.iter().product::<usize>();
    ensure!(labels == count, "{name}: {labels} labels in y for {count} images in X; download it again");
    let labels = digits(&y).map_err(|error| error.within(&name))?;
    let mut pixels = x.bytes().map_err(|error| error.within(&name))?;
    let mut image = vec![0; BYTES];
    for stored in pixels.chunks_exact_mut(BYTES) {
        image.copy_from_slice(stored);
        for (at, pixel) in stored.iter_mut().enumerate() {
            let (row, column, channel) = (at / 3 / SIDE, at / 3 % SIDE, at % 3);
            *pixel = image[(channel * SIDE + column) * SIDE + row];
        }
    }
    Ok(Images { channels: 3, height: SIDE, width: SIDE, pixels, labels, classes: 10 })
}

/// The digits that the labels tell.
fn digits(y: &Array) -> Result<Vec<u16>> {
    let digit = |(index, label): (usize, f64)| match label {
        10.0 => Ok(0),
        label if (1.0..=9.0).contains(&label) && label.fract() == 0.0 => Ok(label as u16),
        _ => Err(fail!("label {label} of image {index}, labels go from 1 to 10 (10 is the digit 0); download it again")),
    };
    y.numbers().into_iter().enumerate().map(digit).collect()
}
