//! What is recorded of training.

use super::Job;
use super::ledger::{Ledger, Losses};
use crate::base::Result;
use crate::device::Peak;
use crate::nn::Model;
use crate::record::{Epoch, Step};
use std::collections::BTreeMap;

/// An epoch in progress: what its records say alike.
pub struct Progress<'a> {
    /// What is trained.
    pub job: &'a Job<'a>,
    /// The epoch, from 0.
    pub epoch: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// Its learning rate.
    pub rate: f64,
}

impl Progress<'_> {
    /// The record of the epoch that `ledger` has read whole and that was trained for `seconds`; nobody has judged it yet.
    ///
    /// Errors: the device cannot tell its memory.
    pub fn epoch(&self, model: &Model, ledger: &Ledger, peak: &Peak, seconds: f64) -> Result<Epoch> {
        let spiking = model.spec().steps > 0;
        let counted = [("train_acc", ledger.clean()), ("adv_acc", ledger.adversarial())];
        Ok(Epoch {
            track: self.job.track.name().into(),
            stage: self.job.name.into(),
            epoch: self.epoch,
            loss: ledger.losses().loss(),
            loss_parts: self.parts(ledger.losses()),
            train_acc: ledger.clean(),
            adv_acc: ledger.adversarial(),
            images: counted.into_iter().filter_map(|(name, found)| found.map(|_| (name.to_string(), ledger.images()))).collect(),
            lr: self.rate,
            images_per_s: ledger.images() as f64 / seconds,
            layers: if spiking { model.neurons().map(|neuron| neuron.name().to_string()).collect() } else { Vec::new() },
            thresholds: if spiking { model.thresholds().iter().map(|&v| f64::from(v)).collect() } else { Vec::new() },
            rates: ledger.rates(),
            memory_bytes: peak.bytes()?,
            ..Epoch::default()
        })
    }

    /// The record of what was logged behind `step` steps of the epoch.
    pub fn step(&self, step: usize, losses: &Losses) -> Step {
        Step {
            track: self.job.track.name().into(),
            stage: self.job.name.into(),
            epoch: self.epoch,
            step: self.epoch * self.batches + step,
            loss: losses.loss(),
            loss_parts: self.parts(losses),
            lr: self.rate,
        }
    }

    fn parts(&self, losses: &Losses) -> BTreeMap<String, f64> {
        self.job.stage.defense.parts().iter().map(|name| name.to_string()).zip(losses.parts()).collect()
    }
}
