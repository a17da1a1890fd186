//! What an epoch's steps found, read from the device every few steps: a step itself never waits for it.

use super::step::Outcome;
use crate::base::{Result, fail};
use crate::nn::{Fired, Model};
use crate::tensor::{Array, Tensor};
use serde::{Deserialize, Serialize};

/// Steps between two readings.
const STEPS: usize = 16;

/// Losses of some steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    images: usize,
    /// Of the loss and of each of its parts: the sum over the images.
    sums: Vec<f64>,
}

impl Losses {
    /// Add a step of `images` images: its mean loss and that of each part.
    fn add(&mut self, images: usize, means: &[f32]) {
        self.images += images;
        self.sums.resize(means.len(), 0.0);
        self.sums.iter_mut().zip(means).for_each(|(sum, &mean)| *sum += f64::from(mean) * images as f64);
    }

    /// The mean loss of the images.
    pub fn loss(&self) -> f64 {
        self.sums.first().map_or(f64::NAN, |sum| sum / self.images as f64)
    }

    /// The mean of each part, the loss itself where it is the only one.
    pub fn parts(&self) -> impl Iterator<Item = f64> {
        self.sums.iter().skip(usize::from(self.sums.len() > 1)).map(|sum| sum / self.images as f64)
    }
}

/// The steps of one epoch: sums of what is read, and handles of what is not.
#[derive(Default, Clone)]
pub struct Ledger {
    sums: Sums,
    /// Steps between two logs (0: none), and the logs that nobody took yet, each with its step.
    every: usize,
    logged: Vec<(usize, Losses)>,
    waiting: Vec<Entry>,
}

/// What the steps add up to that are read. A training state holds it, so that a resumed epoch is recorded like an unbroken one.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    losses: Losses,
    /// Since the last log.
    recent: Losses,
    /// Spikes of each layer, and the most there could have been.
    firing: Vec<[u64; 2]>,
    clean: Option<usize>,
    adversarial: Option<usize>,
    steps: usize,
}

/// What one step left on the device.
#[derive(Clone)]
struct Entry {
    images: usize,
    /// The loss and its parts, `[1]` each.
    losses: Vec<Tensor>,
    clean: Option<Array<u32>>,
    adversarial: Option<Array<u32>>,
    firing: Vec<Fired>,
}

impl Ledger {
    /// An epoch without steps; the losses of every `every` of them are logged (0: of none).
    pub fn new(every: usize) -> Ledger {
        Ledger { every, ..Ledger::default() }
    }

    /// A ledger that goes on after `sums`.
    #[must_use]
    pub fn after(self, sums: Sums) -> Ledger {
        Ledger { sums, ..self }
    }

    /// What was read so far.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Keep what the next step, of `images` images, found.
    pub fn enter(&mut self, images: usize, outcome: Outcome) {
        let Outcome { loss, parts, clean, adversarial, firing } = outcome;
        let losses = std::iter::once(loss).chain(parts).map(|value| value.reshaped([1])).collect();
        self.waiting.push(Entry { images, losses, clean, adversarial, firing });
    }

    /// Whether enough steps wait to be read.
    pub fn is_due(&self) -> bool {
        self.waiting.len() >= STEPS
    }

    /// Read what waits, and look at the parameters of `model` after these steps.
    ///
    /// Errors: a loss that is not finite (with its step), or else a parameter that is not (with the last step).
    pub fn read(&mut self, model: &Model) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.waiting);
        let losses = Array::joined(&entries.iter().flat_map(|entry| entry.losses.clone()).collect::<Vec<_>>()).to_vec();
        let mut losses = losses.as_slice();
        for entry in &entries {
            let (means, rest) = losses.split_at(entry.losses.len());
            losses = rest;
            self.sums.steps += 1;
            if !means[0].is_finite() {
                return Err(fail!("loss {} at step {}", means[0], self.sums.steps));
            }
            self.sums.losses.add(entry.images, means);
            self.sums.recent.add(entry.images, means);
            if self.every > 0 && self.sums.steps.is_multiple_of(self.every) {
                self.logged.push((self.sums.steps, std::mem::take(&mut self.sums.recent)));
            }
        }
        // A neuron hides NaN (it does not fire), so a finite loss proves nothing about the weights.
        if let Some(name) = model.broken()? {
            return Err(fail!("{name} is not finite by step {}", self.sums.steps));
        }
        self.sums.clean = added(self.sums.clean, entries.iter().filter_map(|entry| entry.clean.clone()).collect());
        self.sums.adversarial = added(self.sums.adversarial, entries.iter().filter_map(|entry| entry.adversarial.clone()).collect());
        self.count_spikes(&entries);
        Ok(())
    }

    fn count_spikes(&mut self, entries: &[Entry]) {
        let tallies: Vec<Array<u64>> = entries.iter().flat_map(|entry| &entry.firing).map(|fired| fired.spikes.clone()).collect();
        if tallies.is_empty() {
            return;
        }
        let counts = Array::joined(&tallies).to_vec();
        let mut counts = counts.as_slice();
        for entry in entries {
            self.sums.firing.resize(entry.firing.len(), [0, 0]);
            for ([spikes, most], fired) in self.sums.firing.iter_mut().zip(&entry.firing) {
                let (parts, rest) = counts.split_at(fired.spikes.shape().count());
                counts = rest;
                *spikes += parts.iter().sum::<u64>();
                *most += fired.most;
            }
        }
    }

    /// The losses read so far.
    pub fn losses(&self) -> &Losses {
        &self.sums.losses
    }

    /// Images read so far.
    pub fn images(&self) -> usize {
        self.sums.losses.images
    }

    /// What was logged since the last call: steps done in this epoch, and the losses since the log before.
    pub fn logged(&mut self) -> Vec<(usize, Losses)> {
        std::mem::take(&mut self.logged)
    }

    /// Spikes a neuron and step of each layer, 0 to 1 (rectifiers: none).
    pub fn rates(&self) -> Vec<f64> {
        self.sums.firing.iter().map(|[spikes, most]| *spikes as f64 / *most as f64).collect()
    }

    /// Percent of the clean images that were right (None: not looked at).
    pub fn clean(&self) -> Option<f64> {
        self.percent(self.sums.clean)
    }

    /// Percent of the adversarial images that were right (None: none were made).
    pub fn adversarial(&self) -> Option<f64> {
        self.percent(self.sums.adversarial)
    }

    fn percent(&self, count: Option<usize>) -> Option<f64> {
        count.map(|count| 100.0 * count as f64 / self.sums.losses.images as f64)
    }
}

/// `total` and the hits of more batches (if any looked).
fn added(total: Option<usize>, hits: Vec<Array<u32>>) -> Option<usize> {
    if hits.is_empty() {
        return total;
    }
    let more: usize = Array::joined(&hits).to_vec().into_iter().map(|hit| hit as usize).sum();
    Some(total.unwrap_or(0) + more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::drive::tiny;

    fn outcome(device: &Device, loss: f32, hits: &[u32]) -> Outcome {
        let clean = Some(Array::from_slice(device, [hits.len()], hits));
        Outcome { loss: Tensor::full(device, [], loss), parts: Vec::new(), clean, adversarial: None, firing: Vec::new() }
    }

    #[test]
    fn sums_are_over_images_whenever_they_are_read() {
        let device = Device::cpu(Some(1)).unwrap();
        let (model, mut ledger) = (tiny(&device, [1, 4, 4]), Ledger::default());
        for step in 0..40 {
            assert_eq!(ledger.is_due(), step == STEPS || step == 2 * STEPS);
            if ledger.is_due() {
                ledger.read(&model).unwrap();
            }
            ledger.enter(2, outcome(&device, step as f32, &[1, (step % 2) as u32]));
        }
        ledger.enter(1, outcome(&device, 121.0, &[0]));
        ledger.read(&model).unwrap();
        ledger.read(&model).unwrap();
        assert_eq!((ledger.images(), ledger.losses().loss()), (81, (2.0 * 780.0 + 121.0) / 81.0));
        assert_eq!((ledger.clean(), ledger.adversarial()), (Some(6000.0 / 81.0), None));
    }

    #[test]
    fn a_loss_that_is_not_finite_names_its_own_step() {
        let device = Device::cpu(Some(1)).unwrap();
        let (model, mut ledger) = (tiny(&device, [1, 4, 4]), Ledger::default());
        (0..16).for_each(|_| ledger.enter(1, outcome(&device, 1.0, &[1])));
        ledger.read(&model).unwrap();
        for loss in [1.0, f32::INFINITY, f32::NAN] {
            ledger.enter(1, outcome(&device, loss, &[0]));
        }
        assert_eq!(ledger.read(&model).unwrap_err().to_string(), "loss inf at step 18");
    }

    #[test]
    fn a_broken_parameter_is_named_with_the_last_step_behind_it() {
        let device = Device::cpu(Some(1)).unwrap();
        let (mut model, mut ledger) = (tiny(&device, [1, 4, 4]), Ledger::default());
        (0..3).for_each(|_| ledger.enter(1, outcome(&device, 1.0, &[1])));
        let mut params = model.params_mut();
        let (name, shape) = (params[1].name.clone(), params[1].value().shape());
        params[1].weight.set(Tensor::full(&device, shape, f32::NAN));
        assert_eq!(ledger.read(&model).unwrap_err().to_string(), format!("{name} is not finite by step 3"));
    }

    #[test]
    fn parts_and_firing_are_summed_and_every_so_many_steps_logged() {
        let device = Device::cpu(Some(1)).unwrap();
        let (model, mut ledger) = (tiny(&device, [1, 4, 4]), Ledger::new(3));
        let scalar = |value: f32| Tensor::full(&device, [], value);
        let mut logged = Vec::new();
        for step in 0..20u64 {
            let images = 1 + usize::from(step % 2 == 0);
            let fired = |parts: &[u64], most| Fired { spikes: Array::from_slice(&device, [parts.len()], parts), most };
            ledger.enter(
                images,
                Outcome {
                    parts: vec![scalar(step as f32), scalar(0.5)],
                    firing: vec![fired(&[step, 1], 100), fired(&[2], 10)],
                    ..outcome(&device, step as f32 + 0.5, &[1])
                },
            );
            if ledger.is_due() {
                ledger.read(&model).unwrap();
                logged.extend(ledger.logged());
            }
        }
        ledger.read(&model).unwrap();
        logged.extend(ledger.logged());
        // Even steps weigh 2: Σ w = 30, Σ w·step = 190 + 90.
        assert_eq!((ledger.images(), ledger.losses().loss()), (30, 280.0 / 30.0 + 0.5));
        assert_eq!(ledger.losses().parts().collect::<Vec<_>>(), [280.0 / 30.0, 0.5]);
        assert_eq!(ledger.rates(), [(190.0 + 20.0) / 2000.0, 0.2]);
        assert_eq!(logged.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [3, 6, 9, 12, 15, 18]);
        assert_eq!(logged[0].1.parts().collect::<Vec<_>>(), [(2.0 * 0.0 + 1.0 + 2.0 * 2.0) / 5.0, 0.5]);
        assert_eq!(logged[5].1.loss(), (15.0 + 2.0 * 16.0 + 17.0) / 4.0 + 0.5);
    }
}
