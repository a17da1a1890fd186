//! A network: pixels in, logits out, and the way back.

use super::{Dropout, Layer, Neuron, Norm, Param, sequence};
use crate::autodiff::{Credit, Fire, Frames, Grad, Gradients, Pass, Saved, Signal, Statistics, Trace, Want};
use crate::base::{Result, ensure, fail};
use crate::device::Device;
use crate::ops::lif::{self, Reset, Spread};
use crate::ops::norm::{self, Affine, Moments};
use crate::ops::{frames, pool, reduce};
use crate::tensor::{Array, Data, Tensor};

/// What a network is, apart from its numbers: enough to build it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Architecture name or plan.
    pub arch: String,
    /// K.
    pub classes: usize,
    /// Channels, height, width of an image.
    pub input: [usize; 3],
    /// Mean a channel, subtracted from pixels in `[0,1]`.
    pub mean: Vec<f32>,
    /// Standard deviation a channel.
    pub std: Vec<f32>,
    /// Whether products have biases.
    pub bias: bool,
    /// T; 0 is the ANN.
    pub steps: usize,
    /// Leak of the neurons.
    pub leak: f32,
    /// Reset of the neurons.
    pub reset: Reset,
    /// Dropout probability.
    pub dropout: f32,
}

impl Spec {
    /// What the neurons of this network do.
    pub fn fire(&self) -> Fire {
        if self.steps == 0 { Fire::Relu } else { Fire::Spike { steps: self.steps } }
    }
}

/// How active a layer of neurons was.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// The threshold's name without `.v_th`.
    pub name: String,
    /// Spikes in all.
    pub spikes: u64,
    /// Neurons that never fired.
    pub silent: u64,
    /// Neurons (images · pixels · channels).
    pub neurons: u64,
    /// T.
    pub steps: usize,
}

/// The currents and membranes of a layer of neurons over all steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Membranes {
    /// The threshold's name without `.v_th`.
    pub name: String,
    /// The firing threshold.
    pub v_th: f32,
    /// `[N,H,W,T,C]`: the current x_t that the norm passes on.
    pub x: Vec<f32>,
    /// `[N,H,W,T,C]`: u_t before its reset.
    pub u: Vec<f32>,
}

impl Membranes {
    /// Errors: a current or membrane that is not finite, of which nothing can be drawn or added up.
    pub fn sound(&self) -> Result<()> {
        let finite = self.x.iter().chain(&self.u).all(|value| value.is_finite());
        ensure!(
            finite,
            "{}: a current or membrane is not finite: the network overflows, or the device computes wrong (caltrop selftest tells)",
            self.name
        );
        Ok(())
    }
}

/// What a layer of neurons fired, counted where it was.
#[derive(Clone)]
pub struct Fired {
    /// Spikes in parts, `[parts]`, on the device.
    pub spikes: Array<u64>,
    /// Spikes if every neuron fired at every step.
    pub most: u64,
}

/// A network.
#[derive(Clone)]
pub struct Model {
    spec: Spec,
    layers: Vec<Layer>,
    pixels: Affine,
    device: Device,
}

impl Model {
    /// A network of `layers`. Parameters get their slots in the order in which they are numbered already, those that are
    /// not after them, in the order of the layers.
    pub fn new(device: &Device, spec: Spec, mut layers: Vec<Layer>) -> Model {
        by_slot(layers.iter_mut().flat_map(Layer::params_mut), |param| param.slot)
            .into_iter()
            .enumerate()
            .for_each(|(slot, param)| param.slot = slot);
        let vector = |values: Vec<f32>| Tensor::from_slice(device, [values.len()], &values);
        let scale: Vec<f32> = spec.std.iter().map(|std| 1.0 / std).collect();
        let shift = spec.mean.iter().zip(&spec.std).map(|(mean, std)| -(f64::from(*mean) / f64::from(*std)) as f32).collect();
        let pixels = Affine { scale: vector(scale), shift: vector(shift) };
        Model { spec, layers, pixels, device: device.clone() }
    }

    /// What it is.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Run at another number of steps from now on.
    pub fn set_steps(&mut self, steps: usize) {
        self.spec.steps = steps;
    }

    /// Let its neurons leak and reset otherwise from now on.
    pub fn set_dynamics(&mut self, leak: f32, reset: Reset) {
        (self.spec.leak, self.spec.reset) = (leak, reset);
        self.neurons_mut().for_each(|neuron| (neuron.leak, neuron.reset) = (leak, reset));
    }

    /// Drop another share of the features in training from now on (where it has dropout at all).
    pub fn set_dropout(&mut self, p: f32) {
        self.spec.dropout = p;
        for leaf in self.layers.iter_mut().flat_map(Layer::leaves_mut) {
            if let Layer::Dropout(dropout) = leaf {
                dropout.p = p;
            }
        }
    }

    /// The device that it lives on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Its layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Its layers, writable (their number and kinds stay).
    pub fn layers_mut(&mut self) -> &mut [Layer] {
        &mut self.layers
    }

    /// Its parameters by slot.
    pub fn params(&self) -> Vec<&Param> {
        by_slot(self.layers.iter().flat_map(Layer::params), |param| param.slot)
    }

    /// Its parameters by slot, writable.
    pub fn params_mut(&mut self) -> Vec<&mut Param> {
        by_slot(self.layers.iter_mut().flat_map(Layer::params_mut), |param| param.slot)
    }

    /// The first parameter with a NaN or infinity in it. Waits for the device.
    pub fn broken(&self) -> Result<Option<&str>> {
        let params = self.params();
        if params.is_empty() {
            return Ok(None);
        }
        let finite = reduce::finite(&params.iter().map(|param| param.value()).collect::<Vec<_>>())?.to_vec();
        Ok(params.into_iter().zip(finite).find(|(_, finite)| *finite == 0).map(|(param, _)| param.name.as_str()))
    }

    /// The layers without layers inside, in the order of computation.
    pub fn leaves(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().flat_map(Layer::leaves)
    }

    /// Every layer of neurons, in the order of computation.
    pub fn neurons(&self) -> impl Iterator<Item = &Neuron> {
        self.leaves().filter_map(|leaf| if let Layer::Neuron(neuron) = leaf { Some(neuron) } else { None })
    }

    /// [`Model::neurons`], writable.
    pub fn neurons_mut(&mut self) -> impl Iterator<Item = &mut Neuron> {
        let leaves = self.layers.iter_mut().flat_map(Layer::leaves_mut);
        leaves.filter_map(|leaf| if let Layer::Neuron(neuron) = leaf { Some(neuron) } else { None })
    }

    /// Every normalisation.
    pub fn norms(&self) -> impl Iterator<Item = &Norm> {
        self.leaves().filter_map(Layer::norm)
    }

    /// Every normalisation, writable.
    pub fn norms_mut(&mut self) -> impl Iterator<Item = &mut Norm> {
        self.layers.iter_mut().flat_map(Layer::leaves_mut).filter_map(Layer::norm_mut)
    }

    /// Every dropout layer.
    pub fn dropouts(&self) -> impl Iterator<Item = &Dropout> {
        self.leaves().filter_map(|leaf| if let Layer::Dropout(dropout) = leaf { Some(dropout) } else { None })
    }

    /// The thresholds, input to output.
    pub fn thresholds(&self) -> Vec<f32> {
        self.neurons().map(|neuron| neuron.v_th.value().to_vec()[0]).collect()
    }

    /// The signal of normalised pixels, held for `steps`. Errors: images of another size than the network's.
    pub fn present(&self, images: &Tensor, steps: usize) -> Result<Signal> {
        let [channels, height, width] = self.spec.input;
        let shape = images.shape();
        ensure!(
            shape.rank() == 4 && shape.extents()[1..] == [height, width, channels],
            "model: {} wants images of {channels}x{height}x{width}, got {}",
            self.spec.arch,
            if shape.rank() == 4 { format!("{}x{}x{}", shape[3], shape[1], shape[2]) } else { shape.to_string() }
        );
        let held = images.clone().reshaped([shape[0], height, width, 1, channels]);
        Ok(Signal { data: Data::Real(norm::apply(&held, &self.pixels)?), frames: Frames::Held(steps) })
    }

    /// Logits `[N,K]` of images `[N,H,W,C]` in `[0,1]`, and what the pass keeps. Errors: images of another size.
    pub fn forward(&self, images: &Tensor, pass: &Pass) -> Result<(Tensor, Trace)> {
        let steps = if let Fire::Spike { steps } = pass.fire { steps } else { 1 };
        let (signal, saved) = sequence::forward(&self.layers, self.present(images, steps)?, pass)?;
        let steps = pool::numbers(&signal.data);
        Ok((frames::mean(&steps), Trace { saved, pass: *pass, steps, frames: signal.frames }))
    }

    /// Gradients of a scalar whose gradient at the logits is `dlogits` `[N,K]`; the trace serves again.
    pub fn backward(&self, trace: &Trace, dlogits: &Tensor, credit: Credit, want: Want) -> Result<Gradients> {
        let mut way = self.way_back(trace.frames, dlogits, &trace.saved)?;
        let lowest = self.lowest(want);
        let (layers, saved) = (&self.layers[lowest..], &trace.saved[lowest..]);
        way.grad = sequence::backward(layers, saved, &trace.pass, way.grad, credit, want, &mut way.gradients)?;
        self.arrive(way, want)
    }

    /// As [`Model::backward`], freeing the trace on the way.
    pub fn backward_consuming(&self, mut trace: Trace, dlogits: &Tensor, credit: Credit, want: Want) -> Result<Gradients> {
        let mut way = self.way_back(trace.frames, dlogits, &trace.saved)?;
        for layer in self.layers.iter().skip(self.lowest(want)).rev() {
            let Some(saved) = trace.saved.pop() else { break };
            way.grad = layer.backward(&saved, &trace.pass, way.grad, credit, want, &mut way.gradients)?;
        }
        self.arrive(way, want)
    }

    /// The lowest layer that a backward visits: below the first parameter there is only the input.
    fn lowest(&self, want: Want) -> usize {
        let first = || self.layers.iter().position(|layer| !layer.params().is_empty());
        if want.input() { 0 } else { first().unwrap_or(self.layers.len()) }
    }

    fn way_back(&self, frames: Frames, dlogits: &Tensor, saved: &[Saved]) -> Result<WayBack> {
        ensure!(saved.len() == self.layers.len(), "model: a trace of {} layers for a network of {}", saved.len(), self.layers.len());
        let (n, k) = (dlogits.shape()[0], dlogits.shape()[1]);
        let held = dlogits.clone().reshaped([n, 1, 1, 1, k]);
        // Logits are the mean over steps: every step's gradient is dlogits / T, one frame for all.
        let tensor = match frames {
            Frames::Held(_) => held,
            Frames::Each(steps) => frames::repeat(&held, 1, 1.0 / steps as f32),
        };
        let gradients = Gradients { params: vec![None; self.params().len()], input: None };
        Ok(WayBack { grad: Grad::plain(tensor), gradients })
    }

    fn arrive(&self, way: WayBack, want: Want) -> Result<Gradients> {
        let WayBack { grad, mut gradients } = way;
        if want.input() {
            let [channels, height, width] = self.spec.input;
            let tensor = match grad.spread {
                Spread::Plain => grad.tensor,
                // A pool right behind the pixels.
                Spread::Quarters => pool::spread(&grad.tensor, [grad.tensor.shape()[0], height, width, 1, channels].into()),
            };
            let scale = self.pixels.scale.clone();
            let shift = Tensor::zeros(&self.device, scale.shape());
            let shape = tensor.shape();
            let dx = norm::apply(&tensor, &Affine { scale, shift })?;
            gradients.input = Some(dx.reshaped([shape[0], shape[1], shape[2], shape[4]]));
        }
        Ok(gradients)
    }

    /// Take over the batch statistics that a train-mode forward left in its trace (of an eval-mode one: nothing).
    pub fn absorb(&mut self, trace: &Trace) {
        if trace.pass.statistics == Statistics::Running {
            return;
        }
        let leaves = self.layers.iter_mut().flat_map(Layer::leaves_mut);
        for (leaf, saved) in leaves.zip(trace.saved.iter().flat_map(Saved::leaves)) {
            if let Some(norm) = leaf.norm_mut() {
                norm.absorb(saved);
            }
        }
    }

    /// Batches that all running statistics together have seen.
    pub fn batches(&self) -> u64 {
        self.norms().map(|norm| norm.batches).sum()
    }

    /// Count batches that the running statistics have taken over without [`Model::absorb`]: `all` of them together.
    pub fn count_batches(&mut self, all: u64) {
        let each = all / (self.norms().count() as u64).max(1);
        self.norms_mut().for_each(|norm| norm.batches += each);
    }

    /// All running statistics, copied to memory of their own, and the batches that each has seen.
    pub fn running(&self) -> Vec<(Moments, u64)> {
        let copied = |moments: &Moments| Moments { mean: moments.mean.copied(), variance: moments.variance.copied() };
        self.norms().map(|norm| (copied(&norm.running), norm.batches)).collect()
    }

    /// Put back what [`Model::running`] of this network gave.
    pub fn set_running(&mut self, running: Vec<(Moments, u64)>) {
        for (norm, (moments, batches)) in self.norms_mut().zip(running) {
            (norm.running, norm.batches) = (moments, batches);
        }
    }

    /// What every layer of neurons fired in `trace`, as [`Model::neurons`] (of rectifiers: nothing). Does not wait for the device.
    pub fn firing(&self, trace: &Trace) -> Vec<Fired> {
        self.spiking(trace).map(|(_, spikes)| Fired { spikes: lif::tally(spikes), most: spikes.shape().count() as u64 }).collect()
    }

    /// The layers of neurons that spiked in `trace`, and their spikes ([`Data::Spikes`], `[N,H,W,T,C]`).
    pub fn spiking<'a>(&'a self, trace: &'a Trace) -> impl Iterator<Item = (&'a Neuron, &'a Data)> {
        self.leaves().zip(trace.saved.iter().flat_map(Saved::leaves)).filter_map(|(leaf, saved)| match (leaf, saved) {
            (Layer::Neuron(neuron), Saved::Neuron { spikes: Some(spikes), .. }) => Some((neuron, spikes)),
            _ => None,
        })
    }

    /// How active every layer of neurons was in `trace`. Waits for the device.
    pub fn activity(&self, trace: &Trace) -> Vec<Activity> {
        self.spiking(trace)
            .map(|(neuron, spikes)| Activity {
                name: neuron.name().to_string(),
                spikes: lif::count(spikes),
                silent: lif::silent(spikes),
                neurons: (spikes.shape().count() / spikes.frames()) as u64,
                steps: spikes.frames(),
            })
            .collect()
    }

    /// Give the spikes in `trace` the slopes of ASSG ([`Credit::Assg`]), which follow what `memory` (a layer of neurons each; empty
    /// before the first) remembers of the points before.
    ///
    /// # Errors
    /// If the trace keeps no currents, or of other images than before.
    pub fn sharpen(&self, trace: &mut Trace, memory: &mut Vec<lif::Sharpness>) -> Result<()> {
        let mut layers = 0;
        self.slopes_from(trace, |neuron, y, affine, steps| {
            if memory.len() == layers {
                memory.push(lif::Sharpness::default());
            }
            layers += 1;
            memory[layers - 1].observe(y, affine, neuron.v_th.value(), neuron.dynamics(steps))
        })
    }

    /// Give each spike in `trace` the slope `surrogate(u, v_th)`, u the membrane before its reset: a surrogate derivative of one's
    /// own, through which a backward under [`Credit::Given`] returns, of images and parameters, on every device. The function
    /// runs on the host: of a GPU, membranes are fetched and slopes are sent.
    ///
    /// # Errors
    /// If the trace keeps no currents, or a slope is not finite.
    pub fn slope(&self, trace: &mut Trace, surrogate: impl Fn(f32, f32) -> f32) -> Result<()> {
        self.slopes_from(trace, |neuron, y, affine, steps| {
            let v_th = neuron.v_th.value();
            let mut slopes = lif::membranes(y, affine, v_th, neuron.dynamics(steps))?;
            let v_th = v_th.to_vec()[0];
            for slope in &mut slopes {
                let u = *slope;
                *slope = surrogate(u, v_th);
                ensure!(slope.is_finite(), "{}: a slope of {slope} at u = {u}, v_th = {v_th}; it must be a number", neuron.name());
            }
            let [n, h, w, c] = [0, 1, 2, 4].map(|axis| y.shape()[axis]);
            Ok(Tensor::from_slice(&self.device, [n, h, w, steps, c], &slopes))
        })
    }

    /// Enter what `find` makes of each layer of neurons that spiked in `trace`: its current, the map on it, and T.
    fn slopes_from(
        &self,
        trace: &mut Trace,
        mut find: impl FnMut(&Neuron, &Tensor, Option<&Affine>, usize) -> Result<Tensor>,
    ) -> Result<()> {
        for (leaf, saved) in self.leaves().zip(trace.saved.iter_mut().flat_map(Saved::leaves_mut)) {
            let (Layer::Neuron(neuron), Saved::Neuron { y, affine, spikes: Some(spikes), slopes, .. }) = (leaf, saved) else { continue };
            let y = y.as_ref().ok_or_else(|| fail!("{}: the trace keeps no current; slopes need Keep::ForInput", neuron.name()))?;
            *slopes = Some(find(neuron, y, affine.as_ref(), spikes.frames())?);
        }
        Ok(())
    }

    /// The currents and membranes of every layer of neurons in `trace`, which must keep the currents (`Keep::ForInput`). Waits for the
    /// device.
    ///
    /// # Errors
    /// If the trace keeps no currents.
    pub fn membranes(&self, trace: &Trace) -> Result<Vec<Membranes>> {
        let leaves = self.leaves().zip(trace.saved.iter().flat_map(Saved::leaves));
        let spiking = leaves.filter_map(|(leaf, saved)| match (leaf, saved) {
            (Layer::Neuron(neuron), Saved::Neuron { y, affine, spikes: Some(spikes), .. }) => Some((neuron, y, affine, spikes)),
            _ => None,
        });
        spiking
            .map(|(neuron, y, affine, spikes)| {
                let y = y.as_ref().ok_or_else(|| fail!("{}: the trace keeps no current; membranes need Keep::ForInput", neuron.name()))?;
                let (v_th, steps) = (neuron.v_th.value(), spikes.frames());
                let x = affine.as_ref().map_or_else(|| Ok(y.clone()), |affine| norm::apply(y, affine))?;
                let x = if x.shape()[3] == steps { x } else { frames::repeat(&x, steps, 1.0) }.to_vec();
                let u = lif::membranes(y, affine.as_ref(), v_th, neuron.dynamics(steps))?;
                Ok(Membranes { name: neuron.name().to_string(), v_th: v_th.to_vec()[0], x, u })
            })
            .collect()
    }
}

struct WayBack {
    grad: Grad,
    gradients: Gradients,
}

/// Parameters sorted by slot; those of equal slots stay in their order.
fn by_slot<P>(params: impl Iterator<Item = P>, slot: impl Fn(&P) -> usize) -> Vec<P> {
    let mut params: Vec<P> = params.collect();
    params.sort_by_key(slot);
    params
}
