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
