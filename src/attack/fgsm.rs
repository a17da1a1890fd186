//! One gradient: FGSM (Goodfellow et al. 2015) and, from a random corner, RFGSM (Tramèr et al. 2018).

use super::{Objective, Targets, Victim, step};
use crate::autodiff::Lens;
use crate::base::Result;
use crate::ops::pixel;
use crate::tensor::Tensor;

/// x̃ = clip(x + eps · sign ∇CE(x)).
pub fn fgsm(victim: &dyn Victim, targets: &Targets, lens: Lens, eps: f32) -> Result<Tensor> {
    let objective = Objective::CrossEntropy(targets.labels.clone());
    step(targets.images, targets.images, &objective.gradient(victim, targets.images, lens)?, eps, eps)
}

/// [`fgsm`] through every lens, the victim's forwards shared: all members start from the same image.
pub fn fgsm_many(victim: &dyn Victim, targets: &Targets, lenses: &[Lens], eps: f32) -> Result<Vec<Tensor>> {
    let objective = Objective::CrossEntropy(targets.labels.clone());
    let responses = victim.gradients(targets.images, &|logits| objective.dlogits(logits), lenses)?;
    responses.iter().map(|response| step(targets.images, targets.images, &response.gradient, eps, eps)).collect()
}

/// x' = clip(x + alpha · sign(noise)); x̃ = projection of x' + (eps − alpha) · sign ∇objective(x').
pub fn rfgsm(
    victim: &dyn Victim,
    targets: &Targets,
    lens: Lens,
    objective: &Objective,
    eps: f32,
    alpha: f32,
    noise: &Tensor,
) -> Result<Tensor> {
    let corner = pixel::displace(targets.images, &pixel::sign(noise), alpha)?;
    let gradient = objective.gradient(victim, &corner, lens)?;
    step(targets.images, &corner, &gradient, eps - alpha, eps)
}
