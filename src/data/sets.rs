//! The table of data sets: what each is called, which files it wants, what normalises it.

use super::formats::cifar::{self, Which};
use super::formats::idx::{self, Source};
use super::formats::{Contents, archive_in, folder, packed, svhn, tiny_imagenet};
use super::{Dataset, Images, classes};
use crate::base::watch::{Silent, Watch};
use crate::base::{Result, ensure, fail, suggest, usage};
use std::path::Path;
use std::sync::Arc;

/// What is known of a data set before its files are read.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Its name at the command line and in recipes.
    pub name: &'static str,
    /// The number of classes; None: as many as the files have.
    pub classes: Option<usize>,
    /// Mean of each channel, of pixels in [0, 1]; one value: of all channels.
    pub mean: &'static [f32],
    /// Standard deviation of each channel, of pixels in [0, 1]; one value: of all channels.
    pub std: &'static [f32],
    /// The name of each class, if the files do not say; empty: their numbers.
    pub class_names: &'static [&'static str],
    /// The training and test images of the official set; none of a set of one's own.
    pub official: Option<[usize; 2]>,
    /// How to get its files, for messages.
    pub origin: &'static str,
    format: Format,
}

/// How a data set is stored; a new format is a new member.
#[derive(Debug, Clone, Copy)]
enum Format {
    /// CIFAR's records, binary or pickled.
    Cifar(Which),
    /// MAT-files.
    Svhn,
    /// JPEG files and lists.
    TinyImagenet,
    /// Four IDX files, in a folder or in one of these below it.
    Idx(&'static [&'static str]),
    /// Four IDX files in a folder or, without one, in the program itself.
    IdxEmbedded,
    /// A folder a class.
    Folder,
}

const MNIST_FOLDERS: &[&str] = &["raw", "MNIST/raw"];
const FASHION_FOLDERS: &[&str] = &["raw", "FashionMNIST/raw"];

const SPECS: &[Spec] = &[
    Spec {
        name: "cifar10",
        classes: Some(10),
        mean: &[0.4914, 0.4822, 0.4465],
        std: &[0.2023, 0.1994, 0.2010],
        class_names: classes::CIFAR10,
        official: Some([50_000, 10_000]),
        origin: "`caltrop data get cifar10`, or cifar-10-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html, unpacked",
        format: Format::Cifar(Which::Ten),
    },
    Spec {
        name: "cifar100",
        classes: Some(100),
        mean: &[0.5071, 0.4867, 0.4408],
        std: &[0.2675, 0.2565, 0.2761],
        class_names: classes::CIFAR100,
        official: Some([50_000, 10_000]),
        origin: "`caltrop data get cifar100`, or cifar-100-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html, unpacked",
        format: Format::Cifar(Which::Hundred),
    },
    Spec {
        name: "svhn",
        classes: Some(10),
        mean: &[0.5],
        std: &[0.5],
        class_names: classes::DIGITS,
        official: Some([73_257, 26_032]),
        origin: "`caltrop data get svhn`, or format 2 of http://ufldl.stanford.edu/housenumbers",
        format: Format::Svhn,
    },
    Spec {
        name: "tinyimagenet",
        classes: None,
        mean: &[0.485, 0.456, 0.406],
        std: &[0.229, 0.224, 0.225],
        class_names: &[],
        official: Some([100_000, 10_000]),
        origin: "`caltrop data get tinyimagenet`, or http://cs231n.stanford.edu/tiny-imagenet-200.zip, unpacked",
        format: Format::TinyImagenet,
    },
    Spec {
        name: "mnist",
        classes: Some(10),
        mean: &[0.1307],
        std: &[0.3081],
        class_names: classes::DIGITS,
        official: Some([60_000, 10_000]),
        origin: "`caltrop data get mnist`, or https://yann.lecun.com/exdb/mnist",
        format: Format::Idx(MNIST_FOLDERS),
    },
    Spec {
        name: "fashion-mnist",
        classes: Some(10),
        mean: &[0.286],
        std: &[0.353],
        class_names: classes::CLOTHES,
        official: Some([60_000, 10_000]),
        origin: "`caltrop data get fashion-mnist`, or Debian's package dataset-fashion-mnist",
        format: Format::Idx(FASHION_FOLDERS),
    },
    Spec {
        name: "fashion-mnist-7k",
        classes: Some(10),
        mean: &[0.286],
        std: &[0.353],
        class_names: classes::CLOTHES,
        official: Some([6_000, 1_000]),
        origin: "leave --data out: it is part of the program",
        format: Format::IdxEmbedded,
    },
    Spec {
        name: "folder",
        classes: None,
        mean: &[0.5],
        std: &[0.5],
        class_names: &[],
        official: None,
        origin: "a tree of your own: train/CLASS/*.png and test/CLASS/*.png",
        format: Format::Folder,
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

/// As [`load_watched`], and nobody watches.
///
/// # Errors
/// As `load_watched`.
pub fn load(name: &str, dir: Option<&Path>) -> Result<Dataset> {
    load_watched(name, dir, &Silent)
}

/// Loads the data set called `name` from the folder `dir`; without one, from the program itself if it is embedded. Pictures
/// are decoded once and kept beside their files, of which `watch` is told.
///
/// # Errors
/// A usage error for an unknown name or a folder that is needed and not given; a failure, one line with the file,
/// for a folder or a file that is missing or broken; an interrupt.
pub fn load_watched(name: &str, dir: Option<&Path>, watch: &dyn Watch) -> Result<Dataset> {
    let spec = spec(name)?;
    let contents = match dir {
        Some(dir) => spec.read(dir, watch)?,
        None if matches!(spec.format, Format::IdxEmbedded) => embedded(spec)?,
        None => return Err(usage!("{name} is not part of the program: pass the folder of its files with --data DIR ({})", spec.origin)),
    };
    let Contents { train, test, class_names, files } = contents;
    let side = |images: &Images| [images.height, images.width];
    ensure!(
        side(&train) == side(&test),
        "{name}: training images are {}x{}, test images {}x{}; take all files from the same download",
        train.height,
        train.width,
        test.height,
        test.width
    );
    let class_names = match (class_names.is_empty(), spec.class_names.is_empty()) {
        (false, _) => class_names,
        (true, false) => spec.class_names.iter().map(|name| name.to_string()).collect(),
        (true, true) => (0..train.classes).map(|class| class.to_string()).collect(),
    };
    let every_channel = |values: &[f32]| if values.len() == 1 { vec![values[0]; train.channels] } else { values.to_vec() };
    let (mean, std) = (every_channel(spec.mean), every_channel(spec.std));
    Ok(Dataset { name: spec.name, train: Arc::new(train), validation: None, test: Arc::new(test), mean, std, class_names, files })
}

/// The data sets that seem to lie in the folder `dir`, by the names of its files; MNIST and Fashion-MNIST, whose files have the
/// same names, are told apart by their brightness.
///
/// # Errors
/// `dir` cannot be read or is a file; no set lies there, or several do; an archive that was not unpacked; MNIST-like files are
/// broken.
pub fn recognise(dir: &Path) -> Result<&'static str> {
    ensure!(dir.exists(), "there is no folder {}; name the folder of a data set's files", dir.display());
    if dir.is_file() {
        return Err(packed(dir));
    }
    let here: Vec<&Spec> = SPECS.iter().filter(|spec| spec.lies_in(dir)).collect();
    match here[..] {
        [] => {
            if let Some(archive) = archive_in(dir) {
                return Err(packed(&archive).within(format!("no data set that is known lies in {}", dir.display())));
            }
            let valid = names().filter(|name| *name != "fashion-mnist-7k").collect::<Vec<_>>().join(", ");
            Err(fail!("no data set that is known lies in {}; say with --dataset which it should be ({valid})", dir.display()))
        }
        [one] => Ok(one.name),
        [digits, clothes] if [digits.name, clothes.name] == ["mnist", "fashion-mnist"] => {
            let data = digits.read(dir, &Silent)?;
            let (mean, _) = data.train.statistics()[0];
            let off = |spec: &Spec| (mean - spec.mean[0]).abs();
            Ok(if off(digits) <= off(clothes) { digits.name } else { clothes.name })
        }
        _ => {
            let found = here.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ");
            Err(fail!("{} holds more than one data set: {found}; say which with --dataset", dir.display()))
        }
    }
}

impl Spec {
    /// What the files in `dir` hold.
    fn read(&self, dir: &Path, watch: &dyn Watch) -> Result<Contents> {
        match self.format {
            Format::Cifar(which) => cifar::read(which, dir, self.origin),
            Format::Svhn => svhn::read(dir, self.origin),
            Format::TinyImagenet => tiny_imagenet::read(dir, self.origin, watch),
            Format::Idx(below) => idx::read_folder(&idx::wanted(self.name, below, self.origin), dir, self.classes.unwrap_or(10)),
            Format::IdxEmbedded => idx::read_folder(&idx::wanted(self.name, &[], self.origin), dir, self.classes.unwrap_or(10)),
            Format::Folder => folder::read(dir, watch),
        }
    }

    /// Whether a file of the set lies in `dir`. The embedded subset is never found: its files are Fashion-MNIST's.
    fn lies_in(&self, dir: &Path) -> bool {
        match self.format {
            Format::Cifar(which) => cifar::home(which, dir).is_some(),
            Format::Svhn => svhn::wanted(self.origin).home(dir).is_some(),
            Format::TinyImagenet => tiny_imagenet::wanted(self.origin).home(dir).is_some(),
            Format::Idx(below) => idx::wanted(self.name, below, self.origin).home(dir).is_some(),
            Format::IdxEmbedded => false,
            Format::Folder => folder::lies_in(dir) && tiny_imagenet::wanted(self.origin).home(dir).is_none(),
        }
    }
}

/// Training and test images of the subset in `assets/fashion-mnist-7k`.
fn embedded(spec: &Spec) -> Result<Contents> {
    macro_rules! asset {
        ($file:literal) => {
            Source::Embedded($file, include_bytes!(concat!("../../assets/fashion-mnist-7k/", $file)))
        };
    }
    let classes = spec.classes.unwrap_or(10);
    Ok(Contents {
        train: idx::read(&asset!("train-images-idx3-ubyte.gz"), &asset!("train-labels-idx1-ubyte.gz"), classes)?,
        test: idx::read(&asset!("t10k-images-idx3-ubyte.gz"), &asset!("t10k-labels-idx1-ubyte.gz"), classes)?,
        class_names: Vec::new(),
        files: vec!["part of the program".to_string()],
    })
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
