//! How much a network does for given images, as NeuroBench counts it.
//!
//! A synaptic operation is a product of an input and a weight, biases left out. Dense are all of them; effective are those where
//! neither factor is exactly zero. Inputs of zeros and ones (spikes) make accumulations (ACs), all others multiply-accumulates (MACs):
//! pixels, rectified numbers, means of spikes. NeuroBench looks at the values of each input to tell; here what the input is decides, so
//! that a mean of spikes stays a MAC where it happens to be 0 or 1. Norms, neurons, pools and residual sums are no synapses.
//!
//! SynOps are counted beside these: spikes times fan-out, the four spikes under a pool one by one.
//!
//! # Source
//! Yik et al., "NeuroBench", arXiv 2304.04640: activation sparsity, synaptic operations; its harness also counts membrane updates.

use super::reach::{Operations, Synapses};
use super::{Onslaught, Samples, batches};
use crate::autodiff::{Fire, Frames, Keep, Pass, Saved};
use crate::base::Result;
use crate::drive::{Watch, classes, watch};
use crate::nn::{Layer, Membranes, Model, Neuron};
use crate::ops::lif::{self, Reset};
use crate::ops::relu;
use crate::tensor::{Data, Tensor};
use std::ops::AddAssign;

/// What a product reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Normalised pixels, or what stands between them and the first neuron.
    Pixels,
    /// Zeros and ones.
    Spikes,
    /// 2x2 means of spikes: 0, ¼, ½, ¾, 1.
    PooledSpikes,
    /// Other numbers: rectified ones, means over an image, residual sums.
    Numbers,
}

impl Reads {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Reads::Pixels => "pixels",
            Reads::Spikes => "spikes",
            Reads::PooledSpikes => "pooled spikes",
            Reads::Numbers => "numbers",
        }
    }

    /// Whether a synapse adds its weight, with nothing to multiply.
    pub fn accumulates(self) -> bool {
        self == Reads::Spikes
    }
}

/// What a product did, all images together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its weight's name without `.weight`.
    pub name: String,
    /// Such as `conv 3x3`.
    pub kind: String,
    /// What it reads.
    pub reads: Reads,
    /// Frames of its input that were counted: 1 where all steps have the same, T elsewhere.
    pub frames: u64,
    /// Steps that a frame stands for: T where all steps have the same, 1 elsewhere.
    pub repeats: u64,
    /// Operations of every synapse.
    pub dense: u64,
    /// Those without a zero.
    pub effective: u64,
    /// Spikes times the weights that they meet, each of the four under a pool by itself.
    pub synops: u64,
}

/// What a layer of neurons did, all images together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neurons {
    /// Its threshold's name without `.v_th`.
    pub name: String,
    /// Neurons, images · pixels · channels.
    pub neurons: u64,
    /// T; 1 for rectifiers.
    pub steps: u64,
    /// Outputs other than zero: spikes, or positive numbers.
    pub active: u64,
    /// Steps that left a membrane otherwise than they found it; each neuron's first step counts. None for rectifiers, which have
    /// no membrane.
    pub updates: Option<u64>,
}

/// How often what reads a held signal is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Once an image, as Caltrop computes it.
    Once,
    /// At every step, as NeuroBench has it and hardware that keeps no currents.
    EveryStep,
}

/// Operations in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Of every synapse.
    pub dense: u64,
    /// Effective multiply-accumulates.
    pub macs: u64,
    /// Effective accumulations.
    pub acs: u64,
    /// Of `macs` those on numbers that are no means of spikes.
    pub analog: u64,
    /// Spikes times the weights that they meet: the accumulations of hardware that adds every spike by itself, and has the pools'
    /// quarters in its weights.
    pub synops: u64,
}

/// What a network did, all images together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Images.
    pub images: u64,
    /// Images that were recognised (None: their classes are not known).
    pub right: Option<u64>,
    /// Its products, in the order of computation.
    pub products: Vec<Product>,
    /// Its layers of neurons, in the order of computation.
    pub neurons: Vec<Neurons>,
}

impl Workload {
    /// Operations in all.
    pub fn totals(&self, held: Held) -> Totals {
        let mut totals = Totals::default();
        for product in &self.products {
            let times = if held == Held::Once { 1 } else { product.repeats };
            totals.dense += times * product.dense;
            totals.synops += times * product.synops;
            match product.reads {
                Reads::Spikes => totals.acs += times * product.effective,
                Reads::PooledSpikes => totals.macs += times * product.effective,
                Reads::Pixels | Reads::Numbers => {
                    totals.macs += times * product.effective;
                    totals.analog += times * product.effective;
                }
            }
        }
        totals
    }

    /// Operations of every synapse in one step: what the ReLU network of the same architecture multiplies.
    pub fn dense_step(&self) -> u64 {
        self.products.iter().map(|product| product.dense / product.frames).sum()
    }

    /// Spikes, or positive numbers.
    pub fn active(&self) -> u64 {
        self.neurons.iter().map(|layer| layer.active).sum()
    }

    /// Outputs of neurons, zero or not.
    pub fn outputs(&self) -> u64 {
        self.neurons.iter().map(|layer| layer.neurons * layer.steps).sum()
    }

    /// Membrane updates (None: no neuron has a membrane).
    pub fn updates(&self) -> Option<u64> {
        self.neurons.iter().map(|layer| layer.updates).sum()
    }
}

impl AddAssign for Workload {
    fn add_assign(&mut self, other: Workload) {
        self.images += other.images;
        self.right = self.right.zip(other.right).map(|(mine, theirs)| mine + theirs);
        for (mine, theirs) in self.products.iter_mut().zip(other.products) {
            mine.dense += theirs.dense;
            mine.effective += theirs.effective;
            mine.synops += theirs.synops;
        }
        for (mine, theirs) in self.neurons.iter_mut().zip(other.neurons) {
            (mine.neurons, mine.active) = (mine.neurons + theirs.neurons, mine.active + theirs.active);
            mine.updates = mine.updates.zip(theirs.updates).map(|(mine, theirs)| mine + theirs);
        }
    }
}

/// Counts what one network does.
pub struct Counter<'a> {
    model: &'a Model,
    /// Name, kind and synapses of every product, in the order of computation.
    products: Vec<(String, String, Synapses)>,
}

impl<'a> Counter<'a> {
    /// Of `model`, whose weights are looked at once. Waits for the device.
    pub fn new(model: &'a Model) -> Counter<'a> {
        let rows = model.geometry().rows;
        let product = |leaf: &Layer| {
            let Layer::Product(product) = leaf else { return None };
            let name = product.weight.name.trim_end_matches(".weight");
            let kind = rows.iter().find(|row| row.name == name).map_or(String::new(), |row| row.kind.clone());
            Some((name.to_string(), kind, Synapses::of(product)))
        };
        Counter { model, products: model.leaves().filter_map(product).collect() }
    }

    /// What `images` `[N,H,W,C]` take, their classes being `labels`. Waits for the device.
    ///
    /// # Errors
    /// Images of another size, logits that are not finite, an interrupt.
    pub fn count(&self, images: &Tensor, labels: Option<&[i32]>) -> Result<Workload> {
        let all = super::in_slices(self.model, images, |images, range| self.slice(images, labels.map(|labels| &labels[range])))?;
        let empty = Workload { images: 0, right: labels.map(|_| 0), products: Vec::new(), neurons: Vec::new() };
        let summed = all.into_iter().reduce(|mut sum, more| {
            sum += more;
            sum
        });
        Ok(summed.unwrap_or(empty))
    }

    fn slice(&self, images: &Tensor, labels: Option<&[i32]>) -> Result<Workload> {
        let fire = self.model.spec().fire();
        let (logits, trace) = self.model.forward(images, &Pass::eval(fire, Keep::All))?;
        let seen = classes(&logits)?;
        let right = labels.map(|labels| seen.iter().zip(labels).filter(|(seen, label)| seen == label).count() as u64);
        let (mut products, mut neurons) = (Vec::new(), Vec::new());
        let mut membranes = if fire == Fire::Relu { Vec::new() } else { self.model.membranes(&trace)? }.into_iter();
        let mut known = self.products.iter();
        for (leaf, saved) in self.model.leaves().zip(trace.saved.iter().flat_map(Saved::leaves)) {
            match (leaf, saved) {
                (Layer::Product(_), Saved::Product { x: Some(x), frames, .. }) => {
                    let Some((name, kind, synapses)) = known.next() else { continue };
                    let Operations { dense, effective, synops } = synapses.operations(x);
                    let (frames, repeats) = match frames {
                        Frames::Held(steps) => (1, *steps as u64),
                        Frames::Each(steps) => (*steps as u64, 1),
                    };
                    let reads = match x {
                        Data::Spikes { .. } => Reads::Spikes,
                        Data::Quarters { .. } => Reads::PooledSpikes,
                        Data::Real(_) if neurons.is_empty() => Reads::Pixels,
                        Data::Real(_) => Reads::Numbers,
                    };
                    let (name, kind) = (name.clone(), kind.clone());
                    products.push(Product { name, kind, reads, frames, repeats, dense, effective, synops });
                }
                (Layer::Neuron(neuron), Saved::Neuron { spikes: Some(spikes), .. }) => {
                    let steps = spikes.frames();
                    let updates = membranes.next().map(|membranes| updates(&membranes, neuron, steps, spikes.shape()[4]));
                    neurons.push(Neurons {
                        name: neuron.name().to_string(),
                        neurons: (spikes.shape().count() / steps) as u64,
                        steps: steps as u64,
                        active: lif::count(spikes),
                        updates,
                    });
                }
                (Layer::Neuron(neuron), Saved::Neuron { y: Some(y), affine, .. }) => {
                    let positive = relu::forward(y, affine.as_ref()).to_vec().iter().filter(|&&z| z != 0.0).count();
                    let count = y.shape().count() as u64;
                    neurons.push(Neurons {
                        name: neuron.name().to_string(),
                        neurons: count,
                        steps: 1,
                        active: positive as u64,
                        updates: None,
                    });
                }
                _ => {}
            }
        }
        Ok(Workload { images: images.shape()[0] as u64, right, products, neurons })
    }
}

/// Steps that left a membrane otherwise than they found it, each neuron's first step among them.
fn updates(Membranes { u, v_th, .. }: &Membranes, neuron: &Neuron, steps: usize, channels: usize) -> u64 {
    let after = |u: f32| match neuron.reset {
        _ if u < *v_th => u,
        Reset::Hard => 0.0,
        Reset::Soft => u - v_th,
    };
    let mut count = (u.len() / steps) as u64;
    for pixel in u.chunks_exact(steps * channels) {
        let pairs = pixel.iter().zip(&pixel[channels..]);
        count += pairs.filter(|&(&before, &now)| after(before) != after(now)).count() as u64;
    }
    count
}

/// A network's work on the clean images, and on the adversarial ones where there are any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// On the clean images.
    pub clean: Workload,
    /// On the adversarial images.
    pub attacked: Option<Workload>,
}

/// The work of each of `networks` on the samples, and on the adversarial images that the attack makes of them against the first.
///
/// # Errors
/// Images of another size, logits that are not finite, an interrupt.
pub fn measure(networks: &[&Model], samples: &Samples, onslaught: Option<&Onslaught>, listener: &dyn Watch) -> Result<Vec<Pair>> {
    let counters: Vec<Counter> = networks.iter().map(|model| Counter::new(model)).collect();
    let mut pairs: Vec<Pair> = Vec::new();
    listener.begin("counting operations", samples.len() as u64);
    for range in batches(samples.len()) {
        watch::check()?;
        let labels = samples.labels.as_ref().map(|labels| &labels[range.clone()]);
        let Some(first) = networks.first() else { break };
        let images = samples.batch(first, range.clone());
        let adversarial = onslaught.map(|onslaught| onslaught.perturb(first, samples, range.clone())).transpose()?;
        for (index, counter) in counters.iter().enumerate() {
            let clean = counter.count(&images, labels)?;
            let attacked = adversarial.as_ref().map(|images| counter.count(images, labels)).transpose()?;
            match pairs.get_mut(index) {
                None => pairs.push(Pair { clean, attacked }),
                Some(pair) => {
                    pair.clean += clean;
                    if let (Some(sum), Some(more)) = (&mut pair.attacked, attacked) {
                        *sum += more;
                    }
                }
            }
        }
        listener.advance(range.len() as u64);
    }
    listener.end("");
    Ok(pairs)
}
