//! An archive's one folder, whole or not there.

use super::{Holds, interrupted};
use crate::base::watch::{self, Watch};
use crate::base::{Error, Result, ensure, fail};
use flate2::read::GzDecoder;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

/// Unpacks `archive` to the folder `target`, by way of a hidden one beside it.
///
/// # Errors
/// One line: an entry that leaves the folder or is neither file nor folder, a broken archive, a full disk; then nothing of the
/// folder is there. An interrupt says how to go on.
pub(super) fn unpack(archive: &Path, holds: Holds, target: &Path, watch: &dyn Watch) -> Result<()> {
    let hidden = target.with_file_name(format!(".{}.tmp", target.file_name().unwrap_or_default().to_string_lossy()));
    let cleared = if hidden.exists() { fs::remove_dir_all(&hidden) } else { Ok(()) };
    cleared.and_then(|()| fs::create_dir(&hidden)).map_err(|cause| Error::io("cannot write", &hidden, &cause))?;
    let place = Place { archive, hidden: &hidden };
    let done = match holds {
        Holds::Itself => Ok(()),
        Holds::TarGz(top) => place.tar(top, watch),
        Holds::Zip(top) => place.zip(top, watch),
    };
    let done = done.and_then(|()| fs::rename(&hidden, target).map_err(|cause| Error::io("cannot write", target, &cause)));
    if done.is_err() {
        let _ = fs::remove_dir_all(&hidden); // best effort: the error that matters is in `done`
    }
    done
}

/// From where to where.
struct Place<'a> {
    archive: &'a Path,
    hidden: &'a Path,
}

impl Place<'_> {
    fn open(&self) -> Result<File> {
        File::open(self.archive).map_err(|cause| Error::io("cannot read", self.archive, &cause))
    }

    fn broken(&self, cause: impl std::fmt::Display) -> Error {
        fail!("{}: cannot unpack it: {cause}; if there is room, remove it to download it again", self.archive.display())
    }

    fn tar(&self, top: &str, watch: &dyn Watch) -> Result<()> {
        watch.begin(&format!("unpack {top}"), 0);
        let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(self.open()?)));
        for entry in tar.entries().map_err(|cause| self.broken(cause))? {
            let mut entry = entry.map_err(|cause| self.broken(cause))?;
            let path = entry.path().map_err(|cause| self.broken(cause))?.into_owned();
            let kind = entry.header().entry_type();
            let kind = if kind.is_dir() {
                Kind::Folder
            } else if kind.is_file() {
                Kind::File
            } else {
                Kind::Other
            };
            self.entry(&path, top, kind, &mut entry)?;
        }
        Ok(())
    }

    fn zip(&self, top: &str, watch: &dyn Watch) -> Result<()> {
        let mut zip = zip::ZipArchive::new(BufReader::new(self.open()?)).map_err(|cause| self.broken(cause))?;
        watch.begin(&format!("unpack {top}"), zip.len() as u64);
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).map_err(|cause| self.broken(cause))?;
            let path = PathBuf::from(entry.name().map_err(|cause| self.broken(cause))?.as_ref());
            let kind = if entry.is_dir() {
                Kind::Folder
            } else if entry.is_symlink() {
                Kind::Other
            } else {
                Kind::File
            };
            self.entry(&path, top, kind, &mut entry)?;
            watch.advance(1);
        }
        Ok(())
    }

    /// One entry, the folder `top` of whose path becomes the hidden one.
    fn entry(&self, path: &Path, top: &str, kind: Kind, content: &mut impl Read) -> Result<()> {
        watch::check().map_err(|_| interrupted(self.archive, "it is downloaded, not unpacked"))?;
        let mut below = path.components().filter(|part| *part != Component::CurDir);
        let inside =
            below.next() == Some(Component::Normal(top.as_ref())) && below.clone().all(|part| matches!(part, Component::Normal(_)));
        ensure!(inside, "{}: \"{}\" lies outside its folder {top}; take it from the official site", self.archive.display(), path.display());
        ensure!(kind != Kind::Other, "{}: \"{}\" is neither file nor folder", self.archive.display(), path.display());
        let to = self.hidden.join(below.collect::<PathBuf>());
        let written = match kind {
            Kind::File => to
                .parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| File::create(&to))
                .and_then(|mut file| io::copy(content, &mut file)),
            _ => fs::create_dir_all(&to).map(|()| 0),
        };
        written.map(drop).map_err(|cause| self.broken(format!("{}: {cause}", path.display())))
    }
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Other,
}
