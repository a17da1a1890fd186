//! Transposed rows times rows: weight gradients.

use super::kernel::{Rows, Run, check, with_scratch};
use super::panels::PANEL;
use crate::device::{Buffer, Cpu, Device, Disjoint, Isa};
use crate::tensor::Tensor;
use std::ops::Range;

/// The right factor of a weight gradient: gradients row by row, `[rows][columns]` contiguous.
pub struct Outer<'a> {
    /// The numbers.
    pub values: &'a [f32],
    /// Numbers a row.
    pub columns: usize,
}

/// Elements of the depth that one tile covers.
const TILE_DEPTH: usize = 8;

/// `out[panel][k][lane] = Σ_row rows[row][k] · outer[row][panel · 32 + lane]`: panels of 32 columns as in [`super::Panels`].
///
/// The blocks are cut into fixed parts (a function of the sizes alone), each summed in order, the parts added in
/// order: the same bits on any number of threads.
pub fn accumulate(device: &Device, rows: &impl Rows, outer: &Outer) -> Buffer<f32> {
    let Device::Cpu(cpu) = device else { unreachable!("this product belongs to the CPU") };
    let depth: usize = rows.runs().iter().map(|run| run.len).sum();
    let panels = outer.columns.div_ceil(PANEL);
    let (size, blocks) = (depth * panels * PANEL, rows.blocks());
    // Small results: many partial sums. Large ones: one sum, the panels shared out instead.
    let parts = blocks.clamp(1, ((1 << 20) / size.max(1)).clamp(1, 16));
    let bands = if parts >= 8 { 1 } else { panels.min(8) };
    let mut partial = Buffer::unspecified(device, parts * size);
    {
        let partial = Disjoint::new(partial.host_mut());
        cpu.each(parts * bands, |task| {
            let (part, band) = (task / bands, task % bands);
            let blocks = part * blocks / parts..(part + 1) * blocks / parts;
            let mine = band * panels / bands..(band + 1) * panels / bands;
            // SAFETY: a band writes its own panels of its own part; a panel is `[depth][32]`, contiguous.
            let out = unsafe { partial.part(part * size + mine.start * depth * PANEL..part * size + mine.end * depth * PANEL) };
            out.fill(0.0);
            accumulate_part(cpu, rows, depth, outer, blocks, mine, out);
        });
    }
    reduce(cpu, partial, parts, size)
}

/// Adds the parts `[part][size]` in order into the first.
pub fn reduce(cpu: &Cpu, mut partial: Buffer<f32>, parts: usize, size: usize) -> Buffer<f32> {
    let (first, rest) = partial.host_mut().split_at_mut(size);
    if parts > 1 {
        let first = Disjoint::new(first);
        let rest: &[f32] = rest;
        cpu.pieces(size, 8192, |range| {
            // SAFETY: the pieces do not overlap.
            let sum = unsafe { first.part(range.clone()) };
            for part in rest.chunks_exact(size) {
                for (sum, x) in sum.iter_mut().zip(&part[range.clone()]) {
                    *sum += x;
                }
            }
        });
    }
    partial
}

/// A weight gradient `[columns][depth]` that is written panel by panel, each `[depth][32]`.
pub struct Turned<'a> {
    out: Disjoint<'a, f32>,
    depth: usize,
    columns: usize,
}

impl<'a> Turned<'a> {
    /// Of `dw`, whose numbers are `[columns][depth]`.
    pub fn new(dw: &'a mut Tensor, depth: usize, columns: usize) -> Turned<'a> {
        assert_eq!(dw.shape().count(), depth * columns, "a weight gradient of another size");
        Turned { out: Disjoint::new(dw.host_mut()), depth, columns }
    }

    /// All panels, `[panel][depth][32]`.
    pub fn put_all(&self, cpu: &Cpu, panels: &[f32]) {
        let size = self.depth * PANEL;
        // SAFETY: each panel is written once.
        cpu.each(self.columns.div_ceil(PANEL), |index| unsafe { self.put(index, &panels[index * size..][..size]) });
    }

    /// Panel `index`.
    ///
    /// # Safety
    /// Nobody else writes it meanwhile.
    pub unsafe fn put(&self, index: usize, panel: &[f32]) {
        /// Rows of a panel that are turned together: a cache line of every column.
        const ROWS: usize = 16;
        let (depth, width) = (self.depth, (self.columns - index * PANEL).min(PANEL));
        // SAFETY: each panel's columns are another part.
        let out = unsafe { self.out.part(index * PANEL * depth..(index * PANEL + width) * depth) };
        for (k, rows) in (0..depth).step_by(ROWS).zip(panel.chunks(ROWS * PANEL)) {
            for (lane, column) in out.chunks_exact_mut(depth).enumerate() {
                column[k..].iter_mut().zip(rows.chunks_exact(PANEL)).for_each(|(w, lanes)| *w = lanes[lane]);
            }
        }
    }
}

fn accumulate_part(cpu: &Cpu, rows: &impl Rows, depth: usize, outer: &Outer, blocks: Range<usize>, panels: Range<usize>, out: &mut [f32]) {
    with_scratch(|scratch| {
        for block in blocks {
            let range = rows.rows(block);
            let numbers = rows.load(cpu.isa(), block, &mut scratch.numbers, &mut scratch.starts);
            let starts = &scratch.starts;
            check(numbers, starts, rows.runs());
            for (index, panel) in panels.clone().enumerate() {
                let width = (outer.columns - panel * PANEL).min(PANEL);
                let values = &outer.values[range.start * outer.columns..range.end * outer.columns];
                let right = Right::of(values, outer.columns, panel * PANEL, width, &mut scratch.right);
                let mut out = &mut out[index * depth * PANEL..(index + 1) * depth * PANEL];
                for run in rows.runs() {
                    for at in (0..run.len).step_by(TILE_DEPTH) {
                        let take = TILE_DEPTH.min(run.len - at);
                        let (tile, rest) = out.split_at_mut(take * PANEL);
                        rank_update(cpu.isa(), numbers, starts, Run { offset: run.offset + at, len: take }, &right, tile, width);
                        out = rest;
                    }
                }
            }
        }
    });
}

/// Rows of one panel of the right factor: read in place where a panel is whole vectors, else copied and padded.
struct Right<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> Right<'a> {
    fn of(values: &'a [f32], columns: usize, first: usize, width: usize, scratch: &'a mut Vec<f32>) -> Self {
        if width == PANEL || width == PANEL / 2 {
            return Right { values: &values[first..], stride: columns };
        }
        scratch.clear();
        for row in values.chunks_exact(columns) {
            scratch.extend_from_slice(&row[first..first + width]);
            scratch.resize(scratch.len() + PANEL - width, 0.0);
        }
        Right { values: scratch, stride: PANEL }
    }
}

/// `out[i][j] += Σ_row left[row][run + i] · right[row][j]` for the 1 to 8 elements of `run`, rows that `check` has seen.
fn rank_update(isa: Isa, numbers: &[f32], starts: &[usize], run: Run, right: &Right, out: &mut [f32], width: usize) {
    let padded = if width > PANEL / 2 { PANEL } else { PANEL / 2 };
    assert!(starts.is_empty() || right.values.len() >= (starts.len() - 1) * right.stride + padded);
    assert!(out.len() >= run.len * PANEL && run.len <= TILE_DEPTH);
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instructions were found on this machine; `check` saw the rows, the rest was asserted above.
        Isa::Avx512 => unsafe { x86::update512(numbers, starts, run, right.values, right.stride, out, width) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { x86::update256(numbers, starts, run, right.values, right.stride, out, width) },
        _ => {
            for (i, out) in out.chunks_exact_mut(PANEL).take(run.len).enumerate() {
                let mut sums = [0.0f32; PANEL];
                for (row, &start) in starts.iter().enumerate() {
                    let x = numbers[start + run.offset + i];
                    for (sum, r) in sums.iter_mut().zip(&right.values[row * right.stride..][..width]) {
                        *sum += x * r;
                    }
                }
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{PANEL, Run};
    use std::arch::x86_64::*;

    /// # Safety
    /// Every row reads within `numbers`, `right` holds its rows (32 or, for width ≤ 16, 16 numbers each), `out`
    /// 32 numbers for each element of `run`.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn update512(numbers: &[f32], starts: &[usize], run: Run, right: &[f32], stride: usize, out: &mut [f32], width: usize) {
        let (right, out) = (right.as_ptr(), out.as_mut_ptr());
        macro_rules! by_depth {
            ($v:literal: $($d:literal)*) => { match run.len {
                // SAFETY: the caller's promise.
                $($d => unsafe { block512::<$d, $v>(numbers.as_ptr().add(run.offset), starts, right, stride, out) },)*
                _ => {}
            } };
        }
        if width > 16 { by_depth!(2: 1 2 3 4 5 6 7 8) } else { by_depth!(1: 1 2 3 4 5 6 7 8) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn block512<const D: usize, const V: usize>(
        left: *const f32,
        starts: &[usize],
        right: *const f32,
        stride: usize,
        out: *mut f32,
    ) {
        // SAFETY: as in `update512`.
        unsafe {
            // A block's sum is its own chain, added to the others' at the end: that keeps rounding small.
            let mut sums = [[_mm512_setzero_ps(); V]; D];
            let mut right = right;
            for &start in starts {
                let row = left.add(start);
                let mut values = [_mm512_setzero_ps(); V];
                for (v, value) in values.iter_mut().enumerate() {
                    *value = _mm512_loadu_ps(right.add(v * 16));
                }
                right = right.wrapping_add(stride);
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*row.add(i));
                    for (sum, value) in sums.iter_mut().zip(&values) {
                        *sum = _mm512_fmadd_ps(x, *value, *sum);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let out = out.add(i * PANEL + v * 16);
                    _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), *sum));
                }
            }
        }
    }

    /// # Safety
    /// As [`update512`].
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn update256(numbers: &[f32], starts: &[usize], run: Run, right: &[f32], stride: usize, out: &mut [f32], width: usize) {
        for column in (0..width).step_by(16) {
            let mut i = 0;
            while i < run.len {
                // SAFETY: the caller's promise.
                unsafe {
                    let (left, right, out) =
                        (numbers.as_ptr().add(run.offset + i), right.as_ptr().add(column), out.as_mut_ptr().add(i * PANEL + column));
                    if i + 4 <= run.len {
                        block256::<4>(left, starts, right, stride, out);
                        i += 4;
                    } else {
                        block256::<1>(left, starts, right, stride, out);
                        i += 1;
                    }
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn block256<const D: usize>(left: *const f32, starts: &[usize], right: *const f32, stride: usize, out: *mut f32) {
        // SAFETY: as in `update256`.
        unsafe {
            let mut sums = [[_mm256_setzero_ps(); 2]; D];
            let mut right = right;
            for &start in starts {
                let row = left.add(start);
                let values = [_mm256_loadu_ps(right), _mm256_loadu_ps(right.add(8))];
                right = right.wrapping_add(stride);
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(*row.add(i));
                    for (sum, value) in sums.iter_mut().zip(&values) {
                        *sum = _mm256_fmadd_ps(x, *value, *sum);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let out = out.add(i * PANEL + v * 8);
                    _mm256_storeu_ps(out, _mm256_add_ps(_mm256_loadu_ps(out), *sum));
                }
            }
        }
    }
}
