//! One training step: forwards, the inner attack, the loss and its gradients (METHOD §3, §5).

use super::recipe::{Defense, Stage};
use super::seen::Seen;
use crate::attack::{Noise, Objective, Targets, Victim, Walk, pgd, rfgsm};
use crate::autodiff::{Credit, Fire, Gradients, Lens, Pass, Surrogate, Trace, Want};
use crate::base::Result;
use crate::base::rng::{Philox, Purpose};
use crate::loss;
use crate::nn::Model;
use crate::ops::{loss::hits, pixel};
use crate::tensor::{Array, Tensor};

/// What a step found. It stays on the device: a step never waits for it.
pub struct Outcome {
    /// The loss, a mean over the batch, a scalar.
    pub loss: Tensor,
    /// `[N]`, 1 for each clean image classified right (None: not looked at).
    pub clean: Option<Array<u32>>,
    /// `[N]`, 1 for each adversarial image classified right (None: none were made).
    pub adversarial: Option<Array<u32>>,
    /// Of the parameters.
    pub gradients: Gradients,
}

/// Where a step stands in its run: what its draws are keyed by.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The run's seed.
    pub seed: u64,
    /// The stage, 0 ANN or 1 SNN.
    pub stage: u64,
    /// Epoch.
    pub epoch: u64,
    /// Step within the epoch.
    pub step: u64,
}

impl Place {
    /// Dropout's draws for the `forward`-th train-mode forward of this step.
    fn dropout(&self, forward: u64) -> Philox {
        Philox::stream(self.seed, Purpose::Dropout, &[self.stage, self.epoch, self.step, forward])
    }

    /// The inner attack's noise: images differ by their id.
    fn noise(&self) -> Noise {
        Noise::new(self.seed, 1 << 48 | self.stage << 40 | self.epoch)
    }
}

/// Forward, attack and gradients of one batch. The model's running statistics move; its parameters do not.
pub fn step(model: &mut Model, stage: &Stage, targets: &Targets, place: Place) -> Result<Outcome> {
    match stage.defense {
        Defense::Natural => alone(model, targets.images, targets, place).map(|(outcome, hits)| Outcome { clean: Some(hits), ..outcome }),
        Defense::At => {
            let adversarial = inner(model, stage, targets, place)?;
            let (outcome, hits) = alone(model, &adversarial, targets, place)?;
            Ok(Outcome { adversarial: Some(hits), ..outcome })
        }
        Defense::Trades | Defense::Mart => together(model, stage, targets, place),
    }
}

/// How blame returns in training: BPTT with PCW, γ = 1.
fn credit() -> Credit {
    Credit::Bptt(Surrogate::default())
}

fn train_forward(model: &mut Model, images: &Tensor, dropout: Philox) -> Result<(Tensor, Trace)> {
    let (logits, trace) = model.forward(images, &Pass::train(model.spec().fire(), dropout))?;
    model.absorb(&trace);
    Ok((logits, trace))
}

/// Cross-entropy on one kind of image, and its hits.
fn alone(model: &mut Model, images: &Tensor, targets: &Targets, place: Place) -> Result<(Outcome, Array<u32>)> {
    let (logits, trace) = train_forward(model, images, place.dropout(0))?;
    let loss::Single { value, dlogits } = loss::cross_entropy(&logits, targets.labels)?;
    let gradients = model.backward_consuming(trace, &dlogits, credit(), Want::Params)?;
    Ok((Outcome { loss: value, clean: None, adversarial: None, gradients }, hits(&logits, targets.labels)?))
}

/// Losses of clean and adversarial logits: the clean forward comes first and moves the running statistics, the
/// attack reads them, the adversarial forward follows; gradients flow into both.
fn together(model: &mut Model, stage: &Stage, targets: &Targets, place: Place) -> Result<Outcome> {
    let (clean, clean_trace) = train_forward(model, targets.images, place.dropout(0))?;
    let adversarial = inner(model, stage, targets, place)?;
    let (adv, adv_trace) = train_forward(model, &adversarial, place.dropout(1))?;
    let loss::Paired { value, dadv, dclean } = match stage.defense {
        Defense::Mart => loss::mart(&adv, &clean, targets.labels, stage.lambda)?,
        _ => loss::trades(&adv, &clean, targets.labels, stage.lambda)?,
    };
    let mut gradients = model.backward_consuming(adv_trace, &dadv, credit(), Want::Params)?;
    gradients.absorb(model.backward_consuming(clean_trace, &dclean, credit(), Want::Params)?)?;
    let (clean, adversarial) = (Some(hits(&clean, targets.labels)?), Some(hits(&adv, targets.labels)?));
    Ok(Outcome { loss: value, clean, adversarial, gradients })
}

/// The inner attack, on the model in eval mode.
fn inner(model: &Model, stage: &Stage, targets: &Targets, place: Place) -> Result<Tensor> {
    let (victim, lens) = (Seen { model }, Lens::default());
    let (eps, alpha) = ((stage.eps / 255.0) as f32, (stage.alpha / 255.0) as f32);
    let walk = Walk { eps, alpha, iterations: stage.attack_steps };
    let noise = |law| place.noise().draw(targets, law);
    let entropy = || Objective::CrossEntropy(targets.labels.clone());
    let divergence = || Ok(Objective::Divergence(victim.logits(targets.images, lens)?));
    match (stage.defense, model.spec().fire()) {
        (Defense::Trades, Fire::Spike { .. }) => rfgsm(&victim, targets, lens, &divergence()?, eps, alpha, &noise(pixel::Noise::Sign)?),
        (Defense::Trades, Fire::Relu) => pgd(&victim, targets, lens, &divergence()?, walk, &noise(pixel::Noise::Normal(0.001))?),
        (Defense::Mart, _) => pgd(&victim, targets, lens, &entropy(), walk, &noise(pixel::Noise::Normal(0.001))?),
        _ => pgd(&victim, targets, lens, &entropy(), walk, &noise(pixel::Noise::Uniform(eps))?),
    }
}
