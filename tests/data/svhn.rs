//! SVHN's MAT-files.

use super::cifar::same;
use super::place::Place;
use crate::datasets::{TEST, mat_array, mat_compressed, mat_element, mat_file, put, svhn, svhn_x, svhn_y};

fn x(first: usize, count: usize) -> Vec<u8> {
    mat_array("X", 9, &[32, 32, 3, count as u32], 2, &svhn_x(first, count))
}

fn y(first: usize, count: usize) -> Vec<u8> {
    mat_array("y", 9, &[count as u32, 1], 2, &svhn_y(first, count))
}

#[test]
fn svhn_is_read_to_the_pixel() {
    for below in ["", "SVHN"] {
        let place = Place::with(|dir| svhn(&dir.join(below), 21));
        let data = place.load("svhn");
        same(&data.train, 0, 21, 10);
        same(&data.test, TEST, 21, 10);
        assert_eq!((data.mean.as_slice(), data.std.as_slice()), (&[0.5; 3][..], &[0.5; 3][..]));
        assert_eq!(data.class_names[0], "0");
    }
}

#[test]
fn other_ways_to_store_the_same_read_the_same() {
    let place = Place::with(|dir| svhn(dir, 11));
    let wide = |numbers: Vec<u8>| numbers.iter().flat_map(|&n| f64::from(n).to_le_bytes()).collect::<Vec<u8>>();
    let doubles = mat_array("y", 6, &[11, 1], 9, &wide(svhn_y(0, 11)));
    let bytes_of_doubles = mat_array("y", 6, &[11, 1], 2, &svhn_y(0, 11));
    let lying = mat_array("y", 9, &[1, 11], 2, &svhn_y(0, 11));
    let other = mat_array("a_long_name", 6, &[1, 1], 9, &1.5f64.to_le_bytes());
    for elements in [
        vec![x(0, 11), y(0, 11)],
        vec![mat_compressed(&y(0, 11)), x(0, 11)],
        vec![mat_compressed(&x(0, 11)), doubles],
        vec![mat_compressed(&x(0, 11)), mat_compressed(&bytes_of_doubles)],
        vec![mat_compressed(&x(0, 11)), lying],
        vec![mat_compressed(&other), other, mat_element(1, b"unknown"), mat_compressed(&x(0, 11)), y(0, 11)],
    ] {
        put(&place.dir, "train_32x32.mat", mat_file(&elements));
        same(&place.load("svhn").train, 0, 11, 10);
    }
    let one = mat_array("X", 9, &[32, 32, 3], 2, &svhn_x(5, 1));
    put(&place.dir, "train_32x32.mat", mat_file(&[one, y(5, 1)]));
    same(&place.load("svhn").train, 5, 1, 10);
}

#[test]
fn each_damage_gets_its_line() {
    let place = Place::with(|dir| svhn(dir, 5));
    let (cx, cy) = (mat_compressed(&x(0, 5)), mat_compressed(&y(0, 5)));
    let labels = |labels: &[u8]| mat_array("y", 9, &[labels.len() as u32, 1], 2, labels);
    let halves = mat_array("y", 6, &[5, 1], 9, &[1.0, 2.0, 2.5, 3.0, 4.0].map(f64::to_le_bytes).concat());
    let image = |extents: &[u32], bytes: usize| mat_array("X", 9, extents, 2, &vec![7; bytes]);
    let mut big_endian = mat_file(&[x(0, 5), y(0, 5)]);
    big_endian[126..128].copy_from_slice(b"MI");
    let mut complex = x(0, 5);
    complex[17] = 8;
    let whole = mat_file(&[cx.clone(), cy.clone()]);
    let mut newer = whole.clone();
    newer[..10].copy_from_slice(b"MATLAB 7.3");
    for (bytes, words) in [
        (whole[..whole.len() / 2].to_vec(), &["train_32x32.mat: truncated: an element ends at byte", "download it again"][..]),
        (whole[..100].to_vec(), &["train_32x32.mat: truncated: only 100 bytes"]),
        (whole[..131].to_vec(), &["train_32x32.mat: truncated: 3 bytes where 8 should be"]),
        (Vec::new(), &["train_32x32.mat: not a MAT-file of version 5"]),
        (b"<html>not found</html>".to_vec(), &["train_32x32.mat: not a MAT-file of version 5 but a web page"]),
        (newer, &["not a MAT-file of version 5 but a MAT-file of version 7.3"]),
        (big_endian, &["big-endian"]),
        (mat_file(&[]), &["train_32x32.mat: there is no array X in it"]),
        (mat_file(std::slice::from_ref(&cx)), &["train_32x32.mat: there is no array y in it"]),
        (mat_file(&[complex, cy.clone()]), &["X is no array of real numbers"]),
        (mat_file(&[x(0, 5), labels(&[1, 2, 3, 4])]), &["train_32x32.mat: 4 labels in y for 5 images in X"]),
        (mat_file(&[x(0, 5), labels(&[1, 2, 3, 4, 11])]), &["train_32x32.mat: label 11 of image 4, labels go from 1 to 10"]),
        (mat_file(&[x(0, 5), labels(&[0, 2, 3, 4, 1])]), &["label 0 of image 0"]),
        (mat_file(&[x(0, 5), halves]), &["label 2.5 of image 2"]),
        (mat_file(&[image(&[28, 28, 5], 28 * 28 * 5), cy.clone()]), &["X is 28x28x5, SVHN's is 32x32x3xN"]),
        (mat_file(&[image(&[32, 32, 3, 6], 5 * 3072), cy.clone()]), &["X: 15360 bytes for 32x32x3x6 numbers of U8, which cannot be"]),
        (mat_file(&[image(&[u32::MAX; 4], 8), cy.clone()]), &["which cannot be"]),
        (mat_file(&[image(&[32, 32, 3, 0], 0), cy.clone()]), &["X is 32x32x3x0"]),
        (mat_file(&[mat_array("X", 6, &[32, 32, 3, 1], 9, &vec![0; 3072 * 8]), labels(&[1])]), &["stored as F64, not as bytes"]),
        (mat_file(&[mat_array("X", 4, &[3, 1], 16, b"abc"), cy.clone()]), &["X is no array of real numbers"]),
    ] {
        place.damaged("train_32x32.mat", bytes, || place.refuses("svhn", words));
    }
}

#[test]
fn headers_that_promise_much_cost_nothing() {
    let place = Place::with(|dir| svhn(dir, 5));
    // An array of 2 GB in a stream that ends after some bytes; and one of which the element says so.
    let mut promise = mat_array("X", 9, &[32, 32, 3, 690_000], 2, &[1; 64]);
    let at = promise.len() - 64 - 4;
    promise[at..at + 4].copy_from_slice(&(690_000_u32 * 3072).to_le_bytes());
    promise[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    for element in [mat_compressed(&promise), promise] {
        place.damaged("test_32x32.mat", mat_file(&[element]), || place.refuses("svhn", &["test_32x32.mat: truncated"]));
    }
}

#[test]
fn a_broken_zlib_stream_is_refused_wherever_it_breaks() {
    let place = Place::with(|dir| svhn(dir, 1));
    let whole = place.read("train_32x32.mat");
    for at in (128..whole.len()).step_by(7) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x41;
        place.damaged("train_32x32.mat", flipped, || place.refuses("svhn", &["train_32x32.mat"]));
        place.damaged("train_32x32.mat", &whole[..at], || place.refuses("svhn", &["train_32x32.mat"]));
    }
}
