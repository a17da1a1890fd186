//! The kernel table: what stands in the `KERNEL(...)` lines of `kernels/*.cu`, as Rust.

use std::collections::HashMap;
use std::path::PathBuf;

/// One `KERNEL(name, max_threads, min_blocks, arguments...)`.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    /// The `.cu` file it stands in, without folder and suffix.
    pub file: String,
    /// Declared arguments, in order, as written.
    pub args: Vec<String>,
    /// The largest block it may be launched with.
    pub threads: u32,
}

/// The kernels of one file, in order. A declaration starts at column 0 and may go on over lines up to its closing parenthesis.
pub fn scan(file: &str, text: &str) -> Result<Vec<Entry>, String> {
    let text = without_comments(text);
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let place = format!("kernels/{file}.cu:{}", index + 1);
        if !line.trim_start().starts_with("KERNEL(") {
            continue;
        }
        if !line.starts_with("KERNEL(") {
            return Err(format!("{place}: KERNEL( must start its line, the build reads it there"));
        }
        let inside = parenthesis(&lines[index..]).ok_or_else(|| format!("{place}: KERNEL( is not closed"))?;
        let mut words = inside.split(',').map(|word| word.split_whitespace().collect::<Vec<_>>().join(" "));
        let name = words.next().unwrap_or_default();
        if !identifier(&name) {
            return Err(format!("{place}: the kernel's name {name:?} is not a plain name"));
        }
        let threads = words.next().unwrap_or_default();
        let threads = threads.parse().ok().filter(|threads| (1..=1024).contains(threads));
        let threads = threads.ok_or_else(|| format!("{place}: {name}'s largest block must be a number, 1 to 1024"))?;
        words.next().ok_or_else(|| format!("{place}: {name} wants its fewest blocks a multiprocessor after its largest block"))?;
        found.push(Entry { name, file: file.to_string(), args: words.collect(), threads });
    }
    Ok(found)
}

/// Two kernels of one name would shadow each other at launch.
pub fn no_twins(kernels: &[Entry]) -> Result<(), String> {
    let mut seen = HashMap::new();
    for kernel in kernels {
        if let Some(other) = seen.insert(&kernel.name, &kernel.file) {
            return Err(format!("kernel {} stands twice: in kernels/{other}.cu and in kernels/{}.cu", kernel.name, kernel.file));
        }
    }
    Ok(())
}

/// `kernels.rs`: a static a kernel, all of them, the fatbins, the two emulators.
pub fn rust(kernels: &[Entry], fatbins: &[PathBuf], emulators: Option<&[PathBuf; 2]>) -> String {
    let statics: String = kernels.iter().map(one).collect();
    let all: Vec<String> = kernels.iter().map(|kernel| format!("&kernel::{}", kernel.name)).collect();
    let fatbins: String = fatbins
        .iter()
        .map(|path| format!("({:?}, &Aligned(*include_bytes!({path:?})).0), ", path.file_stem().unwrap_or_default()))
        .collect();
    let library = |index: usize| emulators.map_or("None".to_string(), |paths| format!("Some(include_bytes!({:?}))", paths[index]));
    format!(
        "/// Every kernel of `kernels/*.cu`.
#[allow(non_upper_case_globals)]
pub mod kernel {{
    use super::Kernel;
{statics}}}

/// All kernels.
pub static ALL: &[&Kernel] = &[{all}];

/// The driver may read a fatbin by whole words.
#[repr(C, align(16))]
#[allow(dead_code)] // without nvcc there is none
struct Aligned<T>(T);

/// Compiled kernels by file; empty when nvcc was not found at build time.
pub static FATBINS: &[(&str, &[u8])] = &[{fatbins}];

/// The emulator, a shared object; `None` when no C++ compiler was found at build time.
pub static EMULATOR: Option<&[u8]> = {fast};

/// The emulator that looks for races and strays, a shared object; `None` with the other.
pub static CHECKED: Option<&[u8]> = {checked};
",
        all = all.join(", "),
        fast = library(0),
        checked = library(1),
    )
}

fn one(Entry { name, file, args, threads }: &Entry) -> String {
    let value = format!("Kernel {{ name: c{name:?}, file: {file:?}, args: {}, threads: {threads} }}", args.len());
    let doc = format!("`kernels/{file}.cu`: `{name}({})`, blocks of up to {threads} threads.", args.join(", "));
    format!("    /// {doc}\n    pub static {name}: Kernel = {value};\n")
}

/// The same lines, comments left out.
fn without_comments(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(start) = rest.find("//").into_iter().chain(rest.find("/*")).min() {
        let end = if rest[start..].starts_with("//") { rest[start..].find('\n') } else { rest[start..].find("*/").map(|end| end + 2) };
        let (comment, after) = rest[start..].split_at(end.unwrap_or(rest.len() - start));
        code.push_str(&rest[..start]);
        code.extend(comment.chars().filter(|&sign| sign == '\n'));
        rest = after;
    }
    code + rest
}

/// What stands between the first `(` and its `)`.
fn parenthesis(lines: &[&str]) -> Option<String> {
    let text = lines.join("\n");
    let start = text.find('(')? + 1;
    let mut depth = 1;
    for (index, sign) in text[start..].char_indices() {
        match sign {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(text[start..start + index].to_string());
        }
    }
    None
}

fn identifier(name: &str) -> bool {
    let letter = |sign: char| sign.is_ascii_alphabetic() || sign == '_';
    name.starts_with(letter) && name.chars().all(|sign| letter(sign) || sign.is_ascii_digit())
}
