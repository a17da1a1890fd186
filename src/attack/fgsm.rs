//! One gradient: FGSM (Goodfellow et al. 2015) and, from a random corner, RFGSM (Tramèr et al. 2018). In l2 the gradient's
//! direction takes the place of its signs (FGM; Miyato et al. 2016), and the noise's that of a corner.

use super::{Objective, Targets, Victim, step};
use crate::autodiff::Lens;
use crate::base::Result;
use crate::ops::pixel::{self, Ball, Norm};
use crate::tensor::Tensor;

/// x̃ = clip(x + eps · sign ∇CE(x)); in l2 clip(x + eps · ∇CE(x)/‖∇CE(x)‖).
pub fn fgsm(victim: &dyn Victim, targets: &Targets, lens: Lens, ball: Ball) -> Result<Tensor> {
    let objective = Objective::CrossEntropy(targets.labels.clone());
    step(targets.images, targets.images, &objective.gradient(victim, targets.images, lens)?, ball.eps, ball)
}

/// [`fgsm`] through every lens, the victim's forwards shared: all members start from the same image.
pub fn fgsm_many(victim: &dyn Victim, targets: &Targets, lenses: &[Lens], ball: Ball) -> Result<Vec<Tensor>> {
    let objective = Objective::CrossEntropy(targets.labels.clone());
    let responses = victim.gradients(targets.images, &|logits| objective.dlogits(logits), lenses)?;
    responses.iter().map(|response| step(targets.images, targets.images, &response.gradient, ball.eps, ball)).collect()
}

/// x' = clip(x + alpha · sign(noise)); x̃ = projection of x' + (eps − alpha) · sign ∇objective(x'). In l2 noise and gradient are
/// divided by their lengths instead.
pub fn rfgsm(
    victim: &dyn Victim,
    targets: &Targets,
    lens: Lens,
    objective: &Objective,
    ball: Ball,
    alpha: f32,
    noise: &Tensor,
) -> Result<Tensor> {
    let direction = match ball.norm {
        Norm::Linf => pixel::sign(noise),
        Norm::L2 => pixel::unit(noise, Norm::L2),
    };
    let corner = pixel::displace(targets.images, &direction, alpha)?;
    let gradient = objective.gradient(victim, &corner, lens)?;
    step(targets.images, &corner, &gradient, ball.eps - alpha, ball)
}
