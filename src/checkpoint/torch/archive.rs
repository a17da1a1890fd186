//! The zip archive: entries `PREFIX/data.pkl`, `PREFIX/data/KEY`, `PREFIX/byteorder`; the prefix is anything.

use super::CURE;
use crate::base::{Error, Result, ensure, fail};
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// How much more than the file a whole archive may unpack to: weights hardly shrink, a trap shrinks a thousandfold.
const GROWTH: u64 = 16;
/// But so much always: a file of zeros is no trap.
const SMALL: u64 = 1 << 26;

/// Byte order of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endian {
    Little,
    Big,
}

pub struct Archive<'b> {
    zip: ZipArchive<Cursor<&'b [u8]>>,
    prefix: String,
    pub endian: Endian,
    /// Bytes that may still be unpacked.
    left: u64,
}

fn broken(cause: &dyn std::fmt::Display) -> Error {
    fail!("no whole PyTorch file ({cause}); copy or download it again")
}

impl<'b> Archive<'b> {
    pub fn open(bytes: &'b [u8]) -> Result<Archive<'b>> {
        // The table of contents is an archive's end.
        let cut = |cause| broken(&format!("truncated: {} bytes without the end of its archive, {cause}", bytes.len()));
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(cut)?;
        let names: Vec<String> = (0..zip.len()).filter_map(|index| Some(zip.name_for_index(index)?.ok()?.into_owned())).collect();
        let prefix =
            names.iter().find_map(|name| name.strip_suffix("data.pkl").filter(|prefix| prefix.is_empty() || prefix.ends_with('/')));
        let prefix = prefix.ok_or_else(|| fail!("a zip archive without data.pkl, so no file of torch.save; {CURE}"))?.to_string();
        let left = (bytes.len() as u64).saturating_mul(GROWTH).max(SMALL);
        let mut archive = Archive { zip, prefix, endian: Endian::Little, left };
        ensure!(!archive.has("constants.pkl"), "a TorchScript archive, which is a program; {CURE}");
        if archive.has("byteorder") {
            archive.endian = match archive.entry("byteorder")?.trim_ascii() {
                b"little" => Endian::Little,
                b"big" => Endian::Big,
                other => return Err(fail!("the byte order \"{}\" is neither little nor big", String::from_utf8_lossy(other))),
            };
        }
        Ok(archive)
    }

    /// The pickle that names the tensors.
    pub fn pickle(&mut self) -> Result<Vec<u8>> {
        self.entry("data.pkl")
    }

    /// The bytes of storage `key`.
    pub fn storage(&mut self, key: &str) -> Result<Vec<u8>> {
        self.entry(&format!("data/{key}"))
    }

    fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(&format!("{}{name}", self.prefix)).is_some()
    }

    fn entry(&mut self, name: &str) -> Result<Vec<u8>> {
        let whole = format!("{}{name}", self.prefix);
        let entry = self.zip.by_name(&whole).map_err(|cause| broken(&format!("{whole}: {cause}")))?;
        let size = entry.size();
        ensure!(size <= self.left, "{whole} would unpack to {size} bytes, far more than the file has; save it again without compression");
        let mut bytes = Vec::new();
        entry.take(size.saturating_add(1)).read_to_end(&mut bytes).map_err(|cause| broken(&format!("{whole}: {cause}")))?;
        if bytes.len() as u64 != size {
            return Err(broken(&format!("{whole} has {} bytes where {size} are announced", bytes.len())));
        }
        self.left -= size;
        Ok(bytes)
    }
}
