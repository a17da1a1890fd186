//! `caltrop data`, and data sets at the command line.

use super::house::{House, RECIPE};
use crate::datasets::{cifar10, cifar100, folder, svhn, tiny_imagenet};

#[test]
fn check_says_what_lies_there_and_draws_it() {
    let house = House::new("data");
    cifar10(&house.root.join("cifar/cifar-10-batches-bin"), 4);
    let said = house.good("data check cifar");
    assert_eq!(said.err, "");
    for words in [
        "cifar10 in cifar\n  cifar/cifar-10-batches-bin/data_batch_1.bin: 4 images\n",
        "train    20 images of 32x32, colour; the official set has 50,000\n",
        "test     4 images of 32x32, colour; the official set has 10,000\n",
        "class          train      test\nairplane           2         1\nautomobile         2         0\n",
        "channel      mean  normalised by      std  normalised by\nred        0.2",
        "0.4914",
        "0.2010",
        "mosaic   mosaic-cifar10.png\n",
    ] {
        assert!(said.out.contains(words), "nothing about \"{words}\":\n{}", said.out);
    }
    let mosaic = image::load_from_memory(&house.read("mosaic-cifar10.png")).unwrap().to_rgb8();
    // Ten rows of two images, each pixel of which is two by two; grass from the picture is there.
    assert!(mosaic.height() > 10 * 64 && mosaic.width() > 2 * 64);

    cifar100(&house.root.join("hundred"), 104);
    svhn(&house.root.join("cifar"), 3);
    house.refused(1, "data check cifar", &["cifar holds more than one data set: cifar10, svhn", "--dataset"]);
    let said = house.good("data check cifar --dataset svhn --out other.png");
    assert!(said.out.contains("svhn in cifar\n") && house.has("other.png") && !house.has("mosaic-svhn.png"));
    let said = house.good("data check hundred");
    assert!(said.out.contains("classes  100, each with 1 to 2 training and 1 to 2 test images\n"), "{}", said.out);

    house.refused(1, "data check absent", &["there is no folder absent"]);
    for (file, words) in [
        ("cifar-10-binary.tar.gz", &["is an archive; unpack it first", "tar -xf packed/cifar-10-binary.tar.gz -C packed"][..]),
        ("Set.TGZ", &["is an archive", "tar -xf packed/Set.TGZ -C packed"]),
        ("tiny-imagenet-200.zip", &["is an archive", "unzip packed/tiny-imagenet-200.zip -d packed"]),
        ("train-images-idx3-ubyte.gz", &["is a file; give the folder that holds the data set's files: packed"]),
        ("train_32x32.mat", &["is a file; give the folder"]),
    ] {
        house.write(&format!("packed/{file}"), "");
        house.refused(1, &format!("data check packed/{file}"), &[words, &[file]].concat());
    }
    house.write("set.tar", "");
    house.refused(1, "data check set.tar", &["tar -xf set.tar -C ."]);
    house.write("download/cifar-100-python.tar.gz", "");
    house.refused(1, "data check download", &["no data set that is known lies in download", "tar -xf download/cifar-100-python.tar.gz"]);
    house.write("empty/note", "");
    house.refused(1, "data check empty", &["no data set that is known lies in empty", "cifar100", "--dataset"]);
    house.refused(1, "data check empty --dataset cifar100", &["empty lacks train.bin, test.bin", "cifar-100-binary.tar.gz"]);
    house.refused(2, "data check cifar --dataset cifar1", &["did you mean \"cifar10\"?"]);
    house.refused(2, "data check", &["DIR", "caltrop data check --help"]);
    house.refused(1, "data check hundred --out no/where.png", &["cannot write no/where.png"]);
    let help = house.good("data check --help").out;
    assert!(help.contains("Example:\n  caltrop data check ~/data"), "{help}");
}

#[test]
fn pictures_are_decoded_once_and_said_so() {
    let house = House::new("pictures");
    tiny_imagenet(&house.root.join("tiny"), 3, 2);
    let said = house.good("data check tiny");
    assert_eq!(said.err, "decoded 12 pictures; kept in tiny/.caltrop-pixels.cache\n");
    assert!(said.out.contains("tinyimagenet in tiny\n  tiny/train: 6 images\n  tiny/val: 6 images\n"), "{}", said.out);
    assert!(said.out.contains("\ncreature 2         2         2\n"), "{}", said.out);
    assert_eq!(house.good("data check tiny").err, "");
    std::fs::remove_file(house.root.join("tiny/.caltrop-pixels.cache")).unwrap();
    assert_eq!(house.good("data check tiny --quiet").err, "");

    folder(&house.root.join("own"), 2, 3);
    let before = house.everything();
    house.write("own/train/class-a/2.png", &before[&house.root.join("own/train/class-a/2.png")][..99]);
    house.refused(1, "data check own", &["own/train/class-a/2.png: corrupt picture"]);
}

#[test]
fn a_network_trains_on_a_folder_of_pictures() {
    let house = House::new("own");
    folder(&house.root.join("own"), 3, 12);
    house.write("own.toml", RECIPE.replace("\"mnist\"", "\"folder\""));
    let said = house.good("train own.toml --data own --out run");
    assert!(said.out.contains("ann.clean"), "{}", said.out);
    house.good("eval run/ann.safetensors --attack pgd --iterations 2 --data own --json out.json");
    assert_eq!(house.json("out.json")["images"], 36);
}
