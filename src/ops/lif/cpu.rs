//! The neuron on the CPU: a pixel at a time, sixteen channels at a time, all steps in registers or first-level cache.

use super::potential::Widths;
use super::route::Route;
use super::surrogate::{Place, Slope, WithSlope};
use super::{Credit, Down, Dynamics, Reset, Surrogate, Upstream, needed};
use crate::base::Result;
use crate::device::{Cpu, Disjoint, Isa};
use crate::ops::norm::Affine;
use crate::ops::vector::lanes;
use crate::ops::wide::{Wide, wide};
use crate::tensor::{Array, Tensor, planes};
use std::ops::Range;

/// Pixels a task: a function of nothing, so that sums have the same bits on any number of threads.
const STRIP: usize = 128;

/// The affine map of sixteen channels.
#[inline(always)]
fn coefficients<V: Wide>(affine: Option<(&[f32], &[f32])>, channels: Range<usize>) -> (V, V) {
    match affine {
        Some((scale, shift)) => (V::load(&scale[channels.clone()]), V::load(&shift[channels])),
        None => (V::splat(1.0), V::splat(0.0)),
    }
}

/// One step of sixteen neurons: returns u and who fired, and moves the membrane.
#[inline(always)]
fn step<V: Wide>(y: V, (scale, shift): (V, V), v: &mut V, leak: V, v_th: V, reset: Reset) -> (V, V::Mask) {
    let u = v.mul(leak).add(y.mul(scale).add(shift));
    let fired = u.ge(v_th);
    *v = match reset {
        Reset::Hard => u.zero_where(fired),
        Reset::Soft => u.sub(v_th).select(fired, u),
    };
    (u, fired)
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
        strip(cpu.isa(), y, frames, channels, affine, v_th, dynamics, codes);
    });
}

/// Spikes of the pixels of `y` `[pixel][frames][channels]`, of which the first T frames (or the one) are read.
#[allow(clippy::too_many_arguments)] // the formula's operands
pub fn strip(
    isa: Isa,
    y: &[f32],
    frames: usize,
    channels: usize,
    affine: Option<(&[f32], &[f32])>,
    v_th: f32,
    dynamics: Dynamics,
    codes: &mut [u8],
) {
    let Dynamics { steps, leak, reset } = dynamics;
    match reset {
        Reset::Hard => forward_strip(isa, y, frames, channels, affine, v_th, leak, steps, Reset::Hard, codes),
        Reset::Soft => forward_strip(isa, y, frames, channels, affine, v_th, leak, steps, Reset::Soft, codes),
    }
}

wide! {
    fn forward_strip(y: &[f32], frames: usize, channels: usize, affine: Option<(&[f32], &[f32])>, v_th: f32, leak: f32, steps: usize,
                     reset: Reset, codes: &mut [u8]) {
        let strides = (frames * channels, planes(steps) * channels);
        let (v_th, leak) = (V::splat(v_th), V::splat(leak));
        for c in lanes(channels) {
            let map = coefficients(affine, c.clone());
            for (y, codes) in y.chunks_exact(strides.0).zip(codes.chunks_exact_mut(strides.1)) {
                let mut v = V::splat(0.0);
                for plane in 0..planes(steps) {
                    let mut bits = V::no_bits();
                    for t in plane * 8..(plane * 8 + 8).min(steps) {
                        let row = if frames == 1 { 0 } else { t * channels };
                        let (_, fired) = step(V::load(&y[row + c.start..row + c.end]), map, &mut v, leak, v_th, reset);
                        bits = V::or_bit(bits, fired, 1 << (t % 8));
                    }
                    V::store_bytes(bits, &mut codes[plane * channels + c.start..plane * channels + c.end]);
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
    route: Route,
    /// Frames stored of y, of the gradient, of dx.
    frames: (usize, usize, usize),
    channels: usize,
    v_th: f32,
    dynamics: Dynamics,
    down: Down,
}

impl Strip<'_> {
    /// Sixteen upstream gradients at step t.
    #[inline(always)]
    fn gradient<V: Wide>(&self, start: Option<usize>, t: usize, c: &Range<usize>) -> V {
        let Some(start) = start else { return V::splat(0.0) };
        let row = (start * self.frames.1 + if self.frames.1 == 1 { 0 } else { t }) * self.channels;
        V::load(&self.gradient[row + c.start..row + c.end]).mul(V::splat(self.route.share()))
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
    (credit, slopes): (Credit, Option<&Tensor>),
    down: Down,
    dx: &mut Tensor,
) -> Result<f64> {
    let shape = y.shape();
    let strip = Strip {
        y: y.host(),
        affine: affine.map(|affine| (affine.scale.host(), affine.shift.host())),
        gradient: upstream.gradient.host(),
        route: Route::new(shape, upstream.spread),
        frames: (shape[3], upstream.gradient.shape()[3], dx.shape()[3]),
        channels: shape[4],
        v_th,
        dynamics,
        down,
    };
    let pixels = shape[0] * shape[1] * shape[2];
    let stride = strip.frames.2 * shape[4];
    let out = Disjoint::new(dx.host_mut());
    let path = match credit {
        Credit::Bptt(surrogate) => Path::Through(surrogate),
        Credit::Pdsg => Path::Bells(Widths::of(y, affine, v_th, dynamics)),
        Credit::Rate => Path::Rate,
        Credit::Hart(surrogate) => Path::Averaged(surrogate),
        Credit::Assg | Credit::Given => Path::Sloped(Sloped { slopes: needed(slopes)?.host(), steps: dynamics.steps, channels: shape[4] }),
    };
    let partial = cpu.map(pixels.div_ceil(STRIP), |i| {
        let range = i * STRIP..((i + 1) * STRIP).min(pixels);
        // SAFETY: the strips do not overlap.
        let dx = unsafe { out.part(range.start * stride..range.end * stride) };
        let isa = cpu.isa();
        match &path {
            Path::Through(surrogate) => surrogate.with(Bptt { isa, strip, range, dx }),
            Path::Bells(widths) => Bptt { isa, strip, range, dx }.run(widths.bell()),
            Path::Sloped(sloped) => Bptt { isa, strip, range, dx }.run(*sloped),
            Path::Averaged(surrogate) => surrogate.with(Hart { isa, strip, range, dx }),
            Path::Rate => {
                rate_strip(isa, strip, range, dx);
                0.0
            }
        }
    });
    Ok(partial.into_iter().sum())
}

/// A credit, and what all strips read of it.
enum Path<'a> {
    Through(Surrogate),
    Bells(Widths),
    Sloped(Sloped<'a>),
    Rate,
    Averaged(Surrogate),
}

/// A slope for each spike, `[N,H,W,T,C]`.
#[derive(Clone, Copy)]
struct Sloped<'a> {
    slopes: &'a [f32],
    steps: usize,
    channels: usize,
}

impl Slope for Sloped<'_> {
    #[inline(always)]
    fn at<V: Wide>(&self, _: V, place: Place) -> V {
        let row = (place.pixel * self.steps + place.step) * self.channels;
        V::load(&self.slopes[row + place.channels.start..row + place.channels.end])
    }
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

wide! {
    fn bptt_strip[S: Slope](strip: Strip, range: Range<usize>, slope: S, reset: Reset, dx: &mut [f32]) -> f64 {
        let channels = strip.channels;
        let steps = strip.dynamics.steps;
        let (leak, v_th) = (V::splat(strip.dynamics.leak), V::splat(strip.v_th));
        let (y_frames, _, dx_frames) = strip.frames;
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let mut membranes = vec![zero; steps];
        let mut dv_th = 0.0f64;
        for c in lanes(channels) {
            let map = coefficients(strip.affine, c.clone());
            let down = if strip.down == Down::Scaled { map.0 } else { one };
            for ((pixel, start), dx) in strip.route.walk(range.clone()).zip(dx.chunks_exact_mut(dx_frames * channels)) {
                let y = &strip.y[pixel * y_frames * channels..][..y_frames * channels];
                let mut v = zero;
                for (t, u) in membranes.iter_mut().enumerate() {
                    let row = if y_frames == 1 { 0 } else { t * channels };
                    *u = step(V::load(&y[row + c.start..row + c.end]), map, &mut v, leak, v_th, reset).0;
                }
                // Lanes beyond the last channel have no current and no upstream gradient: they add 0.
                let (mut dv, mut sum, mut threshold) = (zero, zero, zero);
                for (t, &u) in membranes.iter().enumerate().rev() {
                    let dy: V = strip.gradient(start, t, &c);
                    let fired = u.ge(v_th);
                    let sigma = slope.at(u.sub(v_th), Place { pixel, step: t, channels: &c });
                    let gu;
                    match reset {
                        Reset::Hard => {
                            let through = dy.sub(dv.mul(u)).mul(sigma);
                            gu = through.add(dv.zero_where(fired));
                            threshold = threshold.sub(through);
                        }
                        Reset::Soft => {
                            let through = dy.sub(dv.mul(v_th)).mul(sigma);
                            gu = through.add(dv);
                            threshold = threshold.sub(through.add(dv.select(fired, zero)));
                        }
                    }
                    dv = leak.mul(gu);
                    if y_frames == 1 {
                        sum = sum.add(gu);
                    } else {
                        gu.mul(down).store(&mut dx[t * channels + c.start..t * channels + c.end]);
                    }
                }
                if y_frames == 1 {
                    sum.mul(down).store(&mut dx[c.clone()]);
                }
                dv_th += threshold.sum();
            }
        }
        dv_th
    }
}

struct Hart<'a> {
    isa: Isa,
    strip: Strip<'a>,
    range: Range<usize>,
    dx: &'a mut [f32],
}

impl WithSlope<f64> for Hart<'_> {
    /// Thresholds get nothing.
    fn run<S: Slope>(self, slope: S) -> f64 {
        hart_strip(self.isa, self.strip, self.range, slope, self.dx);
        0.0
    }
}

wide! {
    fn hart_strip[S: Slope](strip: Strip, range: Range<usize>, slope: S, dx: &mut [f32]) {
        let channels = strip.channels;
        let steps = strip.dynamics.steps;
        let (leak, v_th) = (V::splat(strip.dynamics.leak), V::splat(strip.v_th));
        let y_frames = strip.frames.0;
        // The held current receives the sum over steps, any other each step's mean.
        let share = V::splat(if y_frames == 1 { 1.0 } else { 1.0 / steps as f32 });
        for c in lanes(channels) {
            let map = coefficients(strip.affine, c.clone());
            let down = if strip.down == Down::Scaled { map.0 } else { V::splat(1.0) };
            for ((pixel, start), dx) in strip.route.walk(range.clone()).zip(dx.chunks_exact_mut(channels)) {
                let y = &strip.y[pixel * y_frames * channels..][..y_frames * channels];
                let (mut v, mut sum) = (V::splat(0.0), V::splat(0.0));
                for t in 0..steps {
                    let row = if y_frames == 1 { 0 } else { t * channels };
                    let (u, _) = step(V::load(&y[row + c.start..row + c.end]), map, &mut v, leak, v_th, strip.dynamics.reset);
                    let dy: V = strip.gradient(start, t, &c);
                    sum = sum.add(dy.mul(slope.at(u.sub(v_th), Place { pixel, step: t, channels: &c })));
                }
                sum.mul(share).mul(down).store(&mut dx[c.clone()]);
            }
        }
    }
}

wide! {
    fn rate_strip(strip: Strip, range: Range<usize>, dx: &mut [f32]) {
        let channels = strip.channels;
        let steps = strip.dynamics.steps;
        let (leak, v_th) = (V::splat(strip.dynamics.leak), V::splat(strip.v_th));
        let (y_frames, g_frames, dx_frames) = strip.frames;
        let zero = V::splat(0.0);
        for c in lanes(channels) {
            let map = coefficients(strip.affine, c.clone());
            let down = if strip.down == Down::Scaled { map.0 } else { V::splat(1.0) };
            for ((pixel, start), dx) in strip.route.walk(range.clone()).zip(dx.chunks_exact_mut(dx_frames * channels)) {
                let y = &strip.y[pixel * y_frames * channels..][..y_frames * channels];
                let (mut v, mut ever) = (zero, V::no_bits());
                for t in 0..steps {
                    let row = if y_frames == 1 { 0 } else { t * channels };
                    let (_, fired) = step(V::load(&y[row + c.start..row + c.end]), map, &mut v, leak, v_th, strip.dynamics.reset);
                    ever = V::or_bit(ever, fired, 1);
                }
                let gate = down.select(V::any_bit(ever), zero);
                if y_frames == 1 {
                    // The held current receives the sum over steps.
                    let mut sum = zero;
                    for t in 0..g_frames {
                        sum = sum.add(strip.gradient(start, t, &c));
                    }
                    let times = if g_frames == 1 { steps as f32 } else { 1.0 };
                    sum.mul(gate.mul(V::splat(times))).store(&mut dx[c.clone()]);
                } else {
                    for t in 0..dx_frames {
                        let g: V = strip.gradient(start, t, &c);
                        g.mul(gate).store(&mut dx[t * channels + c.start..t * channels + c.end]);
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
