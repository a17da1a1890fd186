//! CUDA: one fatbin a file of kernels.

use super::compile::{Job, stem};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// All kernels go through the front end once, as PTX for this; GPUs to come compile it.
const BASELINE: &str = "compute_80";
/// What a fatbin carries beside it: machine code for these.
const ARCHS: &[&str] = &["80", "86", "89", "90", "100", "120"];
/// The toolkit of the drivers we meet; `tools/get-nvcc.sh` installs it.
const TOOLKIT: (u32, u32) = (13, 0);

/// An nvcc that ran.
pub struct Nvcc {
    path: PathBuf,
    kernels: PathBuf,
    /// What it says about itself.
    says: String,
    release: (u32, u32),
}

impl Nvcc {
    /// Looks in `NVCC`, `CUDA_HOME`, `PATH`, and where `tools/get-nvcc.sh` puts it.
    pub fn find(root: &Path) -> Option<Self> {
        for name in ["NVCC", "CUDA_HOME", "CALTROP_ARCHS"] {
            println!("cargo::rerun-if-env-changed={name}");
        }
        let local = root.join(".cuda/bin/nvcc");
        if local.exists() {
            println!("cargo::rerun-if-changed={}", local.display()); // get-nvcc touches build.rs: cargo cannot wait for a file
        }
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let named = set("NVCC");
        let places = match &named {
            Some(path) => vec![path.clone()],
            None => [set("CUDA_HOME").map(|home| home.join("bin/nvcc")), Some("nvcc".into()), Some(local)].into_iter().flatten().collect(),
        };
        let nvcc = places.into_iter().find_map(|path| {
            let ran = Command::new(&path).arg("--version").output().ok().filter(|ran| ran.status.success())?;
            let says = String::from_utf8_lossy(&ran.stdout).into_owned();
            let release = release(&says)?;
            Some(Self { path, kernels: root.join("kernels"), says, release })
        });
        match (&nvcc, &named) {
            (None, Some(path)) => println!("cargo::warning=NVCC={} does not run, so this build carries no CUDA kernels", path.display()),
            (Some(Self { release: (major, minor), .. }), _) if (*major, *minor) > TOOLKIT => {
                println!(
                    "cargo::warning=nvcc is {major}.{minor}: a driver older than CUDA {major}.{minor} may refuse what it makes (13.0 is what we test)"
                )
            }
            _ => {}
        }
        nvcc
    }

    /// A job a file.
    pub fn jobs(&self, sources: &[PathBuf], folder: &Path) -> Result<Vec<Job>, String> {
        let archs = archs()?;
        Ok(sources.iter().map(|source| self.job(source, &archs, folder)).collect())
    }

    fn job(&self, source: &Path, archs: &[String], folder: &Path) -> Job {
        let mut command = Command::new(&self.path);
        // No contraction of a*b+c: the kernels say fmaf where they mean it, and agree with the CPU and the emulator elsewhere.
        command.args(["-std=c++17", "-O3", "-fmad=false", "-fatbin", "-I"]).arg(&self.kernels);
        if self.release == TOOLKIT {
            command.args(["-Werror", "all-warnings"]); // other versions may warn of other things
        }
        if self.release >= TOOLKIT {
            command.arg("--compress-mode=size"); // a quarter of the size; drivers for 13.0 can read it
        }
        command.arg("-gencode").arg(if stem(source).ends_with("_sm90a") {
            "arch=compute_90a,code=sm_90a".to_string()
        } else {
            format!("arch={BASELINE},code=[{}]", archs.join(","))
        });
        let output = folder.join(stem(source)).with_extension("fatbin");
        Job::new(command, source, std::slice::from_ref(&self.kernels), &self.says, &output)
    }
}

/// All of `ARCHS` and PTX, or what `CALTROP_ARCHS` lists (`90`, or `80,90`), without PTX.
fn archs() -> Result<Vec<String>, String> {
    let code = |arch: &str| format!("sm_{arch}");
    let Some(wanted) = env::var("CALTROP_ARCHS").ok().filter(|wanted| !wanted.trim().is_empty()) else {
        return Ok(ARCHS.iter().map(|arch| code(arch)).chain([BASELINE.to_string()]).collect());
    };
    let known = |arch: &str| match ARCHS.contains(&arch) {
        true => Ok(code(arch)),
        false => Err(format!("CALTROP_ARCHS={wanted}: {arch:?} is not one of {}", ARCHS.join(", "))),
    };
    wanted.split(',').map(str::trim).map(known).collect()
}

/// `13, 0` out of "... release 13.0, V13.0.88".
fn release(says: &str) -> Option<(u32, u32)> {
    let (_, rest) = says.split_once("release ")?;
    let (major, rest) = rest.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}
