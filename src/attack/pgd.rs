//! Projected gradient descent (Madry et al. 2018) from a displaced start: signed steps in l-inf, steps along the gradient in l2.

use super::{Objective, Targets, Victim, step};
use crate::autodiff::Lens;
use crate::base::Result;
use crate::ops::pixel::{self, Ball};
use crate::tensor::Tensor;

/// The path of a PGD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk {
    /// Where it stays.
    pub ball: Ball,
    /// Step size.
    pub alpha: f32,
    /// Number of steps.
    pub iterations: usize,
}

impl Walk {
    /// Steps of 2.5 · eps / iterations (METHOD §6).
    pub fn new(ball: Ball, iterations: usize) -> Walk {
        Walk { ball, alpha: 2.5 * ball.eps / iterations.max(1) as f32, iterations }
    }
}

/// From clip(x + start), `iterations` projected steps up `objective`. Two KL steps make TPGD's gradient of 0
/// at the clean image harmless: the start is displaced.
pub fn pgd(victim: &dyn Victim, targets: &Targets, lens: Lens, objective: &Objective, walk: Walk, start: &Tensor) -> Result<Tensor> {
    let mut adv = pixel::displace(targets.images, start, 1.0)?;
    for _ in 0..walk.iterations {
        let gradient = objective.gradient(victim, &adv, lens)?;
        adv = step(targets.images, &adv, &gradient, walk.alpha, walk.ball)?;
    }
    Ok(adv)
}
