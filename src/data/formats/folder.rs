//! A plain tree: `train/CLASS/*.png` and `test/CLASS/*.png` (or `val/`), PNG or JPEG, all of one size.
//!
//! Classes are numbered in the alphabetical order of their folders. Test images are taken from the classes in turn, so that
//! the first so many of them are a fair sample.

use super::pictures::{Demand, ENDINGS, Grey, Split, images};
use super::{Contents, entries, listing, told};
use crate::base::watch::Watch;
use crate::base::{Result, ensure, fail};
use std::path::{Path, PathBuf};

/// Labels have sixteen bits.
const MOST_CLASSES: usize = 1 << 16;
const SHAPE: &str = "train/CLASS/*.png and test/CLASS/*.png";

/// Whether such a tree seems to lie in `dir`.
pub(in crate::data) fn lies_in(dir: &Path) -> bool {
    dir.join("train").is_dir() && test_folder(dir).is_some()
}

/// `test`, else `val`.
fn test_folder(dir: &Path) -> Option<&'static str> {
    ["test", "val"].into_iter().find(|name| dir.join(name).is_dir())
}

/// Reads the tree in `dir`, from the cache where that fits.
///
/// # Errors
/// One line with the file and the cure: a folder that is missing or empty, a class that only one split has, pictures that
/// are corrupt or of two sizes; an interrupt.
pub(in crate::data) fn read(dir: &Path, watch: &dyn Watch) -> Result<Contents> {
    entries(dir, &|| format!("folder wants {SHAPE} in it"))?;
    let Some(test) = test_folder(dir) else {
        return Err(fail!("the data folder {} has no folder test or val; folder wants {SHAPE} in it", dir.display()));
    };
    let classes = classes(&dir.join("train"))?;
    ensure!(classes.len() <= MOST_CLASSES, "{}: {} classes, at most {MOST_CLASSES} can be", dir.join("train").display(), classes.len());
    for class in self::classes(&dir.join(test))? {
        ensure!(classes.contains(&class), "{} is a class that {} lacks", dir.join(test).join(class).display(), dir.join("train").display());
    }
    let splits = [one_by_one(pictures(dir, "train", &classes)?), in_turn(pictures(dir, test, &classes)?)];
    let [train, test_images] = images(dir, splits, classes.len(), Demand { side: None, grey: Grey::Kept }, watch)?;
    let files = vec![told(&dir.join("train"), train.len()), told(&dir.join(test), test_images.len())];
    Ok(Contents { train, test: test_images, class_names: classes, files })
}

/// The names of the folders in a folder, sorted.
fn classes(folder: &Path) -> Result<Vec<String>> {
    let paths = listing(folder).map_err(|cause| fail!("cannot read the folder {}: {cause}; folder wants {SHAPE}", folder.display()))?;
    let names = paths.iter().filter(|path| path.is_dir()).filter_map(|path| path.file_name());
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    ensure!(!names.is_empty(), "{} has no folders, one a class is wanted: {SHAPE}", folder.display());
    Ok(names)
}

/// The pictures of every class, sorted; other files are passed over.
fn pictures(root: &Path, split: &str, classes: &[String]) -> Result<Vec<Vec<PathBuf>>> {
    let of = |class: &String| {
        let folder = Path::new(split).join(class);
        let shown = root.join(&folder);
        let paths =
            listing(&shown).map_err(|cause| fail!("cannot read the folder {}: {cause}; every class needs images", shown.display()))?;
        let known = |path: &PathBuf| path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)));
        let names: Vec<PathBuf> = paths.iter().filter(|path| known(path)).filter_map(|path| Some(folder.join(path.file_name()?))).collect();
        ensure!(!names.is_empty(), "the folder {} has no images (.{}); every class needs some", shown.display(), ENDINGS.join(", ."));
        Ok(names)
    };
    classes.iter().map(of).collect()
}

/// Class after class.
fn one_by_one(classes: Vec<Vec<PathBuf>>) -> Split {
    let labels = classes.iter().enumerate().flat_map(|(label, files)| files.iter().map(move |_| label as u16)).collect();
    Split { labels, files: classes.into_iter().flatten().collect() }
}

/// The first image of every class, the second of every class, …
fn in_turn(classes: Vec<Vec<PathBuf>>) -> Split {
    let mut places: Vec<(usize, u16, PathBuf)> = Vec::new();
    for (label, files) in classes.into_iter().enumerate() {
        places.extend(files.into_iter().enumerate().map(|(place, file)| (place, label as u16, file)));
    }
    places.sort_by_key(|(place, label, _)| (*place, *label));
    let mut split = Split::default();
    for (_, label, file) in places {
        split.labels.push(label);
        split.files.push(file);
    }
    split
}
