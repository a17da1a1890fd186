//! A plain folder a class.

use super::place::Place;
use crate::datasets::{TEST, encoded, folder, folder_pixels, put};
use image::ImageFormat;

fn place() -> Place {
    Place::with(|dir| folder(dir, 3, 4))
}

#[test]
fn a_tree_is_read_to_the_pixel() {
    for split in ["test", "val"] {
        let place = place();
        if split == "val" {
            std::fs::rename(place.path("test"), place.path("val")).unwrap();
        }
        put(&place.dir, "train/class-b/Thumbs.db", "not a picture");
        put(&place.dir, "train/.hidden/x.png", "not a class");
        put(&place.dir, "train/notes.txt", "not a class");
        let data = place.load("folder");
        assert_eq!(data.class_names, ["class-a", "class-b", "class-c"]);
        assert_eq!((data.mean.as_slice(), data.std.as_slice()), (&[0.5; 3][..], &[0.5; 3][..]));
        assert_eq!((data.train.height, data.train.width, data.train.channels, data.train.classes), (12, 10, 3, 3));
        assert_eq!(data.train.labels, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        assert!((0..12).all(|i| data.train.image(i) == folder_pixels(i, i / 4)));
        // Test images come from the classes in turn.
        assert_eq!(data.test.labels, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
        assert!((0..12).all(|i| data.test.image(i) == folder_pixels(TEST + i % 3 * 4 + i / 3, i % 3)));
        assert_eq!(place.remarks("folder"), [""; 0]);
        assert_eq!(place.load("folder").train, data.train);
    }
}

#[test]
fn grey_pictures_stay_grey_until_a_coloured_one_comes() {
    let place = place();
    let grey = |name: &str, level: u8| {
        let picture: Vec<u8> = (0..120).map(|at| level + at as u8).collect();
        put(&place.dir, name, encoded(&picture, 10, 12, ImageFormat::Png));
    };
    for split in ["train", "test"] {
        (0..3).for_each(|k| (0..4).for_each(|i| grey(&format!("{split}/class-{}/{i}.png", ['a', 'b', 'c'][k]), (10 * k + i) as u8)));
    }
    let data = place.load("folder");
    assert_eq!((data.train.channels, data.mean.len()), (1, 1));
    assert_eq!(data.train.image(5)[..3], [11, 12, 13]);
    // The last training picture in colour, as a JPEG with another ending.
    std::fs::remove_file(place.path("train/class-c/3.png")).unwrap();
    let jpeg = encoded(&folder_pixels(1, 1), 10, 12, ImageFormat::Jpeg);
    put(&place.dir, "train/class-c/3.JPG", &jpeg);
    let data = place.load("folder");
    assert_eq!((data.train.channels, data.test.channels, data.mean.len()), (3, 3, 3));
    assert_eq!(data.train.image(5)[..6], [11, 11, 11, 12, 12, 12]);
    assert!(data.train.image(11) == image::load_from_memory(&jpeg).unwrap().to_rgb8().into_raw());
}

#[test]
fn each_damage_gets_its_line() {
    let place = place();
    let good = place.read("train/class-b/2.png");
    let alpha = {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbaImage::new(10, 12).write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let deep = {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::ImageBuffer::<image::Luma<u16>, Vec<u16>>::new(10, 12).write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    // A header that says 100,000 x 100,000, its checksum right.
    let huge = {
        let mut bytes = good.clone();
        bytes[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        bytes
    };
    let mut flipped = good.clone();
    flipped[60] ^= 0x10;
    for (bytes, words) in [
        (good[..good.len() - 20].to_vec(), &["class-b/2.png: corrupt picture"][..]),
        (flipped, &["class-b/2.png: corrupt picture", "replace it or remove it"]),
        (
            encoded(&folder_pixels(0, 0)[..300], 10, 10, ImageFormat::Png),
            &["class-b/2.png is 10x10 but ", "class-a/0.png is 12x10; bring all images to one size"],
        ),
        (alpha, &["class-b/2.png has pixels of Rgba8; save it as 8-bit grey or RGB"]),
        (deep, &["class-b/2.png has pixels of L16"]),
        (huge, &["class-b/2.png: corrupt picture"]),
        (b"GIF89a".to_vec(), &["class-b/2.png is no PNG or JPEG picture"]),
    ] {
        place.damaged("train/class-b/2.png", bytes, || place.refuses("folder", words));
    }
    place.without("test/class-b", || {
        place.refuses("folder", &["test/class-b", "every class needs images"]);
    });
    place.without("train/class-b", || place.refuses("folder", &["test/class-b is a class that ", "/train lacks"]));
    place.without("test", || place.refuses("folder", &["has no folder test or val", "train/CLASS/*.png"]));
    place.without("train", || place.refuses("folder", &["cannot read the folder", "train"]));
    std::fs::create_dir(place.path("train/class-d")).unwrap();
    place.refuses("folder", &["train/class-d has no images (.jpeg, .jpg, .png)"]);
    Place::new().refuses("folder", &["is empty; folder wants train/CLASS/*.png and test/CLASS/*.png"]);
}
