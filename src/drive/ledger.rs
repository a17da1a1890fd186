//! What an epoch's steps found, read from the device every few steps: a step itself never waits for it.

use super::step::Outcome;
use crate::base::{Result, fail};
use crate::nn::Model;
use crate::tensor::{Array, Tensor};

/// Steps between two readings.
const STEPS: usize = 16;

/// The steps of one epoch: sums of what is read, and handles of what is not.
#[derive(Default)]
pub struct Ledger {
    images: usize,
    loss: f64,
    clean: Option<usize>,
    adversarial: Option<usize>,
    /// Steps that are read.
    read: usize,
    waiting: Vec<Entry>,
}

/// What one step left on the device.
struct Entry {
    images: usize,
    loss: Tensor,
    clean: Option<Array<u32>>,
    adversarial: Option<Array<u32>>,
}

impl Ledger {
    /// Keep what the next step, of `images` images, found.
    pub fn enter(&mut self, images: usize, outcome: Outcome) {
        let Outcome { loss, clean, adversarial, .. } = outcome;
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
            self.read += 1;
            if !loss.is_finite() {
                return Err(fail!("loss {loss} at step {}", self.read));
            }
            self.images += entry.images;
            self.loss += f64::from(loss) * entry.images as f64;
        }
        // A neuron hides NaN (it does not fire), so a finite loss proves nothing about the weights.
        if let Some(name) = model.broken()? {
            return Err(fail!("{name} is not finite by step {}", self.read));
        }
        self.clean = added(self.clean, entries.iter().filter_map(|entry| entry.clean.clone()).collect());
        self.adversarial = added(self.adversarial, entries.iter().filter_map(|entry| entry.adversarial.clone()).collect());
        Ok(())
    }

    /// The mean loss of the images read so far.
    pub fn loss(&self) -> f64 {
        self.loss / self.images as f64
    }

    /// Images read so far.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Percent of the clean images that were right (None: not looked at).
    pub fn clean(&self) -> Option<f64> {
        self.percent(self.clean)
    }

    /// Percent of the adversarial images that were right (None: none were made).
    pub fn adversarial(&self) -> Option<f64> {
        self.percent(self.adversarial)
    }

    fn percent(&self, count: Option<usize>) -> Option<f64> {
        count.map(|count| 100.0 * count as f64 / self.images as f64)
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
