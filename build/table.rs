//! The kernel table: what stands in the `KERNEL(...)` lines of `kernels/*.cu`, as Rust.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

/// One `KERNEL(name, max_threads, min_blocks, arguments...)`.
#[derive(Debug, PartialEq, Eq)]
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
    let lines: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
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
pub fn rust(kernels: &[Entry], fatbins: &[&Path], emulators: Option<[&Path; 2]>) -> String {
    let mut text =
        String::from("/// Every kernel in `kernels/*.cu`.\n#[allow(non_upper_case_globals)]\npub mod kernel {\n    use super::Kernel;\n\n");
    for Entry { name, file, args, threads } in kernels {
        write(&mut text, format_args!("    /// `kernels/{file}.cu`: `{name}({})`, blocks of up to {threads} threads.", args.join(", ")));
        let args = args.len();
        let value = format!("Kernel {{ name: c{name:?}, file: {file:?}, args: {args}, threads: {threads} }}");
        write(&mut text, format_args!("    pub static {name}: Kernel = {value};"));
    }
    text.push_str("}\n\n/// All kernels.\npub static ALL: &[&Kernel] = &[");
    text.push_str(&kernels.iter().map(|kernel| format!("&kernel::{}", kernel.name)).collect::<Vec<_>>().join(", "));
    text.push_str(
        "];\n\n/// Compiled kernels by file; empty when nvcc was not found at build time.\npub static FATBINS: &[(&str, &[u8])] = &[\n",
    );
    for path in fatbins {
        let file = path.file_stem().unwrap_or_default().to_string_lossy();
        write(&mut text, format_args!("    ({file:?}, include_bytes!({path:?})),"));
    }
    text.push_str("];\n\n");
    for (index, name, what) in [(0, "EMULATOR", "The emulator"), (1, "CHECKED", "The emulator that looks for races and strays")] {
        let value = emulators.map_or("None".to_string(), |paths| format!("Some(include_bytes!({:?}))", paths[index]));
        write(&mut text, format_args!("/// {what}, a shared object; `None` when no C++ compiler was found at build time."));
        write(&mut text, format_args!("pub static {name}: Option<&[u8]> = {value};"));
    }
    text
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

fn write(text: &mut String, line: std::fmt::Arguments) {
    writeln!(text, "{line}").expect("a string grows");
}
