//! The input gradient of a convolution of stride 2 on the CPU, phase by phase.
//!
//! Pixels whose rows and columns leave the same remainders by the stride read the same taps of the kernel. Each such phase
//! is a convolution of stride 1 over dy with its own taps (of a 3x3 kernel 1, 2, 2 and 4), so that no zero is multiplied.

use super::Geometry;
use super::patches::Patches;
use crate::base::Shape;
use crate::device::{Cpu, Disjoint};
use crate::ops::product::{Layout, PANEL, Panels, Sink, TILE_ROWS, Weight, multiply};
use crate::tensor::Tensor;
use std::ops::Range;

const STRIDE: usize = 2;

/// Along one axis, the pixels at `rest`, `rest` + 2 ...
#[derive(Debug, Clone, Copy)]
pub struct Along {
    rest: usize,
    /// How many there are.
    pub pixels: usize,
    /// The last tap that they read: the taps are every second one down from it.
    last: usize,
    /// How many taps they read.
    pub taps: usize,
    /// Zeros in front of dy that the first of them reads.
    pub border: usize,
}

impl Along {
    /// None where dy would have to be read from its middle on.
    fn new(rest: usize, extent: usize, kernel: usize, pad: usize) -> Option<Along> {
        let first = (rest + pad) % STRIDE;
        let taps = kernel.saturating_sub(first).div_ceil(STRIDE);
        let ahead = (rest + pad) / STRIDE;
        let pixels = extent.saturating_sub(rest).div_ceil(STRIDE);
        let border = if taps == 0 { 0 } else { (taps - 1).checked_sub(ahead)? };
        Some(Along { rest, pixels, last: (first + STRIDE * taps).saturating_sub(STRIDE), taps, border })
    }

    /// The taps in the order in which dy is read.
    fn down(self) -> impl Iterator<Item = usize> {
        (0..self.taps).map(move |index| self.last - STRIDE * index)
    }
}

/// dx of dy, None where the geometry has another stride or a border that phases do not have.
pub fn backward_input(cpu: &Cpu, geometry: &Geometry, dy: &Tensor, weight: &Weight) -> Option<Tensor> {
    let g = geometry.extents();
    if g.stride != STRIDE {
        return None;
    }
    let rows = [0, 1].map(|rest| Along::new(rest, g.in_height, g.kernel_height, g.pad));
    let columns = [0, 1].map(|rest| Along::new(rest, g.in_width, g.kernel_width, g.pad));
    let [[Some(even), Some(odd)], [Some(left), Some(right)]] = [rows, columns] else { return None };
    let phases = [[even, left], [even, right], [odd, left], [odd, right]];
    // Pixels that no tap reads stay 0.
    let shape = geometry.input_shape();
    let read = phases.iter().all(|[row, column]| row.taps * column.taps > 0);
    let mut dx = if read { Tensor::unspecified(dy.device(), shape) } else { Tensor::zeros(dy.device(), shape) };
    let out = Disjoint::new(dx.host_mut());
    let layouts = [Layout::PhaseEvenEven, Layout::PhaseEvenOdd, Layout::PhaseOddEven, Layout::PhaseOddOdd];
    for ([row, column], layout) in phases.into_iter().zip(layouts) {
        if row.taps * column.taps * row.pixels * column.pixels == 0 {
            continue;
        }
        let panels = weight.panels(layout, || {
            let taps = row.down().flat_map(|kh| column.down().map(move |kw| kh * g.kernel_width + kw));
            let depth: Vec<usize> =
                taps.flat_map(|tap| (0..g.out_channels).map(move |co| co * geometry.patch() + tap * g.in_channels)).collect();
            Panels::pack(dy.device(), &depth, g.in_channels, weight.value().host(), 1)
        });
        multiply(cpu, &Patches::phase(geometry, dy, row, column), &panels, &StorePhase { out: &out, shape, row, column });
    }
    Some(dx)
}

/// Stores the rows of a phase at its pixels.
struct StorePhase<'a> {
    out: &'a Disjoint<'a, f32>,
    /// `[N,H,W,F,C_in]`.
    shape: Shape,
    row: Along,
    column: Along,
}

impl Sink for StorePhase<'_> {
    unsafe fn take(&self, rows: Range<usize>, columns: Range<usize>, tile: &[[f32; PANEL]; TILE_ROWS]) {
        let (frames, channels) = (self.shape[3], self.shape[4]);
        let pixel = rows.start / frames;
        let mut frame = rows.start % frames;
        let (mut w, mut h) = (pixel % self.column.pixels, pixel / self.column.pixels % self.row.pixels);
        let mut n = pixel / (self.column.pixels * self.row.pixels);
        for tile in &tile[..rows.len()] {
            let line = n * self.shape[1] + STRIDE * h + self.row.rest;
            let pixel = line * self.shape[2] + STRIDE * w + self.column.rest;
            let start = (pixel * frames + frame) * channels + columns.start;
            // SAFETY: the caller visits every element of the phase once, and phases have other pixels.
            unsafe { self.out.part(start..start + columns.len()) }.copy_from_slice(&tile[..columns.len()]);
            frame += 1;
            if frame == frames {
                (frame, w) = (0, w + 1);
            }
            if w == self.column.pixels {
                (w, h) = (0, h + 1);
            }
            if h == self.row.pixels {
                (h, n) = (0, n + 1);
            }
        }
    }
}
