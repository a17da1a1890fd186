//! Grids that several ops share.

use crate::device::Grid;
use bytemuck::{Pod, Zeroable};

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

/// The most threads that a block of [`Tiling`] has across the channels.
const ACROSS: usize = 32;
/// The most blocks of a reducing kernel: a few waves of the largest GPU, and few partial sums.
const BLOCKS: usize = 1024;

/// Channels across a block, items down it (`Tiling` in kernels/channels.cuh).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Tiling {
    /// Pixels, or pixels and frames.
    pub items: u32,
    /// Numbers an item.
    pub channels: u32,
    /// Threads a block has across the channels.
    pub lanes: u32,
}

impl Tiling {
    /// The tiling of `items` rows of `channels` numbers, and its grid of at most `BLOCKS` blocks of `threads`: a function
    /// of the extents alone, so that sums by block have the same bits in every run.
    pub fn over(items: usize, channels: usize, threads: u32) -> (Tiling, Grid) {
        Tiling::by(items, channels, channels / lanes(channels), threads)
    }

    /// As [`Tiling::over`], each thread one number.
    pub fn single(items: usize, channels: usize, threads: u32) -> (Tiling, Grid) {
        Tiling::by(items, channels, channels, threads)
    }

    fn by(items: usize, channels: usize, packs: usize, threads: u32) -> (Tiling, Grid) {
        let tiles = packs.div_ceil(ACROSS);
        let lanes = packs.div_ceil(tiles.max(1)).max(1);
        let strips = items.div_ceil(threads as usize / lanes).min((BLOCKS / tiles.max(1)).max(1));
        (Tiling { items: items as u32, channels: channels as u32, lanes: lanes as u32 }, Grid::of([strips, tiles, 1], threads))
    }
}
