//! Floor 1: where numbers live and who computes on them.
//!
//! A [`Device`] is matched on in one place an op (`ops/*/mod.rs`); no other room asks which device it has.

mod buffer;
mod cpu;

pub use buffer::Buffer;
pub use cpu::{Cpu, Disjoint, Isa};

use crate::base::{Result, suggest, usage};
use std::sync::Arc;

/// A device: a cheap handle, cloned freely.
#[derive(Clone, Debug)]
pub enum Device {
    /// All cores of this machine, with the widest vector instructions that it has.
    Cpu(Arc<Cpu>),
}

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

    /// The device called `name`: `auto`, `cpu`.
    ///
    /// Errors (usage): an unknown name, or a device that this build does not carry.
    pub fn named(name: &str, threads: Option<usize>) -> Result<Device> {
        match name {
            "auto" | "cpu" => Device::cpu(threads),
            _ if name == "cuda" || name.starts_with("cuda:") || name == "emulated" => {
                Err(usage!("--device {name}: this build carries no GPU kernels; use --device cpu"))
            }
            _ => Err(usage!("--device {name}: no such device{}", suggest(name, ["auto", "cpu"]))),
        }
    }

    /// One line for people: kind, threads, vector instructions.
    pub fn describe(&self) -> String {
        match self {
            Device::Cpu(cpu) => format!("cpu ({} threads, {})", cpu.threads(), cpu.isa()),
        }
    }

    /// The values of `task(0)` … `task(count - 1)`, in that order: independent pieces of work, which the CPU shares out
    /// among its threads (each piece then runs on one of them).
    pub fn map<R: Send>(&self, count: usize, task: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
        match self {
            Device::Cpu(cpu) => cpu.map(count, task),
        }
    }

    /// The number of host threads that work for this device.
    pub fn threads(&self) -> usize {
        match self {
            Device::Cpu(cpu) => cpu.threads(),
        }
    }

    /// How many images go through a network together where `cached` of them fill a core's cache and none sees another:
    /// those on the CPU, which gives each slice to a thread.
    pub fn slice_of(&self, cached: usize) -> usize {
        match self {
            Device::Cpu(_) => cached,
        }
    }
}
