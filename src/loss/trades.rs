//! TRADES (Zhang et al. 2019): CE(clean) + λ·KL(clean ‖ adv)/B. Gradients flow into both logits.

use super::Paired;
use crate::base::Result;
use crate::ops::{blend::blend, loss, reduce::sum};
use crate::tensor::{Array, Tensor};

/// The loss of logits `[N,K]`, labels `[N]`; its parts: CE, λ·KL/B.
pub fn trades(adv: &Tensor, clean: &Tensor, labels: &Array<i32>, lambda: f64) -> Result<Paired> {
    let entropy = loss::cross_entropy(clean, labels)?;
    let divergence = loss::kl(adv, clean)?;
    let share = 1.0 / labels.shape().count() as f64;
    Ok(Paired {
        value: sum(&[(&entropy.values, share), (&divergence.values, lambda * share)])?,
        parts: vec![sum(&[(&entropy.values, share)])?, sum(&[(&divergence.values, lambda * share)])?],
        dadv: blend(&[(&divergence.dadv, lambda * share)])?,
        dclean: blend(&[(&entropy.dlogits, share), (&divergence.dclean, lambda * share)])?,
    })
}
