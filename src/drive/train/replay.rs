//! Whole training steps: launched call by call, or, where the device can, recorded once and replayed.

use super::step::{Outcome, Place, start, step};
use crate::attack::Targets;
use crate::autodiff::Gradients;
use crate::base::Result;
use crate::base::rng::Philox;
use crate::device::{Address, OnGpu, OnGpuMut, Recording, Workspace};
use crate::drive::inputs::Inputs;
use crate::drive::recipe::Stage;
use crate::nn::{Fired, Model};
use crate::optim::{Accumulator, Rates, Sgd};
use crate::tensor::{Array, Tensor};

/// Does the steps of a stage.
///
/// The first step of a batch size runs call by call (it loads kernels and makes the optimiser's memory), the second is
/// recorded, the others replay it. A short last batch runs call by call.
///
/// Where several batches make a step (`accumulate`), the recording ends with the gradients; they are added up, and the
/// optimiser moves, call by call.
#[derive(Default)]
pub struct Stepper {
    /// The batch size of the last step that ran call by call.
    warm: Option<usize>,
    recorded: Option<Recorded>,
    replays: usize,
    /// Gradients of batches whose step is still to come.
    sum: Accumulator,
}

/// A recorded step: what it reads, what it writes, and what it says differently each time.
struct Recorded {
    recording: Recording,
    inputs: Inputs,
    outcome: Outcome,
    /// What the optimiser is to be given (None: its step is in the recording).
    gradients: Option<Gradients>,
    dials: Dials,
    /// Where everything was that the step changes in place.
    homes: Vec<Address>,
    /// Batches that the step adds to the running statistics' count.
    batches: u64,
}

/// What differs from step to step.
struct Dials {
    /// Of each forward, the draws of each dropout layer.
    dropout: Vec<Philox>,
    rates: Rates,
}

impl Stepper {
    /// One batch: forward, attack, gradients, and, where it is the last of `stage.accumulate`, the move of `optimizer` at
    /// the learning rate `rate`.
    pub fn step(
        &mut self,
        model: &mut Model,
        optimizer: &mut Sgd,
        stage: &Stage,
        targets: &Targets,
        place: Place,
        rate: f32,
    ) -> Result<Outcome> {
        let noise = start(model, stage, targets, place)?;
        let batch = targets.images.shape()[0];
        // A smaller batch than the recorded one is the short last one of an epoch: by call, so that the recording stays.
        let larger = self.recorded.as_ref().is_none_or(|recorded| recorded.inputs.batch() < batch);
        let workspace = model.device().workspace().filter(|_| self.fits(batch) || (larger && self.warm == Some(batch)));
        let Some(workspace) = workspace else {
            self.warm = Some(batch);
            let (outcome, gradients) = step(model, stage, targets, noise.as_ref(), place)?;
            if stage.accumulate > 1 {
                self.add(model, optimizer, &gradients, batch, stage, rate)?;
            } else {
                optimizer.step(model, &gradients, rate)?;
            }
            return Ok(outcome);
        };
        if !self.fits(batch) || self.recorded.as_ref().is_some_and(|recorded| recorded.homes != homes(model, optimizer, stage)) {
            self.recorded = Some(Recorded::new(&workspace, model, optimizer, stage, targets, noise.as_ref(), place, rate)?);
        } else if let Some(recorded) = &mut self.recorded {
            recorded.inputs.overwrite(targets, noise.as_ref());
            recorded.turn(Dials::of(model, optimizer, place, rate));
            model.count_batches(recorded.batches);
        }
        let Some(recorded) = self.recorded.take() else { unreachable!("just recorded") };
        recorded.recording.replay();
        self.replays += 1;
        // The weights have changed behind their packed copies.
        model.params_mut().into_iter().for_each(|param| param.weight.changed());
        let outcome = recorded.outcome.copied();
        let added = recorded.gradients.as_ref().map_or(Ok(()), |gradients| self.add(model, optimizer, gradients, batch, stage, rate));
        self.recorded = Some(recorded);
        added.map(|()| outcome)
    }

    /// Add the gradients of `images` images; where they complete a group, `optimizer` moves.
    fn add(
        &mut self,
        model: &mut Model,
        optimizer: &mut Sgd,
        gradients: &Gradients,
        images: usize,
        stage: &Stage,
        rate: f32,
    ) -> Result<()> {
        self.sum.add(gradients, images)?;
        if self.sum.batches() < stage.accumulate { Ok(()) } else { self.finish(model, optimizer, rate) }
    }

    /// The step of a group of batches that is short because the epoch is over. Without any, nothing happens.
    pub fn finish(&mut self, model: &mut Model, optimizer: &mut Sgd, rate: f32) -> Result<()> {
        self.sum.take().map_or(Ok(()), |gradients| optimizer.step(model, &gradients, rate))
    }

    /// Batches whose gradients wait for the optimiser's step. Only at 0 do model and optimiser tell the whole state.
    pub fn pending(&self) -> usize {
        self.sum.batches()
    }

    /// How many steps so far were replays.
    pub fn replays(&self) -> usize {
        self.replays
    }

    fn fits(&self, batch: usize) -> bool {
        self.recorded.as_ref().is_some_and(|recorded| recorded.inputs.batch() == batch)
    }
}

impl Recorded {
    /// Note a step of this size; nothing runs yet, but the counters move.
    #[allow(clippy::too_many_arguments)] // all that a step has, and where
    fn new(
        workspace: &Workspace,
        model: &mut Model,
        optimizer: &mut Sgd,
        stage: &Stage,
        targets: &Targets,
        noise: Option<&Tensor>,
        place: Place,
        rate: f32,
    ) -> Result<Recorded> {
        let inputs = Inputs::of(targets, noise);
        let before = model.batches();
        settle(model, optimizer);
        let noted = workspace.record(|| {
            let (outcome, gradients) = step(model, stage, &inputs.targets(targets.ids), inputs.start(), place)?;
            if stage.accumulate > 1 {
                return Ok((outcome, Some(gradients)));
            }
            optimizer.step(model, &gradients, rate)?;
            Ok((outcome, None))
        });
        // Layouts made meanwhile have not been written, and after an error never will be.
        model.params_mut().into_iter().for_each(|param| param.weight.changed());
        let ((outcome, gradients), recording) = noted?;
        let (dials, homes) = (Dials::of(model, optimizer, place, rate), homes(model, optimizer, stage));
        Ok(Recorded { recording, inputs, outcome, gradients, dials, homes, batches: model.batches() - before })
    }

    /// Tell the recording what differs.
    fn turn(&mut self, dials: Dials) {
        for (&from, &to) in self.dials.dropout.iter().zip(&dials.dropout) {
            self.recording.turn(from, to);
        }
        if self.dials.rates != dials.rates {
            self.recording.turn(self.dials.rates, dials.rates);
        }
        self.dials = dials;
    }
}

impl Dials {
    fn of(model: &Model, optimizer: &Sgd, place: Place, rate: f32) -> Dials {
        let dropout = (0..2).flat_map(|forward| model.dropouts().map(move |layer| layer.stream(place.dropout(forward)))).collect();
        Dials { dropout, rates: optimizer.rates(rate) }
    }
}

/// Before a recording: no layouts of weights that it would find and outlive, and a place of its own for all that it changes.
fn settle(model: &mut Model, optimizer: &mut Sgd) {
    for param in model.params_mut() {
        let _ = param.weight.value_mut().address_mut();
    }
    for velocity in optimizer.velocity_mut().iter_mut().flatten() {
        let _ = velocity.address_mut();
    }
}

/// Where parameters, running statistics and (if the recording holds the optimiser's step) velocities lie.
fn homes(model: &Model, optimizer: &Sgd, stage: &Stage) -> Vec<Address> {
    let running = model.norms().flat_map(|norm| [norm.running.mean.address(), norm.running.variance.address()]);
    let params = model.params().into_iter().map(|param| param.value().address());
    let moved = if stage.accumulate > 1 { &[] } else { optimizer.velocity() };
    let velocities = moved.iter().flatten().map(Tensor::address);
    params.chain(velocities).chain(running).collect()
}

impl Outcome {
    /// A copy in memory of its own.
    fn copied(&self) -> Outcome {
        Outcome {
            loss: self.loss.copied(),
            clean: self.clean.as_ref().map(Array::copied),
            adversarial: self.adversarial.as_ref().map(Array::copied),
            parts: self.parts.iter().map(Tensor::copied).collect(),
            firing: self.firing.iter().map(|fired| Fired { spikes: fired.spikes.copied(), most: fired.most }).collect(),
        }
    }
}
