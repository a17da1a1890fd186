//! The table of allowed imports: a room imports only rooms on lower floors, and the special rules below.
//!
//! Comments and strings are dropped, then every path that starts at the crate root (`crate::ROOM`,
//! `use crate::{a, b::c}`, `caltrop::ROOM`, or enough `super::` to climb there) is judged, unit tests included.

use std::collections::BTreeSet;
use std::path::Path;

/// Every room and its floor. A new folder or file directly under src/ must be entered here.
const FLOORS: [(&str, u32); 20] = [
    ("base", 0),
    ("data", 1),
    ("record", 1),
    ("device", 1),
    ("tensor", 2),
    ("ops", 3),
    ("autodiff", 4),
    ("nn", 5),
    ("loss", 5),
    ("zoo", 6),
    ("attack", 6),
    ("optim", 6),
    ("convert", 7),
    ("checkpoint", 7),
    ("drive", 8),
    ("selftest", 8),
    ("bench", 9),
    ("probe", 9),
    ("report", 9),
    ("cli", 10),
];

/// Rooms that may import only some of the lower ones: (room, the only rooms it may import, why).
const ONLY: [(&str, &[&str], &str); 3] = [
    ("data", &["base"], "data is host arrays and has never heard of a device"),
    ("record", &["base"], "the schema stands alone, so that anything can write and read it"),
    ("report", &["base", "record"], "a report is made from records alone"),
];

/// Pairs that the floors would allow: (room, forbidden import, why).
const NEVER: [(&str, &str, &str); 2] =
    [("attack", "nn", "an attack knows only a Victim"), ("attack", "zoo", "an attack knows only a Victim")];

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// Why `room` may not import `other`, or `None` where it may.
fn objection(room: &str, other: &str) -> Option<String> {
    if room == other {
        return None;
    }
    let Some(there) = floor(other) else {
        return Some(format!(
            "{room} imports crate::{other}: {other} is no room in the table of tests/floors.rs; import from the room that owns it"
        ));
    };
    // The crate's roots (main.rs, lib.rs) stand above every floor.
    let here = floor(room)?;
    let ban = |why: &str| Some(format!("{room} (floor {here}) imports {other} (floor {there}): {why}"));
    if let Some((_, _, why)) = NEVER.iter().find(|(r, o, _)| (*r, *o) == (room, other)) {
        return ban(why);
    }
    if let Some((_, allowed, why)) = ONLY.iter().find(|(r, _, _)| *r == room) {
        return if allowed.contains(&other) { None } else { ban(why) };
    }
    if there < here { None } else { ban("a room imports only rooms on lower floors") }
}

/// Every offence in the source `text` of the file `path` (from the crate root, such as `src/attack/pgd.rs`).
fn offences(path: &str, text: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut modules: Vec<&str> = inside.split('/').filter(|part| *part != "mod").collect();
    if ["lib", "main"].contains(&inside) {
        modules.clear();
    }
    let room = modules.first().copied().unwrap_or("the crate root");
    imports(text, modules.len())
        .into_iter()
        .filter_map(|(line, other)| objection(room, &other).map(|why| format!("{path}:{line}: {why}")))
        .collect()
}

/// (line, first name) of every path from the crate root, in a file whose module lies `depth` below the root.
fn imports(text: &str, depth: usize) -> Vec<(usize, String)> {
    let tokens = tokens(text);
    let word = |i: usize| tokens.get(i).map_or("", |(_, t)| t.as_str());
    let mut found = Vec::new();
    let mut braces: Vec<bool> = Vec::new(); // open braces; true where an inline module opened one
    let mut i = 0;
    while i < tokens.len() {
        match word(i) {
            "{" => braces.push(i >= 2 && word(i - 2) == "mod"),
            "}" => drop(braces.pop()),
            "crate" | "caltrop" if word(i + 1) == "::" && (i == 0 || word(i - 1) != "::") => heads(&tokens, i + 2, &mut found),
            "super" if word(i + 1) == "::" && (i == 0 || word(i - 1) != "::") => {
                let mut supers = 0;
                while word(i) == "super" && word(i + 1) == "::" {
                    (supers, i) = (supers + 1, i + 2);
                }
                if supers == depth + braces.iter().filter(|module| **module).count() && supers > 0 {
                    heads(&tokens, i, &mut found);
                }
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// The first names at `start`: one, or each of a `{…}` group.
fn heads(tokens: &[(usize, String)], start: usize, found: &mut Vec<(usize, String)>) {
    let Some((line, first)) = tokens.get(start) else { return };
    if first != "{" {
        // `crate::__macro` is what an exported macro is called at the root; anything else must be a room.
        if !first.starts_with("__") {
            found.push((*line, first.clone()));
        }
        return;
    }
    let (mut nesting, mut fresh) = (0, true);
    for (line, token) in &tokens[start..] {
        match token.as_str() {
            "{" => nesting += 1,
            "}" => nesting -= 1,
            "," if nesting == 1 => fresh = true,
            name if nesting == 1 && fresh => {
                found.push((*line, name.to_string()));
                fresh = false;
            }
            _ => {}
        }
        if nesting == 0 {
            return;
        }
    }
}

/// Words, `::` and single characters, each with its line; comments, strings and characters dropped.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let c: Vec<char> = text.chars().collect();
    let at = |i: usize| c.get(i).copied().unwrap_or('\0');
    let is_word = |ch: char| ch.is_alphanumeric() || ch == '_';
    let mut out: Vec<(usize, String)> = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < c.len() {
        let start = i;
        match c[i] {
            '/' if at(i + 1) == '/' => {
                while i < c.len() && c[i] != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut nesting = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (nesting, i) = (nesting + 1, i + 2),
                        ('*', '/') => (nesting, i) = (nesting - 1, i + 2),
                        _ => i += 1,
                    }
                    if nesting == 0 || i >= c.len() {
                        break;
                    }
                }
            }
            '"' => i = string_end(&c, i),
            // 'x' and '\n' are characters; 'a without a closing quote is a lifetime.
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < c.len() && c[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            ch if is_word(ch) => {
                while is_word(at(i)) {
                    i += 1;
                }
                let word: String = c[start..i].iter().collect();
                let hashes = (i..).take_while(|&j| at(j) == '#').count();
                if ["r", "br", "cr"].contains(&word.as_str()) && at(i + hashes) == '"' {
                    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                    i += hashes + 1;
                    while i < c.len() && !c[i..].starts_with(&close) {
                        i += 1;
                    }
                    i = (i + close.len()).min(c.len());
                } else if word == "r" && at(i) == '#' {
                    i += 1; // a raw identifier: the word follows
                } else {
                    out.push((line, word));
                }
            }
            ':' if at(i + 1) == ':' => {
                out.push((line, "::".into()));
                i += 2;
            }
            ch => {
                if !ch.is_whitespace() {
                    out.push((line, ch.to_string()));
                }
                i += 1;
            }
        }
        i = i.min(c.len());
        line += c[start..i].iter().filter(|ch| **ch == '\n').count();
    }
    out
}

/// The index behind the closing quote of the string that opens at `i`.
fn string_end(c: &[char], mut i: usize) -> usize {
    i += 1;
    while i < c.len() && c[i] != '"' {
        i += if c[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// Every .rs file below `folder`, with its path from the crate root.
fn sources(folder: &Path, from: &str, found: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).expect("src is readable").map(|e| e.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        let name = format!("{from}/{}", path.file_name().expect("a name").to_string_lossy());
        if path.is_dir() {
            sources(&path, &name, found);
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
            found.push((name, text));
        }
    }
}

#[test]
fn every_room_imports_only_what_the_table_allows() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "src", &mut files);
    assert!(files.len() > 2, "no sources found");
    let offences: Vec<String> = files.iter().flat_map(|(path, text)| offences(path, text)).collect();
    assert!(offences.is_empty(), "the floors are broken:\n{}", offences.join("\n"));
}

/// Whether the file `path` may touch memory of the device as the host sees it.
fn may_read_host_memory(path: &str) -> bool {
    ["src/device/", "src/ops/"].iter().any(|room| path.starts_with(room)) || path == "src/tensor.rs"
}

#[test]
fn nothing_above_ops_reads_host_memory() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "src", &mut files);
    let reads = |text: &str| {
        let tokens = tokens(text);
        let word = |i: usize| tokens.get(i).map_or("", |(_, token)| token.as_str());
        (0..tokens.len())
            .find(|&i| word(i) == "." && ["host", "host_mut"].contains(&word(i + 1)) && word(i + 2) == "(")
            .map(|i| tokens[i].0)
    };
    assert_eq!((reads("let a = b.host();"), reads("// b.host()\nb.to_vec().host_mut()")), (Some(1), Some(2)));
    let offences = files.iter().filter(|(path, _)| !may_read_host_memory(path));
    let offences: Vec<String> = offences.filter_map(|(path, text)| reads(text).map(|line| format!("{path}:{line}"))).collect();
    assert!(offences.is_empty(), "these read host memory (a device may have none): {offences:?}; use to_vec, or make it an op");
}

#[test]
fn every_room_is_in_the_table() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms: BTreeSet<String> = std::fs::read_dir(src)
        .expect("src is readable")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().trim_end_matches(".rs").to_string())
        .collect();
    let unlisted: Vec<&String> = rooms.iter().filter(|room| !["lib", "main"].contains(&room.as_str()) && floor(room).is_none()).collect();
    assert!(unlisted.is_empty(), "src has rooms that are not in the table of tests/floors.rs: {unlisted:?}");
}

#[test]
fn the_checker_names_who_broke_what() {
    let text = "//! use crate::zoo;\n\nuse crate::nn::Model;\n";
    assert_eq!(
        offences("src/attack/pgd.rs", text),
        ["src/attack/pgd.rs:3: attack (floor 6) imports nn (floor 5): an attack knows only a Victim"]
    );
    assert_eq!(
        offences("src/ops/conv/mod.rs", "fn f() { crate::nn::g() }"),
        ["src/ops/conv/mod.rs:1: ops (floor 3) imports nn (floor 5): a room imports only rooms on lower floors"]
    );
    assert_eq!(
        offences("src/report/html.rs", "use crate::drive::X;"),
        ["src/report/html.rs:1: report (floor 9) imports drive (floor 8): a report is made from records alone"]
    );
    assert!(offences("src/nn/mod.rs", "use crate::loss;")[0].contains("lower floors"), "a room on the same floor");
    assert!(offences("src/nn/mod.rs", "use crate::Model;")[0].contains("no room in the table"), "a re-export at the root");
    assert!(offences("src/main.rs", "use caltrop::basement;")[0].contains("no room in the table"));
}

#[test]
fn the_checker_sees_groups_supers_and_tests() {
    let rooms = |path: &str, text: &str| offences(path, text).len();
    assert_eq!(rooms("src/tensor.rs", "use crate::{base::{Error, Shape}, ops::conv, device,\n nn::{self, Model}};"), 2);
    assert_eq!(rooms("src/tensor.rs", "pub(crate) use caltrop::drive;"), 1);
    assert_eq!(rooms("src/ops/mod.rs", "use super::nn;"), 1);
    assert_eq!(rooms("src/ops/conv/mod.rs", "use super::super::{nn, base};"), 1);
    assert_eq!(rooms("src/ops/conv/cpu.rs", "use super::super::super::nn;"), 1);
    assert_eq!(rooms("src/ops/mod.rs", "#[cfg(test)] mod tests { use crate::nn; use super::super::zoo; }"), 2);
    assert_eq!(rooms("src/data/mod.rs", "use crate::device::Device;"), 1);
    assert_eq!(rooms("src/ops/mod.rs", "use crate::*;"), 1);
}

#[test]
fn the_checker_passes_what_is_allowed() {
    let none = |path: &str, text: &str| assert_eq!(offences(path, text), Vec::<String>::new(), "{text}");
    none("src/attack/pgd.rs", "use crate::{base::rng, ops::{pixels, softmax}, tensor::Tensor, attack::Victim};");
    none("src/cli/mod.rs", "use crate::drive; use crate::report; use crate::base::{fail};");
    none("src/main.rs", "use caltrop::cli; fn main() { caltrop::cli::run() }");
    none("src/ops/mod.rs", "// use crate::nn;\n/* crate::nn /* crate::zoo */ crate::zoo */ let s = \"crate::nn \\\" crate::nn\";");
    none("src/ops/mod.rs", "let s = r#\"crate::nn \" crate::nn\"#; let c = '\"'; let d = '\\''; fn f<'a>(x: &'a str) {}");
    none("src/ops/mod.rs", "use other_crate::nn; use serde::crate_nn; crate::__fail!(\"x\");");
    none("src/ops/conv/mod.rs", "use super::nn; mod tests { use super::super::nn; use super::*; }");
    none("src/ops/conv/mod.rs", "struct nn { loss: u32 } impl nn { fn f() { if x { super::nn() } } }");
    none("src/ops/conv/mod.rs", "pub(super) fn f() {} pub(crate) fn g() {}");
    none("src/lib.rs", "pub mod base; pub mod nn; pub use crate::base::Error;");
}
