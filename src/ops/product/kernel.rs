//! Rows times panels.

use super::panels::{PANEL, Panels};
use crate::device::{Cpu, Isa};
use std::cell::RefCell;
use std::ops::Range;

/// Rows of a tile.
pub const TILE_ROWS: usize = 8;

/// A source of rows: the left factor, gathered as it is needed.
pub trait Rows: Sync {
    /// The number of rows.
    fn count(&self) -> usize;
    /// K, the length of a row.
    fn depth(&self) -> usize;
    /// Write `rows` to `out`, `[rows.len()][depth]`.
    fn gather(&self, isa: Isa, rows: Range<usize>, out: &mut [f32]);
}

/// Where results go: called once for every tile, from several threads.
pub trait Sink: Sync {
    /// Take the results of `rows` in columns `columns`: `tile[i][j]` belongs to row `rows.start + i`.
    ///
    /// # Safety
    /// No two calls of one product cover the same element (so the sink may write to shared memory).
    unsafe fn take(&self, rows: Range<usize>, columns: Range<usize>, tile: &[[f32; PANEL]; TILE_ROWS]);
}

thread_local! {
    static GATHERED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Run `work` with this thread's scratch of at least `len` numbers (contents unspecified).
pub(super) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    GATHERED.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        work(&mut scratch[..len])
    })
}

/// `rows · panels`, every tile handed to `sink`.
pub fn multiply(cpu: &Cpu, rows: &impl Rows, panels: &Panels, sink: &impl Sink) {
    assert_eq!(rows.depth(), panels.depth(), "rows and panels of one depth");
    let (count, depth) = (rows.count(), rows.depth());
    // A block of gathered rows takes at most a quarter of a megabyte, so that it stays in the second-level cache.
    let block = (65_536 / depth.max(1) / TILE_ROWS * TILE_ROWS).clamp(TILE_ROWS, 64);
    let blocks = count.div_ceil(block);
    // Few rows: share the panels out as well. Which task computes a tile does not change it.
    let groups = (8 / blocks.max(1)).clamp(1, panels.count());
    cpu.each(blocks * groups, |task| {
        let (index, group) = (task / groups, task % groups);
        let range = index * block..((index + 1) * block).min(count);
        let mine = group * panels.count() / groups..(group + 1) * panels.count() / groups;
        with_scratch(block * depth, |gathered| {
            rows.gather(cpu.isa(), range.clone(), &mut gathered[..range.len() * depth]);
            for panel in mine {
                for first in range.clone().step_by(TILE_ROWS) {
                    let rows = first..(first + TILE_ROWS).min(range.end);
                    let left = &gathered[(first - range.start) * depth..][..rows.len() * depth];
                    let mut tile = Tile([[0.0; PANEL]; TILE_ROWS]);
                    tile_product(cpu.isa(), left, depth, panels.panel(panel), panels.width(panel), &mut tile.0);
                    let columns = panel * PANEL..panel * PANEL + panels.width(panel);
                    // SAFETY: each (rows, panel) is visited once.
                    unsafe { sink.take(rows, columns, &tile.0) };
                }
            }
        });
    });
}

#[repr(align(64))]
struct Tile([[f32; PANEL]; TILE_ROWS]);

/// `tile[i][j] = Σ_k left[i][k] · panel[k][j]` for 1 to 8 rows.
fn tile_product(isa: Isa, left: &[f32], depth: usize, panel: &[f32], width: usize, tile: &mut [[f32; PANEL]; TILE_ROWS]) {
    assert!(panel.len() >= depth * PANEL && left.len().is_multiple_of(depth.max(1)) && left.len() <= TILE_ROWS * depth);
    let rows = if depth == 0 { 0 } else { left.len() / depth };
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instructions were found on this machine; the lengths were asserted above.
        Isa::Avx512 => unsafe { x86::tile512(left, rows, depth, panel, width, tile) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { x86::tile256(left, rows, depth, panel, width, tile) },
        _ => portable(left, depth, panel, tile),
    }
}

fn portable(left: &[f32], depth: usize, panel: &[f32], tile: &mut [[f32; PANEL]; TILE_ROWS]) {
    const LANES: usize = 8;
    for (row, out) in left.chunks_exact(depth).zip(tile) {
        for (lane, out) in out.chunks_exact_mut(LANES).enumerate() {
            let mut sum = [0.0f32; LANES];
            for (&x, weights) in row.iter().zip(panel.chunks_exact(PANEL)) {
                let weights = &weights[lane * LANES..][..LANES];
                for (sum, &w) in sum.iter_mut().zip(weights) {
                    *sum += x * w;
                }
            }
            out.copy_from_slice(&sum);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{PANEL, TILE_ROWS};
    use std::arch::x86_64::*;

    /// # Safety
    /// `left` holds `rows · depth` numbers, `panel` `depth · 32`; rows ≤ 8.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn tile512(
        left: &[f32],
        rows: usize,
        depth: usize,
        panel: &[f32],
        width: usize,
        tile: &mut [[f32; PANEL]; TILE_ROWS],
    ) {
        // SAFETY: the caller's promise about the lengths.
        unsafe {
            let (left, panel) = (left.as_ptr(), panel.as_ptr());
            if width > 16 {
                match rows {
                    8 => block512::<8, 2>(left, depth, panel, tile),
                    _ => {
                        for row in 0..rows {
                            block512::<1, 2>(left.add(row * depth), depth, panel, &mut tile[row..]);
                        }
                    }
                }
            } else {
                match rows {
                    8 => block512::<8, 1>(left, depth, panel, tile),
                    _ => {
                        for row in 0..rows {
                            block512::<1, 1>(left.add(row * depth), depth, panel, &mut tile[row..]);
                        }
                    }
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn block512<const R: usize, const V: usize>(left: *const f32, depth: usize, panel: *const f32, tile: &mut [[f32; PANEL]]) {
        // SAFETY: as in `tile512`; `tile` has at least R rows.
        unsafe {
            let mut sums = [[_mm512_setzero_ps(); V]; R];
            for k in 0..depth {
                let mut weights = [_mm512_setzero_ps(); V];
                for (v, w) in weights.iter_mut().enumerate() {
                    *w = _mm512_loadu_ps(panel.add(k * PANEL + v * 16));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*left.add(row * depth + k));
                    for (sum, w) in sums.iter_mut().zip(&weights) {
                        *sum = _mm512_fmadd_ps(x, *w, *sum);
                    }
                }
            }
            for (sums, out) in sums.iter().zip(tile) {
                for (v, sum) in sums.iter().enumerate() {
                    _mm512_storeu_ps(out.as_mut_ptr().add(v * 16), *sum);
                }
            }
        }
    }

    /// # Safety
    /// As [`tile512`].
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn tile256(
        left: &[f32],
        rows: usize,
        depth: usize,
        panel: &[f32],
        width: usize,
        tile: &mut [[f32; PANEL]; TILE_ROWS],
    ) {
        // SAFETY: the caller's promise about the lengths.
        unsafe {
            let (left, panel) = (left.as_ptr(), panel.as_ptr());
            for column in (0..width).step_by(16) {
                let mut row = 0;
                while row + 4 <= rows {
                    block256::<4>(left.add(row * depth), depth, panel.add(column), &mut tile[row..], column);
                    row += 4;
                }
                for row in row..rows {
                    block256::<1>(left.add(row * depth), depth, panel.add(column), &mut tile[row..], column);
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn block256<const R: usize>(left: *const f32, depth: usize, panel: *const f32, tile: &mut [[f32; PANEL]], column: usize) {
        // SAFETY: as in `tile256`; `tile` has at least R rows.
        unsafe {
            let mut sums = [[_mm256_setzero_ps(); 2]; R];
            for k in 0..depth {
                let weights = [_mm256_loadu_ps(panel.add(k * PANEL)), _mm256_loadu_ps(panel.add(k * PANEL + 8))];
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(*left.add(row * depth + k));
                    for (sum, w) in sums.iter_mut().zip(&weights) {
                        *sum = _mm256_fmadd_ps(x, *w, *sum);
                    }
                }
            }
            for (sums, out) in sums.iter().zip(tile) {
                _mm256_storeu_ps(out.as_mut_ptr().add(column), sums[0]);
                _mm256_storeu_ps(out.as_mut_ptr().add(column + 8), sums[1]);
            }
        }
    }
}
