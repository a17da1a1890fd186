//! Weights packed for the micro-kernel.

use crate::device::{Buffer, Device, Disjoint};
use std::ops::Range;

/// Columns of a panel: two 512-bit or four 256-bit vectors.
pub const PANEL: usize = 32;

/// A matrix `[depth, columns]` cut into panels of 32 columns, each `[depth][32]`, the last padded with zeros.
pub struct Panels {
    data: Buffer<f32>,
    depth: usize,
    columns: usize,
}

impl Panels {
    /// Pack the matrix whose element (k, column) is `source[depth_offset[k] + column · column_stride]`.
    pub fn pack(device: &Device, depth_offset: &[usize], columns: usize, source: &[f32], column_stride: usize) -> Panels {
        /// Rows of a panel that are turned together: a cache line of every column.
        const ROWS: usize = 16;
        Panels::filled(device, depth_offset.len(), columns, |columns, panel| {
            for (rows, offsets) in panel.chunks_mut(ROWS * PANEL).zip(depth_offset.chunks(ROWS)) {
                if column_stride == 1 {
                    for (row, &offset) in rows.chunks_exact_mut(PANEL).zip(offsets) {
                        row[..columns.len()].copy_from_slice(&source[offset + columns.start..offset + columns.end]);
                    }
                } else {
                    for (lane, column) in columns.clone().enumerate() {
                        let source = &source[column * column_stride..];
                        for (row, &offset) in rows.chunks_exact_mut(PANEL).zip(offsets) {
                            row[lane] = source[offset];
                        }
                    }
                }
            }
        })
    }

    /// Panels that `fill` writes, each called with its columns and its `[depth][32]`. What lies behind the last column is 0.
    pub fn filled(device: &Device, depth: usize, columns: usize, fill: impl Fn(Range<usize>, &mut [f32]) + Sync + Send) -> Panels {
        let Device::Cpu(cpu) = device else { unreachable!("panels belong to the CPU") };
        let mut data = Buffer::unspecified(device, columns.div_ceil(PANEL) * depth * PANEL);
        let out = Disjoint::new(data.host_mut());
        cpu.each(columns.div_ceil(PANEL), |panel| {
            // SAFETY: each panel is another part.
            let part = unsafe { out.part(panel * depth * PANEL..(panel + 1) * depth * PANEL) };
            let columns = panel * PANEL..((panel + 1) * PANEL).min(columns);
            if columns.len() < PANEL {
                part.fill(0.0);
            }
            fill(columns, part);
        });
        Panels { data, depth, columns }
    }

    /// K, the length of every sum.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The number of panels.
    pub fn count(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    /// Panel `index`: `[depth][32]`.
    pub fn panel(&self, index: usize) -> &[f32] {
        &self.data.host()[index * self.depth * PANEL..][..self.depth * PANEL]
    }

    /// How many columns of panel `index` are real.
    pub fn width(&self, index: usize) -> usize {
        (self.columns - index * PANEL).min(PANEL)
    }
}
