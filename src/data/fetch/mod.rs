//! Data sets from their official addresses: downloaded in part after part, checked, unpacked, whole or not there.
//!
//! `FILE.part` grows while a file is downloaded and is what the next call goes on from; once its size and MD5 sum are right
//! it is renamed to `FILE`. An archive is unpacked into a hidden folder beside its place, which is renamed when it is
//! complete; then the archive is removed. So whatever stops the program, the folder holds no data set that is not whole.

mod http;
mod packages;
mod unpack;

pub use packages::{PACKAGES, package};

use super::hex;
use crate::base::watch::{self, Watch};
use crate::base::{Error, Kind, Result, fail, file, usage};
use md5::{Digest, Md5};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The files of a data set.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// The data set's name.
    pub name: &'static str,
    /// The address that file names are put behind; ends with a slash.
    pub site: &'static str,
    /// The files.
    pub files: &'static [Remote],
}

/// A file as its site publishes it.
#[derive(Debug, Clone, Copy)]
pub struct Remote {
    /// Its name.
    pub name: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its MD5 sum, in lower-case hexadecimal digits.
    pub md5: &'static str,
    /// What is in it.
    pub holds: Holds,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It is read as it is.
    Itself,
    /// A gzipped tar archive of one folder of this name.
    TarGz(&'static str),
    /// A zip archive of one folder of this name.
    Zip(&'static str),
}

impl Remote {
    /// What is in the folder `dir` at the end.
    fn target(&self, dir: &Path) -> PathBuf {
        match self.holds {
            Holds::Itself => dir.join(self.name),
            Holds::TarGz(folder) | Holds::Zip(folder) => dir.join(folder),
        }
    }
}

/// Brings the files of `package` into the folder `dir`, from its site or from `mirror`, an address that file names are put
/// behind. What is there already stays; what is there in part is completed.
///
/// # Errors
/// A usage error for an address that is none. One line with the cure: no network, a server's refusal, a wrong size or sum
/// (the part is removed: it cannot be completed), a full disk, an unsafe archive, another process at the same file. An
/// interrupt says how to go on.
pub fn get(package: &Package, mirror: Option<&str>, dir: &Path, watch: &dyn Watch) -> Result<()> {
    let site = site(mirror.unwrap_or(package.site))?;
    file::folder(dir)?;
    for remote in package.files {
        one(remote, &site, dir, watch)?;
    }
    Ok(())
}

/// An address that names can be put behind.
fn site(address: &str) -> Result<String> {
    let Some(host) = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://")) else {
        return Err(usage!("--from {address}: must begin with http:// or https://"));
    };
    if host.is_empty() || host.starts_with('/') || address.contains(['?', '#', ' ']) {
        return Err(usage!("--from {address}: must be the address of a folder, such as https://mirror.org/cifar/"));
    }
    Ok(if address.ends_with('/') { address.into() } else { format!("{address}/") })
}

fn one(remote: &Remote, site: &str, dir: &Path, watch: &dyn Watch) -> Result<()> {
    let (whole, target) = (dir.join(remote.name), remote.target(dir));
    if target.is_dir() {
        watch.end(&format!("{} is there already", target.display()));
        return Ok(());
    }
    if whole.is_file() {
        let sum = checksum(&whole)?;
        if sum != remote.md5 {
            return Err(fail!("{}: its MD5 sum is {sum}, the published file's {}; remove it to download it", whole.display(), remote.md5));
        }
        if remote.holds == Holds::Itself {
            watch.end(&format!("{} is there already", whole.display()));
            return Ok(());
        }
    } else {
        download(remote, site, &whole, watch)?;
    }
    if remote.holds != Holds::Itself {
        unpack::unpack(&whole, remote.holds, &target, watch)?;
        std::fs::remove_file(&whole).map_err(|cause| Error::io("cannot remove", &whole, &cause))?;
        watch.end(&format!("{} is unpacked", target.display()));
    }
    Ok(())
}

/// `whole` from the site, by way of its part.
fn download(remote: &Remote, site: &str, whole: &Path, watch: &dyn Watch) -> Result<()> {
    let part = whole.with_file_name(format!("{}.part", remote.name));
    http::complete(&format!("{site}{}", remote.name), remote.bytes, &part, watch)?;
    let sum = checksum(&part)?;
    if sum != remote.md5 {
        let removed = std::fs::remove_file(&part).map_or("remove it", |()| "it is removed");
        return Err(fail!(
            "{}: its MD5 sum is {sum}, the published file's {}; {removed}, the same command downloads it again (--from URL takes a mirror)",
            part.display(),
            remote.md5
        ));
    }
    let settled = std::fs::File::open(&part).and_then(|file| file.sync_all()).and_then(|()| std::fs::rename(&part, whole));
    settled.map_err(|cause| Error::io("cannot write", whole, &cause))?;
    watch.end(&format!("{}: {} bytes, the MD5 sum is right", whole.display(), remote.bytes));
    Ok(())
}

/// The MD5 sum of a file.
pub fn checksum(path: &Path) -> Result<String> {
    let failed = |cause: std::io::Error| Error::io("cannot read", path, &cause);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let (mut sum, mut buffer) = (Md5::new(), vec![0; 1 << 20]);
    loop {
        watch::check().map_err(|_| interrupted(path, "it is being checked"))?;
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hex(&sum.finalize())),
            count => sum.update(&buffer[..count]),
        }
    }
}

/// The error of an interrupt, which loses nothing.
fn interrupted(path: &Path, state: &str) -> Error {
    Error::new(Kind::Interrupted, format!("interrupted; {}: {state}; the same command goes on from there", path.display()))
}
