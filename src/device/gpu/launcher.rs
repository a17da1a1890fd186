//! What a GPU must be able to do: a few verbs, no op among them.

use crate::base::Result;
use bytemuck::{Pod, Zeroable};
use std::ffi::CStr;

/// A place in the memory of a GPU; 0 is nowhere (a null pointer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct Address(pub u64);

impl Address {
    /// So many bytes further.
    #[must_use]
    pub fn offset(self, bytes: usize) -> Address {
        Address(self.0 + bytes as u64)
    }
}

/// A kernel of the suite, as build.rs found it in `kernels/*.cu`.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its name.
    pub name: &'static CStr,
    /// The file that holds it, without `.cu`.
    pub file: &'static str,
    /// The number of its arguments.
    pub args: usize,
    /// The most threads a block may have.
    pub threads: u32,
}

impl Kernel {
    /// The name as text.
    pub fn name(&self) -> &'static str {
        self.name.to_str().unwrap_or("kernel")
    }
}

/// The shape of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Blocks along x, y, z.
    pub blocks: [u32; 3],
    /// Threads a block.
    pub threads: u32,
    /// Dynamic shared memory a block, bytes.
    pub shared: u32,
}

impl Grid {
    /// A thread for each of `count` items, `threads` a block.
    pub fn over(count: usize, threads: u32) -> Grid {
        Grid::blocks(count.div_ceil(threads as usize), threads)
    }

    /// So many blocks of `threads`.
    pub fn blocks(count: usize, threads: u32) -> Grid {
        Grid { blocks: [u32::try_from(count).unwrap_or(u32::MAX), 1, 1], threads, shared: 0 }
    }

    /// A grid of blocks of `threads`.
    pub fn of(blocks: [usize; 3], threads: u32) -> Grid {
        Grid { blocks: blocks.map(|count| u32::try_from(count).unwrap_or(u32::MAX)), threads, shared: 0 }
    }

    /// With `bytes` of dynamic shared memory a block.
    #[must_use]
    pub fn with_shared(self, bytes: usize) -> Grid {
        Grid { shared: u32::try_from(bytes).unwrap_or(u32::MAX), ..self }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.blocks.contains(&0)
    }
}

/// Memory of a GPU in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Not in use.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// An argument of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument {
    /// Where its value is.
    pub at: *const u8,
    /// Bytes of the value.
    pub bytes: u32,
    /// Whether replays of a recording may change it.
    pub tuning: Tuning,
}

/// Whether an argument stays as it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tuning {
    /// It stays.
    Fixed,
    /// It is a dial: [`Graph::turn`] changes it.
    Dial,
}

impl Argument {
    /// The bytes of its value.
    ///
    /// # Safety
    /// `at` points to as many readable bytes, and they stay while the slice lives.
    pub unsafe fn value<'a>(&self) -> &'a [u8] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.at, self.bytes as usize) }
    }
}

/// A GPU, or what stands in for one. All work is ordered as it was asked for; only `download` and `wait` wait.
pub trait Launcher: Send + Sync {
    /// One line for people.
    fn describe(&self) -> String;
    /// New memory of unspecified contents, aligned to 256 bytes on a GPU and to 16 in the emulator. Errors: none left.
    fn alloc(&self, bytes: usize) -> Result<Address>;
    /// Give memory back to the system; work in flight that uses it is waited for.
    fn free(&self, at: Address);
    /// Host to device; `bytes` may be reused at once.
    fn upload(&self, to: Address, bytes: &[u8]) -> Result<()>;
    /// Device to host; waits.
    fn download(&self, bytes: &mut [u8], from: Address) -> Result<()>;
    /// Device to device.
    fn copy(&self, to: Address, from: Address, bytes: usize) -> Result<()>;
    /// `count` times the word `word`.
    fn fill(&self, to: Address, word: u32, count: usize) -> Result<()>;
    /// Run a kernel. Each of `arguments` points to a readable value of its size.
    fn launch(&self, kernel: &'static Kernel, grid: Grid, arguments: &[Argument]) -> Result<()>;
    /// Wait for all work; an earlier fault shows here at the latest.
    fn wait(&self) -> Result<()>;
    /// Free and total memory.
    fn memory(&self) -> Result<Memory>;
    /// The size that a block of `bytes` is rounded to, so that a pool finds it again for a slightly other size.
    fn size_class(&self, bytes: usize) -> usize;
    /// `at`, `bytes` long, was taken from the pool for new contents.
    fn renew(&self, _at: Address, _bytes: usize) -> Result<()> {
        Ok(())
    }
    /// `at` went back to the pool: what uses it has been launched.
    fn retire(&self, _at: Address) {}
    /// Whether work is worth recording: not where every launch is waited for, so that a fault has a name.
    fn records(&self) -> bool {
        true
    }
    /// From now on, work is noted instead of done.
    fn begin_recording(&self) -> Result<()>;
    /// The work noted since.
    fn end_recording(&self) -> Result<Box<dyn Graph>>;
    /// A moment in the order of the work, for timing.
    fn stamp(&self) -> Result<Box<dyn Stamp>>;
}

/// Noted work that can be done again and again (a CUDA graph).
pub trait Graph: Send + Sync {
    /// Do it.
    fn replay(&self) -> Result<()>;
    /// Give the value `to` to every dial that is at `from` (as many bytes); returns how many there were.
    fn turn(&mut self, from: &[u8], to: &[u8]) -> Result<usize>;
    /// Launches, copies and fills in it.
    fn len(&self) -> usize;
}

/// A moment (a CUDA event).
pub trait Stamp: Send {
    /// Seconds from `earlier` to this; waits for both. Errors: stamps of two devices.
    fn since(&self, earlier: &dyn Stamp) -> Result<f64>;
    /// For the launcher that made it.
    fn as_any(&self) -> &dyn std::any::Any;
}
