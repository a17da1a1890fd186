//! An attack's noise by coordinates.

use super::Targets;
use crate::base::Result;
use crate::base::rng::{Philox, Purpose};
use crate::ops::pixel;
use crate::tensor::Tensor;

/// Draws keyed by (seed, attack, member, restart) and the image's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise {
    /// The run's seed.
    pub seed: u64,
    /// A number for the occasion: the attack, or the training step.
    pub occasion: u64,
    /// The ensemble member.
    pub member: u64,
    /// The restart.
    pub restart: u64,
}

impl Noise {
    /// The draws of one attack under `seed`.
    pub fn new(seed: u64, occasion: u64) -> Noise {
        Noise { seed, occasion, member: 0, restart: 0 }
    }

    /// Noise of this law for the images of `targets`.
    pub fn draw(&self, targets: &Targets, law: pixel::Noise) -> Result<Tensor> {
        let stream = |&id: &u64| Philox::stream(self.seed, Purpose::Attack, &[id, self.occasion, self.member, self.restart]);
        pixel::noise(targets.images, law, &targets.ids.iter().map(stream).collect::<Vec<_>>())
    }

    /// The draws of one iteration on the image `id`, for attacks that draw as they go.
    pub fn stream(&self, id: u64, iteration: u64) -> Philox {
        Philox::stream(self.seed, Purpose::Attack, &[id, self.occasion, self.member, self.restart, iteration])
    }
}
