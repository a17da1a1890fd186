//! The emulator: the same kernels by the C++ compiler, as two shared objects of their own (each has thread-local storage that is
//! the kernels' shared memory): a fast one, and a checked one, whose kernels call a hook at every access to memory.

use super::compile::{Job, stem};
use std::env;
use std::path::{Path, PathBuf};

/// The compiler's own hooks at every access and doubtful operation; the emulator defines them, no sanitizer is linked.
const SANITIZE: &str =
    "-fsanitize=thread,alignment,bounds,shift-exponent,integer-divide-by-zero,signed-integer-overflow,float-cast-overflow";

/// The two builds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavour {
    Fast,
    Checked,
}

/// What a source is: the emulator itself, or kernels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Runtime,
    Kernels,
}

/// A C++ compiler that can build it.
pub struct Compilers {
    kernels: PathBuf,
    emulator: PathBuf,
    /// What it says about itself.
    says: String,
}

impl Compilers {
    /// `None` without a C++20 compiler, on systems other than Linux and machines other than x86-64 and 64-bit ARM.
    pub fn find(root: &Path) -> Option<Self> {
        println!("cargo::rerun-if-env-changed=CXX");
        println!("cargo::rerun-if-env-changed=CXXFLAGS");
        let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
        if target("OS") != "linux" || !["x86_64", "aarch64"].contains(&target("ARCH").as_str()) {
            return None;
        }
        let mut probe = cc::Build::new();
        probe.cpp(true).cargo_metadata(false).cargo_warnings(false);
        if !probe.is_flag_supported("-std=c++20").unwrap_or(false) {
            if let Some(named) = env::var_os("CXX") {
                println!("cargo::warning=CXX={} is no C++20 compiler, so this build carries no emulator", named.display());
            }
            return None;
        }
        let version = probe.try_get_compiler().ok()?.to_command().arg("--version").output().ok()?;
        let kernels = root.join("kernels");
        let emulator = kernels.join("emulator");
        Some(Self { kernels, emulator, says: String::from_utf8_lossy(&version.stdout).into_owned() })
    }

    /// All objects of both, and how to link them.
    pub fn jobs(&self, sources: &[PathBuf], folder: &Path) -> Emulators {
        Emulators([Flavour::Fast, Flavour::Checked].map(|flavour| self.library(flavour, sources, folder)))
    }

    fn library(&self, flavour: Flavour, kernels: &[PathBuf], folder: &Path) -> Library {
        let (name, debug) = match flavour {
            Flavour::Fast => ("emulator", "-Wl,--strip-all"),
            Flavour::Checked => ("checked", "-Wl,--build-id"),
        };
        let mut objects = Vec::new();
        for (kind, sources) in [(Kind::Runtime, &super::files(&self.emulator, "cpp")), (Kind::Kernels, &kernels.to_vec())] {
            let compiler = self.compiler(flavour, kind);
            for source in sources {
                let mut command = compiler.to_command();
                command.args(["-c", "-x", "c++"]);
                let object = folder.join(name).join(stem(source)).with_extension("o");
                objects.push(Job::new(command, source, &[self.kernels.clone(), self.emulator.clone()], &self.says, &object));
            }
        }
        let mut command = self.compiler(flavour, Kind::Runtime).to_command();
        command.args(["-shared", "-pthread", "-Wl,-z,nodelete", debug]);
        Library { link: Job::link(command, &objects, &folder.join(name).with_extension("so")), objects }
    }

    /// The flags of `kernels/emulator/README.md`; fast whatever cargo's profile, and no contraction of a*b+c.
    fn compiler(&self, flavour: Flavour, kind: Kind) -> cc::Tool {
        let mut build = cc::Build::new();
        build.cpp(true).std("c++20").pic(true).cargo_metadata(false).cargo_warnings(false).include(&self.kernels);
        build.flag("-ffp-contract=off").flag("-fvisibility=hidden").flag("-fno-strict-aliasing").flag("-pthread");
        if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
            build.flag_if_supported("-march=x86-64-v3"); // fmaf is a call without; who loads it asks the processor first
        }
        build.opt_level(if kind == Kind::Kernels { 2 } else { 3 }).debug(false);
        if flavour == Flavour::Fast {
            build.warnings(true).extra_warnings(false).flag("-Wno-unknown-pragmas").flag("-Wno-sign-compare");
        } else {
            build.warnings(false); // they would be the same
            build.define("EMU_CHECKED", "1").flag("-g1");
            if kind == Kind::Kernels {
                build.flag(SANITIZE);
            }
        }
        build.get_compiler()
    }
}

struct Library {
    objects: Vec<Job>,
    link: Job,
}

/// The jobs of the fast and of the checked emulator.
pub struct Emulators([Library; 2]);

impl Emulators {
    pub fn objects(&self) -> impl Iterator<Item = &Job> {
        self.0.iter().flat_map(|library| &library.objects)
    }

    pub fn links(&self) -> impl Iterator<Item = &Job> {
        self.0.iter().map(|library| &library.link)
    }

    pub fn libraries(&self) -> [&Path; 2] {
        [&self.0[0].link.output, &self.0[1].link.output]
    }
}
