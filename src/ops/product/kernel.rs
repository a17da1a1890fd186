//! Rows times panels.

use super::panels::{PANEL, Panels};
use crate::device::{Cpu, Isa};
use std::cell::RefCell;
use std::ops::Range;

/// Rows of a tile.
pub const TILE_ROWS: usize = 8;

/// A stretch of a row: so many numbers from this offset on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Offset from the row's start.
    pub offset: usize,
    /// Length.
    pub len: usize,
}

/// A source of rows, the left factor, cut into blocks that fit the cache. A row is the concatenation of the same
/// runs at its own start: a patch of a padded image is never copied out of it.
pub trait Rows: Sync {
    /// The runs of every row; their lengths add up to K.
    fn runs(&self) -> &[Run];
    /// The number of blocks, a function of the sizes alone.
    fn blocks(&self) -> usize;
    /// The rows of a block, contiguous.
    fn rows(&self, block: usize) -> Range<usize>;
    /// The numbers of a block, made in `scratch` where they do not lie ready, and where each of its rows starts.
    fn load<'a>(&'a self, isa: Isa, block: usize, scratch: &'a mut Vec<f32>, starts: &mut Vec<usize>) -> &'a [f32];
}

/// Where results go: called once for every tile, from several threads.
pub trait Sink: Sync {
    /// Take the results of `rows` in columns `columns`: `tile[i][j]` belongs to row `rows.start + i`.
    ///
    /// # Safety
    /// No two calls of one product cover the same element (so the sink may write to shared memory).
    unsafe fn take(&self, rows: Range<usize>, columns: Range<usize>, tile: &[[f32; PANEL]; TILE_ROWS]);
}

#[derive(Default)]
pub(super) struct Scratch {
    pub numbers: Vec<f32>,
    pub starts: Vec<usize>,
    pub right: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Run `work` with this thread's scratch.
pub(super) fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(work)
}

/// Panics (a bug) where a row reaches beyond its numbers: the kernels below rely on it.
pub(super) fn check(numbers: &[f32], starts: &[usize], runs: &[Run]) {
    let reach = runs.iter().map(|run| run.offset + run.len).max().unwrap_or(0);
    assert!(starts.iter().all(|start| start + reach <= numbers.len()), "a row reaches beyond its {} numbers", numbers.len());
}

/// Whether a stretch of the depth begins a tile's sums or continues them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Onto {
    Nothing,
    Earlier,
}

/// The longest chain of additions: longer sums are made of partial ones, which keeps their rounding small (a spike
/// hangs on it; docs/bugs.md).
const CHAIN: usize = 128;

/// Runs cut into segments of at most 128 numbers, each with its length.
pub struct Segments(Vec<(Vec<Run>, usize)>);

impl Segments {
    /// The segments of `runs`.
    pub fn of(runs: &[Run]) -> Segments {
        let mut segments = vec![(Vec::new(), 0)];
        for run in runs {
            let (mut offset, mut left) = (run.offset, run.len);
            while left > 0 {
                if segments.last().is_none_or(|(_, len)| *len == CHAIN) {
                    segments.push((Vec::new(), 0));
                }
                if let Some((segment, len)) = segments.last_mut() {
                    let take = left.min(CHAIN - *len);
                    segment.push(Run { offset, len: take });
                    (offset, left, *len) = (offset + take, left - take, *len + take);
                }
            }
        }
        Segments(segments)
    }
}

/// `rows · panels`, every tile handed to `sink`.
pub fn multiply(cpu: &Cpu, rows: &impl Rows, panels: &Panels, sink: &impl Sink) {
    let depth: usize = rows.runs().iter().map(|run| run.len).sum();
    assert_eq!(depth, panels.depth(), "rows and panels of one depth");
    let (blocks, segments) = (rows.blocks(), Segments::of(rows.runs()));
    // Few blocks: share the panels out as well. Which task computes a tile does not change it.
    let groups = (8 / blocks.max(1)).clamp(1, panels.count());
    cpu.each(blocks * groups, |task| {
        let (block, group) = (task / groups, task % groups);
        let range = rows.rows(block);
        let mine = group * panels.count() / groups..(group + 1) * panels.count() / groups;
        with_scratch(|scratch| {
            let numbers = rows.load(cpu.isa(), block, &mut scratch.numbers, &mut scratch.starts);
            let starts = &scratch.starts;
            assert_eq!(starts.len(), range.len(), "one start a row");
            check(numbers, starts, rows.runs());
            let mut tile = Tile([[0.0; PANEL]; TILE_ROWS]);
            for panel in mine {
                let columns = panel * PANEL..panel * PANEL + panels.width(panel);
                for (starts, first) in starts.chunks(TILE_ROWS).zip(range.clone().step_by(TILE_ROWS)) {
                    unchecked_tile(cpu.isa(), numbers, starts, &segments, panels.panel(panel), columns.len(), &mut tile.0);
                    // SAFETY: each (rows, panel) is visited once.
                    unsafe { sink.take(first..first + starts.len(), columns.clone(), &tile.0) };
                }
            }
        });
    });
}

/// One tile by itself: `tile[i][j] = Σ_k row_i[k] · weights[k][j]` for 1 to 8 rows, `weights` `[K][32]`.
pub fn tile(
    isa: Isa,
    numbers: &[f32],
    starts: &[usize],
    runs: &Segments,
    weights: &[f32],
    width: usize,
    tile: &mut [[f32; PANEL]; TILE_ROWS],
) {
    runs.0.iter().for_each(|(runs, _)| check(numbers, starts, runs));
    assert!(starts.len() <= TILE_ROWS && weights.len() >= PANEL * runs.0.iter().map(|(_, len)| len).sum::<usize>());
    unchecked_tile(isa, numbers, starts, runs, weights, width, tile);
}

/// A tile whose rows `check` has seen, its segments one after the other.
fn unchecked_tile(
    isa: Isa,
    numbers: &[f32],
    starts: &[usize],
    runs: &Segments,
    weights: &[f32],
    width: usize,
    tile: &mut [[f32; PANEL]; TILE_ROWS],
) {
    let (mut weights, mut onto) = (weights, Onto::Nothing);
    for (runs, len) in &runs.0 {
        tile_product(isa, numbers, starts, runs, weights, width, onto, tile);
        (weights, onto) = (&weights[len * PANEL..], Onto::Earlier);
    }
}

#[repr(align(64))]
struct Tile([[f32; PANEL]; TILE_ROWS]);

/// `tile[i][j] (+)= Σ_k row_i[k] · panel[k][j]` for 1 to 8 rows, which `check` has seen.
#[allow(clippy::too_many_arguments)] // the operands of the formula
fn tile_product(
    isa: Isa,
    numbers: &[f32],
    starts: &[usize],
    runs: &[Run],
    panel: &[f32],
    width: usize,
    onto: Onto,
    tile: &mut [[f32; PANEL]; TILE_ROWS],
) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instructions were found on this machine; `check` saw the rows, the panel has their depth.
        Isa::Avx512 => unsafe { x86::tile512(numbers, starts, runs, panel, width, onto, tile) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { x86::tile256(numbers, starts, runs, panel, width, onto, tile) },
        _ => portable(numbers, starts, runs, panel, width, onto, tile),
    }
}

fn portable(
    numbers: &[f32],
    starts: &[usize],
    runs: &[Run],
    panel: &[f32],
    width: usize,
    onto: Onto,
    tile: &mut [[f32; PANEL]; TILE_ROWS],
) {
    const LANES: usize = 8;
    for (&start, out) in starts.iter().zip(tile) {
        for (lane, out) in out.chunks_exact_mut(LANES).enumerate().take(width.div_ceil(LANES)) {
            let mut sum = [0.0f32; LANES];
            let row = runs.iter().flat_map(|run| &numbers[start + run.offset..][..run.len]);
            for (&x, weights) in row.zip(panel.chunks_exact(PANEL)) {
                let weights = &weights[lane * LANES..][..LANES];
                for (sum, &w) in sum.iter_mut().zip(weights) {
                    *sum += x * w;
                }
            }
            match onto {
                Onto::Nothing => out.copy_from_slice(&sum),
                Onto::Earlier => out.iter_mut().zip(sum).for_each(|(out, sum)| *out += sum),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Onto, PANEL, Run, TILE_ROWS};
    use std::arch::x86_64::*;

    /// # Safety
    /// Every row reads within `numbers`; `panel` has 32 numbers for each element of a row; 1 to 8 starts.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn tile512(
        numbers: &[f32],
        starts: &[usize],
        runs: &[Run],
        panel: &[f32],
        width: usize,
        onto: Onto,
        tile: &mut [[f32; PANEL]; TILE_ROWS],
    ) {
        let (numbers, panel) = (numbers.as_ptr(), panel.as_ptr());
        macro_rules! by_rows {
            ($v:literal: $($r:literal)*) => { match starts.len() {
                // SAFETY: the caller's promise.
                $($r => unsafe { block512::<$r, $v>(numbers, starts, runs, panel, onto, tile) },)*
                _ => {}
            } };
        }
        if width > 16 { by_rows!(2: 1 2 3 4 5 6 7 8) } else { by_rows!(1: 1 2 3 4 5 6 7 8) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn block512<const R: usize, const V: usize>(
        numbers: *const f32,
        starts: &[usize],
        runs: &[Run],
        panel: *const f32,
        onto: Onto,
        tile: &mut [[f32; PANEL]],
    ) {
        // SAFETY: as in `tile512`; there are R starts and at least R rows of tile.
        unsafe {
            let mut rows = [numbers; R];
            for (row, &start) in rows.iter_mut().zip(starts) {
                *row = numbers.add(start);
            }
            let mut sums = [[_mm512_setzero_ps(); V]; R];
            let mut panel = panel;
            for run in runs {
                for k in run.offset..run.offset + run.len {
                    let mut weights = [_mm512_setzero_ps(); V];
                    for (v, w) in weights.iter_mut().enumerate() {
                        *w = _mm512_loadu_ps(panel.add(v * 16));
                    }
                    panel = panel.add(PANEL);
                    for (row, sums) in rows.iter().zip(&mut sums) {
                        let x = _mm512_set1_ps(*row.add(k));
                        for (sum, w) in sums.iter_mut().zip(&weights) {
                            *sum = _mm512_fmadd_ps(x, *w, *sum);
                        }
                    }
                }
            }
            for (sums, out) in sums.iter().zip(tile) {
                for (v, sum) in sums.iter().enumerate() {
                    let out = out.as_mut_ptr().add(v * 16);
                    let sum = if onto == Onto::Earlier { _mm512_add_ps(_mm512_loadu_ps(out), *sum) } else { *sum };
                    _mm512_storeu_ps(out, sum);
                }
            }
        }
    }

    /// # Safety
    /// As [`tile512`].
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn tile256(
        numbers: &[f32],
        starts: &[usize],
        runs: &[Run],
        panel: &[f32],
        width: usize,
        onto: Onto,
        tile: &mut [[f32; PANEL]; TILE_ROWS],
    ) {
        let (numbers, panel) = (numbers.as_ptr(), panel.as_ptr());
        for column in (0..width).step_by(16) {
            for (starts, tile) in starts.chunks(4).zip(tile.chunks_mut(4)) {
                // SAFETY: the caller's promise; a panel row has 32 numbers.
                unsafe {
                    let panel = panel.add(column);
                    match starts.len() {
                        4 => block256::<4>(numbers, starts, runs, panel, onto, tile, column),
                        3 => block256::<3>(numbers, starts, runs, panel, onto, tile, column),
                        2 => block256::<2>(numbers, starts, runs, panel, onto, tile, column),
                        _ => block256::<1>(numbers, starts, runs, panel, onto, tile, column),
                    }
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn block256<const R: usize>(
        numbers: *const f32,
        starts: &[usize],
        runs: &[Run],
        panel: *const f32,
        onto: Onto,
        tile: &mut [[f32; PANEL]],
        column: usize,
    ) {
        // SAFETY: as in `tile256`; there are R starts and at least R rows of tile.
        unsafe {
            let mut rows = [numbers; R];
            for (row, &start) in rows.iter_mut().zip(starts) {
                *row = numbers.add(start);
            }
            let mut sums = [[_mm256_setzero_ps(); 2]; R];
            let mut panel = panel;
            for run in runs {
                for k in run.offset..run.offset + run.len {
                    let weights = [_mm256_loadu_ps(panel), _mm256_loadu_ps(panel.add(8))];
                    panel = panel.add(PANEL);
                    for (row, sums) in rows.iter().zip(&mut sums) {
                        let x = _mm256_set1_ps(*row.add(k));
                        for (sum, w) in sums.iter_mut().zip(&weights) {
                            *sum = _mm256_fmadd_ps(x, *w, *sum);
                        }
                    }
                }
            }
            for (sums, out) in sums.iter().zip(tile) {
                for (v, sum) in sums.iter().enumerate() {
                    let out = out.as_mut_ptr().add(column + v * 8);
                    let sum = if onto == Onto::Earlier { _mm256_add_ps(_mm256_loadu_ps(out), *sum) } else { *sum };
                    _mm256_storeu_ps(out, sum);
                }
            }
        }
    }
}
