//! Files that are either whole or not there.

use super::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Write `bytes` to `path`: to a temporary file beside it, fsynced, renamed over it. A target that exists and is
/// no regular file (a pipe, `/dev/stdout`) is written directly, never replaced.
///
/// Errors: the folder does not exist or cannot be written, the disk is full; then nothing is left behind.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_parts(path, &[bytes])
}

/// As [`write()`], of several pieces one after another, so that large ones need no copy.
///
/// Errors: as `write`.
pub fn write_parts(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let failed = |cause: std::io::Error| Error::failed(format!("cannot write {}: {cause}", path.display()));
    if path.is_dir() {
        return Err(Error::failed(format!("cannot write {}: it is a folder; name a file", path.display())));
    }
    if fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        let mut file = fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        return put(&mut file, parts).and_then(|()| file.flush()).map_err(failed);
    }
    let temporary = beside(path);
    let result = File::create(&temporary)
        .and_then(|mut file| put(&mut file, parts).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    settled(result, &temporary, path)
}

/// Give the file `from` the name `to` as well, in place of what has that name: as a hard link, or as a copy where the file
/// system knows none. The file must never be changed in place; [`write()`] replaces.
///
/// Errors: the folder cannot be written, the disk is full; then `to` is what it was.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    let temporary = beside(to);
    let _ = fs::remove_file(&temporary); // of a killed process with the same number
    let copied = || fs::copy(from, &temporary).and_then(|_| File::open(&temporary)?.sync_all());
    let result = fs::hard_link(from, &temporary).or_else(|_| copied()).and_then(|()| fs::rename(&temporary, to));
    let _ = fs::remove_file(&temporary); // renaming a file over itself does nothing
    settled(result, &temporary, to)
}

/// The end of a replacement of `path`: on success its folder is told to the disk, else the temporary file goes.
fn settled(result: std::io::Result<()>, temporary: &Path, path: &Path) -> Result<()> {
    match result {
        Ok(()) => {
            // A rename that a power cut undoes must not come before one that it keeps. Not every system opens folders.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
            Ok(())
        }
        Err(cause) => {
            let _ = fs::remove_file(temporary); // best effort: the error that matters is `cause`
            Err(Error::failed(format!("cannot write {}: {cause}", path.display())))
        }
    }
}

/// Remove the temporary files that killed writers left in `folder`, if it is there.
pub fn sweep(folder: &Path) {
    let left = |name: &str| name.starts_with('.') && name.ends_with(".tmp");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(left) {
            let _ = fs::remove_file(entry.path()); // what cannot be removed harms nobody
        }
    }
}

fn put(file: &mut File, parts: &[&[u8]]) -> std::io::Result<()> {
    parts.iter().try_for_each(|part| file.write_all(part))
}

/// Make the folder `path`, and check that files can be written there.
///
/// Errors: it cannot be made, is a file, or refuses files.
pub fn folder(path: &Path) -> Result<()> {
    let failed =
        |cause: std::io::Error| Error::failed(format!("cannot write to the folder {}: {cause}; choose another with --out", path.display()));
    fs::create_dir_all(path).map_err(failed)?;
    let probe = beside(&path.join("probe"));
    File::create(&probe).map_err(failed)?;
    fs::remove_file(&probe).map_err(failed)
}

/// Check that `path` can become a file: its folder exists and takes files.
pub fn writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::failed(format!("cannot write {}: it is a folder; name a file", path.display())));
    }
    if fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return Ok(());
    }
    let probe = beside(path);
    File::create(&probe).map_err(|cause| Error::failed(format!("cannot write {}: {cause}", path.display())))?;
    let _ = fs::remove_file(&probe); // it was there a moment ago
    Ok(())
}

/// Whether this process has `file` for itself against all that ask the same, until it is closed (however the process ends).
/// Where a file system has no locks, it has.
pub fn claim(file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// A name beside `path` that no other process uses.
fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}
