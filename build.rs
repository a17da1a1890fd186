//! What only the build knows: the commit, the recipes, and the kernels: their table, their CUDA fatbins where nvcc is found,
//! their emulator where a C++ compiler is found. Neither is needed to build; the devices say at run time what is missing.

#[path = "build/compile.rs"]
mod compile;
#[path = "build/emulator.rs"]
mod emulator;
#[path = "build/facts.rs"]
mod facts;
#[path = "build/nvcc.rs"]
mod nvcc;
#[path = "build/table.rs"]
mod table;

use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    facts::commit();
    facts::recipes();
    if let Err(message) = kernels() {
        eprintln!("{message}");
        process::exit(1);
    }
}

/// Compiles `kernels/` and writes `kernels.rs`, which `src/device/gpu` includes.
fn kernels() -> Result<(), String> {
    println!("cargo::rerun-if-changed=kernels"); // a folder: every file below it
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let sources = files(&root.join("kernels"), "cu");
    let mut kernels = Vec::new();
    for source in &sources {
        let text = fs::read_to_string(source).map_err(|error| format!("{}: {error}", source.display()))?;
        kernels.extend(table::scan(&compile::stem(source), &text)?);
    }
    table::no_twins(&kernels)?;

    // Every profile, and clippy, has an OUT_DIR of its own; what the compilers make is the same for all.
    let shared = out.ancestors().nth(4).unwrap_or(&out).join("kernels");
    let nvcc = nvcc::Nvcc::find(&root);
    let emulator = emulator::Compilers::find(&root);
    let fatbins = nvcc.map(|nvcc| nvcc.jobs(&sources, &shared)).transpose()?.unwrap_or_default();
    let emulator = emulator.map(|compilers| compilers.jobs(&sources, &shared));
    compile::run(fatbins.iter().chain(emulator.iter().flat_map(|emulator| emulator.objects())))?;
    compile::run(emulator.iter().flat_map(|emulator| emulator.links()))?;

    let io = |error: io::Error| format!("{}: {error}", out.display());
    let mine = out.join("kernels");
    let _ = fs::remove_dir_all(&mine);
    fs::create_dir_all(&mine).map_err(io)?;
    let keep = |made: &Path, name: &str| {
        let path = mine.join(name);
        fs::copy(made, &path).map(|_| path).map_err(io)
    };
    let fatbins = fatbins.iter().zip(&sources).map(|(job, source)| keep(&job.output, &format!("{}.fatbin", compile::stem(source))));
    let fatbins = fatbins.collect::<Result<Vec<_>, _>>()?;
    let emulators = match emulator.as_ref().map(|emulator| emulator.libraries()) {
        Some([fast, checked]) => Some([keep(fast, "emulator.so")?, keep(checked, "checked.so")?]),
        None => None,
    };
    fs::write(out.join("kernels.rs"), table::rust(&kernels, &fatbins, emulators.as_ref())).map_err(io)
}

/// The files of a folder with this extension, sorted; none where there is no folder.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}
