//! The CPU: a thread pool, a memory pool, and which vector instructions there are.

use super::Precision;
use crate::base::{Error, Result, ensure, fail};
use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The widest vector instructions that the kernels may use, found at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// 512-bit vectors (x86-64 with AVX-512 F, BW, DQ, VL).
    Avx512,
    /// 256-bit vectors with fused multiply-add (x86-64 with AVX2 and FMA).
    Avx2,
    /// What every processor of the target has (NEON on AArch64).
    Portable,
}

impl Isa {
    /// All of them, the widest first.
    pub const ALL: [Isa; 3] = [Isa::Avx512, Isa::Avx2, Isa::Portable];

    /// Whether this machine has these instructions.
    pub fn runs_here(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.runs_here()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => false,
            Isa::Portable => true,
        }
    }

    /// The best of this machine, or what `CALTROP_ISA` (avx512, avx2, portable) restricts it to.
    pub fn detect() -> Isa {
        let allowed = match std::env::var("CALTROP_ISA").as_deref() {
            Ok("portable") => &Isa::ALL[2..],
            Ok("avx2") => &Isa::ALL[1..],
            _ => &Isa::ALL[..],
        };
        allowed.iter().copied().find(|isa| isa.runs_here()).unwrap_or(Isa::Portable)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Isa::Avx512 => "AVX-512",
            Isa::Avx2 => "AVX2",
            Isa::Portable => "portable",
        })
    }
}

/// The CPU device.
#[derive(Clone)]
pub struct Cpu {
    pool: Arc<rayon::ThreadPool>,
    recycler: Arc<Recycler>,
    isa: Isa,
    precision: Precision,
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "cpu ({} threads, {})", self.threads(), self.isa)
    }
}

impl Cpu {
    /// A CPU device with `threads` workers (`None`: one a core), with the vector instructions that [`Isa::detect`] finds.
    ///
    /// Errors: zero threads, or the operating system refuses to start them.
    pub fn new(threads: Option<usize>) -> Result<Cpu> {
        Cpu::with_isa(threads, Isa::detect())
    }

    /// As [`Cpu::new`], with these vector instructions. Errors: this machine lacks them.
    pub fn with_isa(threads: Option<usize>, isa: Isa) -> Result<Cpu> {
        // The promise that the unsafe calls of every kernel rely on.
        ensure!(isa.runs_here(), "device: this machine has no {isa} instructions; use Isa::detect");
        if threads == Some(0) {
            return Err(Error::usage("--threads 0: at least one thread is needed"));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.unwrap_or(0))
            .thread_name(|i| format!("caltrop-{i}"))
            .build()
            .map_err(|cause| fail!("device: cannot start {} threads: {cause}; try --threads 1", threads.unwrap_or(0)))?;
        Ok(Cpu { pool: Arc::new(pool), recycler: Arc::default(), isa, precision: Precision::F32 })
    }

    /// The number of worker threads.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// The same threads and memory, computing products in `precision`.
    #[must_use]
    pub fn with_precision(&self, precision: Precision) -> Cpu {
        Cpu { precision, ..self.clone() }
    }

    /// The precision of products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The vector instructions in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    pub(super) fn recycler(&self) -> Arc<Recycler> {
        self.recycler.clone()
    }

    /// Run `task(0)` … `task(count - 1)`, in any order, on all threads. A task must not depend on which
    /// thread runs it nor on the others, so results have the same bits whatever the number of threads.
    ///
    /// Inside a task, further work runs in line: the outermost loop alone is shared out.
    pub fn each(&self, count: usize, task: impl Fn(usize) + Sync + Send) {
        if count == 1 || self.threads() == 1 || inside() {
            return (0..count).for_each(task);
        }
        self.pool.install(|| (0..count).into_par_iter().with_max_len(1).for_each(|i| within(|| task(i))));
    }

    /// The values of `task(0)` … `task(count - 1)`, in that order, computed on all threads.
    pub fn map<R: Send>(&self, count: usize, task: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
        if count == 1 || self.threads() == 1 || inside() {
            return (0..count).map(task).collect();
        }
        self.pool.install(|| (0..count).into_par_iter().with_max_len(1).map(|i| within(|| task(i))).collect())
    }

    /// Cut `0..len` into pieces of `size` (the last may be shorter) and run `task` on each.
    pub fn pieces(&self, len: usize, size: usize, task: impl Fn(Range<usize>) + Sync + Send) {
        self.each(len.div_ceil(size), |i| task(i * size..((i + 1) * size).min(len)));
    }
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is running a task.
fn inside() -> bool {
    INSIDE.get()
}

/// Run a task, marked as one.
fn within<R>(task: impl FnOnce() -> R) -> R {
    let outer = INSIDE.replace(true);
    let result = task();
    INSIDE.set(outer);
    result
}

/// A mutable slice that several tasks write at once, each its own part.
pub struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: the parts handed out do not overlap (the caller of `part` promises it), so tasks on several
// threads never touch the same element.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}
// SAFETY: as for a `&mut [T]`, which is Send when T is.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Share `slice` among tasks.
    pub fn new(slice: &'a mut [T]) -> Self {
        Disjoint { start: slice.as_mut_ptr(), len: slice.len(), life: PhantomData }
    }

    /// The part `range`. Panics (a bug) when it is out of bounds.
    ///
    /// # Safety
    /// No other part that overlaps `range` is alive.
    #[allow(clippy::mut_from_ref)] // the point of the type: its contract replaces the borrow
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: in bounds (checked), and not aliased (the caller's promise).
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

/// A cache line: the unit and the alignment of all memory.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line([u8; 64]);

pub(super) type Block = Vec<Line>;

/// Freed blocks by size, waiting for the next buffer of that size.
#[derive(Default)]
pub(super) struct Recycler {
    free: Mutex<HashMap<usize, Vec<Block>>>,
}

impl Recycler {
    /// A block of at least `bytes`: a freed one, or new and zeroed.
    pub fn take(&self, bytes: usize) -> Block {
        self.recycled(bytes).unwrap_or_else(bytemuck::zeroed_vec)
    }

    /// A block of at least `bytes` zeros; a new one is that already.
    pub fn take_zeroed(&self, bytes: usize) -> Block {
        match self.recycled(bytes) {
            Ok(mut block) => {
                bytemuck::fill_zeroes(&mut block);
                block
            }
            Err(lines) => bytemuck::zeroed_vec(lines),
        }
    }

    /// A freed block of at least `bytes`, or the lines that a new one has.
    fn recycled(&self, bytes: usize) -> std::result::Result<Block, usize> {
        let lines = size_class(bytes.div_ceil(64));
        let found = self.free.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&lines).and_then(Vec::pop);
        found.ok_or(lines)
    }

    /// Keep `block` for later.
    pub fn give(&self, block: Block) {
        if !block.is_empty() {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).entry(block.len()).or_default().push(block);
        }
    }
}

/// Rounds up to an eighth of a power of two, so that a short last batch reuses the blocks of a full one.
pub(super) fn size_class(lines: usize) -> usize {
    let step = (lines.next_power_of_two() / 8).max(1);
    lines.div_ceil(step) * step
}
