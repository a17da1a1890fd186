//! Where results go: looked at before the work, written after it.

use super::say;
use crate::base::{Result, fail, file, usage};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is left out to mean the standard output, of `--json` alone.
fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// A look whether every result of `outputs` (flag and file) can be written, without losing another or one of the `inputs`.
///
/// Errors (usage): two of one name, one of an input's name, `-` for another than `--json`; a folder that takes no files.
pub fn check(outputs: &[(&str, Option<&Path>)], inputs: &[&Path]) -> Result<()> {
    let mut taken: Vec<(PathBuf, &str)> = inputs.iter().map(|path| (place(path), "an input")).collect();
    for (flag, path) in outputs.iter().filter_map(|(flag, path)| path.map(|path| (*flag, path))) {
        if is_stdout(path) {
            if flag == "--json" {
                continue;
            }
            return Err(usage!("{flag} -: only --json can go to the standard output; name a file"));
        }
        let here = place(path);
        // What is no regular file (a pipe, /dev/null) is written to, never replaced.
        if !here.exists() || here.is_file() {
            if let Some((_, other)) = taken.iter().find(|(known, _)| *known == here) {
                return Err(usage!("{flag} {}: {other} has this name already; choose another", path.display()));
            }
            taken.push((here, flag));
        }
        file::writable(path)?;
    }
    Ok(())
}

/// Where a path leads, as far as it exists.
fn place(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    path.canonicalize()
        .or_else(|_| Ok(folder.canonicalize()?.join(path.file_name().unwrap_or_default())))
        .unwrap_or_else(|_: std::io::Error| path.to_path_buf())
}

/// A look whether `--json` can be written.
pub fn writable(json: Option<&Path>) -> Result<()> {
    check(&[("--json", json)], &[])
}

/// Print the table, or the JSON where that is to go to the standard output; write the JSON to a file beside the table.
pub fn answer(result: &impl Serialize, json: Option<&Path>, table: impl Fn() -> String) -> Result<()> {
    let text = serde_json::to_string_pretty(result).map_err(|cause| fail!("json: {cause}"))?;
    match json {
        Some(path) if is_stdout(path) => return say(text),
        Some(path) => file::write(path, (text + "\n").as_bytes())?,
        None => {}
    }
    say(table().trim_end())
}
