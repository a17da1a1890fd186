//! The parts of which losses are made, image by image: values `[N]` and the gradients of their sum.
//!
//! Contract: results are written (`=`). Logits are `[N,K]`, labels `[N]` in 0..K. p = softmax(adv), q = softmax(clean).
//! Everything is computed in f64 from the f32 logits. A label out of range is an error on the CPU; another device, whose
//! memory the host does not read, answers NaN for that image, so labels of a file are checked where they are read.

mod cpu;
mod gpu;

pub use cpu::best as class;

use crate::base::{Result, ensure};
use crate::device::{Device, kernel};
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
    match logits.device() {
        Device::Gpu(gpu) => Ok(gpu::single(gpu, &kernel::loss_cross_entropy, logits, labels)),
        Device::Cpu(_) => cpu::single(logits, labels, |_, z, y, dz| cpu::cross_entropy(z, y, dz)),
    }
}

/// Boosted cross-entropy of MART: −log p_y − log(1.0001 − max_{k≠y} p_k + 1e-12).
pub fn boosted_cross_entropy(logits: &Tensor, labels: &Array<i32>) -> Result<Single> {
    check(logits, labels)?;
    match logits.device() {
        Device::Gpu(gpu) => Ok(gpu::single(gpu, &kernel::loss_boosted_cross_entropy, logits, labels)),
        Device::Cpu(_) => cpu::single(logits, labels, |_, z, y, dz| cpu::boosted_cross_entropy(z, y, dz)),
    }
}

/// Difference of logits ratio (Croce & Hein 2020): −(z_y − max_{k≠y} z_k) / (z_π1 − z_π3 + 1e-12). Errors: K < 3.
pub fn dlr(logits: &Tensor, labels: &Array<i32>) -> Result<Single> {
    check(logits, labels)?;
    ensure!(logits.shape()[1] >= 3, "loss::dlr: {} classes; the ratio needs at least 3", logits.shape()[1]);
    match logits.device() {
        Device::Gpu(gpu) => Ok(gpu::single(gpu, &kernel::loss_dlr, logits, labels)),
        Device::Cpu(_) => cpu::single(logits, labels, |_, z, y, dz| cpu::dlr(z, y, dz)),
    }
}

/// Targeted difference of logits ratio (Croce & Hein 2020): −(z_y − z_t) / (z_π1 − (z_π3 + z_π4)/2 + 1e-12), t the wanted
/// class of `targets` `[N]`. Errors: K < 4.
pub fn dlr_targeted(logits: &Tensor, labels: &Array<i32>, targets: &Array<i32>) -> Result<Single> {
    check(logits, labels)?;
    check(logits, targets)?;
    ensure!(logits.shape()[1] >= 4, "loss::dlr_targeted: {} classes; the ratio needs at least 4", logits.shape()[1]);
    match logits.device() {
        Device::Gpu(gpu) => Ok(gpu::dlr_targeted(gpu, logits, labels, targets)),
        Device::Cpu(_) => {
            let targets = cpu::classes(targets, logits.shape()[1])?;
            cpu::single(logits, labels, |n, z, y, dz| cpu::dlr_targeted(z, y, targets[n] as usize, dz))
        }
    }
}

/// KL(q ‖ p) = Σ_k q_k·(log q_k − log p_k).
pub fn kl(adv: &Tensor, clean: &Tensor) -> Result<Paired> {
    check_pair(adv, clean)?;
    match adv.device() {
        Device::Gpu(gpu) => Ok(gpu::kl(gpu, adv, clean)),
        Device::Cpu(_) => Ok(cpu::paired(adv, clean, |z, c, _, dz, dc| cpu::kl(z, c, dz, dc))),
    }
}

/// MART's weighted KL: Σ_k q_k·(log q_k − log(p_k + 1e-12)) · (1.0000001 − q_y).
pub fn weighted_kl(adv: &Tensor, clean: &Tensor, labels: &Array<i32>) -> Result<Paired> {
    check(adv, labels)?;
    check_pair(adv, clean)?;
    match adv.device() {
        Device::Gpu(gpu) => Ok(gpu::weighted_kl(gpu, adv, clean, labels)),
        Device::Cpu(_) => {
            let labels = cpu::classes(labels, adv.shape()[1])?;
            Ok(cpu::paired(adv, clean, |z, c, n, dz, dc| cpu::weighted_kl(z, c, labels[n] as usize, dz, dc)))
        }
    }
}

/// The class of each row of logits, `[N]`: the first of the largest.
pub fn predictions(logits: &Tensor) -> Result<Array<u32>> {
    check_logits(logits)?;
    match logits.device() {
        Device::Gpu(gpu) => Ok(gpu::predictions(gpu, logits)),
        Device::Cpu(_) => Ok(cpu::predictions(logits)),
    }
}

/// 1 for each row of logits whose class ([`predictions`]) is its label, else 0: `[N]`. Neither a label out of range nor a row with NaN is ever hit.
pub fn hits(logits: &Tensor, labels: &Array<i32>) -> Result<Array<u32>> {
    check(logits, labels)?;
    match logits.device() {
        Device::Gpu(gpu) => Ok(gpu::hits(gpu, logits, labels)),
        Device::Cpu(_) => Ok(cpu::hits(logits, labels)),
    }
}

/// The most likely class of each row other than its label, `[N]`: the first of the largest (0 where there is one class).
pub fn runner_up(logits: &Tensor, labels: &Array<i32>) -> Result<Array<i32>> {
    rival(logits, labels, 0)
}

/// Of each row's classes other than its label, by falling logits, the one at `rank` (0: the most likely), `[N]`. Of equals the
/// first comes first; NaN, where there is any, comes by its sign before or behind all numbers. 0 where there are too few classes.
pub fn rival(logits: &Tensor, labels: &Array<i32>, rank: usize) -> Result<Array<i32>> {
    check(logits, labels)?;
    match logits.device() {
        Device::Gpu(gpu) => Ok(gpu::rival(gpu, logits, labels, rank)),
        Device::Cpu(_) => Ok(cpu::rival(logits, labels, rank)),
    }
}

fn check_logits(logits: &Tensor) -> Result<()> {
    let shape = logits.shape();
    ensure!(shape.rank() == 2 && shape[1] > 0, "loss: logits want shape NxK, got {shape}");
    Ok(())
}

fn check(logits: &Tensor, labels: &Array<i32>) -> Result<()> {
    check_logits(logits)?;
    let (images, count) = (logits.shape()[0], labels.shape().count());
    ensure!(images == count, "loss: {images} images of logits, {count} labels");
    Ok(())
}

fn check_pair(adv: &Tensor, clean: &Tensor) -> Result<()> {
    let shape = adv.shape();
    ensure!(shape.rank() == 2 && shape == clean.shape(), "loss: adversarial logits {shape}, clean logits {}", clean.shape());
    Ok(())
}
