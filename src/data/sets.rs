//! The table of data sets: what each is called, which files it wants, what normalises it.

use super::idx::{self, Source};
use super::{Dataset, Images};
use crate::base::{Result, ensure, fail, suggest, usage};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is known of a data set before its files are read.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Its name at the command line and in recipes.
    pub name: &'static str,
    /// The number of classes.
    pub classes: usize,
    /// Mean of each channel, of pixels in [0, 1].
    pub mean: &'static [f32],
    /// Standard deviation of each channel, of pixels in [0, 1].
    pub std: &'static [f32],
    /// The name of each class.
    pub class_names: &'static [&'static str],
    /// How to get its files, for messages.
    pub origin: &'static str,
    files: Files,
}

/// How a data set is stored; a new format is a new member.
#[derive(Debug, Clone, Copy)]
enum Files {
    /// Four IDX files in a folder.
    Idx,
    /// Four IDX files in a folder or, without one, in the program itself.
    IdxEmbedded,
}

const CLOTHES: &[&str] = &["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
const DIGITS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

const SPECS: &[Spec] = &[
    Spec {
        name: "fashion-mnist-7k",
        classes: 10,
        mean: &[0.286],
        std: &[0.353],
        class_names: CLOTHES,
        origin: "leave --data out: it is part of the program",
        files: Files::IdxEmbedded,
    },
    Spec {
        name: "fashion-mnist",
        classes: 10,
        mean: &[0.286],
        std: &[0.353],
        class_names: CLOTHES,
        origin: "see https://github.com/zalandoresearch/fashion-mnist or Debian's package dataset-fashion-mnist",
        files: Files::Idx,
    },
    Spec {
        name: "mnist",
        classes: 10,
        mean: &[0.1307],
        std: &[0.3081],
        class_names: DIGITS,
        origin: "see https://yann.lecun.com/exdb/mnist",
        files: Files::Idx,
    },
];

/// The names of all data sets.
pub fn names() -> impl Iterator<Item = &'static str> {
    SPECS.iter().map(|spec| spec.name)
}

/// The data set called `name`.
///
/// # Errors
/// A usage error with the nearest name.
pub fn spec(name: &str) -> Result<&'static Spec> {
    SPECS.iter().find(|spec| spec.name == name).ok_or_else(|| usage!("no data set is called \"{name}\"{}", suggest(name, names())))
}

/// Loads the data set called `name` from the folder `dir`; without one, from the program itself if it is embedded.
///
/// # Errors
/// A usage error for an unknown name or a folder that is needed and not given; a failure, one line with the file,
/// for a folder or a file that is missing or broken.
pub fn load(name: &str, dir: Option<&Path>) -> Result<Dataset> {
    let spec = spec(name)?;
    let [train, test] = match (spec.files, dir) {
        (Files::IdxEmbedded, None) => embedded(spec)?,
        (Files::Idx, None) => {
            return Err(usage!("{name} is not part of the program: pass the folder of its files with --data DIR ({})", spec.origin));
        }
        (Files::Idx | Files::IdxEmbedded, Some(dir)) => folder(spec, dir)?,
    };
    ensure!(
        (train.height, train.width) == (test.height, test.width),
        "{name}: training images are {}x{}, test images {}x{}; take all files from the same download",
        train.height,
        train.width,
        test.height,
        test.width
    );
    Ok(Dataset {
        name: spec.name,
        train: Arc::new(train),
        validation: None,
        test: Arc::new(test),
        mean: spec.mean.to_vec(),
        std: spec.std.to_vec(),
        class_names: spec.class_names,
    })
}

/// Training images, training labels, test images, test labels.
const IDX_FILES: [&str; 4] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Training and test images from a folder of IDX files, each plain or gzipped.
fn folder(spec: &Spec, dir: &Path) -> Result<[Images; 2]> {
    let wanted = || format!("{} wants {} in it, each plain or with .gz ({})", spec.name, IDX_FILES.join(", "), spec.origin);
    let entries = std::fs::read_dir(dir).map_err(|cause| fail!("cannot read the data folder {}: {cause}; {}", dir.display(), wanted()))?;
    ensure!(entries.count() > 0, "the data folder {} is empty; {}", dir.display(), wanted());
    let paths = IDX_FILES.map(|file| [dir.join(file), dir.join(format!("{file}.gz"))].into_iter().find(|path| path.is_file()));
    let missing: Vec<&str> = IDX_FILES.iter().zip(&paths).filter(|(_, path)| path.is_none()).map(|(&file, _)| file).collect();
    ensure!(missing.is_empty(), "the data folder {} lacks {}; {}", dir.display(), missing.join(", "), wanted());
    let found: Vec<PathBuf> = paths.into_iter().flatten().collect();
    let read = |at: usize| idx::read(&Source::File(&found[at]), &Source::File(&found[at + 1]), spec.classes);
    Ok([read(0)?, read(2)?])
}

/// Training and test images of the subset in `assets/fashion-mnist-7k`.
fn embedded(spec: &Spec) -> Result<[Images; 2]> {
    macro_rules! asset {
        ($file:literal) => {
            Source::Embedded($file, include_bytes!(concat!("../../assets/fashion-mnist-7k/", $file)))
        };
    }
    Ok([
        idx::read(&asset!("train-images-idx3-ubyte.gz"), &asset!("train-labels-idx1-ubyte.gz"), spec.classes)?,
        idx::read(&asset!("t10k-images-idx3-ubyte.gz"), &asset!("t10k-labels-idx1-ubyte.gz"), spec.classes)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_subset_loads() {
        let data = load("fashion-mnist-7k", None).unwrap();
        assert_eq!((data.train.len(), data.test.len(), data.train.size()), (6000, 1000, 784));
        assert_eq!(data.train.labels[..8], [9, 0, 0, 3, 0, 2, 7, 2]);
        assert_eq!(data.test.labels[..5], [9, 2, 1, 1, 6]);
        let mean = data.train.pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / data.train.pixels.len() as f64 / 255.0;
        assert!((mean - 0.286).abs() < 0.002, "mean {mean}");
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_and_a_missing_folder_the_files_it_wants() {
        let say = |name: &str, dir: Option<&Path>| load(name, dir).unwrap_err().to_string();
        assert_eq!(say("fashon-mnist", None), "no data set is called \"fashon-mnist\" (did you mean \"fashion-mnist\"?)");
        assert!(say("mnist", None).contains("--data DIR"));
        let absent = say("mnist", Some(Path::new("no-such-folder")));
        assert!(absent.contains("no-such-folder") && absent.contains("t10k-labels-idx1-ubyte"), "{absent}");
        let empty = std::env::temp_dir().join(format!("caltrop-empty-{}", std::process::id()));
        std::fs::create_dir_all(&empty).unwrap();
        assert!(say("mnist", Some(&empty)).contains("is empty; mnist wants train-images"));
        std::fs::write(empty.join("train-images-idx3-ubyte"), b"").unwrap();
        assert!(say("mnist", Some(&empty)).contains("lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte;"));
        std::fs::remove_dir_all(&empty).unwrap();
    }
}
