//! SA-PGD, stable adaptive PGD (Wang et al., "Towards reliable evaluation of adversarial robustness for spiking neural networks",
//! arXiv 2512.22522): a walk in l-inf for gradients that are imprecise.
//!
//! With g the gradient of an image's loss and means over its numbers:
//!   m ← 0.5·m + g / mean|g|;  v ← 0.8·v + g² / mean(g²);  t = clamp(η·m / (√v + 10⁻¹²), ±η);  x ← P(x + t),
//! P the projection to the ball and to [0,1]; m = v = 0 before the first step; 0.5 and 0.8 are the published code's. A number
//! whose gradients agree moves by all of η, one whose gradients change their minds by less, which a signed step cannot. η starts
//! at the radius and is halved, for all images alike, at APGD's checkpoints. As in the published code the start is APGD's, images
//! that are wrong when clean are left alone, an image that was misclassified at some point is that point (the last such), and one
//! that never was is the clean image. An image without any gradient goes on by its momentum (published: it becomes NaN).
//!
//! Steps are taken on the host (docs/adr/0012), each image by itself.

use super::apgd::Checkpoints;
use super::host::{self, Rows};
use super::{Noise, Objective, Response, Targets, Victim};
use crate::autodiff::Lens;
use crate::base::Result;
use crate::ops::loss::class;
use crate::ops::pixel::{self, Norm};
use crate::tensor::Tensor;

/// What a step leaves of the momentum, and of the squares.
const MOMENTUM: f64 = 0.5;
const SQUARES: f64 = 0.8;
/// So that a number that never had a gradient stays.
const LEAST: f64 = 1e-12;

/// An SA-PGD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stable {
    /// l-inf radius, in pixels of [0,1].
    pub eps: f32,
    /// Steps.
    pub iterations: usize,
}

/// What an image remembers of its gradients, a number each of its own.
#[derive(Clone)]
struct Momentum {
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Momentum {
    fn of(numbers: usize) -> Momentum {
        Momentum { mean: vec![0.0; numbers], squares: vec![0.0; numbers] }
    }

    /// How far to go along `gradient`, at most `step` a number.
    fn advance(&mut self, gradient: &[f32], step: f64) -> impl Iterator<Item = f64> {
        let over = |of: fn(f64) -> f64| gradient.iter().map(|&g| of(f64::from(g))).sum::<f64>() / gradient.len() as f64;
        let (size, square) = (over(f64::abs), over(|g| g * g));
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        for ((mean, squares), g) in self.mean.iter_mut().zip(&mut self.squares).zip(gradient.iter().map(|&g| f64::from(g))) {
            *mean = MOMENTUM * *mean + share(g, size);
            *squares = SQUARES * *squares + share(g * g, square);
        }
        self.mean.iter().zip(&self.squares).map(move |(mean, squares)| (step * mean / (squares.sqrt() + LEAST)).clamp(-step, step))
    }
}

/// Adversarial images for `targets`. Errors: the victim's; labels that are no class.
pub fn stable(victim: &dyn Victim, targets: &Targets, lens: Lens, walk: Stable, noise: &Noise) -> Result<Tensor> {
    let clean = victim.logits(targets.images, lens)?;
    let labels = host::labels(targets.labels, clean.shape()[1])?;
    let clean = Rows::of(&clean);
    let open: Vec<bool> = labels.iter().enumerate().map(|(n, &label)| class(&clean[n]) == label).collect();
    let (images, mut adversarial) = (Rows::of(targets.images), Rows::of(targets.images));
    let mut adv = pixel::displace(targets.images, &noise.direction(targets, Norm::Linf)?, walk.eps)?;
    let mut at = Rows::of(&adv);
    let mut note = |logits: &Tensor, at: &Rows| {
        let logits = Rows::of(logits);
        for n in (0..labels.len()).filter(|&n| open[n] && class(&logits[n]) != labels[n]) {
            adversarial[n].copy_from_slice(&at[n]);
        }
    };
    let objective = Objective::CrossEntropy(targets.labels.clone());
    let Response { logits, mut gradient } = objective.response(victim, &adv, lens)?;
    note(&logits, &at);
    let (mut momenta, mut step) = (vec![Momentum::of(images[0].len()); labels.len()], f64::from(walk.eps));
    let mut checkpoints = Checkpoints::new(walk.iterations);
    for iteration in 1..=walk.iterations {
        let along = Rows::of(&gradient);
        for (n, momentum) in momenta.iter_mut().enumerate() {
            let (low, high) = (-f64::from(walk.eps), f64::from(walk.eps));
            for ((x, adv), far) in images[n].iter().zip(&mut at[n]).zip(momentum.advance(&along[n], step)) {
                let away = (f64::from(*adv) + far - f64::from(*x)).clamp(low, high);
                *adv = (x + away as f32).clamp(0.0, 1.0);
            }
        }
        adv = at.to_tensor(targets.images);
        if iteration == walk.iterations {
            // Nothing goes on from here.
            note(&victim.logits(&adv, lens)?, &at);
            break;
        }
        let response = objective.response(victim, &adv, lens)?;
        gradient = response.gradient;
        note(&response.logits, &at);
        if checkpoints.after_step().is_some() {
            step /= 2.0;
        }
    }
    Ok(adversarial.to_tensor(targets.images))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_the_formula_s() {
        let mut momentum = Momentum::of(4);
        let mut go = |gradient: [f32; 4]| momentum.advance(&gradient, 0.5).collect::<Vec<f64>>();
        let close = |found: Vec<f64>, want: [f64; 4]| {
            found.iter().zip(want).for_each(|(found, want)| assert!((found - want).abs() < 1e-9, "{found} instead of {want}"));
        };
        // mean|g| = 2, mean(g²) = 6: m/√v = ±√6/2, more than 1.
        close(go([2.0, -2.0, 4.0, 0.0]), [0.5, -0.5, 0.5, 0.0]);
        // mean|g| = 1, mean(g²) = 1. The first has changed its mind: m = 0.5·1 − 1, v = 0.8·(2/3) + 1.
        let root = |square: f64| square.sqrt();
        close(go([-1.0, -1.0, 1.0, 1.0]), [-0.25 / root(0.8 * 2.0 / 3.0 + 1.0), -0.5, 0.5, 0.5]);
        // No gradient: the momentum halves. m = −0.25, v = 0.64·(2/3) + 0.8.
        let found = go([0.0; 4]);
        assert!((found[0] + 0.125 / root(0.64 * 2.0 / 3.0 + 0.8)).abs() < 1e-9, "{found:?}");
        assert!(go([0.0; 4]).iter().all(|far| far.is_finite()));
    }
}
