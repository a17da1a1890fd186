//! Floor 5: logits to a value and the gradients of the logits, as the training loops and attacks combine them.

mod mart;
mod trades;

pub use mart::mart;
pub use trades::trades;

use crate::base::Result;
use crate::ops::{blend::blend, loss, reduce::sum};
use crate::tensor::{Array, Tensor};

/// A loss over one batch of logits.
pub struct Single {
    /// The value, a scalar that stays on the device.
    pub value: Tensor,
    /// `[N,K]`.
    pub dlogits: Tensor,
}

/// A loss over adversarial and clean logits of one batch.
pub struct Paired {
    /// The value, a scalar that stays on the device.
    pub value: Tensor,
    /// The terms that add up to the value, weighted, scalars that stay on the device (none where there is one alone).
    pub parts: Vec<Tensor>,
    /// `[N,K]`, of the adversarial logits.
    pub dadv: Tensor,
    /// `[N,K]`, of the clean logits.
    pub dclean: Tensor,
}

/// Cross-entropy, the mean over the batch.
pub fn cross_entropy(logits: &Tensor, labels: &Array<i32>) -> Result<Single> {
    let parts = loss::cross_entropy(logits, labels)?;
    let share = 1.0 / labels.shape().count() as f64;
    Ok(Single { value: sum(&[(&parts.values, share)])?, dlogits: blend(&[(&parts.dlogits, share)])? })
}

/// KL(softmax clean ‖ softmax adv), the sum over the batch.
pub fn kl(adv: &Tensor, clean: &Tensor) -> Result<Paired> {
    let parts = loss::kl(adv, clean)?;
    Ok(Paired { value: sum(&[(&parts.values, 1.0)])?, parts: Vec::new(), dadv: parts.dadv, dclean: parts.dclean })
}

/// Difference of logits ratio, the sum over the batch. Errors: fewer than 3 classes.
pub fn dlr(logits: &Tensor, labels: &Array<i32>) -> Result<Single> {
    let parts = loss::dlr(logits, labels)?;
    Ok(Single { value: sum(&[(&parts.values, 1.0)])?, dlogits: parts.dlogits })
}
