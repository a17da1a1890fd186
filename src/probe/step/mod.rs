//! One neuron, step by step: what its current is made of, its membrane, its spikes and resets.
//!
//! Nothing is simulated anew: currents, spikes and the inputs of products are those that an ordinary forward keeps
//! ([`Keep::All`]), whatever the device. What is recomputed, in f64, is the sum of a product; it has to agree with the current that
//! the network used, and everything behind it with its spikes, or there is an error instead of a table.

mod field;
mod source;

pub use field::{Change, Contribution, Field, Fired, Form};

use super::{Place, Sites};
use crate::autodiff::{Keep, Pass, Trace};
use crate::base::{Result, ensure};
use crate::drive;
use crate::nn::{Membranes, Model};
use crate::ops::lif::Reset;
use crate::ops::pool;
use crate::tensor::{Data, Tensor};
use field::Reach;
use serde::Serialize;
use source::{Driven, Source, driven, numbers};

/// A normalisation of one channel: scale·y + shift.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Map {
    /// Scale.
    pub scale: f32,
    /// Shift.
    pub shift: f32,
}

/// Something that adds to the current of a neuron: y = Σ factor·value over its parts, x = scale·y + shift.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Its layer, such as `features.3`.
    pub name: String,
    /// What it is, such as `conv 3x3` (empty where it is the signal of `reads` itself).
    pub kind: String,
    /// Where its inputs come from.
    pub reads: String,
    /// Its factor in a residual sum, 1 without one.
    pub factor: f32,
    /// The norm behind the product and before the sum.
    pub norm: Option<Map>,
    /// Whether it is the same at every step.
    pub held: bool,
    /// Where a product looks (None: no product stands right before the neuron).
    pub field: Option<Field>,
}

/// A part at one step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    /// The product with its bias as the network computed it (without a product: the value).
    pub before: f32,
    /// Behind the part's norm.
    pub value: f32,
    /// What its inputs bring.
    pub fired: Option<Fired>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// t, from 1.
    pub t: usize,
    /// The parts of y, in the order of [`Stepped::parts`].
    pub shares: Vec<Share>,
    /// The current before the norm.
    pub y: f32,
    /// The current x_t.
    pub x: f32,
    /// leak·v_{t−1}.
    pub carried: f32,
    /// u_t.
    pub u: f32,
    /// s_t.
    pub spike: bool,
    /// What the reset takes away, u_t − v_t.
    pub reset: f32,
    /// v_t.
    pub v: f32,
}

/// One neuron on one image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stepped {
    /// Firing threshold.
    pub v_th: f32,
    /// Share of the membrane that survives a step.
    pub leak: f32,
    /// `hard` or `soft`.
    pub reset: String,
    /// The norm of the neuron.
    pub norm: Option<Map>,
    /// What adds to its current: one part, or the two of a residual sum (shortcut, branch).
    pub parts: Vec<Part>,
    /// t = 1..T.
    pub steps: Vec<Step>,
}

impl Stepped {
    /// The spikes in all.
    pub fn spikes(&self) -> usize {
        self.steps.iter().filter(|step| step.spike).count()
    }

    /// Forgets all but the `count` strongest contributions of every step.
    #[must_use]
    pub fn strongest(mut self, count: usize) -> Stepped {
        let shares = self.steps.iter_mut().flat_map(|step| &mut step.shares);
        shares.filter_map(|share| share.fired.as_mut()).for_each(|fired| fired.contributions.truncate(count));
        self
    }
}

/// A forward of one image that is looked into.
pub struct Inside<'a> {
    model: &'a Model,
    sites: Sites,
    trace: Trace,
    membranes: Vec<Membranes>,
    logits: Tensor,
}

impl<'a> Inside<'a> {
    /// The forward of `image` `[1,H,W,C]` in eval mode. Errors: an image of another size, a network without spikes.
    pub fn of(model: &'a Model, image: &Tensor) -> Result<Inside<'a>> {
        ensure!(image.shape()[0] == 1, "step mode: one image at a time, got {}", image.shape()[0]);
        ensure!(model.spec().steps > 0, "step mode: an ANN (T = 0) has no steps");
        let (logits, trace) = model.forward(image, &Pass::eval(model.spec().fire(), Keep::All))?;
        let membranes = model.membranes(&trace)?;
        membranes.iter().try_for_each(Membranes::sound)?;
        Ok(Inside { model, sites: Sites::of(model), trace, membranes, logits })
    }

    /// The class that the network sees. Errors: logits that are not finite.
    pub fn class(&self) -> Result<usize> {
        Ok(drive::classes(&self.logits)?[0] as usize)
    }

    /// The neuron of layer `site` that fires most, of several that which comes nearest to its threshold; and its spikes.
    pub fn busiest(&self, site: usize) -> Result<(Place, usize)> {
        let driven = self.driven(site)?;
        let (shape, fired) = (driven.spikes.shape(), pool::numbers(driven.spikes).to_vec());
        let (steps, channels) = (shape[3], shape[4]);
        let Membranes { u, v_th, .. } = &self.membranes[site];
        let judged = |index: usize| {
            let first = index / channels * steps * channels + index % channels;
            let at = (0..steps).map(|t| first + t * channels);
            let spikes = at.clone().filter(|&at| fired[at] != 0.0).count();
            (spikes, at.map(|at| (u[at] - v_th).abs()).fold(f32::INFINITY, f32::min))
        };
        let mut best = (0, judged(0));
        for index in 1..fired.len() / steps {
            let (spikes, distance) = judged(index);
            if spikes > best.1.0 || (spikes == best.1.0 && distance < best.1.1) {
                best = (index, (spikes, distance));
            }
        }
        Ok((self.sites.all()[site].at(best.0), best.1.0))
    }

    fn driven(&self, site: usize) -> Result<Driven<'_>> {
        driven(self.model.layers(), &self.trace.saved, &self.sites.all()[site].name)
    }

    /// The neuron at `place` of layer `site` through all steps.
    ///
    /// # Errors
    /// Where the numbers of the trace do not add up: then the device computes wrong.
    pub fn steps(&self, site: usize, place: Place) -> Result<Stepped> {
        let Driven { y, affine, spikes, source, neuron } = self.driven(site)?;
        let norm = affine.map(|affine| Map { scale: affine.scale.to_vec()[place.c], shift: affine.shift.to_vec()[place.c] });
        let currents = over_time(&Data::Real(y.clone()), place);
        let fired = over_time(spikes, place);
        let gain = norm.map_or(1.0, |map| f64::from(map.scale));
        let members = match &*source {
            Source::Sum { block, members, of } => {
                let factors = block.comb.value().to_vec();
                let member = |side: usize| {
                    let data = Data::Real(numbers(&members[side], &of[side])?);
                    Ok(Drive::of(&of[side], over_time(&data, place), place, factors[side], gain))
                };
                vec![member(0)?, member(1)?]
            }
            source => vec![Drive::of(source, currents.clone(), place, 1.0, gain)],
        };
        let Membranes { name, v_th, x, u } = &self.membranes[site];
        let dynamics = neuron.dynamics(fired.len());
        let [channels, ..] = self.sites.all()[site].shape;
        let first = self.sites.all()[site].index(place) / channels * dynamics.steps * channels + place.c;
        let mut v = 0.0;
        let mut steps = Vec::with_capacity(dynamics.steps);
        for (t, fired) in fired.iter().enumerate() {
            let at = first + t * channels;
            let shares = members.iter().map(|member| member.at(t, name)).collect::<Result<Vec<_>>>()?;
            let (y, x, u, carried) = (frame(&currents, t), x[at], u[at], v * dynamics.leak);
            agrees(name, t, "its parts", y, members.iter().zip(&shares).map(|(member, share)| [member.part.factor, share.value]))?;
            agrees(name, t, "the norm", x, through(norm, y))?;
            agrees(name, t, "leak and current", u, [[v, dynamics.leak], [x, 1.0]].into_iter())?;
            let spike = *fired != 0.0;
            ensure!(spike == (u >= *v_th), "{name}: step {}: u = {u} at threshold {v_th}, but the network's spike is {spike}", t + 1);
            v = match dynamics.reset {
                _ if !spike => u,
                Reset::Hard => 0.0,
                Reset::Soft => u - v_th,
            };
            steps.push(Step { t: t + 1, shares, y, x, carried, u, spike, reset: u - v, v });
        }
        let held = |part: Part| Part { held: part.held && dynamics.steps > 1, ..part };
        let parts = members.into_iter().map(|member| held(member.part)).collect();
        Ok(Stepped { v_th: *v_th, leak: dynamics.leak, reset: dynamics.reset.to_string(), norm, parts, steps })
    }
}

/// A part with what it needs at every step.
struct Drive {
    part: Part,
    /// A value a frame.
    values: Vec<f32>,
    /// The same before the part's norm.
    before: Vec<f32>,
    reach: Option<Reach>,
    gain: f64,
}

impl Drive {
    /// What comes from `source` at `place`, where it is `values`; the current gets `factor`, then `gain` times as much.
    fn of(source: &Source, values: Vec<f32>, place: Place, factor: f32, gain: f64) -> Drive {
        let name = source.to_string();
        let (norm, before, inner) = match source {
            Source::Norm { affine, y, of, .. } => {
                let map = Map { scale: affine.scale.to_vec()[place.c], shift: affine.shift.to_vec()[place.c] };
                (Some(map), over_time(&Data::Real((*y).clone()), place), &**of)
            }
            source => (None, values.clone(), source),
        };
        let gain = gain * f64::from(factor) * norm.map_or(1.0, |map| f64::from(map.scale));
        let (kind, reads, reach) = match inner {
            Source::Product { product, x, of } => (product.kind(), of.to_string(), Some(Reach::of(product, x, of, place))),
            other => (String::new(), other.to_string(), None),
        };
        let field = reach.as_ref().map(|reach| reach.field.clone());
        let name = if reach.is_some() { inner.to_string() } else { name };
        let part = Part { name, kind, reads, factor, norm, held: values.len() == 1, field };
        Drive { part, values, before, reach, gain }
    }

    /// Its share at step t (from 0) of a current of layer `name`.
    fn at(&self, t: usize, name: &str) -> Result<Share> {
        let (before, value) = (frame(&self.before, t), frame(&self.values, t));
        agrees(name, t, &self.part.name, value, through(self.part.norm, before))?;
        let fired = self.reach.as_ref().map(|reach| reach.fired(t, self.gain, before, name)).transpose()?;
        Ok(Share { before, value, fired })
    }
}

/// The products whose sum is `map` of y.
fn through(map: Option<Map>, y: f32) -> impl Iterator<Item = [f32; 2]> {
    let Map { scale, shift } = map.unwrap_or(Map { scale: 1.0, shift: 0.0 });
    [[y, scale], [shift, 1.0]].into_iter()
}

/// Errors: `got` is not the sum of these products, but for rounding.
fn agrees(name: &str, t: usize, what: &str, got: f32, terms: impl Iterator<Item = [f32; 2]>) -> Result<()> {
    let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), [a, b]| {
        let product = f64::from(a) * f64::from(b);
        (sum + product, size + product.abs())
    });
    let off = (sum - f64::from(got)).abs();
    ensure!(
        off <= 4.0 * 2f64.powi(-24) * size,
        "{name}: step {}: {what} gives {sum}, the network computed {got}; the device computes wrong (caltrop selftest tells)",
        t + 1
    );
    Ok(())
}

/// The numbers of every stored frame of `[1,H,W,F,C]` at `place`.
fn over_time(data: &Data, place: Place) -> Vec<f32> {
    let shape = data.shape();
    let (frames, channels) = (shape[3], shape[4]);
    let values = pool::numbers(data).to_vec();
    let first = (place.y * shape[2] + place.x) * frames * channels + place.c;
    (0..frames).map(|t| values[first + t * channels]).collect()
}

/// Step t of numbers that may be held.
fn frame(values: &[f32], t: usize) -> f32 {
    values[if values.len() == 1 { 0 } else { t }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::nn::Spec;
    use crate::zoo;

    fn network(device: &Device) -> Model {
        let spec = Spec {
            arch: "vgg:4,A/5".into(),
            classes: 2,
            input: [1, 4, 4],
            mean: vec![0.5],
            std: vec![0.25],
            bias: true,
            steps: 3,
            leak: 1.0,
            reset: Reset::Hard,
            dropout: 0.0,
        };
        zoo::build(device, spec, 1).expect("a small network")
    }

    #[test]
    fn sums_that_do_not_add_up_are_an_error() {
        let device = Device::cpu(Some(1)).expect("one thread");
        let (model, mut other) = (network(&device), network(&device));
        let image = Tensor::full(&device, [1, 4, 4, 1], 0.75);
        let place = Place { x: 1, y: 1, c: 2 };
        let inside = Inside::of(&model, &image).expect("a forward");
        inside.steps(0, place).expect("its own numbers");
        // The trace of one network, the weights of another.
        for param in other.params_mut().into_iter().filter(|param| param.name == "features.0.weight") {
            let changed: Vec<f32> = param.value().to_vec().into_iter().map(|weight| weight * 1.001).collect();
            param.weight.set(Tensor::from_slice(&device, param.value().shape(), &changed));
        }
        let error = Inside { model: &other, ..inside }.steps(0, place).expect_err("other weights").to_string();
        assert!(error.starts_with("features.2: step 1: its inputs add up to "), "{error}");
    }
}
