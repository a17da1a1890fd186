//! Weights packed for the micro-kernel.

use crate::device::{Buffer, Cpu, Device, Disjoint};

/// Columns of a panel: two 512-bit or four 256-bit vectors.
pub const PANEL: usize = 32;

/// A matrix `[depth, columns]` cut into panels of 32 columns, each `[depth][32]`, the last padded with zeros.
pub struct Panels {
    data: Buffer<f32>,
    depth: usize,
    columns: usize,
}

impl Panels {
    /// Pack the matrix whose element (k, column) is `source[column_offset(column) + depth_offset[k]]`.
    pub fn pack(
        device: &Device,
        depth_offset: &[usize],
        columns: usize,
        source: &[f32],
        column_offset: impl Fn(usize) -> usize + Sync + Send,
    ) -> Panels {
        let Device::Cpu(cpu) = device else { unreachable!("panels belong to the CPU") };
        let depth = depth_offset.len();
        let mut data = Buffer::unspecified(device, columns.div_ceil(PANEL) * depth * PANEL);
        pack(cpu, depth_offset, columns, source, column_offset, data.host_mut());
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

fn pack(
    cpu: &Cpu,
    depth_offset: &[usize],
    columns: usize,
    source: &[f32],
    column_offset: impl Fn(usize) -> usize + Sync + Send,
    out: &mut [f32],
) {
    const STRIP: usize = 256; // rows of a panel a task packs
    let depth = depth_offset.len();
    let strips = depth.div_ceil(STRIP);
    let out = Disjoint::new(out);
    cpu.each(columns.div_ceil(PANEL) * strips, |task| {
        let (panel, strip) = (task / strips, task % strips);
        let rows = strip * STRIP..((strip + 1) * STRIP).min(depth);
        // SAFETY: each (panel, strip) is another part.
        let part = unsafe { out.part((panel * depth + rows.start) * PANEL..(panel * depth + rows.end) * PANEL) };
        let width = (columns - panel * PANEL).min(PANEL);
        part.fill(0.0);
        for lane in 0..width {
            let base = column_offset(panel * PANEL + lane);
            for (row, &offset) in part.chunks_exact_mut(PANEL).zip(&depth_offset[rows.clone()]) {
                row[lane] = source[base + offset];
            }
        }
    });
}
