//! Compiler calls: as many at once as cargo has jobs, and none that was done before, in whatever profile.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs, io, iter, process, thread};

/// One compiler call.
pub struct Job {
    /// All but where to.
    command: Command,
    /// In the folder of all outputs; its name holds a hash of all that it is made from.
    pub output: PathBuf,
    /// Larger ones start first, so that the last one to end is a small one.
    weight: u64,
}

impl Job {
    /// Compiles `source` to `output`, whose name is completed by a hash of the source, of every file it includes below `folders`, of
    /// the command, and of what the compiler says about itself.
    pub fn new(mut command: Command, source: &Path, folders: &[PathBuf], compiler: &str, output: &Path) -> Self {
        command.arg(source);
        let mut hasher = DefaultHasher::new();
        (compiler, words(&command)).hash(&mut hasher);
        let mut weight = 0;
        for path in with_includes(source, folders) {
            let text = fs::read(&path).unwrap_or_default();
            weight += text.len() as u64;
            (path, text).hash(&mut hasher);
        }
        Self { command, output: hashed(output, hasher.finish()), weight }
    }

    /// Makes one thing of the outputs of `parts`.
    pub fn link(mut command: Command, parts: &[Self], output: &Path) -> Self {
        command.args(parts.iter().map(|part| &part.output));
        let mut hasher = DefaultHasher::new();
        words(&command).hash(&mut hasher);
        Self { command, output: hashed(output, hasher.finish()), weight: 0 }
    }
}

/// Program and arguments; the environment that the cc crate adds differs between profiles and changes nothing.
fn words(command: &Command) -> Vec<&OsStr> {
    iter::once(command.get_program()).chain(command.get_args()).collect()
}

/// `a/lif.o` → `a/lif-0123456789abcdef.o`
fn hashed(path: &Path, hash: u64) -> PathBuf {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{}-{hash:016x}.{extension}", stem(path)))
}

/// Runs what is not done. The error is everything that the failing compilers said; what the others said are cargo warnings.
pub fn run<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> Result<(), String> {
    let mut queue: Vec<&Job> = jobs.into_iter().filter(|job| !job.output.exists()).collect();
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

/// Another cargo may be at the same output: it appears whole, and whoever comes second writes the same.
fn one(job: &Job) -> Result<(), String> {
    let io = |error: io::Error| format!("{}: {error}", job.output.display());
    let folder = job.output.parent().expect("an output has a folder");
    fs::create_dir_all(folder).map_err(io)?;
    let unfinished = job.output.with_extension(process::id().to_string());
    let mut command = Command::new(job.command.get_program());
    command.args(job.command.get_args()).arg("-o").arg(&unfinished);
    command.envs(job.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let line = words(&command).join(OsStr::new(" ")).to_string_lossy().into_owned();
    let ran = command.output().map_err(|error| format!("{line}: {error}"))?;
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if !ran.status.success() {
        let _ = fs::remove_file(unfinished);
        return Err(format!("{}\n{line} failed: {}", said.trim_end(), ran.status));
    }
    said.lines().for_each(|line| println!("cargo::warning={line}"));
    fs::rename(&unfinished, &job.output).map_err(io)?;
    forget_old(&job.output);
    Ok(())
}

/// Removes what an older source of the same name became, a day later: until then another profile may want it.
fn forget_old(output: &Path) {
    let name = |path: &Path| stem(path).rsplit_once('-').map(|(name, _)| name.to_string());
    let day = Duration::from_secs(24 * 60 * 60);
    let is_old = |path: &Path| path.metadata().and_then(|data| data.modified()).is_ok_and(|time| time.elapsed().is_ok_and(|age| age > day));
    let entries = output.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten();
    for path in entries.flatten().map(|entry| entry.path()) {
        if name(&path) == name(output) && is_old(&path) {
            let _ = fs::remove_file(path);
        }
    }
}

/// A file's name without folder and suffix.
pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// `source` and all that it includes, directly or not, that lies in `folders`, under whatever condition.
fn with_includes(source: &Path, folders: &[PathBuf]) -> BTreeSet<PathBuf> {
    let (mut found, mut open) = (BTreeSet::new(), vec![source.to_path_buf()]);
    while let Some(path) = open.pop() {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for name in text.lines().filter_map(included) {
            let beside = path.parent().map(Path::to_path_buf);
            let known = |path: &PathBuf| path.parent().is_some_and(|parent| folders.iter().any(|folder| folder == parent));
            let path = beside.iter().chain(folders).map(|folder| folder.join(name)).find(|path| known(path) && path.is_file());
            open.extend(path.filter(|path| !found.contains(path)));
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
