//! Tiny ImageNet, and the cache of its decoded pixels.

use super::place::Place;
use crate::datasets::{TEST, encoded, label, pixels, put, tiny_imagenet, tiny_jpeg, wnid};
use caltrop::data::{Dataset, Images};
use image::ImageFormat;
use std::path::Path;

const CLASSES: usize = 3;
const EACH: usize = 4;
const CACHE: &str = ".caltrop-pixels.cache";

/// What `image` makes of a JPEG file, grey as RGB.
fn decoded(jpeg: &[u8]) -> Vec<u8> {
    image::load_from_memory_with_format(jpeg, ImageFormat::Jpeg).unwrap().to_rgb8().into_raw()
}

#[track_caller]
fn same(images: &Images, wanted: &[(usize, usize)]) {
    assert_eq!((images.len(), images.channels, images.height, images.width), (wanted.len(), 3, 64, 64));
    for (i, &(image, class)) in wanted.iter().enumerate() {
        // The ids fall with the class, so that sorting turns them round.
        assert_eq!(usize::from(images.labels[i]), CLASSES - 1 - class, "label {i}");
        assert!(images.image(i) == decoded(&tiny_jpeg(image, class)), "pixels of image {i}");
    }
}

#[track_caller]
fn right(data: &Dataset) {
    let train: Vec<(usize, usize)> = (0..CLASSES).rev().flat_map(|k| (0..EACH).map(move |i| (k * EACH + i, k))).collect();
    let test: Vec<(usize, usize)> = (0..CLASSES * EACH).map(|j| (TEST + j, label(TEST + j, CLASSES))).collect();
    same(&data.train, &train);
    same(&data.test, &test);
}

fn place() -> Place {
    Place::with(|dir| tiny_imagenet(dir, CLASSES, EACH))
}

#[test]
fn it_is_read_to_the_pixel_and_decoded_once() {
    let place = place();
    let data = place.load("tinyimagenet");
    right(&data);
    assert_eq!(data.class_names, ["creature 2", "creature 1", "creature 0"]);
    assert_eq!((data.train.classes, data.mean[0], data.std[2]), (3, 0.485, 0.225));
    // Grey pictures are there, and grey they are.
    assert!(data.train.image(0).chunks(3).any(|rgb| rgb[0] != rgb[1]));
    assert!((0..12).any(|i| data.train.image(i).chunks(3).all(|rgb| rgb == [rgb[0]; 3])));
    assert!(place.path(CACHE).is_file());
    assert_eq!(place.remarks("tinyimagenet"), [""; 0]);
    right(&place.load("tinyimagenet"));
    let below = Place::with(|dir| tiny_imagenet(&dir.join("tiny-imagenet-200"), CLASSES, EACH));
    right(&below.load("tinyimagenet"));
}

#[test]
fn a_folder_a_class_in_val_reads_the_same() {
    for nested in ["images/", ""] {
        let place = place();
        for j in 0..CLASSES * EACH {
            let class = wnid(label(TEST + j, CLASSES));
            put(&place.dir, &format!("val/{class}/{nested}val_{j}.JPEG"), place.read(&format!("val/images/val_{j}.JPEG")));
        }
        std::fs::remove_dir_all(place.path("val/images")).unwrap();
        std::fs::remove_file(place.path("val/val_annotations.txt")).unwrap();
        right(&place.load("tinyimagenet"));
    }
}

#[test]
fn a_cache_that_does_not_fit_is_made_anew() {
    let place = place();
    let made = place.remarks("tinyimagenet");
    assert_eq!(made, [format!("decoded 24 pictures; kept in {CACHE}")]);
    let good = place.read(CACHE);
    let broken = format!("decoded 24 pictures anew, for the cache is damaged or from another version; kept in {CACHE}");
    // Damage anywhere: in each part of the header, in the pixels, at the end.
    for at in [0, 8, 13, 20, 25, 33, 41, 50, 57, 60, 5000, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(place.path(CACHE), bad).unwrap();
        assert_eq!(place.remarks("tinyimagenet"), [broken.as_str()], "damage at {at}");
        assert!(place.read(CACHE) == good);
    }
    for bad in [&good[..good.len() - 1], &good[..59], &[], &[&good[..], &[0]].concat()] {
        std::fs::write(place.path(CACHE), bad).unwrap();
        assert_eq!(place.remarks("tinyimagenet"), [broken.as_str()], "{} bytes", bad.len());
    }
    assert_eq!(place.remarks("tinyimagenet"), [""; 0]);

    let stale = format!("decoded 24 pictures anew, for they changed; kept in {CACHE}");
    let changed = place.path(&format!("train/{0}/images/{0}_1.JPEG", wnid(2)));
    std::fs::write(&changed, tiny_jpeg(77, 1)).unwrap();
    assert_eq!(place.remarks("tinyimagenet"), [stale.as_str()]);
    assert!(place.load("tinyimagenet").train.image(1) == decoded(&tiny_jpeg(77, 1)));
    // Another time alone, as of a file that was replaced by one of the same size.
    let file = std::fs::File::options().write(true).open(&changed).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
    assert_eq!(place.remarks("tinyimagenet"), [stale.as_str()]);
    put(&place.dir, &format!("train/{0}/images/{0}_9.JPEG", wnid(2)), tiny_jpeg(78, 1));
    assert_eq!(place.remarks("tinyimagenet"), [stale.replace("24", "25")]);
}

#[test]
fn without_a_place_for_the_cache_it_goes_on() {
    let place = place();
    std::fs::create_dir(place.path(CACHE)).unwrap();
    let remarks = place.remarks("tinyimagenet");
    assert!(
        matches!(&remarks[..], [one] if one.starts_with("decoded 24 pictures anew") || one.starts_with("decoded 24 pictures; next time again")),
        "{remarks:?}"
    );
    assert!(remarks[0].contains("there is no cache: cannot write"), "{remarks:?}");
    right(&place.load("tinyimagenet"));
}

#[test]
fn each_damage_gets_its_line() {
    let place = place();
    let train = format!("train/{0}/images/{0}_3.JPEG", wnid(0));
    let good = place.read(&train);
    let ending = format!("{}_3.JPEG", wnid(0));
    let ending = ending.as_str();
    for (bytes, words) in [
        (good[..good.len() / 2].to_vec(), &[ending, "truncated JPEG picture", "download it again"][..]),
        (good[..30].to_vec(), &[ending]),
        (Vec::new(), &[ending, "is empty"]),
        (b"<html>".to_vec(), &[ending, "is not a PNG or JPEG picture but a web page"]),
        (b"neither nor".to_vec(), &[ending, "is no PNG or JPEG picture"]),
        (vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 0xff, 0xd9], &[ending, "corrupt picture"]),
        (encoded(&pixels(0, 0, 32), 32, 32, ImageFormat::Jpeg), &[ending, "is 32x32, images of this set are 64x64"]),
    ] {
        place.damaged(&train, bytes, || place.refuses("tinyimagenet", words));
    }
    assert!(!place.path(CACHE).exists(), "nothing is kept of what failed");

    let annotations = String::from_utf8(place.read("val/val_annotations.txt")).unwrap();
    let cut: String = annotations.lines().take(5).map(|line| format!("{line}\n")).collect();
    for (text, words) in [
        (annotations.replacen(&wnid(1), "n00000000", 1), &["val_annotations.txt: line ", "class \"n00000000\""][..]),
        (annotations.replace("val_7.JPEG", "val_70.JPEG"), &["val/images has no val_70.JPEG, which ", "val_annotations.txt names"]),
        (cut, &["val_annotations.txt names 5 images, ", "val/images has 12"]),
        ("<html>".into(), &["line 1 is of class \"\""]),
    ] {
        place.damaged("val/val_annotations.txt", text, || place.refuses("tinyimagenet", words));
    }
    for (text, words) in [
        ("", &["wnids.txt: 0 classes"][..]),
        ("<!DOCTYPE html>\n", &["wnids.txt: \"<!DOCTYPE html>\" is no WordNet id"]),
        ("n1\nn1\n", &["n1 stands there twice"]),
        ("n00000007\n", &["cannot read the folder", "train/n00000007"]),
    ] {
        place.damaged("wnids.txt", text, || place.refuses("tinyimagenet", words));
    }
    place.without("val", || place.refuses("tinyimagenet", &["cannot read the folder", "/val/"]));
    place.without("wnids.txt", || place.refuses("tinyimagenet", &["lacks wnids.txt"]));
    let class = format!("train/{}/images", wnid(1));
    place.without(&class, || {
        place.refuses("tinyimagenet", &[&wnid(1), "has no .JPEG files"]);
    });
    right(&place.load("tinyimagenet"));
    assert!(Path::new(&place.path(CACHE)).is_file());
}
