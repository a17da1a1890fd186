//! CIFAR, Python version.

use super::cifar::same;
use super::place::Place;
use crate::datasets::{
    TEST, cifar_pickle, cifar10, cifar10_python, cifar100_python, pickled, pickled_list, pickled_rows, pickled_text, planes, put,
};
use caltrop::data::recognise;

#[test]
fn the_same_images_are_read_as_from_the_binary_version() {
    for below in ["", "cifar-10-batches-py"] {
        let place = Place::with(|dir| cifar10_python(&dir.join(below), 3));
        assert_eq!(recognise(&place.dir).unwrap(), "cifar10");
        let data = place.load("cifar10");
        same(&data.train, 0, 15, 10);
        same(&data.test, TEST, 3, 10);
        assert_eq!(data.class_names[7], "python 7");
        std::fs::remove_file(place.dir.join(below).join("batches.meta")).unwrap();
        assert_eq!(place.load("cifar10").class_names[7], "horse");
        // Where both are, the binary version is read.
        cifar10(&place.dir, 1);
        assert_eq!(place.load("cifar10").train.len(), 5);
    }
    for below in ["", "cifar-100-python"] {
        let place = Place::with(|dir| cifar100_python(&dir.join(below), 104));
        assert_eq!(recognise(&place.dir).unwrap(), "cifar100");
        let data = place.load("cifar100");
        same(&data.train, 0, 104, 100);
        same(&data.test, TEST, 104, 100);
    }
}

#[test]
fn each_damage_gets_its_line() {
    let place = Place::with(|dir| cifar10_python(dir, 2));
    let good = place.read("data_batch_3");
    let rows = || vec![planes(0, 0), planes(1, 1)];
    let labels = |labels: &[u8]| pickled_list(labels.iter().map(|&label| vec![b'K', label]));
    let text = |text: &str| pickled_text(text);
    for (bytes, words) in [
        (good[..good.len() / 2].to_vec(), &["data_batch_3: "][..]),
        (Vec::new(), &["data_batch_3 is empty", "download it again"]),
        (b"<html>".to_vec(), &["data_batch_3 is not a Python batch of CIFAR-10 but a web page"]),
        (b"\x1f\x8b\x08\x00".to_vec(), &["but a gzip file; unpack it"]),
        (cifar_pickle(0, 2, 100), &["data_batch_3: a pickle without \"labels\"; is this another set's file?"]),
        (pickled(&[("labels", labels(&[1, 2]))]), &["a pickle without \"data\""]),
        (
            pickled(&[("labels", labels(&[1, 10])), ("data", pickled_rows(&rows()))]),
            &["data_batch_3: label 10 of image 1, labels go from 0 to 9"],
        ),
        (pickled(&[("labels", labels(&[1])), ("data", pickled_rows(&rows()))]), &["data_batch_3: 1 labels for 2 images"]),
        (pickled(&[("labels", text("12")), ("data", pickled_rows(&rows()))]), &["\"labels\" is no list"]),
        (
            pickled(&[("labels", pickled_list([text("a"), text("b")].into_iter())), ("data", pickled_rows(&rows()))]),
            &["label bytes of image 0"],
        ),
        (pickled(&[("labels", labels(&[])), ("data", pickled_rows(&[]))]), &["data is a numpy array [0, 3072] of u1"]),
        (pickled(&[("labels", labels(&[1, 2])), ("data", text("pixels"))]), &["data_batch_3: bytes where a numpy array is wanted"]),
        // A call is never made.
        (b"\x80\x02cos\nsystem\nU\x04trueR.".to_vec(), &["data_batch_3", "os.system"]),
    ] {
        place.damaged("data_batch_3", bytes, || place.refuses("cifar10", words));
    }
    place.damaged("batches.meta", pickled(&[("label_names", pickled_list([text("cat")].into_iter()))]), || {
        place.refuses("cifar10", &["batches.meta: no list \"label_names\" of 10 names; delete it or download it again"]);
    });
    place.without("data_batch_5", || place.refuses("cifar10", &["data_batch_5"]));
    same(&place.load("cifar10").train, 0, 10, 10);
    put(&place.dir, "test", "a file that belongs to CIFAR-100");
    place.refuses("cifar100", &["lacks train"]);
}
