//! An attack's noise by coordinates.

use super::Targets;
use super::host::Rows;
use crate::base::Result;
use crate::base::rng::{Philox, Purpose};
use crate::ops::pixel::{self, Ball, Norm};
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

    /// These draws for the run `run` of an attack that is `runs` runs.
    #[must_use]
    pub fn of_run(&self, run: usize, runs: usize) -> Noise {
        Noise { restart: self.restart * runs as u64 + run as u64, ..*self }
    }

    /// A direction for each image, of norm 1.
    pub fn direction(&self, targets: &Targets, norm: Norm) -> Result<Tensor> {
        Ok(pixel::unit(&self.draw(targets, any_direction(norm))?, norm))
    }

    /// A displacement inside the ball for each image: in l-inf uniform, in l2 of uniform length (a point that is uniform in a ball
    /// of a thousand dimensions is always near its rim) in any direction.
    pub fn inside(&self, targets: &Targets, ball: Ball) -> Result<Tensor> {
        match ball.norm {
            Norm::Linf => self.draw(targets, pixel::Noise::Uniform(ball.eps)),
            Norm::L2 => {
                let mut rows = Rows::of(&self.direction(targets, Norm::L2)?);
                for (n, &id) in targets.ids.iter().enumerate() {
                    let length = ball.eps * self.stream(id, 0).uniform(0);
                    rows[n].iter_mut().for_each(|x| *x *= length);
                }
                Ok(rows.to_tensor(targets.images))
            }
        }
    }

    /// The draws of one iteration on the image `id`, for attacks that draw as they go.
    pub fn stream(&self, id: u64, iteration: u64) -> Philox {
        Philox::stream(self.seed, Purpose::Attack, &[id, self.occasion, self.member, self.restart, iteration])
    }
}

/// The law of noise whose [`pixel::unit`] points anywhere: uniform in l-inf, normal in l2; its size does not matter.
pub fn any_direction(norm: Norm) -> pixel::Noise {
    match norm {
        Norm::Linf => pixel::Noise::Uniform(1.0),
        Norm::L2 => pixel::Noise::Normal(1.0),
    }
}
