//! Random networks that fire as trained ones do.
//!
//! Untrained weights fire too much or not at all, and the work of a spiking network depends on how much it fires. Here
//! every layer's threshold and shift are chosen on a calibration batch so that its rate is met and as many neurons are
//! silent as in a trained network, the layers before it already firing.

use crate::autodiff::{Fire, Keep, Pass, Signal};
use crate::base::{Result, ensure, fail};
use crate::nn::{Block, Layer, MIN_THRESHOLD, Model, Neuron, Origin, Param};
use crate::ops::lif::{Dynamics, Reset};
use crate::ops::norm;
use crate::tensor::{Data, Tensor};
use serde::Serialize;

/// Spikes per neuron and step in the four quarters of a network's layers, first to last: the trained demo's.
pub const RATES: [f64; 4] = [0.31, 0.21, 0.13, 0.08];
/// Neurons that stay silent over 8 steps in these quarters.
pub const SILENT: [f64; 4] = [0.55, 0.59, 0.68, 0.89];

/// Neurons that a layer's thresholds are chosen on.
const NEURONS: usize = 16_384;

/// How active a layer was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rate {
    /// The layer.
    pub name: String,
    /// Spikes per neuron and step.
    pub rate: f64,
    /// Share of the neurons that never fired.
    pub silent: f64,
}

/// Currents of some neurons of a layer, one row a neuron.
pub struct Sample {
    values: Vec<f32>,
    frames: usize,
    dynamics: Dynamics,
}

impl Sample {
    /// Of the currents `[N,H,W,F,C]`: every neuron, or evenly spread ones where there are many.
    pub fn of(currents: &[f32], shape: [usize; 5], dynamics: Dynamics) -> Sample {
        let (frames, channels) = (shape[3], shape[4]);
        let neurons = currents.len() / frames;
        // A stride that is prime to the channels visits all of them.
        let stride = (neurons / NEURONS).max(1) | 1;
        let row = |neuron: usize| {
            (0..frames).map(move |frame| currents[neuron / channels * frames * channels + frame * channels + neuron % channels])
        };
        Sample { values: (0..neurons).step_by(stride).flat_map(row).collect(), frames, dynamics }
    }

    /// The standard deviation of its currents.
    pub fn deviation(&self) -> f32 {
        let n = self.values.len() as f64;
        let mean = self.values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        (self.values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n).sqrt() as f32
    }

    /// Spikes per neuron and step, and the share of silent neurons, with `shift` added to every current.
    fn activity(&self, shift: f32, v_th: f32) -> (f64, f64) {
        let Dynamics { steps, leak, reset } = self.dynamics;
        let (mut spikes, mut silent) = (0u64, 0u64);
        for neuron in self.values.chunks_exact(self.frames) {
            let (mut v, mut fired) = (0.0, 0);
            for t in 0..steps {
                v = v * leak + neuron[t % self.frames] + shift;
                if v >= v_th {
                    fired += 1;
                    v = if reset == Reset::Hard { 0.0 } else { v - v_th };
                }
            }
            spikes += fired;
            silent += u64::from(fired == 0);
        }
        let neurons = (self.values.len() / self.frames).max(1) as f64;
        (spikes as f64 / (neurons * steps as f64), silent as f64 / neurons)
    }

    /// The threshold at which `rate` is met (as nearly as thresholds of 0.03 and more can).
    pub fn threshold(&self, shift: f32, rate: f64) -> f32 {
        let (mut low, mut high) = (MIN_THRESHOLD, 64.0 * self.deviation().max(MIN_THRESHOLD));
        for _ in 0..20 {
            let middle = (low * high).sqrt();
            *if self.activity(shift, middle).0 > rate { &mut low } else { &mut high } = middle;
        }
        high
    }

    /// Shift and threshold at which the rate is met and the share of silent neurons comes nearest to `silent`: a lower
    /// current and a lower threshold leave the same spikes to fewer neurons. The rate goes first: where thresholds end (at
    /// 0.03) before so many neurons are silent, fewer are.
    fn meet(&self, rate: f64, silent: f64) -> (f32, f32) {
        let spread = self.deviation();
        let (mut low, mut high) = (-3.0 * spread, spread);
        for _ in 0..10 {
            let middle = (low + high) / 2.0;
            let (fires, quiet) = self.activity(middle, self.threshold(middle, rate));
            *if quiet > silent || fires < 0.98 * rate { &mut low } else { &mut high } = middle;
        }
        (high, self.threshold(high, rate))
    }
}

/// Give `model`, fresh from `zoo::build`, running statistics of `images` `[N,H,W,C]` and, at T > 0, thresholds and shifts
/// that make its layers fire at [`RATES`] and leave [`SILENT`] neurons silent. Linear layers are scaled to currents of
/// deviation 1 on the way. Errors: images of another size.
pub fn settle(model: &mut Model, images: &Tensor) -> Result<()> {
    let (pass, neurons) = (Pass::eval(model.spec().fire(), Keep::Spikes), model.neurons().count());
    let signal = model.present(images, model.spec().steps.max(1))?;
    Settling { pass, neurons, seen: 0 }.along(model.layers_mut(), signal)?;
    Ok(())
}

/// A walk through a network, layer after layer.
struct Settling {
    pass: Pass,
    /// Layers of neurons in all, and those that are settled.
    neurons: usize,
    seen: usize,
}

impl Settling {
    /// The signal behind `layers`, which settle on the way.
    fn along(&mut self, layers: &mut [Layer], mut signal: Signal) -> Result<Signal> {
        for index in 0..layers.len() {
            let (before, rest) = layers.split_at_mut(index);
            signal = match &mut rest[0] {
                Layer::Neuron(neuron) => {
                    let quarter = self.seen * RATES.len() / self.neurons;
                    self.seen += 1;
                    let current = self.neuron(neuron, before.last_mut(), signal, quarter)?;
                    rest[0].forward(current, &self.pass)?.0
                }
                Layer::Block(block) => self.block(block, signal)?,
                layer => {
                    if let (Layer::Norm(norm), Data::Real(y)) = (&mut *layer, &signal.data) {
                        norm.running = norm::moments(y)?;
                    }
                    layer.forward(signal, &self.pass)?.0
                }
            };
        }
        Ok(signal)
    }

    fn block(&mut self, block: &mut Block, x: Signal) -> Result<Signal> {
        let behind = self.along(&mut block.stem, x.clone())?;
        let start = if block.origin == Origin::Input { x } else { behind.clone() };
        let along = self.along(&mut block.branch, behind)?;
        let across = self.along(&mut block.shortcut, start)?;
        block.mix(&across, &along)
    }

    /// Settle `neuron`, whose current is `signal`, by its own norm or by what stands before it; returns the current that
    /// reaches it from now on.
    fn neuron(&self, neuron: &mut Neuron, before: Option<&mut Layer>, signal: Signal, quarter: usize) -> Result<Signal> {
        let name = neuron.v_th.name.clone();
        let Data::Real(y) = &signal.data else { return Err(fail!("bench: {name} is fed spikes, not a current")) };
        let mut current = y.clone();
        if let Some(norm) = &mut neuron.norm {
            norm.running = norm::moments(y)?;
            current = norm::apply(y, &norm::affine(&norm.running, norm.weight.value(), norm.bias.value()))?;
        }
        let Fire::Spike { steps } = self.pass.fire else { return Ok(signal) };
        let shape = current.shape();
        let shape = [shape[0], shape[1], shape[2], shape[3], shape[4]];
        let mut sample = Sample::of(&current.to_vec(), shape, neuron.dynamics(steps));
        let mut factor = 1.0;
        if let (None, Some(Layer::Product(product))) = (&neuron.norm, &before) {
            factor = 1.0 / sample.deviation().max(f32::MIN_POSITIVE);
            sample.values.iter_mut().for_each(|x| *x *= factor);
            ensure!(product.bias.is_some(), "bench: {} has no bias", product.weight.name);
        }
        let (shift, v_th) = sample.meet(RATES[quarter], SILENT[quarter]);
        neuron.v_th.weight.set(Tensor::full(y.device(), [], v_th.max(MIN_THRESHOLD)));
        match (&mut neuron.norm, before) {
            (Some(norm), _) => {
                add(&mut norm.bias, shift);
                return Ok(signal);
            }
            (None, Some(Layer::Product(product))) => {
                scale(&mut product.weight, factor);
                product.bias.iter_mut().for_each(|bias| add(bias, shift));
            }
            (None, Some(Layer::Block(block))) => {
                // The last norm of the branch is c₁ of the current.
                let share = block.comb.value().to_vec()[1];
                let Some(norm) = block.branch.last_mut().and_then(Layer::norm_mut) else {
                    return Err(fail!("bench: {name} has no norm before it"));
                };
                add(&mut norm.bias, shift / share);
            }
            _ => return Err(fail!("bench: {name} has nothing before it to settle it by")),
        }
        let moved: Vec<f32> = y.to_vec().into_iter().map(|x| factor * x + shift).collect();
        Ok(Signal { data: Data::Real(Tensor::from_slice(y.device(), y.shape(), &moved)), frames: signal.frames })
    }
}

/// Every number of `param` plus `shift`.
fn add(param: &mut Param, shift: f32) {
    let moved: Vec<f32> = param.value().to_vec().into_iter().map(|x| x + shift).collect();
    let value = Tensor::from_slice(param.value().device(), param.value().shape(), &moved);
    param.weight.set(value);
}

/// Every number of `param` times `factor`.
fn scale(param: &mut Param, factor: f32) {
    let scaled: Vec<f32> = param.value().to_vec().into_iter().map(|x| factor * x).collect();
    let value = Tensor::from_slice(param.value().device(), param.value().shape(), &scaled);
    param.weight.set(value);
}

/// How active each layer of `model` is on `images`, in eval mode; empty for an ANN. Errors: images of another size.
pub fn rates(model: &Model, images: &Tensor) -> Result<Vec<Rate>> {
    let (_, trace) = model.forward(images, &Pass::eval(model.spec().fire(), Keep::Spikes))?;
    let rate = |layer: crate::nn::Activity| Rate {
        rate: layer.spikes as f64 / (layer.neurons * layer.steps as u64) as f64,
        silent: layer.silent as f64 / layer.neurons as f64,
        name: layer.name,
    };
    Ok(model.activity(&trace).into_iter().map(rate).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{Philox, Purpose};

    #[test]
    fn rates_and_silence_are_met_together() {
        let draws = Philox::stream(0, Purpose::Test, &[]);
        let values: Vec<f32> = (0..64_000).map(|i| draws.normal(i / 8 + 1_000_000) + 0.25 * draws.normal(i)).collect();
        let dynamics = Dynamics { steps: 8, leak: 1.0, reset: Reset::Hard };
        let sample = Sample { values, frames: 8, dynamics };
        for (rate, silent) in RATES.into_iter().zip(SILENT) {
            let (shift, v_th) = sample.meet(rate, silent);
            let (found, quiet) = sample.activity(shift, v_th);
            assert!((found - rate).abs() < 0.01 && (quiet - silent).abs() < 0.02, "{found} of {rate}, {quiet} of {silent}");
        }
    }
}
