use super::*;
use std::io::Write;
use std::path::PathBuf;

fn idx(magic: u32, extents: &[u32], payload: &[u8]) -> Vec<u8> {
    [magic].iter().chain(extents).flat_map(|word| word.to_be_bytes()).chain(payload.iter().copied()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn good_images() -> Vec<u8> {
    let pixels: Vec<u8> = (0..12).collect();
    idx(IMAGES, &[2, 2, 3], &pixels)
}

fn good_labels() -> Vec<u8> {
    idx(LABELS, &[2], &[3, 9])
}

/// Reads the two byte strings as files.
fn read_bytes(images: &[u8], labels: &[u8]) -> Result<Images> {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let dir = std::env::temp_dir().join(format!(
        "caltrop-idx-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    ));
    std::fs::create_dir_all(&dir).unwrap();
    let paths: [PathBuf; 2] = [dir.join("images"), dir.join("labels")];
    std::fs::write(&paths[0], images).unwrap();
    std::fs::write(&paths[1], labels).unwrap();
    let result = read(&Source::File(&paths[0]), &Source::File(&paths[1]), 10);
    std::fs::remove_dir_all(&dir).unwrap();
    result
}

fn refusal(images: &[u8], labels: &[u8]) -> String {
    let text = read_bytes(images, labels).unwrap_err().to_string();
    assert!(!text.contains('\n'));
    text
}

#[test]
fn plain_and_gzipped_files_read_the_same() {
    let plain = read_bytes(&good_images(), &good_labels()).unwrap();
    assert_eq!((plain.height, plain.width, plain.channels, plain.labels.clone()), (2, 3, 1, vec![3, 9]));
    assert_eq!(plain.image(1), [6, 7, 8, 9, 10, 11]);
    assert_eq!(plain, read_bytes(&gzip(&good_images()), &good_labels()).unwrap());
    assert_eq!(plain, read_bytes(&good_images(), &gzip(&good_labels())).unwrap());
}

#[test]
fn each_corruption_gets_its_line() {
    let (images, labels) = (good_images(), good_labels());
    let pixels: Vec<u8> = (0..12).collect();
    let cases: [(Vec<u8>, Vec<u8>, &str); 16] = [
        (labels.clone(), labels.clone(), "images: magic number 0x00000801, idx images have 0x00000803"),
        (images.clone(), images.clone(), "labels: magic number 0x00000803, idx labels have 0x00000801"),
        (b"PK\x03\x04 a zip file".to_vec(), labels.clone(), "magic number 0x504b0304"),
        (Vec::new(), labels.clone(), "only 0 bytes, the idx header has 16"),
        (images[..9].to_vec(), labels.clone(), "only 9 bytes"),
        (images[..27].to_vec(), labels.clone(), "truncated: 11 bytes of images, the header (2x2x3) says 12"),
        ([&images[..], &[0]].concat(), labels.clone(), "bytes left over after the 12"),
        (idx(IMAGES, &[0, 2, 3], &[]), labels.clone(), "zero images"),
        (idx(IMAGES, &[2, 0, 3], &[]), labels.clone(), "the header says 2x0x3 images, which cannot be"),
        (idx(IMAGES, &[u32::MAX, u32::MAX, u32::MAX], &pixels), labels.clone(), "which cannot be"),
        (idx(IMAGES, &[10_000_000, 4096, 4096], &pixels), labels.clone(), "which cannot be"),
        (idx(IMAGES, &[2_000_000, 28, 28], &pixels), labels.clone(), "truncated: 12 bytes of images"),
        (images.clone(), idx(LABELS, &[1], &[3]), "1 labels, fewer than the 2 images"),
        (images.clone(), idx(LABELS, &[3], &[3, 1, 2]), "3 labels, more than the 2 images"),
        (images.clone(), idx(LABELS, &[2], &[3, 10]), "label 10 at index 1, the data set has classes 0 to 9"),
        (images.clone(), idx(LABELS, &[2], &[3]), "truncated: 1 bytes of labels"),
    ];
    for (images, labels, want) in cases {
        let text = refusal(&images, &labels);
        assert!(text.contains(want), "wanted \"{want}\", got \"{text}\"");
    }
}

#[test]
fn a_broken_gzip_is_refused_wherever_it_breaks() {
    let (whole, labels) = (gzip(&good_images()), good_labels());
    for length in 2..whole.len() {
        let text = refusal(&whole[..length], &labels);
        assert!(text.contains("gzip") || text.contains("truncated"), "cut at {length}: {text}");
    }
    for at in 10..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 0x55;
        assert!(read_bytes(&broken, &labels).is_err(), "a flip at {at} went unnoticed");
    }
    assert!(refusal(&[&whole[..], b"tail"].concat(), &labels).contains("gzip"));
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    let labels = Source::Embedded("labels", &[]);
    let text = |path: &str| read(&Source::File(Path::new(path)), &labels, 10).unwrap_err().to_string();
    assert!(text("/no/such/file").contains("cannot open /no/such/file"));
    assert!(text("/").contains("cannot read /"));
}
