//! Spikes, currents and membranes of every layer, as one forward leaves them.

use super::samples::{Onslaught, Samples};
use super::sites::{Place, Sites};
use crate::autodiff::{Keep, Pass};
use crate::base::{Result, fail};
use crate::drive::Watch;
use crate::nn::{Membranes, Model};
use crate::record::{Change, Course, Histogram, Inside, Inspected, Potential, Seen, Take};
use crate::tensor::{Data, Tensor};

/// What one image caused in a spiking network.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// `[T,K]`: the logits of every step.
    pub logits: Vec<f32>,
    /// The class that is seen in it.
    pub predicted: usize,
    /// Every layer of neurons.
    pub layers: Vec<Inner>,
}

/// What one image caused in a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Inner {
    /// The firing threshold.
    pub v_th: f32,
    /// `[H,W,C,⌈T/8⌉]`: bit t % 8 of byte t / 8 is the spike of step t.
    pub spikes: Vec<u8>,
    /// `[H,W,T,C]`: the current x_t.
    pub x: Vec<f32>,
    /// `[H,W,T,C]`: the membrane u_t before its reset.
    pub u: Vec<f32>,
}

/// What `image` `[1,H,W,C]` causes in `model` in eval mode. Waits for the device.
///
/// # Errors
/// An image of another size, logits that are not finite.
pub fn snapshot(model: &Model, image: &Tensor) -> Result<Snapshot> {
    let (logits, trace) = model.forward(image, &Pass::eval(model.spec().fire(), Keep::ForInput))?;
    let predicted = crate::drive::classes(&logits)?[0] as usize;
    let (steps, frames) = (trace.frames.steps(), trace.steps.shape()[3]);
    // A network without neurons holds one frame for all steps.
    let logits = trace.steps.to_vec().repeat(steps / frames);
    let spikes = model.spiking(&trace).map(|(neuron, spikes)| by_neuron(spikes).map_err(|error| error.within(neuron.name())));
    let layers = model.membranes(&trace)?;
    layers.iter().try_for_each(Membranes::sound)?;
    let inner =
        layers.into_iter().zip(spikes).map(|(layer, spikes)| Ok(Inner { v_th: layer.v_th, spikes: spikes?, x: layer.x, u: layer.u }));
    Ok(Snapshot { logits, predicted, layers: inner.collect::<Result<_>>()? })
}

/// The bytes of spikes `[1,H,W,T,C]` as `[H,W,C,⌈T/8⌉]`.
fn by_neuron(spikes: &Data) -> Result<Vec<u8>> {
    let Data::Spikes { codes, .. } = spikes else { return Err(fail!("the layer keeps no spikes")) };
    let (planes, channels) = (codes.shape()[3], codes.shape()[4]);
    let by_plane = codes.to_vec();
    let mut bytes = Vec::with_capacity(by_plane.len());
    for pixel in by_plane.chunks_exact(planes * channels) {
        bytes.extend((0..channels).flat_map(|c| (0..planes).map(move |plane| pixel[plane * channels + c])));
    }
    Ok(bytes)
}

/// Which neurons' courses are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// Those whose spikes the attack changes most; without an attack those that fire nearest to half of the steps.
    Most {
        /// So many of a layer.
        each: usize,
        /// The index of the layer (None: every layer).
        layer: Option<usize>,
    },
    /// These of the layer with this index.
    These(usize, Vec<Place>),
}

/// What an inspection is of, in words.
pub struct Words {
    /// The program's version.
    pub version: String,
    /// The network's file.
    pub checkpoint: String,
    /// Where the images are from.
    pub source: String,
    /// What the K classes are called.
    pub classes: Vec<String>,
}

/// Looks inside `model` at every sample, clean and, with an onslaught, adversarial. `visit` is shown the snapshots of each, of which
/// currents and membranes are not kept.
///
/// # Errors
/// Images of another size, logits that are not finite, an interrupt.
pub fn inside(
    model: &Model,
    samples: &Samples,
    onslaught: Option<&Onslaught>,
    chosen: &Chosen,
    words: Words,
    watch: &dyn Watch,
    mut visit: impl FnMut(&[&Snapshot]),
) -> Result<Inside> {
    watch.begin("inspect", samples.len() as u64);
    let (sites, spec) = (Sites::of(model), model.spec());
    let Words { version, checkpoint, source, classes } = words;
    let takes = 1 + usize::from(onslaught.is_some());
    let seen = |site: &super::Site| Seen {
        name: site.name.clone(),
        shape: site.shape,
        v_th: 0.0,
        takes: vec![Histogram { neurons: vec![0; spec.steps + 1] }; takes],
        change: onslaught.map(|_| Change { flipped: 0.0, neurons: 0.0 }),
    };
    let mut inside = Inside {
        version,
        checkpoint,
        arch: spec.arch.clone(),
        source,
        steps: spec.steps,
        leak: spec.leak,
        reset: spec.reset.to_string(),
        attack: onslaught.map(|onslaught| onslaught.words(model)),
        extent: samples.extent,
        classes,
        layers: sites.all().iter().map(seen).collect(),
        images: Vec::new(),
    };
    for at in 0..samples.len() {
        crate::drive::watch::check()?;
        let clean = samples.batch(model, at..at + 1);
        let attacked = onslaught.map(|onslaught| onslaught.perturb(model, samples, at..at + 1)).transpose()?;
        let images = [Some(clean), attacked];
        let seen = images.iter().flatten().map(|image| Ok((image.to_vec(), snapshot(model, image)?)));
        let seen = seen.collect::<Result<Vec<_>>>()?;
        let snapshots: Vec<&Snapshot> = seen.iter().map(|(_, snapshot)| snapshot).collect();
        visit(&snapshots);
        count(&mut inside, &snapshots, samples.len());
        let courses = courses(&sites, &snapshots, chosen, spec.steps);
        let take = |(pixels, snapshot): (Vec<f32>, Snapshot)| Take {
            pixels,
            logits: snapshot.logits,
            predicted: snapshot.predicted,
            spikes: snapshot.layers.into_iter().map(|layer| layer.spikes).collect(),
        };
        let label = samples.labels.as_ref().map(|labels| labels[at] as usize);
        inside.images.push(Inspected { id: samples.ids[at], label, takes: seen.into_iter().map(take).collect(), courses });
        watch.advance(1);
    }
    watch.end("");
    Ok(inside)
}

/// Enters one image of `images`: how often its neurons fired, and what differs between its takes.
fn count(inside: &mut Inside, snapshots: &[&Snapshot], images: usize) {
    let planes = inside.planes();
    for (at, layer) in inside.layers.iter_mut().enumerate() {
        layer.v_th = snapshots[0].layers[at].v_th;
        for (histogram, snapshot) in layer.takes.iter_mut().zip(snapshots) {
            snapshot.layers[at].spikes.chunks_exact(planes).for_each(|train| histogram.neurons[fired(train)] += 1);
        }
        if let (Some(change), [clean, attacked]) = (&mut layer.change, snapshots) {
            let trains = || clean.layers[at].spikes.chunks_exact(planes).zip(attacked.layers[at].spikes.chunks_exact(planes));
            let all = (images * layer.shape.iter().product::<usize>()) as f64;
            change.flipped += trains().map(|(a, b)| differ(a, b)).sum::<usize>() as f64 / (all * inside.steps as f64);
            change.neurons += trains().filter(|(a, b)| fired(a) != fired(b)).count() as f64 / all;
        }
    }
}

/// Spikes in a train.
fn fired(train: &[u8]) -> usize {
    train.iter().map(|byte| byte.count_ones() as usize).sum()
}

/// Steps at which two trains differ.
fn differ(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones() as usize).sum()
}

/// The courses of the chosen neurons, layer by layer.
fn courses(sites: &Sites, snapshots: &[&Snapshot], chosen: &Chosen, steps: usize) -> Vec<Course> {
    let course = |layer: usize, neuron: usize| {
        let site = &sites.all()[layer];
        let (channels, Place { x, y, c }) = (site.shape[0], site.at(neuron));
        let through = |values: &[f32]| (0..steps).map(|t| values[(neuron / channels * steps + t) * channels + c]).collect();
        let potential = |snapshot: &&Snapshot| Potential { x: through(&snapshot.layers[layer].x), u: through(&snapshot.layers[layer].u) };
        Course { layer, at: [x, y, c], takes: snapshots.iter().map(potential).collect() }
    };
    match chosen {
        Chosen::These(layer, places) => places.iter().map(|&place| course(*layer, sites.all()[*layer].index(place))).collect(),
        Chosen::Most { each, layer: only } => {
            let of = |layer: usize| eventful(snapshots, layer, steps, *each).into_iter().map(move |neuron| (layer, neuron));
            let layers = (0..sites.all().len()).filter(|layer| only.is_none_or(|only| only == *layer));
            layers.flat_map(of).map(|(layer, neuron)| course(layer, neuron)).collect()
        }
    }
}

/// The `most` neurons of a layer whose spikes differ most between the takes or, of one take, whose counts are nearest to half of the
/// steps; of equal ones the first.
fn eventful(snapshots: &[&Snapshot], layer: usize, steps: usize, most: usize) -> Vec<usize> {
    let planes = steps.div_ceil(8);
    let trains = |take: usize| snapshots[take].layers[layer].spikes.chunks_exact(planes);
    let mut worth: Vec<(usize, usize)> = match snapshots {
        [_, _] => trains(0).zip(trains(1)).map(|(a, b)| differ(a, b)).enumerate().collect(),
        _ => trains(0).map(|train| fired(train) * (steps - fired(train))).enumerate().collect(),
    };
    worth.sort_by_key(|&(neuron, worth)| (std::cmp::Reverse(worth), neuron));
    worth.truncate(most);
    worth.into_iter().map(|(neuron, _)| neuron).collect()
}
