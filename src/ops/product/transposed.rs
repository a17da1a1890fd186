//! Transposed rows times rows: weight gradients.

use super::kernel::{Rows, with_scratch};
use super::panels::PANEL;
use crate::device::{Buffer, Cpu, Device, Disjoint, Isa};
use std::ops::Range;

/// The right factor of a weight gradient: gradients row by row, `[rows][columns]` contiguous.
pub struct Outer<'a> {
    /// The numbers.
    pub values: &'a [f32],
    /// Numbers a row.
    pub columns: usize,
}

/// Rows gathered at a time.
const STRIP: usize = 64;
/// Depth elements of a tile.
const TILE_DEPTH: usize = 8;

/// `out[panel][k][lane] = Σ_row rows[row][k] · outer[row][panel · 32 + lane]`: panels of 32 columns as in [`super::Panels`].
///
/// The rows are cut into `parts` fixed parts (a function of the sizes alone), each summed in order, the parts
/// added in order: the same bits on any number of threads.
pub fn accumulate(device: &Device, rows: &impl Rows, outer: &Outer) -> Buffer<f32> {
    let Device::Cpu(cpu) = device;
    let (depth, count) = (rows.depth(), rows.count());
    let padded = outer.columns.next_multiple_of(PANEL);
    let size = depth * padded;
    // Small results: many partial sums. Large ones: one sum, the panels shared out instead.
    let parts = (count / 512).clamp(1, (1 << 20) / size.max(1) + 1).min(32);
    let bands = if parts >= 8 { 1 } else { (padded / PANEL).min(8) };
    let mut partial = Buffer::unspecified(device, parts * size);
    {
        let partial = Disjoint::new(partial.host_mut());
        cpu.each(parts * bands, |task| {
            let (part, band) = (task / bands, task % bands);
            let range = part * count / parts..(part + 1) * count / parts;
            let panels = band * (padded / PANEL) / bands..(band + 1) * (padded / PANEL) / bands;
            // SAFETY: a band writes only its own panels of its own part; the panels of a part are interleaved
            // nowhere: each is `[depth][32]`.
            let out = unsafe { partial.part(part * size + panels.start * depth * PANEL..part * size + panels.end * depth * PANEL) };
            out.fill(0.0);
            accumulate_part(cpu, rows, outer, range, panels, out);
        });
    }
    reduce(cpu, partial, parts, size)
}

/// Adds the parts in order into the first.
fn reduce(cpu: &Cpu, mut partial: Buffer<f32>, parts: usize, size: usize) -> Buffer<f32> {
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

fn accumulate_part(cpu: &Cpu, rows: &impl Rows, outer: &Outer, range: Range<usize>, panels: Range<usize>, out: &mut [f32]) {
    let depth = rows.depth();
    with_scratch(STRIP * (depth + panels.len() * PANEL), |scratch| {
        let (gathered, right) = scratch.split_at_mut(STRIP * depth);
        for first in range.clone().step_by(STRIP) {
            let strip = first..(first + STRIP).min(range.end);
            rows.gather(cpu.isa(), strip.clone(), &mut gathered[..strip.len() * depth]);
            for (index, panel) in panels.clone().enumerate() {
                let width = (outer.columns - panel * PANEL).min(PANEL);
                let right = &mut right[index * STRIP * PANEL..][..strip.len() * PANEL];
                for (row, right) in strip.clone().zip(right.chunks_exact_mut(PANEL)) {
                    right[..width].copy_from_slice(&outer.values[row * outer.columns + panel * PANEL..][..width]);
                    right[width..].fill(0.0);
                }
                let out = &mut out[index * depth * PANEL..][..depth * PANEL];
                for k in (0..depth).step_by(TILE_DEPTH) {
                    let take = TILE_DEPTH.min(depth - k);
                    rank_update(cpu.isa(), &gathered[k..], depth, strip.len(), right, &mut out[k * PANEL..(k + take) * PANEL], width);
                }
            }
        }
    });
}

/// `out[i][j] += Σ_row left[row · stride + i] · right[row][j]`, `out.len() / 32` (1 to 8) values of i.
fn rank_update(isa: Isa, left: &[f32], stride: usize, rows: usize, right: &[f32], out: &mut [f32], width: usize) {
    let take = out.len() / PANEL;
    assert!(right.len() >= rows * PANEL && left.len() >= (rows - 1) * stride + take && take <= TILE_DEPTH);
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instructions were found on this machine; the lengths were asserted above.
        Isa::Avx512 => unsafe { x86::update512(left, stride, rows, right, out, take, width) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { x86::update256(left, stride, rows, right, out, take, width) },
        _ => {
            for (i, out) in out.chunks_exact_mut(PANEL).enumerate() {
                for (row, right) in right.chunks_exact(PANEL).take(rows).enumerate() {
                    let x = left[row * stride + i];
                    for (out, r) in out.iter_mut().zip(right) {
                        *out += x * r;
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::PANEL;
    use std::arch::x86_64::*;

    /// # Safety
    /// `left` reaches row `rows - 1` plus `take`, `right` holds `rows · 32`, `out` `take · 32`.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn update512(left: &[f32], stride: usize, rows: usize, right: &[f32], out: &mut [f32], take: usize, width: usize) {
        // SAFETY: the caller's promise about the lengths.
        unsafe {
            let (left, right, out) = (left.as_ptr(), right.as_ptr(), out.as_mut_ptr());
            match (take, width > 16) {
                (8, true) => block512::<8, 2>(left, stride, rows, right, out),
                (8, false) => block512::<8, 1>(left, stride, rows, right, out),
                (_, true) => (0..take).for_each(|i| block512::<1, 2>(left.add(i), stride, rows, right, out.add(i * PANEL))),
                (_, false) => (0..take).for_each(|i| block512::<1, 1>(left.add(i), stride, rows, right, out.add(i * PANEL))),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn block512<const D: usize, const V: usize>(left: *const f32, stride: usize, rows: usize, right: *const f32, out: *mut f32) {
        // SAFETY: as in `update512`.
        unsafe {
            let mut sums = [[_mm512_setzero_ps(); V]; D];
            for (i, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_loadu_ps(out.add(i * PANEL + v * 16));
                }
            }
            for row in 0..rows {
                let mut values = [_mm512_setzero_ps(); V];
                for (v, value) in values.iter_mut().enumerate() {
                    *value = _mm512_loadu_ps(right.add(row * PANEL + v * 16));
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*left.add(row * stride + i));
                    for (sum, value) in sums.iter_mut().zip(&values) {
                        *sum = _mm512_fmadd_ps(x, *value, *sum);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    _mm512_storeu_ps(out.add(i * PANEL + v * 16), *sum);
                }
            }
        }
    }

    /// # Safety
    /// As [`update512`].
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn update256(left: &[f32], stride: usize, rows: usize, right: &[f32], out: &mut [f32], take: usize, width: usize) {
        // SAFETY: the caller's promise about the lengths.
        unsafe {
            let (left, right, out) = (left.as_ptr(), right.as_ptr(), out.as_mut_ptr());
            for column in (0..width).step_by(16) {
                let (right, out) = (right.add(column), out.add(column));
                let mut i = 0;
                while i + 4 <= take {
                    block256::<4>(left.add(i), stride, rows, right, out.add(i * PANEL));
                    i += 4;
                }
                (i..take).for_each(|i| block256::<1>(left.add(i), stride, rows, right, out.add(i * PANEL)));
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn block256<const D: usize>(left: *const f32, stride: usize, rows: usize, right: *const f32, out: *mut f32) {
        // SAFETY: as in `update256`.
        unsafe {
            let mut sums = [[_mm256_setzero_ps(); 2]; D];
            for (i, sums) in sums.iter_mut().enumerate() {
                *sums = [_mm256_loadu_ps(out.add(i * PANEL)), _mm256_loadu_ps(out.add(i * PANEL + 8))];
            }
            for row in 0..rows {
                let values = [_mm256_loadu_ps(right.add(row * PANEL)), _mm256_loadu_ps(right.add(row * PANEL + 8))];
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(*left.add(row * stride + i));
                    for (sum, value) in sums.iter_mut().zip(&values) {
                        *sum = _mm256_fmadd_ps(x, *value, *sum);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                _mm256_storeu_ps(out.add(i * PANEL), sums[0]);
                _mm256_storeu_ps(out.add(i * PANEL + 8), sums[1]);
            }
        }
    }
}
