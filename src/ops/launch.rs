//! Grids that several ops share.

use crate::device::Grid;

/// Threads a block of an elementwise kernel.
pub const THREADS: u32 = 256;

/// Numbers a thread of an elementwise kernel handles; `lanes_of` in kernels/vec.cuh is its twin.
pub fn lanes(channels: usize) -> usize {
    if channels.is_multiple_of(4) { 4 } else { 1 }
}

/// A grid over `count` numbers in rows of `channels`.
pub fn elementwise(count: usize, channels: usize) -> Grid {
    Grid::over(count / lanes(channels), THREADS)
}

/// A grid over `count` numbers that know no rows, four a thread (`flat_index` in kernels/flat.cuh).
pub fn flat(count: usize) -> Grid {
    Grid::over(count.div_ceil(4), THREADS)
}

/// A grid of `rows` (x), each of `items` threads in blocks (y) of whole warps no wider than the row needs.
pub fn rows(rows: usize, items: usize) -> Grid {
    let threads = items.next_multiple_of(32).clamp(32, THREADS as usize);
    Grid::of([rows, items.div_ceil(threads), 1], threads as u32)
}
