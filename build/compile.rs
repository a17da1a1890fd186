//! Compiler calls: as many at once as cargo has jobs, and none whose output is still good.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::{env, fs, thread};

/// One compiler call.
pub struct Job {
    pub command: Command,
    pub output: PathBuf,
    /// Stands for all that the output is made from; kept beside it.
    pub key: u64,
    /// Larger ones start first, so that the last one to end is a small one.
    pub weight: u64,
}

impl Job {
    /// Compiles `source`; it and every file it includes below `folders`, the command, and what the compiler says of itself, make the key.
    pub fn new(command: Command, source: &Path, folders: &[PathBuf], compiler: &str, output: PathBuf) -> Self {
        let mut hasher = DefaultHasher::new();
        compiler.hash(&mut hasher);
        format!("{command:?}").hash(&mut hasher);
        let mut weight = 0;
        for path in with_includes(source, folders) {
            let text = fs::read(&path).unwrap_or_default();
            weight += text.len() as u64;
            (path, text).hash(&mut hasher);
        }
        Self { command, output, key: hasher.finish(), weight }
    }

    /// Makes one thing of the outputs of `parts`.
    pub fn link(command: Command, parts: &[Self], output: PathBuf) -> Self {
        let mut hasher = DefaultHasher::new();
        format!("{command:?}").hash(&mut hasher);
        parts.iter().for_each(|part| part.key.hash(&mut hasher));
        Self { command, output, key: hasher.finish(), weight: 0 }
    }

    fn key_file(&self) -> PathBuf {
        self.output.with_added_extension("key")
    }

    fn is_done(&self) -> bool {
        self.output.exists() && fs::read_to_string(self.key_file()).is_ok_and(|key| key == self.key.to_string())
    }
}

/// Runs what is not done. The error is everything that the failing compilers said; what the others said are cargo warnings.
pub fn run<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> Result<(), String> {
    let mut queue: Vec<&Job> = jobs.into_iter().filter(|job| !job.is_done()).collect();
    queue.sort_by_key(|job| job.weight);
    let workers = env::var("NUM_JOBS").ok().and_then(|count| count.parse().ok()).unwrap_or(1).min(queue.len());
    let (queue, failures) = (Mutex::new(queue), Mutex::new(Vec::new()));
    let next = || queue.lock().expect("no worker panics").pop();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(job) = next() {
                    if let Err(failure) = one(job) {
                        failures.lock().expect("no worker panics").push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no worker panics");
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n\n")) }
}

fn one(job: &Job) -> Result<(), String> {
    let io = |error: std::io::Error| format!("{}: {error}", job.output.display());
    let _ = fs::remove_file(job.key_file()); // an output without its key is worth nothing
    fs::create_dir_all(job.output.parent().unwrap_or(Path::new("."))).map_err(io)?;
    let mut command = Command::new(job.command.get_program());
    command.args(job.command.get_args());
    command.envs(job.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if !ran.status.success() {
        return Err(format!("{}\n{command:?} failed: {}", said.trim_end(), ran.status));
    }
    said.lines().for_each(|line| println!("cargo::warning={line}"));
    fs::write(job.key_file(), job.key.to_string()).map_err(io)
}

/// A file's name without folder and suffix.
pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// `source` and all that it includes, directly or not, from its own folder or from `folders`, under whatever condition.
fn with_includes(source: &Path, folders: &[PathBuf]) -> BTreeSet<PathBuf> {
    let (mut found, mut open) = (BTreeSet::new(), vec![source.to_path_buf()]);
    while let Some(path) = open.pop() {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for name in text.lines().filter_map(included) {
            let beside = path.parent().map(Path::to_path_buf);
            open.extend(beside.iter().chain(folders).map(|folder| folder.join(name)).find(|path| path.is_file() && !found.contains(path)));
        }
        found.insert(path);
    }
    found
}

/// The name in an `#include` line, in quotes or angles.
fn included(line: &str) -> Option<&str> {
    let name = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("include")?.trim_start();
    let close = if name.starts_with('"') { '"' } else { '>' };
    name.get(1..)?.split_once(close).map(|(name, _)| name)
}
