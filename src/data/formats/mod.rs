//! One file format a file: what lies in a folder → [`Contents`]. The readers trust no header: what one says is checked
//! before anything is allocated, and payloads grow as they arrive.

mod cache;
pub(super) mod cifar;
mod cifar_python;
pub(super) mod folder;
pub(super) mod idx;
mod mat;
mod pictures;
pub(super) mod svhn;
pub(super) mod tiny_imagenet;

use super::Images;
use crate::base::{Error, Result, ensure, fail, nature};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// What the files of a data set hold.
pub(super) struct Contents {
    /// Training images.
    pub(super) train: Images,
    /// Test images.
    pub(super) test: Images,
    /// The name of each class; empty where the files do not say.
    pub(super) class_names: Vec<String>,
    /// What was read, for people: a line a file or folder.
    pub(super) files: Vec<String>,
}

/// The files that make a data set, and where they may lie.
pub(super) struct Wanted<'a> {
    /// The set's name.
    pub(super) set: &'a str,
    /// The files, all of them needed.
    pub(super) files: &'a [&'a str],
    /// What may stand behind a file's name: nothing, or the ending of a packing.
    pub(super) endings: &'a [&'a str],
    /// Folders below the data folder where they may lie, after the data folder itself.
    pub(super) below: &'a [&'a str],
    /// The names of the archives that hold them as downloaded.
    pub(super) archives: &'a [&'a str],
    /// How to get them.
    pub(super) origin: &'a str,
}

impl Wanted<'_> {
    /// The paths of those files that are in `home`, in order.
    fn present(&self, home: &Path) -> Vec<PathBuf> {
        self.files.iter().filter_map(|file| self.path(home, file)).collect()
    }

    fn path(&self, home: &Path, file: &str) -> Option<PathBuf> {
        self.endings.iter().map(|ending| home.join(format!("{file}{ending}"))).find(|path| path.is_file())
    }

    /// The folder in or below `dir` that has the most of the files, the first of equals; none where there is no file.
    pub(super) fn home(&self, dir: &Path) -> Option<PathBuf> {
        let homes = std::iter::once(dir.to_path_buf()).chain(self.below.iter().map(|below| dir.join(below)));
        let counted = homes.map(|home| (self.present(&home).len(), home)).filter(|(count, _)| *count > 0);
        counted.min_by_key(|(count, _)| Reverse(*count)).map(|(_, home)| home)
    }

    /// The paths of all the files, in order.
    ///
    /// # Errors
    /// `dir` cannot be read, is empty, or lacks files, all of which are named; an archive that was not unpacked.
    pub(super) fn find(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let packing = if self.endings.len() > 1 { ", each plain or with .gz" } else { "" };
        let wanted = || format!("{} wants {} in it{packing} ({})", self.set, self.files.join(", "), self.origin);
        entries(dir, &wanted)?;
        let home = self.home(dir).unwrap_or_else(|| dir.to_path_buf());
        let missing: Vec<&str> = self.files.iter().filter(|file| self.path(&home, file).is_none()).copied().collect();
        if missing.is_empty() {
            return Ok(self.present(&home));
        }
        if let Some(archive) = self.archives.iter().map(|archive| dir.join(archive)).find(|path| path.is_file()) {
            return Err(packed(&archive));
        }
        Err(fail!("the data folder {} lacks {}; {}", home.display(), missing.join(", "), wanted()))
    }
}

/// The entries of the data folder `dir`, sorted.
///
/// # Errors
/// It cannot be read, is an archive, or is empty; `wanted` says what should be in it.
fn entries(dir: &Path, wanted: &dyn Fn() -> String) -> Result<Vec<PathBuf>> {
    if dir.is_file() {
        return Err(packed(dir));
    }
    let found = listing(dir).map_err(|cause| fail!("cannot read the data folder {}: {cause}; {}", dir.display(), wanted()))?;
    ensure!(!found.is_empty(), "the data folder {} is empty; {}", dir.display(), wanted());
    Ok(found)
}

/// The paths in a folder, hidden ones left out, sorted.
fn listing(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let paths = std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()?;
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let mut shown: Vec<PathBuf> = paths.into_iter().filter(|path| !hidden(path)).collect();
    shown.sort_unstable();
    Ok(shown)
}

/// The error of a file where a folder is wanted: most likely an archive as downloaded, or one of the folder's files.
pub(super) fn packed(file: &Path) -> Error {
    let home = file.parent().filter(|home| !home.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (name, dir) = (file.display(), home.display());
    match unpacking(file) {
        Some(Tool::Unzip) => fail!("{name} is an archive; unpack it first, then give the folder: unzip {name} -d {dir}"),
        Some(Tool::Tar) => fail!("{name} is an archive; unpack it first, then give the folder: tar -xf {name} -C {dir}"),
        None => fail!("the data folder {name} is a file; give the folder that holds the data set's files: {dir}"),
    }
}

/// An archive in the folder `dir`, the first by name, if there is one.
pub(super) fn archive_in(dir: &Path) -> Option<PathBuf> {
    listing(dir).ok()?.into_iter().find(|path| path.is_file() && unpacking(path).is_some())
}

/// What unpacks an archive.
enum Tool {
    Unzip,
    Tar,
}

/// What unpacks `file`, by its name; None: it is no archive. (A single file in .gz is read as it is.)
fn unpacking(file: &Path) -> Option<Tool> {
    const TAR: [&str; 7] = [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"];
    let name = file.to_string_lossy().to_lowercase();
    if name.ends_with(".zip") { Some(Tool::Unzip) } else { TAR.iter().any(|ending| name.ends_with(ending)).then_some(Tool::Tar) }
}

/// The bytes of a file that `what` says, at most `most` of them.
///
/// # Errors
/// It cannot be read or is larger.
fn whole(path: &Path, most: u64, what: &str) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).map_err(|cause| Error::io("cannot read", path, &cause))?.len();
    ensure!(size <= most, "{}: {size} bytes are too many for {what} (at most {most}); is this another file?", path.display());
    std::fs::read(path).map_err(|cause| Error::io("cannot read", path, &cause))
}

/// The error of a file that is something else than `wanted`, if its first bytes say so; else `otherwise`.
fn foreign(path: &Path, start: &[u8], wanted: &str, otherwise: impl FnOnce() -> Error) -> Error {
    match nature(start) {
        Some(nature) => fail!("{} is not {wanted} but {nature}; put the right file there", path.display()),
        None => otherwise(),
    }
}

/// Thousands apart by commas, as the data sets' pages write them.
pub fn commas(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

/// `PATH: 10,000 images`, a line of [`Contents::files`].
fn told(path: &Path, images: usize) -> String {
    format!("{}: {} image{}", path.display(), commas(images), if images == 1 { "" } else { "s" })
}
