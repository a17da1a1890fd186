//! The names and units of `report.json`.

use super::interval::wilson;
use crate::base::{Error, Result, fail};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What a run is, known before it begins.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Start {
    /// The program's version, with the commit where known.
    pub version: String,
    /// The recipe's name.
    pub recipe: String,
    /// The data set's name.
    pub dataset: String,
    /// The network, as an architecture name or plan.
    pub network: String,
    /// The device, in words.
    pub device: String,
    /// The number format of the products; empty in records of programs that did not tell.
    pub precision: String,
    /// Threads used.
    pub threads: usize,
    /// Images to train on; 0 in records of programs that did not tell.
    pub train_images: usize,
    /// Images held out from training.
    pub validation_images: usize,
    /// Images to test on.
    pub test_images: usize,
    /// A checksum of all these images and their labels, in hexadecimal; empty in records of programs that did not tell.
    pub fingerprint: String,
    /// A checksum of the weights that a finetuning begins with, in hexadecimal; `none` in other runs, empty in records of programs
    /// that did not tell.
    pub weights: String,
    /// The seed.
    pub seed: u64,
    /// Time steps of the spiking network, T.
    pub steps: usize,
    /// The attacks' eps at test, in 1/255.
    pub eps: f64,
}

/// What `report.json` holds. Percentages are 0 to 100.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The circumstances.
    #[serde(flatten)]
    pub start: Start,
    /// Whether the record ends before the run did.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
    /// Wall time of the whole run; of one that is not finished, of its phases that are.
    #[serde(deserialize_with = "number")]
    pub seconds: f64,
    /// Accuracy in percent by key: `ann.clean`, `ann.pgd20`, `snn.clean`, `snn.ensemble_fgsm`, `snn.ensemble_pgd20`
    /// and others; with the prefix `natural.` for the natural track.
    #[serde(deserialize_with = "numbers_by_key")]
    pub results: BTreeMap<String, f64>,
    /// How many images each result was measured on, by the same keys.
    pub images: BTreeMap<String, usize>,
    /// The Wilson 95 % interval of each result, in percent, by the same keys.
    pub intervals: BTreeMap<String, [f64; 2]>,
    /// The members of each ensemble, by result key, in the order they ran.
    pub ensemble: BTreeMap<String, Vec<Member>>,
    /// Whether the strongest attack on each network can be believed, by its result's key.
    pub checks: BTreeMap<String, Checks>,
    /// What was done, in order, and how fast.
    pub phases: Vec<Phase>,
    /// Training, epoch by epoch.
    pub epochs: Vec<Epoch>,
    /// Robust accuracy against eps.
    pub curves: Vec<Curve>,
    /// Firing of the spiking networks.
    pub firing: Vec<Firing>,
    /// Some images before and after an attack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gallery: Option<Gallery>,
    /// Remarks.
    pub notes: Vec<String>,
}

/// One attack of an ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its gradient, such as `PCW 1`.
    pub name: String,
    /// Accuracy under it alone, percent.
    #[serde(deserialize_with = "number")]
    pub accuracy: f64,
    /// How many images it was measured on; 0 in records of versions that left it to the ensemble's result.
    #[serde(default)]
    pub images: usize,
    /// Its Wilson 95 % interval, percent; left to the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95: Option<[f64; 2]>,
}

/// One stage of the run, timed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Such as `ann-train` or `natural.snn-finetune`.
    pub name: String,
    /// Wall time.
    #[serde(deserialize_with = "number")]
    pub seconds: f64,
    /// Images a second.
    #[serde(deserialize_with = "number")]
    pub images_per_s: f64,
}

/// One epoch of training.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Epoch {
    /// `robust` or `natural`.
    pub track: String,
    /// `ann` or `snn`.
    pub stage: String,
    /// Counted from 0 within its stage.
    pub epoch: usize,
    /// Mean training loss.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The terms that add up to it, weighted: `ce`, or `bce` (MART), and `kl` (TRADES, MART).
    #[serde(default, deserialize_with = "numbers_by_key")]
    pub loss_parts: BTreeMap<String, f64>,
    /// Accuracy on clean training images, percent; none where training never looks at them (PGD-AT).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_acc: Option<f64>,
    /// Accuracy on adversarial training images, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adv_acc: Option<f64>,
    /// Accuracy on the clean validation images, percent; none where none are held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_clean: Option<f64>,
    /// Accuracy on the first validation images under PGD-10, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_robust: Option<f64>,
    /// Accuracy on the clean test images, percent; only where that chooses the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_clean: Option<f64>,
    /// How many images each of these accuracies was measured on, by its name; empty in records of versions that did not count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, usize>,
    /// The Wilson 95 % interval of each, percent, by its name; left to the report.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub intervals: BTreeMap<String, [f64; 2]>,
    /// Wall time of the epoch with all that belongs to it, over all runs that had a part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Learning rate.
    #[serde(deserialize_with = "number")]
    pub lr: f64,
    /// Training images a second.
    #[serde(deserialize_with = "number")]
    pub images_per_s: f64,
    /// The layers of neurons, input to output; empty for a network of rectifiers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// Firing thresholds after the epoch, input to output; empty for a network of rectifiers.
    #[serde(default, deserialize_with = "numbers")]
    pub thresholds: Vec<f64>,
    /// Spikes a neuron and step, 0 to 1, as thresholds: over the epoch, of the clean images in train mode.
    #[serde(default, deserialize_with = "numbers", skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<f64>,
    /// The most memory in use during the epoch, bytes: the process's on the CPU, a GPU's own there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// A few batches of training (`log_every` of the recipe).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `robust` or `natural`.
    pub track: String,
    /// `ann` or `snn`.
    pub stage: String,
    /// Counted from 0 within its stage.
    pub epoch: usize,
    /// Batches since the stage began.
    pub step: usize,
    /// Mean training loss since the record before, or since the epoch began.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The terms that add up to it, as an epoch's.
    #[serde(default, deserialize_with = "numbers_by_key")]
    pub loss_parts: BTreeMap<String, f64>,
    /// Learning rate.
    #[serde(deserialize_with = "number")]
    pub lr: f64,
}

/// A state that was saved within an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// `robust` or `natural`.
    pub track: String,
    /// `ann` or `snn`.
    pub stage: String,
    /// The epoch, counted from 0 within its stage.
    pub epoch: usize,
    /// Steps of it that are done.
    pub step: usize,
    /// Wall time of the epoch so far.
    #[serde(deserialize_with = "number")]
    pub seconds: f64,
}

/// Accuracy under one attack as eps grows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// `robust` or `natural`.
    pub track: String,
    /// Such as `PGD-10`.
    pub attack: String,
    /// `snn` or `ann`.
    pub network: String,
    /// How many images were attacked.
    pub images: usize,
    /// Pairs of eps in 1/255 and accuracy in percent.
    #[serde(deserialize_with = "points")]
    pub points: Vec<[f64; 2]>,
    /// The Wilson 95 % interval of each point, percent (both bounds the point's where that is no number).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "points")]
    pub intervals: Vec<[f64; 2]>,
}

/// Firing of one spiking network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Firing {
    /// `robust` or `natural`.
    pub track: String,
    /// From input to output.
    pub layers: Vec<Layer>,
}

/// Firing of one layer of neurons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Its place, such as `conv1`.
    pub name: String,
    /// Spikes a neuron and time step, 0 to 1.
    #[serde(deserialize_with = "number")]
    pub rate: f64,
    /// Neurons that are silent over all steps, 0 to 1.
    #[serde(deserialize_with = "number")]
    pub silent: f64,
}

/// What the honesty checks of an evaluation found, and what that says. Shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    /// Images looked at: the first that are right when clean.
    pub images: usize,
    /// Share of the clean images' pixel gradients that are exactly zero.
    #[serde(deserialize_with = "number")]
    pub zero_gradients: f64,
    /// Images all of whose gradients are zero.
    pub blind_images: usize,
    /// Of each layer of neurons what the surrogate sees; empty where none is used.
    pub support: Vec<Support>,
    /// Mean cross-entropy at each step of PGD, the start and the end included.
    #[serde(deserialize_with = "numbers")]
    pub ascent: Vec<f64>,
    /// Square, with a few queries.
    pub square: Search,
    /// PGD on the ReLU network of the same weights; no survivors for a ReLU network.
    pub transfer: Search,
    /// Whether the same images gave the same logits again, to the bit.
    pub deterministic: bool,
    /// Whether the outputs are probabilities rather than logits.
    pub probabilities: bool,
    /// Robust accuracy against the length of PGD; empty unless asked for.
    pub curve: Vec<Length>,
    /// What these say, the doubts first.
    pub verdicts: Vec<Verdict>,
}

/// What the surrogate sees of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Support {
    /// The layer of neurons.
    pub layer: String,
    /// Share of its membranes, over all steps, at which the surrogate is not zero.
    #[serde(deserialize_with = "number")]
    pub share: f64,
}

/// A second attack on images that withstood the first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Survivors that were attacked.
    pub survivors: usize,
    /// Those of them that it broke.
    pub broken: usize,
}

/// Robust accuracy under PGD of one length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Length {
    /// Steps.
    pub iterations: usize,
    /// Percent of the images looked at.
    #[serde(deserialize_with = "number")]
    pub robust_acc: f64,
}

/// What a check says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it is as it should be; otherwise the accuracy may be too good.
    pub sound: bool,
    /// One sentence.
    pub text: String,
}

/// Images before and after an attack, all of one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gallery {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// The images.
    pub items: Vec<GalleryItem>,
}

/// One image before and after an attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GalleryItem {
    /// The true class.
    pub label: usize,
    /// Its name.
    pub label_name: String,
    /// [H, W, C], 0 to 255.
    pub clean: Vec<u8>,
    /// [H, W, C], 0 to 255.
    pub adversarial: Vec<u8>,
    /// Predicted class name of the clean image.
    pub predicted_clean: String,
    /// Predicted class name of the adversarial image.
    pub predicted_adversarial: String,
    /// `robust` or `natural`.
    pub track: String,
}

impl Epoch {
    /// The accuracies that there are, percent, by name.
    pub fn accuracies(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let Epoch { train_acc, adv_acc, val_clean, val_robust, test_clean, .. } = *self;
        let named = [
            ("train_acc", train_acc),
            ("adv_acc", adv_acc),
            ("val_clean", val_clean),
            ("val_robust", val_robust),
            ("test_clean", test_clean),
        ];
        named.into_iter().filter_map(|(name, percent)| Some((name, percent?)))
    }

    /// How many images the accuracy of this name was measured on; 0 where nobody counted.
    pub fn images_of(&self, name: &str) -> usize {
        self.images.get(name).copied().unwrap_or(0)
    }
}

impl Gallery {
    /// Checks sizes: channels 1 or 3 and every image [H, W, C].
    ///
    /// # Errors
    /// One line with the first size that does not fit.
    pub fn check(&self) -> Result<()> {
        let size = self.height.checked_mul(self.width).and_then(|area| area.checked_mul(self.channels)).unwrap_or(0);
        if size == 0 || ![1, 3].contains(&self.channels) {
            return Err(fail!(
                "gallery: {}x{}x{} pictures cannot be drawn; 1 or 3 channels are needed",
                self.height,
                self.width,
                self.channels
            ));
        }
        match self.items.iter().flat_map(|item| [item.clean.len(), item.adversarial.len()]).find(|&length| length != size) {
            Some(length) => {
                Err(fail!("gallery: a picture has {length} values, {}x{}x{} wants {size}", self.height, self.width, self.channels))
            }
            None => Ok(()),
        }
    }
}

impl Report {
    /// Reads a `report.json`.
    ///
    /// # Errors
    /// One line if the file cannot be read or is no report.
    pub fn read(path: &Path) -> Result<Report> {
        let text = std::fs::read_to_string(path).map_err(|cause| Error::io("cannot read", path, &cause))?;
        serde_json::from_str(&text).map_err(|cause| fail!("{}: not a report: {cause}; write it again with caltrop report", path.display()))
    }

    /// Whether the report has anything of this track (`robust` or `natural`).
    pub fn has_track(&self, track: &str) -> bool {
        let of_key = |key: &String| key.starts_with("natural.") == (track == "natural");
        self.results.keys().any(of_key) || self.epochs.iter().any(|epoch| epoch.track == track)
    }

    /// The Wilson 95 % interval of a result, in percent: `key` in its track.
    pub fn interval(&self, track: &str, key: &str) -> Option<[f64; 2]> {
        self.intervals.get(&track_key(track, key)).copied()
    }

    /// Work out the interval of every accuracy from its number of images.
    pub(super) fn find_intervals(&mut self) {
        let images = &self.images;
        let interval = |key: &String, percent: f64| wilson(percent, images.get(key).copied().unwrap_or(0));
        self.intervals = self.results.iter().filter_map(|(key, &percent)| Some((key.clone(), interval(key, percent)?))).collect();
        for (key, members) in &mut self.ensemble {
            for member in members {
                member.ci95 = wilson(member.accuracy, member.images).or_else(|| interval(key, member.accuracy));
            }
        }
        for epoch in &mut self.epochs {
            let of = |(name, percent)| Some((String::from(name), wilson(percent, epoch.images_of(name))?));
            epoch.intervals = epoch.accuracies().filter_map(of).collect();
        }
        for curve in &mut self.curves {
            let of = |percent: f64| wilson(percent, curve.images).unwrap_or([percent; 2]);
            curve.intervals = curve.points.iter().map(|point| of(point[1])).collect();
        }
    }

    /// A result in percent: `key` in its track.
    pub fn result(&self, track: &str, key: &str) -> Option<f64> {
        self.results.get(&track_key(track, key)).copied()
    }
}

/// `key` as it is named in `track`: `natural.` goes before it in the natural one.
fn track_key(track: &str, key: &str) -> String {
    if track == "natural" { format!("natural.{key}") } else { key.to_string() }
}

// JSON has no NaN or infinity and says null instead.

pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<f64, D::Error> {
    Ok(or_nan(Option::deserialize(from)?))
}

fn numbers<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<f64>, D::Error> {
    Ok(Vec::deserialize(from)?.into_iter().map(or_nan).collect())
}

pub(super) fn numbers_by_key<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<BTreeMap<String, f64>, D::Error> {
    Ok(BTreeMap::deserialize(from)?.into_iter().map(|(key, value)| (key, or_nan(value))).collect())
}

fn points<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<[f64; 2]>, D::Error> {
    Ok(Vec::<[Option<f64>; 2]>::deserialize(from)?.into_iter().map(|point| point.map(or_nan)).collect())
}

fn or_nan(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}
