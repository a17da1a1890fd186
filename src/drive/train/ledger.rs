//! What an epoch's steps found, read from the device every few steps: a step itself never waits for it.

use super::step::Outcome;
use crate::base::{Result, fail};
use crate::nn::Model;
use crate::tensor::{Array, Tensor};
use serde::{Deserialize, Serialize};

/// Steps between two readings.
const STEPS: usize = 16;

/// The steps of one epoch: sums of what is read, and handles of what is not.
#[derive(Default, Clone)]
pub struct Ledger {
    sums: Sums,
    waiting: Vec<Entry>,
}

/// What the steps add up to that are read. A training state holds it, so that a resumed epoch is recorded like an unbroken one.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    images: usize,
    loss: f64,
    clean: Option<usize>,
    adversarial: Option<usize>,
    steps: usize,
}

/// What one step left on the device.
#[derive(Clone)]
struct Entry {
    images: usize,
    loss: Tensor,
    clean: Option<Array<u32>>,
    adversarial: Option<Array<u32>>,
}

impl Ledger {
    /// A ledger that goes on after `sums`.
    pub fn after(sums: Sums) -> Ledger {
        Ledger { sums, waiting: Vec::new() }
    }

    /// What was read so far.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Keep what the next step, of `images` images, found.
    pub fn enter(&mut self, images: usize, outcome: Outcome) {
        let Outcome { loss, clean, adversarial } = outcome;
        self.waiting.push(Entry { images, loss: loss.reshaped([1]), clean, adversarial });
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
        let losses = Array::joined(&entries.iter().map(|entry| entry.loss.clone()).collect::<Vec<_>>()).to_vec();
        for (entry, loss) in entries.iter().zip(losses) {
            self.sums.steps += 1;
            if !loss.is_finite() {
                return Err(fail!("loss {loss} at step {}", self.sums.steps));
            }
            self.sums.images += entry.images;
            self.sums.loss += f64::from(loss) * entry.images as f64;
        }
        // A neuron hides NaN (it does not fire), so a finite loss proves nothing about the weights.
        if let Some(name) = model.broken()? {
            return Err(fail!("{name} is not finite by step {}", self.sums.steps));
        }
        self.sums.clean = added(self.sums.clean, entries.iter().filter_map(|entry| entry.clean.clone()).collect());
        self.sums.adversarial = added(self.sums.adversarial, entries.iter().filter_map(|entry| entry.adversarial.clone()).collect());
        Ok(())
    }

    /// The mean loss of the images read so far.
    pub fn loss(&self) -> f64 {
        self.sums.loss / self.sums.images as f64
    }

    /// Images read so far.
    pub fn images(&self) -> usize {
        self.sums.images
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
        count.map(|count| 100.0 * count as f64 / self.sums.images as f64)
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
        Outcome { loss: Tensor::full(device, [], loss), clean, adversarial: None }
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
        assert_eq!((ledger.images(), ledger.loss()), (81, (2.0 * 780.0 + 121.0) / 81.0));
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
}
