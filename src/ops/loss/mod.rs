//! The parts of which losses are made, image by image: values `[N]` and the gradients of their sum.
//!
//! Contract: results are written (`=`). Logits are `[N,K]`, labels `[N]` in 0..K. p = softmax(adv), q = softmax(clean).
//! Everything is computed in f64 from the f32 logits.

mod cpu;

use crate::base::{Result, ensure};
use crate::device::Device;
use crate::tensor::{Array, Tensor};

/// A loss of one batch of logits.
pub struct Single {
    /// `[N]`.
    pub values: Tensor,
    /// `[N,K]`: of Σ values.
    pub dlogits: Tensor,
}

/// A loss of two batches of logits of the same images.
pub struct Paired {
    /// `[N]`.
    pub values: Tensor,
    /// `[N,K]`: of Σ values, with respect to the adversarial logits.
    pub dadv: Tensor,
    /// `[N,K]`: with respect to the clean logits.
    pub dclean: Tensor,
}

/// −log p_y.
pub fn cross_entropy(logits: &Tensor, labels: &Array<i32>) -> Result<Single> {
    check(logits, labels)?;
    single(logits, |z, n, dz| cpu::cross_entropy(z, labels.host()[n] as usize, dz))
}

/// Boosted cross-entropy of MART: −log p_y − log(1.0001 − max_{k≠y} p_k + 1e-12).
pub fn boosted_cross_entropy(logits: &Tensor, labels: &Array<i32>) -> Result<Single> {
    check(logits, labels)?;
    single(logits, |z, n, dz| cpu::boosted_cross_entropy(z, labels.host()[n] as usize, dz))
}

/// Difference of logits ratio (Croce & Hein 2020): −(z_y − max_{k≠y} z_k) / (z_π1 − z_π3 + 1e-12). Errors: K < 3.
pub fn dlr(logits: &Tensor, labels: &Array<i32>) -> Result<Single> {
    check(logits, labels)?;
    ensure!(logits.shape()[1] >= 3, "loss::dlr: {} classes; the ratio needs at least 3", logits.shape()[1]);
    single(logits, |z, n, dz| cpu::dlr(z, labels.host()[n] as usize, dz))
}

/// KL(q ‖ p) = Σ_k q_k·(log q_k − log p_k).
pub fn kl(adv: &Tensor, clean: &Tensor) -> Result<Paired> {
    paired(adv, clean, |z, c, _, dz, dc| cpu::kl(z, c, dz, dc))
}

/// MART's weighted KL: Σ_k q_k·(log q_k − log(p_k + 1e-12)) · (1.0000001 − q_y).
pub fn weighted_kl(adv: &Tensor, clean: &Tensor, labels: &Array<i32>) -> Result<Paired> {
    check(adv, labels)?;
    paired(adv, clean, |z, c, n, dz, dc| cpu::weighted_kl(z, c, labels.host()[n] as usize, dz, dc))
}

fn check(logits: &Tensor, labels: &Array<i32>) -> Result<()> {
    let (shape, count) = (logits.shape(), labels.shape().count());
    ensure!(shape.rank() == 2, "loss: logits want shape NxK, got {shape}");
    ensure!(shape[0] == count, "loss: {} images of logits, {count} labels", shape[0]);
    let beyond = labels.host().iter().position(|&label| label < 0 || label as usize >= shape[1]);
    if let Some(at) = beyond {
        return Err(crate::base::fail!("loss: label {} of image {at} is not below {} classes", labels.host()[at], shape[1]));
    }
    Ok(())
}

fn single(logits: &Tensor, loss: impl Fn(&[f32], usize, &mut [f32]) -> f64) -> Result<Single> {
    let shape = logits.shape();
    let (mut values, mut dlogits) = (Tensor::unspecified(logits.device(), [shape[0]]), Tensor::unspecified(logits.device(), shape));
    match logits.device() {
        Device::Gpu(_) => crate::ops::missing(),
        Device::Cpu(_) => {
            let rows = logits.host().chunks_exact(shape[1]).zip(dlogits.host_mut().chunks_exact_mut(shape[1]));
            for (n, ((z, dz), value)) in rows.zip(values.host_mut()).enumerate() {
                *value = loss(z, n, dz) as f32;
            }
        }
    }
    Ok(Single { values, dlogits })
}

fn paired(adv: &Tensor, clean: &Tensor, loss: impl Fn(&[f32], &[f32], usize, &mut [f32], &mut [f32]) -> f64) -> Result<Paired> {
    let shape = adv.shape();
    ensure!(shape.rank() == 2 && shape == clean.shape(), "loss: adversarial logits {shape}, clean logits {}", clean.shape());
    let blank = || Tensor::unspecified(adv.device(), shape);
    let (mut values, mut dadv, mut dclean) = (Tensor::unspecified(adv.device(), [shape[0]]), blank(), blank());
    match adv.device() {
        Device::Gpu(_) => crate::ops::missing(),
        Device::Cpu(_) => {
            let (k, da, dc) = (shape[1], dadv.host_mut(), dclean.host_mut());
            for (n, value) in values.host_mut().iter_mut().enumerate() {
                let row = n * k..(n + 1) * k;
                *value = loss(&adv.host()[row.clone()], &clean.host()[row.clone()], n, &mut da[row.clone()], &mut dc[row]) as f32;
            }
        }
    }
    Ok(Paired { values, dadv, dclean })
}
