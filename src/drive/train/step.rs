//! One training step: forwards, the inner attack, the loss and its gradients (METHOD §3, §5).

use crate::attack::{Noise, Objective, Targets, Victim, Walk, pgd, rfgsm};
use crate::autodiff::{Credit, Fire, Gradients, Lens, Pass, Trace, Want};
use crate::base::rng::{Philox, Purpose};
use crate::base::{Result, fail};
use crate::drive::recipe::{Defense, Stage, Thresholds};
use crate::drive::seen::Seen;
use crate::loss;
use crate::nn::{Fired, Model, Role};
use crate::ops::loss::hits;
use crate::ops::pixel::{self, Ball};
use crate::tensor::{Array, Tensor};

/// What a step found. It stays on the device: a step never waits for it.
pub struct Outcome {
    /// The loss, a mean over the batch, a scalar.
    pub loss: Tensor,
    /// The terms that add up to it, as [`Defense::parts`] names them, scalars (none where there is one alone).
    pub parts: Vec<Tensor>,
    /// `[N]`, 1 for each clean image classified right (None: not looked at).
    pub clean: Option<Array<u32>>,
    /// `[N]`, 1 for each adversarial image classified right (None: none were made).
    pub adversarial: Option<Array<u32>>,
    /// Of each layer of neurons, on the clean images (the adversarial ones where no other were looked at); rectifiers: none.
    pub firing: Vec<Fired>,
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
    pub(super) fn dropout(&self, forward: u64) -> Philox {
        Philox::stream(self.seed, Purpose::Dropout, &[self.stage, self.epoch, self.step, forward])
    }

    /// The draws of the inner attack: images differ by their id.
    fn noise(&self) -> Noise {
        Noise::new(self.seed, 1 << 48 | self.stage << 40 | self.epoch)
    }
}

/// The law of the inner attack's start, None without an attack.
fn law(stage: &Stage, fire: Fire) -> Option<pixel::Noise> {
    match (stage.defense, fire) {
        (Defense::Natural, _) => None,
        (Defense::At, _) => Some(pixel::Noise::Uniform((stage.eps / 255.0) as f32)),
        (Defense::Trades, Fire::Spike { .. }) => Some(pixel::Noise::Sign),
        (Defense::Trades | Defense::Mart, _) => Some(pixel::Noise::Normal(0.001)),
    }
}

/// Where the inner attack of a step starts: its noise `[N,H,W,C]`, drawn before the step. None without an attack.
pub fn start(model: &Model, stage: &Stage, targets: &Targets, place: Place) -> Result<Option<Tensor>> {
    law(stage, model.spec().fire()).map(|law| place.noise().draw(targets, law)).transpose()
}

/// Forward, attack and gradients of one batch; `start` is the attack's noise. The model's running statistics move; its
/// parameters do not. Nothing is read from the device nor sent there.
pub fn step(model: &mut Model, stage: &Stage, targets: &Targets, start: Option<&Tensor>, place: Place) -> Result<(Outcome, Gradients)> {
    let (outcome, mut gradients) = differentiate(model, stage, targets, start, place)?;
    if stage.thresholds == Thresholds::Fixed {
        // A parameter without a gradient stays, decay included.
        let fixed = model.params().into_iter().filter(|param| param.role == Role::Threshold);
        fixed.for_each(|param| gradients.params[param.slot] = None);
    }
    Ok((outcome, gradients))
}

fn differentiate(
    model: &mut Model,
    stage: &Stage,
    targets: &Targets,
    start: Option<&Tensor>,
    place: Place,
) -> Result<(Outcome, Gradients)> {
    match (stage.defense, start) {
        (Defense::Natural, _) => {
            let (outcome, gradients, hits) = alone(model, targets.images, targets, place)?;
            Ok((Outcome { clean: Some(hits), ..outcome }, gradients))
        }
        (_, None) => Err(fail!("training: no noise was drawn for the inner attack")),
        (Defense::At, Some(start)) => {
            let adversarial = inner(model, stage, targets, start)?;
            let (outcome, gradients, hits) = alone(model, &adversarial, targets, place)?;
            Ok((Outcome { adversarial: Some(hits), ..outcome }, gradients))
        }
        (Defense::Trades | Defense::Mart, Some(start)) => together(model, stage, targets, start, place),
    }
}

fn train_forward(model: &mut Model, images: &Tensor, dropout: Philox) -> Result<(Tensor, Trace)> {
    let (logits, trace) = model.forward(images, &Pass::train(model.spec().fire(), dropout))?;
    model.absorb(&trace);
    Ok((logits, trace))
}

/// Cross-entropy on one kind of image, and its hits.
fn alone(model: &mut Model, images: &Tensor, targets: &Targets, place: Place) -> Result<(Outcome, Gradients, Array<u32>)> {
    let (logits, trace) = train_forward(model, images, place.dropout(0))?;
    let loss::Single { value, dlogits } = loss::cross_entropy(&logits, targets.labels)?;
    let firing = model.firing(&trace);
    let gradients = model.backward_consuming(trace, &dlogits, Credit::default(), Want::Params)?;
    let outcome = Outcome { loss: value, parts: Vec::new(), clean: None, adversarial: None, firing };
    Ok((outcome, gradients, hits(&logits, targets.labels)?))
}

/// Losses of clean and adversarial logits: the clean forward comes first and moves the running statistics, the
/// attack reads them, the adversarial forward follows; gradients flow into both.
fn together(model: &mut Model, stage: &Stage, targets: &Targets, start: &Tensor, place: Place) -> Result<(Outcome, Gradients)> {
    let (clean, clean_trace) = train_forward(model, targets.images, place.dropout(0))?;
    let adversarial = inner(model, stage, targets, start)?;
    let (adv, adv_trace) = train_forward(model, &adversarial, place.dropout(1))?;
    let loss::Paired { value, parts, dadv, dclean } = match stage.defense {
        Defense::Mart => loss::mart(&adv, &clean, targets.labels, stage.lambda)?,
        _ => loss::trades(&adv, &clean, targets.labels, stage.lambda)?,
    };
    let firing = model.firing(&clean_trace);
    let mut gradients = model.backward_consuming(adv_trace, &dadv, Credit::default(), Want::Params)?;
    gradients.absorb(model.backward_consuming(clean_trace, &dclean, Credit::default(), Want::Params)?)?;
    let (clean, adversarial) = (Some(hits(&clean, targets.labels)?), Some(hits(&adv, targets.labels)?));
    Ok((Outcome { loss: value, parts, clean, adversarial, firing }, gradients))
}

/// The inner attack from `start`, on the model in eval mode.
fn inner(model: &Model, stage: &Stage, targets: &Targets, start: &Tensor) -> Result<Tensor> {
    let (victim, lens) = (Seen { model }, Lens::default());
    let (ball, alpha) = (Ball::linf((stage.eps / 255.0) as f32), (stage.alpha / 255.0) as f32);
    let walk = Walk { ball, alpha, iterations: stage.attack_steps };
    let entropy = || Objective::CrossEntropy(targets.labels.clone());
    let divergence = || Ok(Objective::Divergence(victim.logits(targets.images, lens)?));
    match (stage.defense, model.spec().fire()) {
        (Defense::Trades, Fire::Spike { .. }) => rfgsm(&victim, targets, lens, &divergence()?, ball, alpha, start),
        (Defense::Trades, Fire::Relu) => pgd(&victim, targets, lens, &divergence()?, walk, start),
        _ => pgd(&victim, targets, lens, &entropy(), walk, start),
    }
}
