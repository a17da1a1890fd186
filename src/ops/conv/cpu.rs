//! Convolution on the CPU: patches times packed weights (`ops::product`).

use super::patches::Patches;
use super::{Firing, Geometry, spikes, strided, winograd};
use crate::device::{Cpu, Disjoint};
use crate::ops::product::{Layout, Outer, PANEL, Panels, Sink, TILE_ROWS, Turned, Weight, accumulate, multiply, rounding};
use crate::ops::vector::simd;
use crate::tensor::{Data, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// Up to this many elements of a patch, the input gradient is computed by scattering instead of gathering: with so
/// few input channels the vector lanes of a gather would stay empty.
const SCATTER_PATCH: usize = PANEL;

pub fn forward(cpu: &Cpu, geometry: &Geometry, x: &Data, weight: &Weight, bias: Option<&Tensor>) -> Tensor {
    let (x, panels) = (&rounding::activation(cpu, x), &*panels(cpu, geometry, weight));
    if spikes::takes(geometry, x) {
        return spikes::forward(cpu, geometry, x, panels, bias);
    }
    let mut y = Tensor::unspecified(x.device(), geometry.output_shape());
    let sink = Store { out: Disjoint::new(y.host_mut()), columns: panels.columns(), bias: bias.map(Tensor::host) };
    multiply(cpu, &Patches::of(geometry, x), panels, &sink);
    y
}

/// Whether [`fire`] serves this product.
pub fn fires(geometry: &Geometry, x: &Data) -> bool {
    spikes::takes(geometry, x)
}

/// The spikes of the neuron behind y, which is never stored.
pub fn fire(cpu: &Cpu, geometry: &Geometry, x: &Data, weight: &Weight, bias: Option<&Tensor>, firing: Firing) -> Data {
    spikes::fire(cpu, geometry, x, &panels(cpu, geometry, weight), bias, firing)
}

/// The weight as the forward products read it: depth (kh, kw, ci).
fn panels(cpu: &Cpu, geometry: &Geometry, weight: &Weight) -> Arc<Panels> {
    let weight = rounding::weight(cpu, weight);
    weight.panels(Layout::Forward, || {
        let depth: Vec<usize> = (0..geometry.patch()).collect();
        let value = weight.value();
        Panels::pack(value.device(), &depth, geometry.out_channels as usize, value.host(), depth.len())
    })
}

pub fn backward_input(cpu: &Cpu, geometry: &Geometry, dy: &Tensor, weight: &Weight) -> Tensor {
    let g = geometry.extents();
    if scatters(geometry) || !winograd::gains(geometry, g.in_height, g.in_width, g.out_channels, g.in_channels) {
        return backward_input_direct(cpu, geometry, dy, weight);
    }
    let (dy, weight) = (&rounding::operand(cpu, dy), rounding::weight(cpu, weight));
    let panels = weight.panels(Layout::WinogradBackward, || winograd::pack(cpu, weight.value()));
    let mut dx = Tensor::unspecified(dy.device(), geometry.input_shape());
    winograd::convolve(cpu, &Patches::reflected(geometry, dy).in_tiles(4), &panels, &mut dx);
    dx
}

/// Whether the input gradient is computed by scattering.
fn scatters(geometry: &Geometry) -> bool {
    geometry.patch() <= SCATTER_PATCH && geometry.kernel_height > 1
}

pub fn backward_input_direct(cpu: &Cpu, geometry: &Geometry, dy: &Tensor, weight: &Weight) -> Tensor {
    let (dy, weight) = (&rounding::operand(cpu, dy), rounding::weight(cpu, weight));
    if scatters(geometry) {
        return backward_input_by_scatter(cpu, geometry, dy, weight);
    }
    if let Some(dx) = strided::backward_input(cpu, geometry, dy, weight) {
        return dx;
    }
    let (patch, taps, inputs) = (geometry.patch(), geometry.taps(), geometry.in_channels as usize);
    let panels = weight.panels(Layout::Backward, || {
        // Depth (tap, co), taps turned round: dx gathers from dy with the kernel reflected.
        let outputs = geometry.out_channels as usize;
        let depth: Vec<usize> = (0..taps).rev().flat_map(|tap| (0..outputs).map(move |co| co * patch + tap * inputs)).collect();
        Panels::pack(dy.device(), &depth, inputs, weight.value().host(), 1)
    });
    if spikes::takes_back(geometry) {
        return spikes::backward_input(cpu, geometry, dy, &panels);
    }
    let mut dx = Tensor::unspecified(dy.device(), geometry.input_shape());
    let sink = Store { out: Disjoint::new(dx.host_mut()), columns: inputs, bias: None };
    multiply(cpu, &Patches::reflected(geometry, dy), &panels, &sink);
    dx
}

/// dcol = dy · W, one plane a patch element, then every plane is added where its tap reads.
fn backward_input_by_scatter(cpu: &Cpu, geometry: &Geometry, dy: &Tensor, weight: &Weight) -> Tensor {
    let g = geometry.extents();
    let patch = geometry.patch();
    let panels = weight.panels(Layout::Backward, || {
        let depth: Vec<usize> = (0..g.out_channels).map(|co| co * patch).collect();
        Panels::pack(dy.device(), &depth, patch, weight.value().host(), 1)
    });
    let rows = g.images * g.out_height * g.out_width * g.frames;
    let mut planes = Tensor::unspecified(dy.device(), [patch, rows]);
    let sink = StorePlanes { out: Disjoint::new(planes.host_mut()), rows };
    let point = Geometry {
        in_height: geometry.out_height,
        in_width: geometry.out_width,
        in_channels: geometry.out_channels,
        ..geometry.pointwise()
    };
    multiply(cpu, &Patches::of(&point, &Data::Real(dy.clone())), &panels, &sink);

    let mut dx = Tensor::unspecified(dy.device(), geometry.input_shape());
    let image_len = g.in_height * g.in_width * g.frames * g.in_channels;
    let (planes, line) = (planes.host(), g.out_width * g.frames);
    let out = Disjoint::new(dx.host_mut());
    cpu.each(g.images, |n| {
        // SAFETY: each image is another part.
        let image = unsafe { out.part(n * image_len..(n + 1) * image_len) };
        image.fill(0.0);
        for element in 0..patch {
            let (tap, channel) = (element / g.in_channels, element % g.in_channels);
            let (kh, kw) = (tap / g.kernel_width, tap % g.kernel_width);
            for oh in 0..g.out_height {
                let Some(ih) = (oh * g.stride + kh).checked_sub(g.pad).filter(|&ih| ih < g.in_height) else { continue };
                let from = &planes[element * rows + (n * g.out_height + oh) * line..][..line];
                let to = &mut image[ih * g.in_width * g.frames * g.in_channels..][..g.in_width * g.frames * g.in_channels];
                // Output columns whose pixel lies inside: 0 ≤ ow·s + kw − p < width.
                let first = g.pad.saturating_sub(kw).div_ceil(g.stride);
                let last = (g.in_width + g.pad).saturating_sub(kw).div_ceil(g.stride).min(g.out_width);
                if first >= last {
                    continue;
                }
                let at = first * g.stride + kw - g.pad;
                if g.stride == 1 && g.in_channels == 1 {
                    let to = &mut to[at * g.frames..];
                    to.iter_mut().zip(&from[first * g.frames..last * g.frames]).for_each(|(to, from)| *to += from);
                } else {
                    for (i, pixel) in from[first * g.frames..last * g.frames].chunks_exact(g.frames).enumerate() {
                        for (frame, from) in pixel.iter().enumerate() {
                            to[((at + i * g.stride) * g.frames + frame) * g.in_channels + channel] += from;
                        }
                    }
                }
            }
        }
    });
    dx
}

pub fn backward_weight(cpu: &Cpu, geometry: &Geometry, x: &Data, dy: &Tensor) -> Tensor {
    let (x, dy) = (&rounding::activation(cpu, x), &rounding::operand(cpu, dy));
    if spikes::takes(geometry, x) {
        return spikes::backward_weight(cpu, geometry, x, dy);
    }
    let outputs = geometry.out_channels as usize;
    let sums = accumulate(x.device(), &Patches::of(geometry, x), &Outer { values: dy.host(), columns: outputs });
    let mut dw = Tensor::unspecified(x.device(), geometry.weight_shape());
    Turned::new(&mut dw, geometry.patch(), outputs).put_all(cpu, sums.host());
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
            // Whole vectors are stored without a call.
            match (self.bias, out.len()) {
                (Some(bias), _) => out.iter_mut().zip(tile).zip(&bias[columns.clone()]).for_each(|((out, sum), b)| *out = sum + b),
                (None, PANEL) => store_front::<PANEL>(out, tile),
                (None, 16) => store_front::<16>(out, tile),
                (None, width) => out.copy_from_slice(&tile[..width]),
            }
        }
    }
}

/// The first `N` numbers of a tile's row.
#[inline(always)]
fn store_front<const N: usize>(out: &mut [f32], tile: &[f32; PANEL]) {
    if let (Some(out), Some(tile)) = (out.first_chunk_mut::<N>(), tile.first_chunk::<N>()) {
        *out = *tile;
    }
}

/// Stores columns contiguously.
struct StorePlanes<'a> {
    out: Disjoint<'a, f32>,
    rows: usize,
}

impl Sink for StorePlanes<'_> {
    unsafe fn take(&self, rows: Range<usize>, columns: Range<usize>, tile: &[[f32; PANEL]; TILE_ROWS]) {
        for column in columns.clone() {
            // SAFETY: the caller visits every element once.
            let out = unsafe { self.out.part(column * self.rows + rows.start..column * self.rows + rows.end) };
            out.iter_mut().zip(tile).for_each(|(out, row)| *out = row[column - columns.start]);
        }
    }
}
