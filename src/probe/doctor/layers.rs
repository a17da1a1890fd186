//! The layers of a spiking network beside the same layers of its ANN.

use super::Likeness;
use crate::autodiff::{Fire, Keep, Pass, Saved, Trace};
use crate::base::{Result, ensure, fail};
use crate::nn::{Layer, Model};
use crate::ops::norm::{self, Affine};
use crate::probe::in_slices;
use crate::record::Health;
use crate::tensor::{Data, Tensor};

/// What is counted of a layer over several images.
#[derive(Default, Clone)]
struct Count {
    channels: usize,
    /// Of pairs of an image and a neuron.
    pairs: u64,
    likeness: Likeness,
    spikes: u64,
    silent: u64,
    saturated: u64,
    active: u64,
    muted: u64,
    currents: u64,
    above: u64,
    /// A neuron each: whether it fired on an image.
    fired: Vec<bool>,
    /// A channel each: whether the ANN's was above 0 on an image.
    alive: Vec<bool>,
}

/// Every layer of neurons of `snn` (eval mode, at its T) beside that of `ann`, on all `batches` `[n,H,W,C]` of images.
///
/// # Errors
/// Networks of several architectures, an interrupt.
pub(super) fn beside(ann: &Model, snn: &Model, batches: impl Iterator<Item = Result<Tensor>>) -> Result<Vec<Health>> {
    let layers = snn.neurons().count();
    ensure!(ann.neurons().count() == layers, "doctor: the ANN has {} layers of neurons, the other {layers}", ann.neurons().count());
    let mut counts = vec![Count::default(); layers];
    for images in batches {
        let images = images?;
        for slice in in_slices(snn, &images, |images, _| slice(ann, snn, images))? {
            counts.iter_mut().zip(slice).for_each(|(count, more)| count.merge(&more));
        }
    }
    let steps = snn.spec().steps;
    let told = snn.neurons().zip(snn.thresholds()).zip(counts);
    Ok(told.map(|((neuron, v_th), count)| count.health(neuron.name(), v_th, steps)).collect())
}

/// A few images.
fn slice(ann: &Model, snn: &Model, images: &Tensor) -> Result<Vec<Count>> {
    let (_, rectified) = ann.forward(images, &Pass::eval(Fire::Relu, Keep::ForInput))?;
    let (_, fired) = snn.forward(images, &Pass::eval(snn.spec().fire(), Keep::ForInput))?;
    let (rectified, fired) = (kept(ann, &rectified)?, kept(snn, &fired)?);
    let layers = rectified.iter().zip(&fired).zip(snn.thresholds());
    layers.map(|((rectified, fired), v_th)| Count::of(rectified, fired, v_th)).collect()
}

/// What a layer of neurons kept.
struct Kept<'a> {
    y: &'a Tensor,
    affine: Option<&'a Affine>,
    spikes: Option<&'a Data>,
}

/// What the layers of neurons kept in `trace`.
fn kept<'a>(model: &Model, trace: &'a Trace) -> Result<Vec<Kept<'a>>> {
    let leaves = model.leaves().zip(trace.saved.iter().flat_map(Saved::leaves));
    let neurons = leaves.filter_map(|(leaf, saved)| match (leaf, saved) {
        (Layer::Neuron(neuron), Saved::Neuron { y, affine, spikes, .. }) => {
            let y = y.as_ref().ok_or_else(|| fail!("{}: the trace keeps no current", neuron.name()));
            Some(y.map(|y| Kept { y, affine: affine.as_ref(), spikes: spikes.as_ref() }))
        }
        _ => None,
    });
    neurons.collect()
}

impl Kept<'_> {
    /// The currents `[N,H,W,F,C]` that reach the neurons.
    fn currents(&self) -> Result<Vec<f32>> {
        Ok(self.affine.map_or_else(|| Ok(self.y.clone()), |affine| norm::apply(self.y, affine))?.to_vec())
    }

    /// The number of spikes of every neuron, `[N,H,W,C]`, and T.
    fn spikes(&self) -> Result<(Vec<u32>, usize)> {
        let Some(Data::Spikes { codes, steps }) = self.spikes else { return Err(fail!("doctor: a layer of neurons without spikes")) };
        let shape = codes.shape();
        let (planes, channels) = (shape[3], shape[4]);
        let bytes = codes.to_vec();
        let of = |pixel: &[u8]| (0..channels).map(|c| (0..planes).map(|plane| pixel[plane * channels + c].count_ones()).sum()).collect();
        Ok((bytes.chunks_exact(planes * channels).flat_map(|pixel| -> Vec<u32> { of(pixel) }).collect(), *steps))
    }
}

impl Count {
    fn of(rectified: &Kept, fired: &Kept, v_th: f32) -> Result<Count> {
        let shape = rectified.y.shape();
        ensure!(shape[3] == 1, "doctor: an ANN's activation of {} frames", shape[3]);
        let (images, channels) = (shape[0], shape[4]);
        let neurons = shape.count() / images;
        let (activations, currents, (spikes, steps)) = (rectified.currents()?, fired.currents()?, fired.spikes()?);
        ensure!(spikes.len() == activations.len(), "doctor: {} neurons beside {} of the ANN", spikes.len(), activations.len());
        let mut count = Count {
            channels,
            pairs: spikes.len() as u64,
            currents: currents.len() as u64,
            above: currents.iter().filter(|&&current| current >= v_th).count() as u64,
            fired: vec![false; neurons],
            alive: vec![false; channels],
            ..Count::default()
        };
        for (at, (&spikes, current)) in spikes.iter().zip(activations).enumerate() {
            let activation = current.max(0.0);
            let (silent, active) = (spikes == 0, activation > 0.0);
            count.likeness.push(f64::from(activation), f64::from(spikes) / steps as f64 * f64::from(v_th));
            count.spikes += u64::from(spikes);
            count.silent += u64::from(silent);
            count.saturated += u64::from(spikes as usize == steps);
            count.active += u64::from(active);
            count.muted += u64::from(active && silent);
            count.fired[at % neurons] |= !silent;
            count.alive[at % channels] |= active;
        }
        Ok(count)
    }

    fn merge(&mut self, more: &Count) {
        if self.fired.is_empty() {
            *self = more.clone();
            return;
        }
        self.likeness.merge(&more.likeness);
        self.pairs += more.pairs;
        self.spikes += more.spikes;
        self.silent += more.silent;
        self.saturated += more.saturated;
        self.active += more.active;
        self.muted += more.muted;
        self.currents += more.currents;
        self.above += more.above;
        self.fired.iter_mut().zip(&more.fired).for_each(|(known, more)| *known |= more);
        self.alive.iter_mut().zip(&more.alive).for_each(|(known, more)| *known |= more);
    }

    fn health(&self, name: &str, v_th: f32, steps: usize) -> Health {
        let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        let dead = |flags: &[bool]| flags.iter().filter(|&&flag| !flag).count();
        Health {
            name: name.into(),
            neurons: self.fired.len(),
            threshold: f64::from(v_th),
            correlation: self.likeness.correlation(),
            slope: self.likeness.slope(),
            rate: share(self.spikes, self.pairs * steps as u64),
            dead: share(dead(&self.fired) as u64, self.fired.len() as u64),
            silent: share(self.silent, self.pairs),
            saturated: share(self.saturated, self.pairs),
            muted: share(self.muted, self.active),
            above: share(self.above, self.currents),
            active: share(self.active, self.pairs),
            dead_channels: dead(&self.alive),
            channels: self.channels,
        }
    }
}
