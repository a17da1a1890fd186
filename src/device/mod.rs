//! Floor 1: where numbers live and who computes on them.
//!
//! A [`Device`] is matched on in one place an op (`ops/*/mod.rs`); no other room asks which device it has.

mod buffer;
mod cpu;
mod fault;
mod gpu;
mod memory;

pub use buffer::Buffer;
pub use cpu::{Cpu, Disjoint, Isa};
pub use fault::{catch, raise};
pub use gpu::{
    Address, Argument, FATBINS, Flavour, Gpu, Grid, KERNELS, Kernel, Launch, Launcher, Memory, OnGpu, OnGpuMut, Order, Recording,
    Workspace, kernel,
};
pub use memory::Peak;

use crate::base::{Result, suggest, usage};
use std::fmt;
use std::sync::Arc;

/// A device: a cheap handle, cloned freely.
#[derive(Clone, Debug)]
pub enum Device {
    /// All cores of this machine, with the widest vector instructions that it has.
    Cpu(Arc<Cpu>),
    /// A GPU, or the emulator of one: the kernels of `kernels/*.cu`.
    Gpu(Gpu),
}

/// In which precision products are computed. Everything else is f32 in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Precision {
    /// f32, or what equals it to rounding.
    #[default]
    F32,
    /// Operands rounded to bf16, sums and master weights in f32.
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        })
    }
}

/// The names of `--device`.
const NAMES: [&str; 4] = ["auto", "cpu", "cuda", "emulated"];

impl Device {
    /// The CPU with `threads` worker threads (`None`: one a core).
    ///
    /// Errors: zero threads, or the operating system refuses to start them.
    pub fn cpu(threads: Option<usize>) -> Result<Device> {
        Ok(Device::Cpu(Arc::new(Cpu::new(threads)?)))
    }

    /// As [`Device::cpu`], restricted to (or insisting on) these vector instructions.
    ///
    /// Errors: as [`Device::cpu`], or this machine lacks them.
    pub fn cpu_with(threads: Option<usize>, isa: Isa) -> Result<Device> {
        Ok(Device::Cpu(Arc::new(Cpu::with_isa(threads, isa)?)))
    }

    /// The emulator, on `threads` threads (`None`: one a core). Errors: a build without one.
    pub fn emulated(threads: Option<usize>, order: Order, flavour: Flavour) -> Result<Device> {
        Ok(Device::Gpu(Gpu::emulated(threads, order, flavour)?))
    }

    /// The device called `name`: `auto` (the first GPU, else the CPU), `cpu`, `cuda`, `cuda:N`, `emulated`.
    ///
    /// Errors: an unknown name (usage), or a device that this machine or this build does not have.
    pub fn named(name: &str, threads: Option<usize>) -> Result<Device> {
        let (kind, index) = name.split_once(':').unwrap_or((name, ""));
        match (kind, index) {
            _ if name.ends_with(':') || index.starts_with('+') => Err(usage!("--device {name}: no such device{}", suggest(kind, NAMES))),
            ("auto", "") => Gpu::cuda(0).map_or_else(|_| Device::cpu(threads), |gpu| Ok(Device::Gpu(gpu))),
            ("cpu", "") => Device::cpu(threads),
            ("emulated", "") => Device::emulated(threads, Order::default(), Flavour::default()),
            ("cuda", "") => Ok(Device::Gpu(Gpu::cuda(0)?)),
            ("cuda", index) => {
                let index = index.parse().map_err(|_| usage!("--device {name}: {index} is no device index; use cuda:0"))?;
                Ok(Device::Gpu(Gpu::cuda(index)?))
            }
            _ => Err(usage!("--device {name}: no such device{}", suggest(name, NAMES))),
        }
    }

    /// The same device, computing products in `precision`.
    #[must_use]
    pub fn with_precision(&self, precision: Precision) -> Device {
        match self {
            Device::Cpu(cpu) => Device::Cpu(Arc::new(cpu.with_precision(precision))),
            Device::Gpu(gpu) => Device::Gpu(gpu.with_precision(precision)),
        }
    }

    /// The precision of products.
    pub fn precision(&self) -> Precision {
        match self {
            Device::Cpu(cpu) => cpu.precision(),
            Device::Gpu(gpu) => gpu.precision(),
        }
    }

    /// One line for people: kind, threads, vector instructions.
    pub fn describe(&self) -> String {
        match self {
            Device::Cpu(cpu) => format!("cpu ({} threads, {})", cpu.threads(), cpu.isa()),
            Device::Gpu(gpu) => gpu.describe(),
        }
    }

    /// The values of `task(0)` … `task(count - 1)`, in that order: independent pieces of work, which the CPU shares out
    /// among its threads (each piece then runs on one of them). A GPU is given them in turn.
    pub fn map<R: Send>(&self, count: usize, task: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
        match self {
            Device::Cpu(cpu) => cpu.map(count, task),
            Device::Gpu(_) => (0..count).map(task).collect(),
        }
    }

    /// Memory to record work in, for replays. None where nothing is recorded (the CPU, `CALTROP_LAUNCH_BLOCKING`).
    pub fn workspace(&self) -> Option<Workspace> {
        match self {
            Device::Cpu(_) => None,
            Device::Gpu(gpu) => gpu.launcher().records().then(|| gpu.workspace()),
        }
    }

    /// Whether its memory is another than the program's own, so that what is sent there should be small.
    pub fn is_remote(&self) -> bool {
        matches!(self, Device::Gpu(_))
    }

    /// The number of host threads that work for this device.
    pub fn threads(&self) -> usize {
        match self {
            Device::Cpu(cpu) => cpu.threads(),
            Device::Gpu(_) => 1,
        }
    }

    /// How many images go through a network together where `cached` of them fill a core's cache and none sees another:
    /// those on the CPU, which gives each slice to a thread (fewer, where else a thread would have none); all of them on a GPU.
    pub fn slice_of(&self, cached: usize, images: usize) -> usize {
        match self {
            Device::Cpu(cpu) => cached.min(images.div_ceil(cpu.threads())).max(1),
            Device::Gpu(_) => images.max(1),
        }
    }
}
