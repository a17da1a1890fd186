//! Which data set lies in a folder.

use super::place::Place;
use crate::datasets::{cifar10, cifar100, folder, put, svhn, tiny_imagenet};
use caltrop::data::recognise;

/// MNIST-like files of `count` images that are all `level`.
fn idx(place: &Place, below: &str, level: u8) {
    for (stem, count) in [("train", 20_u32), ("t10k", 10)] {
        let header = |magic: u32, extents: &[u32]| [magic].iter().chain(extents).flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let images = [header(0x803, &[count, 28, 28]), vec![level; count as usize * 784]].concat();
        let labels = [header(0x801, &[count]), (0..count as u8).map(|i| i % 10).collect()].concat();
        put(&place.dir, &format!("{below}{stem}-images-idx3-ubyte"), images);
        put(&place.dir, &format!("{below}{stem}-labels-idx1-ubyte"), labels);
    }
}

#[test]
fn each_set_is_known_by_its_files() {
    let here = |place: &Place| recognise(&place.dir).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(here(&Place::with(|dir| cifar10(dir, 1))), "cifar10");
    assert_eq!(here(&Place::with(|dir| cifar100(&dir.join("cifar-100-binary"), 1))), "cifar100");
    assert_eq!(here(&Place::with(|dir| svhn(dir, 1))), "svhn");
    assert_eq!(here(&Place::with(|dir| tiny_imagenet(dir, 2, 1))), "tinyimagenet");
    assert_eq!(here(&Place::with(|dir| folder(dir, 2, 1))), "folder");
    let place = Place::new();
    for (below, level, name) in [("", 30, "mnist"), ("raw/", 73, "fashion-mnist"), ("", 80, "fashion-mnist")] {
        idx(&place, below, level);
        assert_eq!(here(&place), name);
        assert_eq!(place.load(name).train.len(), 20);
        std::fs::remove_dir_all(&place.dir).unwrap();
    }
    idx(&place, "FashionMNIST/raw/", 10);
    assert_eq!(here(&place), "fashion-mnist");
}

#[test]
fn none_and_several_are_told() {
    let say = |place: &Place| recognise(&place.dir).unwrap_err().to_string();
    let place = Place::new();
    assert!(say(&place).contains("no data set that is known lies in"), "{}", say(&place));
    put(&place.dir, "cifar-10-binary.tar.gz", "");
    assert!(say(&place).contains("cifar-10-binary.tar.gz is an archive; unpack it first"), "{}", say(&place));
    let file = recognise(&place.path("cifar-10-binary.tar.gz")).unwrap_err().to_string();
    assert!(file.contains("is an archive; unpack it first") && !file.contains("--dataset"), "{file}");
    put(&place.dir, "train_32x32.mat", "");
    assert_eq!(recognise(&place.dir).unwrap(), "svhn");
    cifar10(&place.path("cifar-10-batches-bin"), 1);
    assert!(say(&place).contains("holds more than one data set: cifar10, svhn; say which with --dataset"), "{}", say(&place));
    assert!(say(&Place { dir: "no-such-folder".into() }).contains("there is no folder no-such-folder"));
}
