//! Build-time facts: the commit, and the recipes that the program carries.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// `CALTROP_COMMIT`: the short hash, or "unknown" outside a git checkout.
pub fn commit() {
    let git = |args: &[&str]| {
        let out = Command::new("git").args(args).output().ok().filter(|out| out.status.success())?;
        String::from_utf8(out.stdout).ok().map(|text| text.trim().to_string())
    };
    let hash = git(&["rev-parse", "--short=9", "HEAD"]).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=CALTROP_COMMIT={hash}");
    // HEAD moves with a checkout, the log of HEAD with every commit.
    for path in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", path]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

/// `recipes.rs`: tables of (name, text) of the recipes, `recipes/*.toml`, and of the parts that they inherit,
/// `recipes/common/*.toml`; both sorted.
pub fn recipes() {
    println!("cargo::rerun-if-changed=recipes"); // every file below it
    let table = [
        carried("RECIPES", "Name and text of every recipe that the program carries.", "recipes"),
        carried("COMMON", "Name and text of what several of them inherit, no recipes by themselves.", "recipes/common"),
    ];
    let out = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("recipes.rs"), table.concat()).expect("OUT_DIR is writable");
}

/// The constant `name` with the TOML files of `folder`.
fn carried(name: &str, doc: &str, folder: &str) -> String {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let mut stems: Vec<String> = fs::read_dir(Path::new(&root).join(folder))
        .expect("the folder recipes is part of the sources")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(".toml").map(str::to_string))
        .collect();
    stems.sort();
    let mut table = format!("/// {doc}\npub const {name}: &[(&str, &str)] = &[\n");
    for stem in stems {
        writeln!(table, "    ({stem:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{folder}/{stem}.toml\"))),")
            .expect("a string grows");
    }
    table + "];\n"
}
