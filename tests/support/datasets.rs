//! Small data sets in the official formats, written byte by byte from the formats' descriptions, by no code of the readers'.
//!
//! Image `i` of a split and what must be read back are functions of `i`: [`label`], [`pixel`]. A bright square tells the
//! class, so that a network can learn it. Training images have numbers from 0, test images from [`TEST`].

use flate2::{Compression, write::ZlibEncoder};
use std::io::Write;
use std::path::Path;

/// The number of the first test image.
pub const TEST: usize = 1_000_000;

/// The class of an image, all classes in turn but not in order (`classes` is no multiple of 7).
pub fn label(image: usize, classes: usize) -> usize {
    (image % TEST * 7 + 3) % classes
}

/// Channel `c` of pixel (y, x): noise below 100, and 140 more in a square of six rows and columns whose place and colours tell the class.
pub fn pixel(image: usize, label: usize, y: usize, x: usize, c: usize) -> u8 {
    let place = (label % 4 * 8, label / 4 % 4 * 8);
    let inside = (place.0..place.0 + 6).contains(&x) && (place.1..place.1 + 6).contains(&y);
    let colour = (label / 16 + c) % 3 != 2;
    let mixed = [image, y, x, c].iter().fold(0x9E37_79B9_u32, |mix, &part| (mix ^ part as u32).wrapping_mul(0x0100_0193).rotate_left(15));
    (mixed % 100) as u8 + if inside && colour { 140 } else { 0 }
}

/// [H, W, C] of an image.
pub fn pixels(image: usize, label: usize, side: usize) -> Vec<u8> {
    (0..side * side * 3).map(|at| pixel(image, label, at / 3 / side, at / 3 % side, at % 3)).collect()
}

/// Writes `bytes` to `dir/name`, making folders.
pub fn put(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// [C, H, W] of an image, as CIFAR stores it.
pub fn planes(image: usize, label: usize) -> Vec<u8> {
    (0..3 * 1024).map(|at| pixel(image, label, at % 1024 / 32, at % 32, at / 1024)).collect()
}

/// CIFAR records of `count` images from number `first` on: the coarse label of CIFAR-100, the label, the planes.
pub fn cifar_records(first: usize, count: usize, classes: usize) -> Vec<u8> {
    let record = |image| {
        let label = label(image, classes);
        let coarse = (classes == 100).then_some((label % 20) as u8);
        coarse.into_iter().chain([label as u8]).chain(planes(image, label))
    };
    (first..first + count).flat_map(record).collect()
}

/// CIFAR-10, binary version, `per_batch` images in each of the six files: training batch b starts at image b·per_batch.
pub fn cifar10(dir: &Path, per_batch: usize) {
    for batch in 0..5 {
        put(dir, &format!("data_batch_{}.bin", batch + 1), cifar_records(batch * per_batch, per_batch, 10));
    }
    put(dir, "test_batch.bin", cifar_records(TEST, per_batch, 10));
    put(dir, "batches.meta.txt", "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
}

/// CIFAR-100, binary version, `count` training and as many test images.
pub fn cifar100(dir: &Path, count: usize) {
    put(dir, "train.bin", cifar_records(0, count, 100));
    put(dir, "test.bin", cifar_records(TEST, count, 100));
}

/// One element of a MAT-file (version 5): tag, bytes, padding to eight.
pub fn mat_element(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut element: Vec<u8> = [kind, bytes.len() as u32].iter().flat_map(|word| word.to_le_bytes()).chain(bytes.iter().copied()).collect();
    element.resize(element.len().next_multiple_of(8), 0);
    element
}

/// An element of at most four bytes in the packed form.
pub fn mat_small(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut element = ((bytes.len() as u32) << 16 | kind).to_le_bytes().to_vec();
    element.extend(bytes);
    element.resize(8, 0);
    element
}

/// A numeric array of a MAT-file: its class (6 double, 9 uint8), and its numbers as bytes of type `kind` (2 uint8, 9 double).
pub fn mat_array(name: &str, class: u32, extents: &[u32], kind: u32, numbers: &[u8]) -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let named = if name.len() <= 4 { mat_small(1, name.as_bytes()) } else { mat_element(1, name.as_bytes()) };
    let parts = [mat_element(6, &words(&[class, 0])), mat_element(5, &words(extents)), named, mat_element(kind, numbers)];
    mat_element(14, &parts.concat())
}

/// An element in a zlib stream, which is not padded.
pub fn mat_compressed(element: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(element).unwrap();
    let stream = encoder.finish().unwrap();
    [15_u32, stream.len() as u32].iter().flat_map(|word| word.to_le_bytes()).chain(stream.iter().copied()).collect()
}

/// A MAT-file of these elements.
pub fn mat_file(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"MATLAB 5.0 MAT-file, Platform: GLNXA64, Created on: Mon Dec  5 21:18:15 2011".to_vec();
    file.resize(116, b' ');
    file.extend([0; 8]);
    file.extend([0x00, 0x01, b'I', b'M']);
    file.extend(elements.concat());
    file
}

/// The numbers of SVHN's X [32, 32, 3, N], column-major.
pub fn svhn_x(first: usize, count: usize) -> Vec<u8> {
    let place = |at: usize| (first + at / 3072, at % 32, at / 32 % 32, at / 1024 % 3);
    (0..count * 3072).map(place).map(|(image, y, x, c)| pixel(image, label(image, 10), y, x, c)).collect()
}

/// The numbers of SVHN's y [N, 1]: 10 is the digit 0.
pub fn svhn_y(first: usize, count: usize) -> Vec<u8> {
    (first..first + count).map(|image| if label(image, 10) == 0 { 10 } else { label(image, 10) as u8 }).collect()
}

/// SVHN, `count` training and as many test images, compressed as the official files are.
pub fn svhn(dir: &Path, count: usize) {
    for (name, first) in [("train_32x32.mat", 0), ("test_32x32.mat", TEST)] {
        let x = mat_array("X", 9, &[32, 32, 3, count as u32], 2, &svhn_x(first, count));
        let y = mat_array("y", 9, &[count as u32, 1], 2, &svhn_y(first, count));
        put(dir, name, mat_file(&[mat_compressed(&x), mat_compressed(&y)]));
    }
}

/// A picture file of an image [H, W, C] of one or three channels.
pub fn encoded(pixels: &[u8], width: usize, height: usize, format: image::ImageFormat) -> Vec<u8> {
    let colour = if pixels.len() == width * height { image::ExtendedColorType::L8 } else { image::ExtendedColorType::Rgb8 };
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::write_buffer_with_format(&mut bytes, pixels, width as u32, height as u32, colour, format).unwrap();
    bytes.into_inner()
}

/// The name of class `k` in Tiny ImageNet's way; not in the order of the classes.
pub fn wnid(k: usize) -> String {
    format!("n{:08}", 90_000_000 - k * 13)
}

/// A JPEG of image `image`, 64x64; every fifth is grey.
pub fn tiny_jpeg(image: usize, label: usize) -> Vec<u8> {
    let colour = pixels(image, label, 64);
    let grey: Vec<u8> = colour.chunks(3).map(|rgb| rgb[0]).collect();
    encoded(if image % 5 == 4 { &grey } else { &colour }, 64, 64, image::ImageFormat::Jpeg)
}

/// Tiny ImageNet of `classes` classes, `count` training images each and as many validation images a class, as its archive unpacks.
/// Class k is [`wnid`] k in `wnids.txt`; training image i of it has number k·count + i, validation image j number [`TEST`] + j
/// and class [`label`].
pub fn tiny_imagenet(dir: &Path, classes: usize, count: usize) {
    let wnids: String = (0..classes).map(|k| wnid(k) + "\n").collect();
    let words: String = (0..classes).map(|k| format!("{}\tcreature {k}, thing {k}\n", wnid(k))).collect();
    put(dir, "wnids.txt", wnids);
    put(dir, "words.txt", format!("n00000001\tsomething else\n{words}"));
    for (k, i) in (0..classes).flat_map(|k| (0..count).map(move |i| (k, i))) {
        put(dir, &format!("train/{0}/images/{0}_{i}.JPEG", wnid(k)), tiny_jpeg(k * count + i, k));
    }
    let mut annotations = String::new();
    for j in 0..classes * count {
        let k = label(TEST + j, classes);
        put(dir, &format!("val/images/val_{j}.JPEG"), tiny_jpeg(TEST + j, k));
        annotations += &format!("val_{j}.JPEG\t{}\t0\t32\t44\t62\n", wnid(k));
    }
    put(dir, "val/val_annotations.txt", annotations);
}

/// A folder-per-class tree of 12x10 PNG files in colour: classes `class-a`, `class-b`, …, `count` training and test images each;
/// image i of class k has number k·count + i.
pub fn folder(dir: &Path, classes: usize, count: usize) {
    for (split, first) in [("train", 0), ("test", TEST)] {
        for (k, i) in (0..classes).flat_map(|k| (0..count).map(move |i| (k, i))) {
            let name = format!("{split}/class-{}/{i}.png", (b'a' + k as u8) as char);
            put(dir, &name, encoded(&folder_pixels(first + k * count + i, k), 10, 12, image::ImageFormat::Png));
        }
    }
}

/// [12, 10, 3] of an image of [`folder`].
pub fn folder_pixels(image: usize, label: usize) -> Vec<u8> {
    (0..360).map(|at| pixel(image, label, at / 30, at / 3 % 10, at % 3)).collect()
}

/// A pickle (protocol 2) of a dict of these keys and pickled values, as Python 2 wrote it.
pub fn pickled(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}q\x01(".to_vec();
    for (key, value) in entries {
        pickle.extend(pickled_text(key));
        pickle.extend(value);
    }
    pickle.extend(b"u.");
    pickle
}

/// A short string in a pickle.
pub fn pickled_text(text: &str) -> Vec<u8> {
    [b"U", &[text.len() as u8][..], text.as_bytes()].concat()
}

/// A list of values in a pickle.
pub fn pickled_list(values: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    b"](".iter().copied().chain(values.flatten()).chain([b'e']).collect()
}

/// A numpy array of `rows`, 3072 bytes each, in a pickle.
pub fn pickled_rows(rows: &[Vec<u8>]) -> Vec<u8> {
    let mut array = b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09(K\x01M".to_vec();
    array.extend((rows.len() as u16).to_le_bytes());
    array.extend(b"M\x00\x0c\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b");
    array.extend(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    array.extend((rows.len() as u32 * 3072).to_le_bytes());
    array.extend(rows.concat());
    array.extend(b"tb");
    array
}

/// A batch of CIFAR's Python version: `count` images from number `first` on.
pub fn cifar_pickle(first: usize, count: usize, classes: usize) -> Vec<u8> {
    let labels: Vec<usize> = (first..first + count).map(|image| label(image, classes)).collect();
    let rows: Vec<Vec<u8>> = (first..first + count).zip(&labels).map(|(image, &label)| planes(image, label)).collect();
    let list = |of: &dyn Fn(usize) -> usize| pickled_list(labels.iter().map(|&label| vec![b'K', of(label) as u8]));
    let names = pickled_list((0..count).map(|i| pickled_text(&format!("picture_{i}.png"))));
    let mut entries = vec![("batch_label", pickled_text("a batch"))];
    if classes == 100 {
        entries.extend([("fine_labels", list(&|label| label)), ("coarse_labels", list(&|label| label % 20))]);
    } else {
        entries.push(("labels", list(&|label| label)));
    }
    entries.extend([("data", pickled_rows(&rows)), ("filenames", names)]);
    pickled(&entries)
}

/// CIFAR-10, Python version, the same images as [`cifar10`] writes; its classes are called `python 0` to `python 9`.
pub fn cifar10_python(dir: &Path, per_batch: usize) {
    for batch in 0..5 {
        put(dir, &format!("data_batch_{}", batch + 1), cifar_pickle(batch * per_batch, per_batch, 10));
    }
    put(dir, "test_batch", cifar_pickle(TEST, per_batch, 10));
    put(dir, "batches.meta", pickled(&[("label_names", pickled_list((0..10).map(|k| pickled_text(&format!("python {k}")))))]));
}

/// CIFAR-100, Python version, the same images as [`cifar100`] writes.
pub fn cifar100_python(dir: &Path, count: usize) {
    put(dir, "train", cifar_pickle(0, count, 100));
    put(dir, "test", cifar_pickle(TEST, count, 100));
}
