//! TRADES (Zhang et al. 2019): CE(clean) + λ·KL(clean ‖ adv)/B. Gradients flow into both logits.

use super::{Paired, blend, sum};
use crate::base::Result;
use crate::ops::loss;
use crate::tensor::{Array, Tensor};

/// The loss of logits `[N,K]`, labels `[N]`.
pub fn trades(adv: &Tensor, clean: &Tensor, labels: &Array<i32>, lambda: f64) -> Result<Paired> {
    let entropy = loss::cross_entropy(clean, labels)?;
    let divergence = loss::kl(adv, clean)?;
    let share = 1.0 / labels.shape().count() as f64;
    Ok(Paired {
        value: share * (sum(&entropy.values) + lambda * sum(&divergence.values)),
        dadv: blend(&[(&divergence.dadv, lambda * share)]),
        dclean: blend(&[(&entropy.dlogits, share), (&divergence.dclean, lambda * share)]),
    })
}
