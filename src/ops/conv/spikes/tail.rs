//! What becomes of currents.

use crate::device::{Disjoint, Isa};
use crate::ops::lif::{self, Dynamics};
use crate::ops::product::PANEL;
use crate::tensor::planes;
use std::ops::Range;

/// Takes currents while they are in the cache.
pub trait Tail: Sync {
    /// `currents` `[pixel][ceil(T/8) · 8][32]` of `pixels` and the channels `columns`. Clobbers them.
    ///
    /// # Safety
    /// No two calls cover the same element (so the tail may write to shared memory).
    unsafe fn take(&self, pixels: Range<usize>, columns: Range<usize>, currents: &mut [[f32; PANEL]]);
}

/// Stores them: `[pixel][T][C]`.
pub struct Store<'a> {
    pub out: Disjoint<'a, f32>,
    pub steps: usize,
    pub channels: usize,
    pub bias: Option<&'a [f32]>,
}

impl Tail for Store<'_> {
    unsafe fn take(&self, pixels: Range<usize>, columns: Range<usize>, currents: &mut [[f32; PANEL]]) {
        add(self.bias, columns.clone(), currents);
        for (pixel, currents) in pixels.zip(currents.chunks_exact(planes(self.steps) * 8)) {
            for (t, current) in currents[..self.steps].iter().enumerate() {
                let start = (pixel * self.steps + t) * self.channels + columns.start;
                // SAFETY: the caller visits every element once.
                let out = unsafe { self.out.part(start..start + columns.len()) };
                // A whole panel is stored without a call.
                match out.first_chunk_mut() {
                    Some(whole) => *whole = *current,
                    None => out.copy_from_slice(&current[..columns.len()]),
                }
            }
        }
    }
}

/// Integrates them to spikes: `[pixel][ceil(T/8)][C]` bytes.
pub struct Fire<'a> {
    pub out: Disjoint<'a, u8>,
    pub channels: usize,
    pub bias: Option<&'a [f32]>,
    pub affine: Option<(&'a [f32], &'a [f32])>,
    pub v_th: f32,
    pub dynamics: Dynamics,
    pub isa: Isa,
}

impl Tail for Fire<'_> {
    unsafe fn take(&self, pixels: Range<usize>, columns: Range<usize>, currents: &mut [[f32; PANEL]]) {
        add(self.bias, columns.clone(), currents);
        let planes = planes(self.dynamics.steps);
        let map = self.affine.map(|(scale, shift)| [scale, shift].map(|all| padded(&all[columns.clone()])));
        let map = map.as_ref().map(|[scale, shift]| (&scale[..], &shift[..]));
        let mut codes = vec![0; pixels.len() * planes * PANEL];
        lif::strip(self.isa, currents.as_flattened(), planes * 8, PANEL, map, self.v_th, self.dynamics, &mut codes);
        for (row, codes) in (pixels.start * planes..pixels.end * planes).zip(codes.chunks_exact(PANEL)) {
            let start = row * self.channels + columns.start;
            // SAFETY: the caller visits every element once.
            let out = unsafe { self.out.part(start..start + columns.len()) };
            out.copy_from_slice(&codes[..columns.len()]);
        }
    }
}

/// Adds the bias to every step.
fn add(bias: Option<&[f32]>, columns: Range<usize>, currents: &mut [[f32; PANEL]]) {
    let Some(bias) = bias else { return };
    let bias = padded(&bias[columns]);
    for current in currents {
        current.iter_mut().zip(bias).for_each(|(current, bias)| *current += bias);
    }
}

/// A panel's numbers, zeros beyond.
fn padded(numbers: &[f32]) -> [f32; PANEL] {
    let mut padded = [0.0; PANEL];
    padded[..numbers.len()].copy_from_slice(numbers);
    padded
}
