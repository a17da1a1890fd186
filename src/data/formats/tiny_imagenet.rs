//! Tiny ImageNet: `wnids.txt` names the classes, `train/WNID/images/*.JPEG` are the training images, `val/` the test images,
//! whose classes `val_annotations.txt` tells, or a folder a class.
//!
//! Classes are numbered in the alphabetical order of their WordNet ids, as torchvision's ImageFolder does and so the public
//! checkpoints, not in the order of `wnids.txt`. Test images are in the order of their numbers in either layout.

use super::pictures::{Demand, Grey, Split, images};
use super::{Contents, Wanted, listing, told, whole};
use crate::base::watch::Watch;
use crate::base::{Error, Result, ensure, fail};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Rows and columns of an image.
const SIDE: usize = 64;
/// More classes than this are another file.
const MOST_CLASSES: usize = 10_000;
const MOST_TEXT: u64 = 1 << 26;
const AGAIN: &str = "unpack tiny-imagenet-200.zip again";

/// The file that marks the folder.
pub(in crate::data) fn wanted(origin: &str) -> Wanted<'_> {
    Wanted {
        set: "tinyimagenet",
        files: &["wnids.txt"],
        endings: &[""],
        below: &["tiny-imagenet-200", "tinyimagenet"],
        archives: &["tiny-imagenet-200.zip"],
        origin,
    }
}

/// Reads the set in `dir` or below it, from the cache where that fits.
///
/// # Errors
/// One line with the file and the cure: files that are missing or empty, unknown classes, pictures that are corrupt or not
/// 64x64; an interrupt.
pub(in crate::data) fn read(dir: &Path, origin: &str, watch: &dyn Watch) -> Result<Contents> {
    let list = wanted(origin).find(dir)?.swap_remove(0);
    let root = list.parent().unwrap_or(dir).to_path_buf();
    let wnids = wnids(&list)?;
    let labels: HashMap<&str, u16> = wnids.iter().enumerate().map(|(label, wnid)| (wnid.as_str(), label as u16)).collect();
    let train = by_class(&root, "train", &wnids)?;
    let annotations = root.join("val/val_annotations.txt");
    let test = if annotations.is_file() { annotated(&root, &annotations, &labels)? } else { by_class(&root, "val", &wnids)? };
    let test = in_order_of_numbers(test);
    let class_names = names(&root.join("words.txt"), &wnids)?;
    let demand = Demand { side: Some([SIDE, SIDE]), grey: Grey::Expanded };
    let [train, test] = images(&root, [train, test], wnids.len(), demand, watch)?;
    let files = vec![told(&root.join("train"), train.len()), told(&root.join("val"), test.len())];
    Ok(Contents { train, test, class_names, files })
}

/// The ids of the classes, sorted.
fn wnids(path: &Path) -> Result<Vec<String>> {
    let name = path.display();
    let mut wnids: Vec<String> = text(path)?.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect();
    let is_wnid = |wnid: &String| wnid.starts_with('n') && wnid.len() > 1 && wnid[1..].bytes().all(|byte| byte.is_ascii_digit());
    if let Some(line) = wnids.iter().position(|wnid| !is_wnid(wnid)) {
        let found: String = wnids[line].chars().take(40).collect();
        return Err(fail!("{name}: \"{found}\" is no WordNet id such as n01443537; {AGAIN}"));
    }
    ensure!((1..=MOST_CLASSES).contains(&wnids.len()), "{name}: {} classes, 200 are official; {AGAIN}", wnids.len());
    wnids.sort_unstable();
    if let Some(twice) = wnids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(fail!("{name}: {} stands there twice; {AGAIN}", twice[0]));
    }
    Ok(wnids)
}

/// The pictures in `split/WNID/images/` or `split/WNID/` of every class.
fn by_class(root: &Path, split: &str, wnids: &[String]) -> Result<Split> {
    let mut found = Split::default();
    for (label, wnid) in wnids.iter().enumerate() {
        let class = Path::new(split).join(wnid);
        let nested = class.join("images");
        let folder = if root.join(&nested).is_dir() { nested } else { class };
        let names = jpegs(&root.join(&folder))?;
        found.labels.extend(names.iter().map(|_| label as u16));
        found.files.extend(names.into_iter().map(|name| folder.join(name)));
    }
    Ok(found)
}

/// The names of the pictures in a folder, which has some.
fn jpegs(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths = listing(folder).map_err(|cause| fail!("cannot read the folder {}: {cause}; {AGAIN}", folder.display()))?;
    let is_jpeg =
        |path: &PathBuf| path.extension().is_some_and(|ending| ["jpeg", "jpg"].iter().any(|known| ending.eq_ignore_ascii_case(known)));
    let names: Vec<PathBuf> = paths.into_iter().filter(is_jpeg).filter_map(|path| path.file_name().map(PathBuf::from)).collect();
    ensure!(!names.is_empty(), "the folder {} has no .JPEG files; {AGAIN}", folder.display());
    Ok(names)
}

/// The pictures in `val/images/` that the annotations name: a line each of file, class, box, apart by tabs.
fn annotated(root: &Path, path: &Path, labels: &HashMap<&str, u16>) -> Result<Split> {
    let (name, folder) = (path.display(), Path::new("val/images"));
    let there: HashSet<PathBuf> = jpegs(&root.join(folder))?.into_iter().collect();
    let mut found = Split::default();
    for (index, line) in text(path)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut words = line.split('\t');
        let (file, wnid) = (words.next().unwrap_or_default().trim(), words.next().unwrap_or_default().trim());
        let Some(&label) = labels.get(wnid) else {
            return Err(fail!("{name}: line {} is of class \"{wnid}\", which wnids.txt does not have; {AGAIN}", index + 1));
        };
        ensure!(there.contains(Path::new(file)), "{} has no {file}, which {name} names; {AGAIN}", root.join(folder).display());
        found.files.push(folder.join(file));
        found.labels.push(label);
    }
    let (annotated, there) = (found.files.len(), there.len());
    ensure!(annotated == there, "{name} names {annotated} images, {} has {there}; {AGAIN}", root.join(folder).display());
    Ok(found)
}

/// By the length of the files' names, then by the names: val_2.JPEG before val_10.JPEG, wherever they lie.
fn in_order_of_numbers(split: Split) -> Split {
    let mut pairs: Vec<(PathBuf, u16)> = split.files.into_iter().zip(split.labels).collect();
    pairs.sort_by_cached_key(|(path, _)| {
        let name = path.file_name().map(std::ffi::OsStr::to_os_string).unwrap_or_default();
        (name.len(), name)
    });
    let (files, labels) = pairs.into_iter().unzip();
    Split { files, labels }
}

/// The first name that `words.txt` gives each class; its id where there is none.
fn names(path: &Path, wnids: &[String]) -> Result<Vec<String>> {
    let text = if path.is_file() { text(path)? } else { String::new() };
    let words: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    let name = |wnid: &String| words.get(wnid.as_str()).and_then(|names| names.split(',').next()).unwrap_or(wnid).trim().to_string();
    Ok(wnids.iter().map(name).collect())
}

fn text(path: &Path) -> Result<String> {
    let bytes = whole(path, MOST_TEXT, "a list")?;
    String::from_utf8(bytes).map_err(|_| Error::failed(format!("{}: not a text file; {AGAIN}", path.display())))
}
