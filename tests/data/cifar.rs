//! CIFAR, binary version.

use super::place::Place;
use crate::datasets::{TEST, cifar_records, cifar10, cifar100, label, pixels, put};
use caltrop::data::Images;

/// Whether `images` are those from `first` on.
#[track_caller]
pub fn same(images: &Images, first: usize, count: usize, classes: usize) {
    assert_eq!((images.len(), images.channels, images.height, images.width), (count, 3, 32, 32));
    assert_eq!(images.classes, classes);
    for i in 0..count {
        let label = label(first + i, classes);
        assert_eq!(usize::from(images.labels[i]), label, "label {i}");
        assert!(images.image(i) == pixels(first + i, label, 32), "pixels of image {i}");
    }
}

#[test]
fn cifar10_is_read_to_the_pixel_wherever_it_was_unpacked() {
    for below in ["", "cifar-10-batches-bin"] {
        let place = Place::with(|dir| cifar10(&dir.join(below), 3));
        let data = place.load("cifar10");
        same(&data.train, 0, 15, 10);
        same(&data.test, TEST, 3, 10);
        assert_eq!((data.mean[0], data.std[2]), (0.4914, 0.2010));
        assert_eq!((data.class_names[3].as_str(), data.class_names.len()), ("cat", 10));
        assert!(data.files[5].ends_with("test_batch.bin: 3 images"), "{:?}", data.files);
    }
}

#[test]
fn cifar100_has_its_fine_labels() {
    for below in ["", "cifar-100-binary"] {
        let place = Place::with(|dir| cifar100(&dir.join(below), 104));
        let data = place.load("cifar100");
        same(&data.train, 0, 104, 100);
        same(&data.test, TEST, 104, 100);
        assert_eq!((data.class_names.len(), data.class_names[99].as_str()), (100, "worm"));
    }
}

#[test]
fn the_files_may_name_the_classes() {
    let place = Place::with(|dir| cifar10(dir, 1));
    let names: String = (0..10).map(|k| format!("kind {k}\n")).collect();
    put(&place.dir, "batches.meta.txt", format!("{names}\n"));
    assert_eq!(place.load("cifar10").class_names[9], "kind 9");
    put(&place.dir, "batches.meta.txt", "cat\ndog\n");
    place.refuses("cifar10", &["batches.meta.txt", "2 names of 10 classes", "delete it or download it again"]);
    std::fs::remove_file(place.path("batches.meta.txt")).unwrap();
    assert_eq!(place.load("cifar10").class_names[9], "truck");
}

#[test]
fn each_damage_gets_its_line() {
    let place = Place::with(|dir| cifar10(dir, 3));
    let good = place.read("data_batch_2.bin");
    let mut mislabelled = good.clone();
    mislabelled[3073] = 10;
    for (bytes, words) in [
        (good[..5000].to_vec(), &["data_batch_2.bin: 5000 bytes are no whole records of 3073", "download it again"][..]),
        (Vec::new(), &["data_batch_2.bin is empty", "download it again"]),
        (mislabelled, &["data_batch_2.bin: label 10 of record 1, labels go from 0 to 9", "download it again"]),
        (b"<!DOCTYPE html><title>404</title>".to_vec(), &["data_batch_2.bin is not a file of CIFAR-10 records but a web page"]),
        ([&b"<html>"[..], &vec![b' '; 3067]].concat(), &["but a web page"]),
        ([&b"\x1f\x8b\x08"[..], &good[..3070]].concat(), &["but a gzip file; unpack it"]),
        (b"PK\x03\x04zip".to_vec(), &["but a zip archive"]),
        (cifar_records(0, 3, 100), &["data_batch_2.bin: 9222 bytes are no whole records of 3073"]),
        // As many bytes as whole records of both sets have.
        (cifar_records(0, 3073, 100), &["data_batch_2.bin: label", "another set's file"]),
    ] {
        place.damaged("data_batch_2.bin", bytes, || place.refuses("cifar10", words));
    }
    same(&place.load("cifar10").train, 0, 15, 10);

    let place = Place::with(|dir| cifar100(dir, 3));
    let mut coarse = place.read("test.bin");
    coarse[0] = 20;
    place.damaged("test.bin", coarse, || place.refuses("cifar100", &["test.bin: coarse label 20 of record 0"]));
    let mut fine = place.read("test.bin");
    fine[2 * 3074 + 1] = 100;
    place.damaged("test.bin", fine, || place.refuses("cifar100", &["test.bin: label 100 of record 2, labels go from 0 to 99"]));
}

#[test]
fn what_is_missing_is_named() {
    let place = Place::new();
    place.refuses("cifar10", &["is empty; cifar10 wants data_batch_1.bin", "test_batch.bin", "cifar-10-binary.tar.gz"]);
    put(&place.dir, "cifar-10-binary.tar.gz", b"\x1f\x8b");
    place.refuses("cifar10", &["cifar-10-binary.tar.gz is an archive; unpack it first", "tar -xf "]);
    let archive = Place { dir: place.path("cifar-10-binary.tar.gz") };
    archive.refuses("cifar10", &["is an archive; unpack it first"]);
    cifar10(&place.path("cifar-10-batches-bin"), 1);
    std::fs::remove_file(place.path("cifar-10-batches-bin/data_batch_4.bin")).unwrap();
    std::fs::remove_file(place.path("cifar-10-batches-bin/test_batch.bin")).unwrap();
    std::fs::remove_file(place.path("cifar-10-binary.tar.gz")).unwrap();
    place.refuses("cifar10", &["cifar-10-batches-bin lacks data_batch_4.bin, test_batch.bin; cifar10 wants"]);
    place.refuses("cifar100", &["lacks train.bin, test.bin; cifar100 wants"]);
    let absent = Place { dir: place.path("absent") };
    absent.refuses("cifar10", &["cannot read the data folder", "absent", "cifar10 wants"]);
}
