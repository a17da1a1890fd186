//! MART (Wang et al. 2020): BCE(adv) + λ·(1/B)·Σ KL(clean ‖ adv)·(1 − p_y(clean)).

use super::Paired;
use crate::base::Result;
use crate::ops::{blend::blend, loss, reduce::sum};
use crate::tensor::{Array, Tensor};

/// The loss of logits `[N,K]`, labels `[N]`; its parts: BCE, the weighted KL with λ/B.
pub fn mart(adv: &Tensor, clean: &Tensor, labels: &Array<i32>, lambda: f64) -> Result<Paired> {
    let boosted = loss::boosted_cross_entropy(adv, labels)?;
    let weighted = loss::weighted_kl(adv, clean, labels)?;
    let share = 1.0 / labels.shape().count() as f64;
    Ok(Paired {
        value: sum(&[(&boosted.values, share), (&weighted.values, lambda * share)])?,
        parts: vec![sum(&[(&boosted.values, share)])?, sum(&[(&weighted.values, lambda * share)])?],
        dadv: blend(&[(&boosted.dlogits, share), (&weighted.dadv, lambda * share)])?,
        dclean: blend(&[(&weighted.dclean, lambda * share)])?,
    })
}
