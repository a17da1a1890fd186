//! SA-PGD, stable adaptive PGD (Wang et al., "Towards reliable evaluation of adversarial robustness for spiking neural networks",
//! arXiv 2512.22522): a walk in l-inf for gradients that are imprecise.
//!
//! With g the gradient of an image's loss and means over its numbers:
//!   m ← 0.5·m + g / mean|g|;  v ← 0.8·v + g² / mean(g²);  t = clamp(η·m / (√v + 10⁻¹²), ±η);  x ← P(x + t),
//! P the projection to the ball and to `[0,1]`; m = v = 0 before the first step; 0.5 and 0.8 are the published code's. A number
//! whose gradients agree moves by all of η, one whose gradients change their minds by less, which a signed step cannot. η starts
//! at the radius and is halved, for all images alike, at APGD's checkpoints. As in the published code the start is APGD's, images
//! that are wrong when clean are left alone, an image that was misclassified at some point is that point (the last such), and one
//! that never was is the clean image. An image without any gradient goes on by its momentum (published: it becomes NaN).

use super::apgd::Checkpoints;
use super::{Objective, Response, Targets, Victim};
use crate::autodiff::Lens;
use crate::base::Result;
use crate::ops::ascent::Ascent;
use crate::ops::loss;
use crate::ops::pixel::{self, Momentum, Norm};
use crate::tensor::Tensor;

/// An SA-PGD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stable {
    /// l-inf radius, in pixels of `[0,1]`.
    pub eps: f32,
    /// Steps.
    pub iterations: usize,
}

/// Adversarial images for `targets`, started at x + eps · t/‖t‖ with t the uniform noise `start`. Errors: the victim's; labels that
/// are no class.
pub fn stable(victim: &dyn Victim, targets: &Targets, lens: Lens, walk: Stable, start: &Tensor) -> Result<Tensor> {
    let (images, labels) = (targets.images, targets.labels);
    let (open, mut adversarial) = (loss::hits(&victim.logits(images, lens)?, labels)?, images.clone());
    let objective = Objective::CrossEntropy(labels.clone());
    let judge = |logits: &Tensor| Ok((objective.losses(logits)?.values, loss::hits(logits, labels)?));
    let mut adv = pixel::displace(images, &pixel::unit(start, Norm::Linf), walk.eps)?;
    let Response { logits, mut gradient } = objective.response(victim, &adv, lens)?;
    let (values, right) = judge(&logits)?;
    // All images have one step size; the ascent tells which were broken.
    let (mut ascent, seen) = Ascent::begin(&values, &right, &open, walk.eps)?;
    pixel::replace(&mut adversarial, &seen.broken, &adv)?;
    let (mut momentum, mut step) = (Momentum::of(images), f64::from(walk.eps));
    let mut checkpoints = Checkpoints::new(walk.iterations);
    for iteration in 1..=walk.iterations {
        adv = pixel::adaptive_step(images, &adv, &gradient, &mut momentum, step, walk.eps)?;
        let logits = if iteration == walk.iterations {
            // Nothing goes on from here.
            victim.logits(&adv, lens)?
        } else {
            let response = objective.response(victim, &adv, lens)?;
            gradient = response.gradient;
            response.logits
        };
        let (values, right) = judge(&logits)?;
        pixel::replace(&mut adversarial, &ascent.observe(&values, &right)?.broken, &adv)?;
        if checkpoints.after_step().is_some() {
            step /= 2.0;
        }
    }
    Ok(adversarial)
}
