//! Convolution on the CPU: gathered patches times packed weights (`ops::product`).

use super::Geometry;
use crate::device::{Cpu, Disjoint, Isa};
use crate::ops::product::{Outer, PANEL, Panels, Rows, Sink, TILE_ROWS, Weight, accumulate, multiply};
use crate::ops::vector::simd;
use crate::tensor::{Data, Tensor, planes};
use std::ops::Range;

/// Up to this many patch elements, the input gradient is computed by scattering instead of gathering: with so
/// few input channels the vector lanes of a gather would stay empty.
const SCATTER_PATCH: usize = PANEL;

pub fn forward(cpu: &Cpu, geometry: &Geometry, x: &Data, weight: &Weight, bias: Option<&Tensor>) -> Tensor {
    let panels = weight.forward_panels(|| {
        let depth: Vec<usize> = (0..patch_len(geometry)).collect();
        Panels::pack(x.device(), &depth, geometry.out_channels as usize, weight.value().host(), |column| column * depth.len())
    });
    let mut y = Tensor::unspecified(x.device(), geometry.output_shape());
    let sink = Store { out: Disjoint::new(y.host_mut()), columns: panels.columns(), bias: bias.map(Tensor::host) };
    multiply(cpu, &Patches::of(geometry, x), panels, &sink);
    y
}

pub fn backward_input(cpu: &Cpu, geometry: &Geometry, dy: &Tensor, weight: &Weight) -> Tensor {
    if patch_len(geometry) <= SCATTER_PATCH {
        return backward_input_by_scatter(cpu, geometry, dy, weight);
    }
    let (patch, taps, inputs) = (patch_len(geometry), taps(geometry), geometry.in_channels as usize);
    let panels = weight.backward_panels(|| {
        // Depth (tap, co), taps turned round: dx gathers from dy with the kernel reflected.
        let depth: Vec<usize> = (0..taps)
            .rev()
            .flat_map(|tap| (0..geometry.out_channels as usize).map(move |co| co * patch + tap * inputs))
            .collect();
        Panels::pack(dy.device(), &depth, inputs, weight.value().host(), |column| column)
    });
    let mut dx = Tensor::unspecified(dy.device(), geometry.input_shape());
    let sink = Store { out: Disjoint::new(dx.host_mut()), columns: inputs, bias: None };
    multiply(cpu, &Patches::reflected(geometry, dy), panels, &sink);
    dx
}

/// dcol = dy · W, then every pixel adds the taps that read it.
fn backward_input_by_scatter(cpu: &Cpu, geometry: &Geometry, dy: &Tensor, weight: &Weight) -> Tensor {
    let g = Extents::of(geometry);
    let patch = patch_len(geometry);
    let panels = weight.backward_panels(|| {
        let depth: Vec<usize> = (0..g.out_channels).map(|co| co * patch).collect();
        Panels::pack(dy.device(), &depth, patch, weight.value().host(), |column| column)
    });
    let rows = g.images * g.out_height * g.out_width * g.frames;
    let mut columns = Tensor::unspecified(dy.device(), [rows, patch]);
    let sink = Store { out: Disjoint::new(columns.host_mut()), columns: patch, bias: None };
    multiply(cpu, &Plain { values: dy.host(), depth: g.out_channels }, panels, &sink);

    let mut dx = Tensor::unspecified(dy.device(), geometry.input_shape());
    let image_len = g.in_height * g.in_width * g.frames * g.in_channels;
    let columns = columns.host();
    let out = Disjoint::new(dx.host_mut());
    cpu.each(g.images, |n| {
        // SAFETY: each image is another part.
        let image = unsafe { out.part(n * image_len..(n + 1) * image_len) };
        image.fill(0.0);
        for oh in 0..g.out_height {
            for ow in 0..g.out_width {
                let row = ((n * g.out_height + oh) * g.out_width + ow) * g.frames;
                for tap in 0..g.kernel_height * g.kernel_width {
                    let (ih, iw) = (oh * g.stride + tap / g.kernel_width, ow * g.stride + tap % g.kernel_width);
                    if ih < g.pad || iw < g.pad || ih - g.pad >= g.in_height || iw - g.pad >= g.in_width {
                        continue;
                    }
                    let pixel = ((ih - g.pad) * g.in_width + iw - g.pad) * g.frames * g.in_channels;
                    for frame in 0..g.frames {
                        let from = &columns[(row + frame) * patch + tap * g.in_channels..][..g.in_channels];
                        let to = &mut image[pixel + frame * g.in_channels..][..g.in_channels];
                        to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                    }
                }
            }
        }
    });
    dx
}

pub fn backward_weight(geometry: &Geometry, x: &Data, dy: &Tensor) -> Tensor {
    let (patch, outputs) = (patch_len(geometry), geometry.out_channels as usize);
    let sums = accumulate(x.device(), &Patches::of(geometry, x), &Outer { values: dy.host(), columns: outputs });
    let sums = sums.host();
    let mut dw = Tensor::unspecified(x.device(), geometry.weight_shape());
    for (co, row) in dw.host_mut().chunks_exact_mut(patch).enumerate() {
        let panel = &sums[co / PANEL * patch * PANEL..][..patch * PANEL];
        for (w, lanes) in row.iter_mut().zip(panel.chunks_exact(PANEL)) {
            *w = lanes[co % PANEL];
        }
    }
    dw
}

pub fn backward_bias(cpu: &Cpu, dy: &Tensor) -> Tensor {
    const STRIP: usize = 1024;
    let shape = dy.shape();
    let channels = shape[shape.rank() - 1];
    let rows = shape.count() / channels.max(1);
    let partial = cpu.map(rows.div_ceil(STRIP), |strip| {
        let mut sums = vec![0.0f64; channels];
        let end = ((strip + 1) * STRIP).min(rows);
        add_rows(cpu.isa(), &dy.host()[strip * STRIP * channels..end * channels], &mut sums);
        sums
    });
    let mut db = vec![0.0f64; channels];
    for sums in partial {
        db.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    Tensor::from_slice(dy.device(), [channels], &db.iter().map(|&x| x as f32).collect::<Vec<_>>())
}

simd! {
    fn add_rows(values: &[f32], sums: &mut [f64]) {
        for row in values.chunks_exact(sums.len()) {
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += f64::from(x);
            }
        }
    }
}

fn taps(geometry: &Geometry) -> usize {
    (geometry.kernel_height * geometry.kernel_width) as usize
}

fn patch_len(geometry: &Geometry) -> usize {
    taps(geometry) * geometry.in_channels as usize
}

/// [`Geometry`] as `usize`.
struct Extents {
    images: usize,
    frames: usize,
    in_height: usize,
    in_width: usize,
    in_channels: usize,
    out_height: usize,
    out_width: usize,
    out_channels: usize,
    kernel_height: usize,
    kernel_width: usize,
    stride: usize,
    pad: usize,
}

impl Extents {
    fn of(g: &Geometry) -> Extents {
        Extents {
            images: g.images as usize,
            frames: g.frames as usize,
            in_height: g.in_height as usize,
            in_width: g.in_width as usize,
            in_channels: g.in_channels as usize,
            out_height: g.out_height as usize,
            out_width: g.out_width as usize,
            out_channels: g.out_channels as usize,
            kernel_height: g.kernel_height as usize,
            kernel_width: g.kernel_width as usize,
            stride: g.stride as usize,
            pad: g.pad as usize,
        }
    }
}

/// Adds the bias and stores rows contiguously.
struct Store<'a> {
    out: Disjoint<'a, f32>,
    columns: usize,
    bias: Option<&'a [f32]>,
}

impl Sink for Store<'_> {
    unsafe fn take(&self, rows: Range<usize>, columns: Range<usize>, tile: &[[f32; PANEL]; TILE_ROWS]) {
        for (row, tile) in rows.zip(tile) {
            let start = row * self.columns + columns.start;
            // SAFETY: the caller visits every element once.
            let out = unsafe { self.out.part(start..start + columns.len()) };
            match self.bias {
                Some(bias) => out.iter_mut().zip(tile).zip(&bias[columns.clone()]).for_each(|((out, sum), b)| *out = sum + b),
                None => out.copy_from_slice(&tile[..columns.len()]),
            }
        }
    }
}

/// Rows that lie ready in memory.
struct Plain<'a> {
    values: &'a [f32],
    depth: usize,
}

impl Rows for Plain<'_> {
    fn count(&self) -> usize {
        self.values.len() / self.depth.max(1)
    }
    fn depth(&self) -> usize {
        self.depth
    }
    fn gather(&self, _: Isa, rows: Range<usize>, out: &mut [f32]) {
        out.copy_from_slice(&self.values[rows.start * self.depth..rows.end * self.depth]);
    }
}

/// The activation from which patches are read.
enum Source<'a> {
    Real(&'a [f32]),
    Spikes(&'a [u8]),
    Quarters(&'a [u32]),
}

/// Patches as rows: row ((n·OH + oh)·OW + ow)·F + f holds, for every tap, the channels under it (0 outside).
struct Patches<'a> {
    source: Source<'a>,
    /// Extents of the image read: height, width, channels; frames.
    from: [usize; 3],
    frames: usize,
    /// Extents of the image of rows: images, height, width.
    to: [usize; 3],
    kernel: [usize; 2],
    /// Along each way: source = (to · up + tap − pad) / down where that divides.
    up: usize,
    down: usize,
    pad: [isize; 2],
}

impl<'a> Patches<'a> {
    fn of(geometry: &Geometry, x: &'a Data) -> Self {
        let g = Extents::of(geometry);
        let source = match x {
            Data::Real(x) => Source::Real(x.host()),
            Data::Spikes { codes, .. } => Source::Spikes(codes.host()),
            Data::Quarters { codes, .. } => Source::Quarters(codes.host()),
        };
        Patches {
            source,
            from: [g.in_height, g.in_width, g.in_channels],
            frames: g.frames,
            to: [g.images, g.out_height, g.out_width],
            kernel: [g.kernel_height, g.kernel_width],
            up: g.stride,
            down: 1,
            pad: [g.pad as isize; 2],
        }
    }

    /// For the input gradient: pixel ih reads oh = (ih + p − kh) / s, with taps counted backwards.
    fn reflected(geometry: &Geometry, dy: &'a Tensor) -> Self {
        let g = Extents::of(geometry);
        Patches {
            source: Source::Real(dy.host()),
            from: [g.out_height, g.out_width, g.out_channels],
            frames: g.frames,
            to: [g.images, g.in_height, g.in_width],
            kernel: [g.kernel_height, g.kernel_width],
            up: 1,
            down: g.stride,
            pad: [g.kernel_height as isize - 1 - g.pad as isize, g.kernel_width as isize - 1 - g.pad as isize],
        }
    }

    /// The source coordinate under a tap along axis 0 (height) or 1 (width).
    fn under(&self, axis: usize, to: usize, tap: usize) -> Option<usize> {
        let at = (to * self.up + tap) as isize - self.pad[axis];
        let at = usize::try_from(at).ok()?;
        (at.is_multiple_of(self.down) && at / self.down < self.from[axis]).then_some(at / self.down)
    }

    /// Call `visit(pixel, frames, out rows of that pixel)` for every pixel that `rows` touch.
    fn by_pixel<'b>(&self, rows: Range<usize>, mut out: &'b mut [f32], mut visit: impl FnMut(usize, Range<usize>, &'b mut [f32])) {
        let depth = self.depth();
        let mut row = rows.start;
        while row < rows.end {
            let (pixel, first) = (row / self.frames, row % self.frames);
            let last = self.frames.min(first + rows.end - row);
            let (mine, rest) = out.split_at_mut((last - first) * depth);
            visit(pixel, first..last, mine);
            out = rest;
            row += last - first;
        }
    }
}

impl Rows for Patches<'_> {
    fn count(&self) -> usize {
        self.to.iter().product::<usize>() * self.frames
    }

    fn depth(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.from[2]
    }

    fn gather(&self, isa: Isa, rows: Range<usize>, out: &mut [f32]) {
        let (depth, channels) = (self.depth(), self.from[2]);
        self.by_pixel(rows, out, |pixel, frames, out| {
            let (n, at) = (pixel / (self.to[1] * self.to[2]), pixel % (self.to[1] * self.to[2]));
            let (h, w) = (at / self.to[2], at % self.to[2]);
            for tap in 0..self.kernel[0] * self.kernel[1] {
                let place = self.under(0, h, tap / self.kernel[1]).zip(self.under(1, w, tap % self.kernel[1]));
                let out = &mut out[tap * channels..];
                let Some((h, w)) = place else {
                    for row in 0..frames.len() {
                        out[row * depth..][..channels].fill(0.0);
                    }
                    continue;
                };
                let index = (n * self.from[0] + h) * self.from[1] + w;
                match self.source {
                    Source::Real(values) => copy_frames(isa, &values[(index * self.frames + frames.start) * channels..], channels, frames.len(), out, depth),
                    Source::Spikes(codes) => {
                        let codes = &codes[index * planes(self.frames) * channels..][..planes(self.frames) * channels];
                        decode_spikes(isa, codes, channels, frames.clone(), out, depth);
                    }
                    Source::Quarters(codes) => {
                        let codes = &codes[index * planes(self.frames) * channels..][..planes(self.frames) * channels];
                        decode_quarters(isa, codes, channels, frames.clone(), out, depth);
                    }
                }
            }
        });
    }
}

simd! {
    fn copy_frames(values: &[f32], channels: usize, frames: usize, out: &mut [f32], depth: usize) {
        for frame in 0..frames {
            let (from, to) = (&values[frame * channels..][..channels], &mut out[frame * depth..][..channels]);
            if channels < 8 {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            } else {
                to.copy_from_slice(from);
            }
        }
    }
}

simd! {
    fn decode_spikes(codes: &[u8], channels: usize, frames: Range<usize>, out: &mut [f32], depth: usize) {
        for (row, t) in frames.enumerate() {
            let out = &mut out[row * depth..][..channels];
            for (x, &code) in out.iter_mut().zip(&codes[t / 8 * channels..][..channels]) {
                *x = (code >> (t % 8) & 1) as f32;
            }
        }
    }
}

simd! {
    fn decode_quarters(codes: &[u32], channels: usize, frames: Range<usize>, out: &mut [f32], depth: usize) {
        for (row, t) in frames.enumerate() {
            let out = &mut out[row * depth..][..channels];
            for (x, &code) in out.iter_mut().zip(&codes[t / 8 * channels..][..channels]) {
                *x = (code >> (t % 8 * 4) & 15) as i32 as f32 * 0.25;
            }
        }
    }
}
