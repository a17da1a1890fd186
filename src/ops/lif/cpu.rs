//! The neuron on the CPU: a pixel at a time, sixteen channels at a time, all steps in registers or first-level cache.

use super::surrogate::{Slope, WithSlope};
use super::{Credit, Down, Dynamics, Reset, Spread, Upstream};
use crate::device::{Cpu, Disjoint, Isa};
use crate::ops::norm::Affine;
use crate::ops::vector::simd;
use crate::tensor::{Array, Tensor, planes};
use std::ops::Range;

/// Channels handled together.
const LANES: usize = 16;
/// Pixels a task: a function of nothing, so that sums have the same bits on any number of threads.
const STRIP: usize = 128;

type Vector = [f32; LANES];

/// Sixteen numbers from the front of `from`, zeros where it ends.
#[inline(always)]
fn load(from: &[f32]) -> Vector {
    match from.first_chunk::<LANES>() {
        Some(full) => *full,
        None => {
            let mut vector = [0.0; LANES];
            vector[..from.len()].copy_from_slice(from);
            vector
        }
    }
}

/// As many of `vector` as `to` holds.
#[inline(always)]
fn store<T: Copy>(to: &mut [T], vector: &[T; LANES]) {
    match to.first_chunk_mut::<LANES>() {
        Some(full) => *full = *vector,
        None => to.copy_from_slice(&vector[..to.len()]),
    }
}

/// The affine map of sixteen channels.
#[inline(always)]
fn coefficients(affine: Option<(&[f32], &[f32])>, channels: Range<usize>) -> (Vector, Vector) {
    match affine {
        Some((scale, shift)) => (load(&scale[channels.clone()]), load(&shift[channels])),
        None => ([1.0; LANES], [0.0; LANES]),
    }
}

/// One step of sixteen neurons: returns (u, s as 0/1) and moves the membrane.
#[inline(always)]
fn step(y: &Vector, scale: &Vector, shift: &Vector, v: &mut Vector, leak: f32, v_th: f32, reset: Reset) -> (Vector, [u32; LANES]) {
    let (mut u, mut s) = ([0.0; LANES], [0; LANES]);
    for i in 0..LANES {
        u[i] = leak * v[i] + (y[i] * scale[i] + shift[i]);
        s[i] = u32::from(u[i] >= v_th);
    }
    for i in 0..LANES {
        let fired = match reset {
            Reset::Hard => 0.0,
            Reset::Soft => u[i] - v_th,
        };
        v[i] = if s[i] != 0 { fired } else { u[i] };
    }
    (u, s)
}

pub fn forward(cpu: &Cpu, y: &Tensor, affine: Option<&Affine>, v_th: f32, dynamics: Dynamics, codes: &mut Array<u8>) {
    let shape = y.shape();
    let (frames, channels) = (shape[3], shape[4]);
    let pixels = shape[0] * shape[1] * shape[2];
    let stride = planes(dynamics.steps) * channels;
    let affine = affine.map(|affine| (affine.scale.host(), affine.shift.host()));
    let out = Disjoint::new(codes.host_mut());
    cpu.pieces(pixels, STRIP, |range| {
        // SAFETY: the pieces do not overlap.
        let codes = unsafe { out.part(range.start * stride..range.end * stride) };
        let y = &y.host()[range.start * frames * channels..range.end * frames * channels];
        match dynamics.reset {
            Reset::Hard => forward_strip(cpu.isa(), y, frames, channels, affine, v_th, dynamics.leak, dynamics.steps, Reset::Hard, codes),
            Reset::Soft => forward_strip(cpu.isa(), y, frames, channels, affine, v_th, dynamics.leak, dynamics.steps, Reset::Soft, codes),
        }
    });
}

simd! {
    fn forward_strip(y: &[f32], frames: usize, channels: usize, affine: Option<(&[f32], &[f32])>, v_th: f32, leak: f32, steps: usize,
                     reset: Reset, codes: &mut [u8]) {
        let strides = (frames * channels, planes(steps) * channels);
        for (y, codes) in y.chunks_exact(strides.0).zip(codes.chunks_exact_mut(strides.1)) {
            for c in (0..channels).step_by(LANES) {
                let end = (c + LANES).min(channels);
                let (scale, shift) = coefficients(affine, c..end);
                let mut v = [0.0; LANES];
                for plane in 0..planes(steps) {
                    let mut bits = [0u32; LANES];
                    for t in plane * 8..(plane * 8 + 8).min(steps) {
                        let row = if frames == 1 { 0 } else { t * channels };
                        let (_, s) = step(&load(&y[row + c..row + end]), &scale, &shift, &mut v, leak, v_th, reset);
                        for i in 0..LANES {
                            bits[i] |= s[i] << (t % 8);
                        }
                    }
                    store(&mut codes[plane * channels + c..plane * channels + end], &bits.map(|bits| bits as u8));
                }
            }
        }
    }
}

/// Everything that the backward loops read beside slopes and gradients.
#[derive(Clone, Copy)]
struct Strip<'a> {
    y: &'a [f32],
    affine: Option<(&'a [f32], &'a [f32])>,
    gradient: &'a [f32],
    spread: Spread,
    /// Frames stored of y, of the gradient, of dx.
    frames: (usize, usize, usize),
    /// Height, width, channels of y.
    extents: [usize; 3],
    v_th: f32,
    dynamics: Dynamics,
    down: Down,
}

impl Strip<'_> {
    /// Where the gradient of pixel `pixel` starts, or None under no pool.
    #[inline(always)]
    fn upstream(&self, pixel: usize) -> Option<usize> {
        let [height, width, channels] = self.extents;
        let at = match self.spread {
            Spread::Plain => pixel,
            Spread::Quarters => {
                let (n, h, w) = (pixel / (height * width), pixel / width % height / 2, pixel % width / 2);
                if h >= height / 2 || w >= width / 2 {
                    return None;
                }
                (n * (height / 2) + h) * (width / 2) + w
            }
        };
        Some(at * self.frames.1 * channels)
    }

    /// Sixteen upstream gradients at step t.
    #[inline(always)]
    fn gradient(&self, start: Option<usize>, t: usize, c: Range<usize>) -> Vector {
        let Some(start) = start else { return [0.0; LANES] };
        let row = start + if self.frames.1 == 1 { 0 } else { t * self.extents[2] };
        let mut g = load(&self.gradient[row + c.start..row + c.end]);
        if self.spread == Spread::Quarters {
            g.iter_mut().for_each(|g| *g *= 0.25);
        }
        g
    }
}

#[allow(clippy::too_many_arguments)] // the formula's operands
pub fn backward(
    cpu: &Cpu,
    y: &Tensor,
    affine: Option<&Affine>,
    v_th: f32,
    dynamics: Dynamics,
    upstream: Upstream,
    credit: Credit,
    down: Down,
    dx: &mut Tensor,
) -> f64 {
    let shape = y.shape();
    let strip = Strip {
        y: y.host(),
        affine: affine.map(|affine| (affine.scale.host(), affine.shift.host())),
        gradient: upstream.gradient.host(),
        spread: upstream.spread,
        frames: (shape[3], upstream.gradient.shape()[3], dx.shape()[3]),
        extents: [shape[1], shape[2], shape[4]],
        v_th,
        dynamics,
        down,
    };
    let pixels = shape[0] * shape[1] * shape[2];
    let stride = strip.frames.2 * shape[4];
    let out = Disjoint::new(dx.host_mut());
    let partial = cpu.map(pixels.div_ceil(STRIP), |i| {
        let range = i * STRIP..((i + 1) * STRIP).min(pixels);
        // SAFETY: the strips do not overlap.
        let dx = unsafe { out.part(range.start * stride..range.end * stride) };
        match credit {
            Credit::Bptt(surrogate) => surrogate.with(Bptt { isa: cpu.isa(), strip, range, dx }),
            Credit::Rate => {
                rate_strip(cpu.isa(), strip, range, dx);
                0.0
            }
        }
    });
    partial.into_iter().sum()
}

struct Bptt<'a> {
    isa: Isa,
    strip: Strip<'a>,
    range: Range<usize>,
    dx: &'a mut [f32],
}

impl WithSlope<f64> for Bptt<'_> {
    fn run<S: Slope>(self, slope: S) -> f64 {
        let Bptt { isa, strip, range, dx } = self;
        match strip.dynamics.reset {
            Reset::Hard => bptt_strip(isa, strip, range, slope, Reset::Hard, dx),
            Reset::Soft => bptt_strip(isa, strip, range, slope, Reset::Soft, dx),
        }
    }
}

simd! {
    fn bptt_strip[S: Slope](strip: Strip, range: Range<usize>, slope: S, reset: Reset, dx: &mut [f32]) -> f64 {
        let [_, _, channels] = strip.extents;
        let (steps, leak, v_th) = (strip.dynamics.steps, strip.dynamics.leak, strip.v_th);
        let (y_frames, _, dx_frames) = strip.frames;
        let mut membranes = vec![[0.0; LANES]; steps];
        let mut dv_th = 0.0f64;
        for (pixel, dx) in range.zip(dx.chunks_exact_mut(dx_frames * channels)) {
            let y = &strip.y[pixel * y_frames * channels..][..y_frames * channels];
            let start = strip.upstream(pixel);
            for c in (0..channels).step_by(LANES) {
                let end = (c + LANES).min(channels);
                let (scale, shift) = coefficients(strip.affine, c..end);
                let mut v = [0.0; LANES];
                for (t, u) in membranes.iter_mut().enumerate() {
                    let row = if y_frames == 1 { 0 } else { t * channels };
                    *u = step(&load(&y[row + c..row + end]), &scale, &shift, &mut v, leak, v_th, reset).0;
                }
                let (mut dv, mut sum, mut threshold) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
                let down = if strip.down == Down::Scaled { scale } else { [1.0; LANES] };
                for t in (0..steps).rev() {
                    let (u, dy) = (&membranes[t], strip.gradient(start, t, c..end));
                    let mut gu = [0.0f32; LANES];
                    for i in 0..LANES {
                        let fired = if u[i] >= v_th { 1.0f32 } else { 0.0 };
                        let gs = dy[i] + dv[i] * if reset == Reset::Hard { -u[i] } else { -v_th };
                        let through = gs * slope.at(u[i] - v_th);
                        gu[i] = through + dv[i] * if reset == Reset::Hard { 1.0 - fired } else { 1.0 };
                        threshold[i] -= through + if reset == Reset::Soft { dv[i] * fired } else { 0.0 };
                        dv[i] = leak * gu[i];
                        sum[i] += gu[i];
                        gu[i] *= down[i];
                    }
                    if y_frames != 1 {
                        store(&mut dx[t * channels + c..t * channels + end], &gu);
                    }
                }
                if y_frames == 1 {
                    for i in 0..LANES {
                        sum[i] *= down[i];
                    }
                    store(&mut dx[c..end], &sum);
                }
                // Lanes beyond the last channel have no current and no upstream gradient: they add 0.
                dv_th += threshold.iter().map(|&x| f64::from(x)).sum::<f64>();
            }
        }
        dv_th
    }
}

simd! {
    fn rate_strip(strip: Strip, range: Range<usize>, dx: &mut [f32]) {
        let [_, _, channels] = strip.extents;
        let (steps, leak) = (strip.dynamics.steps, strip.dynamics.leak);
        let (y_frames, g_frames, dx_frames) = strip.frames;
        for (pixel, dx) in range.zip(dx.chunks_exact_mut(dx_frames * channels)) {
            let y = &strip.y[pixel * y_frames * channels..][..y_frames * channels];
            let start = strip.upstream(pixel);
            for c in (0..channels).step_by(LANES) {
                let end = (c + LANES).min(channels);
                let (scale, shift) = coefficients(strip.affine, c..end);
                let (mut v, mut ever) = ([0.0; LANES], [0u32; LANES]);
                for t in 0..steps {
                    let row = if y_frames == 1 { 0 } else { t * channels };
                    let (_, s) = step(&load(&y[row + c..row + end]), &scale, &shift, &mut v, leak, strip.v_th, strip.dynamics.reset);
                    for i in 0..LANES {
                        ever[i] |= s[i];
                    }
                }
                let down = if strip.down == Down::Scaled { scale } else { [1.0; LANES] };
                let mut gate = [0.0; LANES];
                for i in 0..LANES {
                    gate[i] = if ever[i] != 0 { down[i] } else { 0.0 };
                }
                if y_frames == 1 {
                    // The held current receives the sum over steps.
                    let mut sum = [0.0; LANES];
                    for t in 0..g_frames {
                        let g = strip.gradient(start, t, c..end);
                        for i in 0..LANES {
                            sum[i] += g[i];
                        }
                    }
                    let times = if g_frames == 1 { steps as f32 } else { 1.0 };
                    for i in 0..LANES {
                        sum[i] *= gate[i] * times;
                    }
                    store(&mut dx[c..end], &sum);
                } else {
                    for t in 0..dx_frames {
                        let mut g = strip.gradient(start, t, c..end);
                        for i in 0..LANES {
                            g[i] *= gate[i];
                        }
                        store(&mut dx[t * channels + c..t * channels + end], &g);
                    }
                }
            }
        }
    }
}

pub fn count(cpu: &Cpu, codes: &[u8]) -> u64 {
    cpu.map(codes.len().div_ceil(1 << 16), |i| {
        codes[i << 16..((i + 1) << 16).min(codes.len())].iter().map(|code| u64::from(code.count_ones())).sum::<u64>()
    })
    .into_iter()
    .sum()
}

pub fn silent(codes: &Array<u8>) -> u64 {
    let shape = codes.shape();
    let (planes, channels) = (shape[3], shape[4]);
    let pixel = |codes: &[u8]| (0..channels).filter(|c| (0..planes).all(|plane| codes[plane * channels + c] == 0)).count() as u64;
    codes.host().chunks_exact((planes * channels).max(1)).map(pixel).sum()
}
