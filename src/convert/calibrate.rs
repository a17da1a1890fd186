//! Thresholds from the currents that training images cause (METHOD §4, step 2), one pass over the network.
//!
//! A neuron's threshold is wanted before its spikes can be made, and it is the largest over all batches: so every batch
//! waits in front of it. What waits is what is small, pixels and spikes; currents, T times the size of spikes, are made
//! from them one batch at a time, once for the threshold and once for the spikes. At a fork of a residual block both ways
//! start from the same waiting signals.

use crate::autodiff::{Fire, Frames, Keep, Pass, Signal, Statistics};
use crate::base::{Result, ensure, fail};
use crate::nn::{Block, Layer, MIN_THRESHOLD, Model, Neuron, Origin};
use crate::ops::percentile::{Percentile, percentile};
use crate::tensor::{Data, Tensor};
use std::rc::Rc;

/// How thresholds are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Of the input current.
    pub percentile: Percentile,
    /// T of the calibration runs.
    pub steps: usize,
}

/// Find every threshold of `snn`, from the input on: the largest over `batches` (`[n,H,W,C]` each) of the percentile
/// of that neuron's current, batch norm on batch statistics, the neurons before it already spiking. Returns them,
/// unscaled; the network holds them too.
///
/// `visit` is called before each layer of neurons with its index and their number, and may stop the work.
pub fn calibrate(
    snn: &mut Model,
    batches: &[Tensor],
    how: Calibration,
    mut visit: impl FnMut(usize, usize) -> Result<()>,
) -> Result<Vec<f32>> {
    ensure!(!batches.is_empty(), "convert: no calibration batches");
    let pass = Pass { statistics: Statistics::Batch, ..Pass::eval(Fire::Spike { steps: how.steps }, Keep::Spikes) };
    let pixels = batches.iter().map(|images| snn.present(images, how.steps)).collect::<Result<Vec<_>>>()?;
    let of = snn.neurons().count();
    let mut walk = Walk { how, pass, of, found: Vec::new(), visit: &mut visit };
    walk.along(snn.layers(), Flow::Ready(pixels.into()))?;
    let found = walk.found;
    for (neuron, v_th) in snn.neurons_mut().zip(&found) {
        let device = neuron.v_th.value().device().clone();
        neuron.v_th.weight.set(Tensor::full(&device, [], v_th.max(MIN_THRESHOLD)));
    }
    Ok(found)
}

/// A signal of every batch: ready, or what it is made from and how.
#[derive(Clone)]
enum Flow<'a> {
    /// Pixels, spikes, or pooled ones.
    Ready(Rc<[Signal]>),
    /// What a layer makes of another.
    Behind(Rc<Flow<'a>>, &'a Layer),
    /// A block's sum: of its shortcut and its branch.
    Sum(&'a Block, Rc<[Flow<'a>; 2]>),
}

impl Flow<'_> {
    /// The signal of one batch.
    fn signal(&self, batch: usize, pass: &Pass) -> Result<Signal> {
        match self {
            Flow::Ready(signals) => Ok(signals[batch].clone()),
            Flow::Behind(before, layer) => Ok(layer.forward(before.signal(batch, pass)?, pass)?.0),
            Flow::Sum(block, members) => block.mix(&members[0].signal(batch, pass)?, &members[1].signal(batch, pass)?),
        }
    }

    /// The number of batches.
    fn batches(&self) -> usize {
        match self {
            Flow::Ready(signals) => signals.len(),
            Flow::Behind(before, _) => before.batches(),
            Flow::Sum(_, members) => members[1].batches(),
        }
    }
}

struct Walk<'v> {
    how: Calibration,
    pass: Pass,
    /// Layers of neurons in all.
    of: usize,
    found: Vec<f32>,
    visit: &'v mut dyn FnMut(usize, usize) -> Result<()>,
}

impl Walk<'_> {
    /// What flows behind `layers`; their thresholds are found.
    fn along<'a>(&mut self, layers: &'a [Layer], mut flow: Flow<'a>) -> Result<Flow<'a>> {
        for layer in layers {
            if self.found.len() == self.of {
                break; // only the head is left, and nobody asks for logits
            }
            flow = match (layer, &flow) {
                (Layer::Neuron(neuron), _) => self.fired(neuron, &flow)?,
                (Layer::Block(block), _) => self.mixed(block, flow)?,
                // Pools and the like leave what is small small.
                (Layer::AveragePool | Layer::GlobalPool | Layer::Flatten | Layer::Dropout(_), Flow::Ready(signals)) => {
                    let one = |signal: &Signal| Ok(layer.forward(signal.clone(), &self.pass)?.0);
                    Flow::Ready(signals.iter().map(one).collect::<Result<_>>()?)
                }
                _ => Flow::Behind(Rc::new(flow), layer),
            };
        }
        Ok(flow)
    }

    fn mixed<'a>(&mut self, block: &'a Block, flow: Flow<'a>) -> Result<Flow<'a>> {
        let behind = self.along(&block.stem, flow.clone())?;
        let start = if block.origin == Origin::Input { flow } else { behind.clone() };
        let along = self.along(&block.branch, behind)?;
        let across = self.along(&block.shortcut, start)?;
        Ok(Flow::Sum(block, Rc::new([across, along])))
    }

    /// The spikes of `neuron` at the threshold that its currents ask for.
    fn fired<'a>(&mut self, neuron: &Neuron, flow: &Flow) -> Result<Flow<'a>> {
        (self.visit)(self.found.len(), self.of)?;
        let name = &neuron.v_th.name;
        let mut v_th = f32::NEG_INFINITY;
        for batch in 0..flow.batches() {
            let (current, _) = self.current(neuron, flow, batch)?;
            let affine = neuron.normalise(&current, Statistics::Batch)?.map(|(affine, _)| affine);
            let repeats = self.how.steps / current.shape()[3];
            let found = percentile(&current, affine.as_ref(), repeats, self.how.percentile).map_err(|error| error.within(name))?;
            v_th = v_th.max(found);
        }
        ensure!(v_th.is_finite(), "convert: {name} would be {v_th}; the currents are broken");
        let mut firing = neuron.clone();
        firing.v_th.weight.set(Tensor::full(neuron.v_th.value().device(), [], v_th.max(MIN_THRESHOLD)));
        let firing = Layer::Neuron(firing);
        let spikes = (0..flow.batches()).map(|batch| {
            let (current, frames) = self.current(neuron, flow, batch)?;
            Ok(firing.forward(Signal { data: Data::Real(current), frames }, &self.pass)?.0)
        });
        let spikes = spikes.collect::<Result<_>>()?;
        self.found.push(v_th);
        Ok(Flow::Ready(spikes))
    }

    /// The current that reaches `neuron` in one batch, before its norm.
    fn current(&self, neuron: &Neuron, flow: &Flow, batch: usize) -> Result<(Tensor, Frames)> {
        match flow.signal(batch, &self.pass)? {
            Signal { data: Data::Real(current), frames } => Ok((current, frames)),
            _ => Err(fail!("convert: {} is fed spikes, not a current", neuron.v_th.name)),
        }
    }
}
