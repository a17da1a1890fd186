//! The training loop of either stage.

mod feed;
mod ledger;
mod replay;
mod step;

pub use replay::Stepper;
pub use step::{Outcome, Place, start, step};

use super::folder::{RunFolder, Track, broken};
use super::recipe::Stage;
use super::watch::{self, Watch};
use crate::attack::Targets;
use crate::base::{Error, Kind, Result, fail};
use crate::checkpoint::{self, Meta, TensorFile};
use crate::data::{Batch, Dataset, Last, Order, Plan};
use crate::nn::Model;
use crate::optim::Sgd;
use crate::record::{Epoch, Event, Phase};
use crate::tensor::{Array, Tensor};
use feed::{Fed, Feed};
use ledger::Ledger;
use std::time::Instant;

/// A stage to train.
pub struct Job<'a> {
    /// Its settings.
    pub stage: &'a Stage,
    /// Its images.
    pub data: &'a Dataset,
    /// `ann` or `snn`.
    pub name: &'a str,
    /// Robust or natural.
    pub track: Track,
    /// Told of progress.
    pub watch: &'a dyn Watch,
    /// What its checkpoints say of themselves.
    pub meta: Meta,
}

/// The checkpoint of the last whole epoch.
const LAST: &str = "last.safetensors";

/// The optimiser beside the checkpoint of `epoch` epochs. Two files take turns and the checkpoint is written last, so
/// whenever a run is killed, the checkpoint finds its own.
fn optimizer_of(epoch: usize) -> &'static str {
    ["last.optimizer-0.safetensors", "last.optimizer-1.safetensors"][epoch % 2]
}

/// A batch on the device.
pub fn upload(model: &Model, batch: &Batch) -> (Tensor, Array<i32>) {
    let [channels, height, width] = model.spec().input;
    let images = Tensor::from_slice(model.device(), [batch.len(), height, width, channels], &batch.images);
    (images, Array::from_slice(model.device(), [batch.len()], &batch.labels))
}

/// Train `model` through the epochs that are left. Each epoch ends in `last.safetensors` and the optimiser beside it;
/// all draws are keyed by (seed, epoch, image), so a resumed run takes the same path as an unbroken one.
///
/// Errors: NaN (with the step), an interrupt (with how to go on), files that cannot be written.
pub fn train(mut model: Model, job: &Job, folder: &mut RunFolder) -> Result<Model> {
    let (stage, phase) = (job.stage, job.track.key(if job.name == "ann" { "ann-train" } else { "snn-finetune" }));
    let mut optimizer = Sgd::new(&model, stage.momentum, stage.weight_decay);
    let mut stepper = Stepper::default();
    let mut first = 0;
    if let Some((last, meta)) = folder.load(job.track, LAST, model.device())?
        && (last.spec().steps > 0) == (job.name == "snn")
    {
        (model, first) = (last, meta.epoch);
        let path = folder.file(job.track, optimizer_of(first));
        optimizer.restore(&model, &TensorFile::open(&path)?).map_err(|error| error.within(path.display()))?;
    }
    let clock = Instant::now();
    for epoch in first..stage.epochs {
        let kept = folder.file(job.track, LAST);
        let failed = |error: Error| match error.kind() {
            Kind::Interrupted => interrupted(job, epoch),
            _ if kept.exists() => fail!("{phase}: {error}; the last good network is {}", kept.display()),
            _ => error.within(&phase),
        };
        let record = train_epoch(&mut model, &mut optimizer, &mut stepper, job, epoch).map_err(failed)?;
        if let Some(name) = broken(&model) {
            return Err(failed(fail!("training turned NaN: {name} is not finite after the last step of epoch {}; lower lr", epoch + 1)));
        }
        folder.record(Event::Epoch(record))?;
        optimizer.save(&model, &folder.place(job.track, optimizer_of(epoch + 1))?)?;
        folder.save(job.track, LAST, &model, &Meta { epoch: epoch + 1, ..job.meta.clone() })?;
    }
    if first < stage.epochs || !folder.has(|event| matches!(event, Event::Phase(known) if known.name == phase)) {
        let seconds = earlier_seconds(job, first, folder) + clock.elapsed().as_secs_f64();
        folder.record(Event::Phase(Phase { name: phase, seconds, images_per_s: (images_of(job) * stage.epochs) as f64 / seconds }))?;
    }
    Ok(model)
}

/// Images of an epoch.
fn images_of(job: &Job) -> usize {
    let (images, batch) = (job.data.train.len(), job.stage.batch);
    if job.stage.last == Last::Drop { images / batch * batch } else { images }
}

/// Seconds of the epochs before `first`, as the record has them: those of an earlier, interrupted run.
fn earlier_seconds(job: &Job, first: usize, folder: &RunFolder) -> f64 {
    let rate = |epoch: usize| {
        let of_this = |event: &Event| match event {
            Event::Epoch(e) if (e.epoch, &e.stage[..], &e.track[..]) == (epoch, job.name, job.track.name()) => Some(e.images_per_s),
            _ => None,
        };
        folder.events().iter().rev().find_map(of_this)
    };
    (0..first).filter_map(rate).filter(|rate| rate.is_normal()).map(|rate| images_of(job) as f64 / rate).sum()
}

fn interrupted(job: &Job, epoch: usize) -> Error {
    let kept = match epoch {
        0 => "no epoch of it is complete".to_string(),
        1 => "1 epoch is saved".to_string(),
        _ => format!("{epoch} epochs are saved"),
    };
    let (epochs, stage) = (job.stage.epochs, job.track.key(job.name));
    Error::new(Kind::Interrupted, format!("interrupted in epoch {} of {epochs} of the {stage} stage ({kept})", epoch + 1))
}

/// One epoch, and what is to be recorded of it.
fn train_epoch(model: &mut Model, optimizer: &mut Sgd, stepper: &mut Stepper, job: &Job, epoch: usize) -> Result<Epoch> {
    let stage = job.stage;
    let seed = job.meta.seed;
    let plan = Plan {
        batch: stage.batch,
        order: Order::Shuffled,
        last: stage.last,
        augment: stage.augment,
        mean: job.data.mean.clone(),
        seed,
        epoch: epoch as u64,
    };
    let mut feed = Feed::new(model, job.data.train.clone(), plan)?;
    let rate = stage.schedule.rate(stage.lr, epoch, stage.epochs);
    let title = format!("{} ({}), epoch {}/{}", job.track.key(job.name), stage.defense.name(), epoch + 1, stage.epochs);
    job.watch.begin(&title, (feed.left() * stage.batch).min(job.data.train.len()) as u64);
    let clock = Instant::now();
    let mut ledger = Ledger::default();
    let read = |ledger: &mut Ledger, model: &Model| {
        ledger.read(model).map_err(|error| {
            job.watch.end("");
            fail!("training turned NaN: {error} of epoch {} (lr {rate}); lower lr", epoch + 1)
        })
    };
    let mut place = Place { seed, stage: u64::from(job.name == "snn"), epoch: epoch as u64, step: 0 };
    while let Some(batch) = feed.next(model) {
        watch::check()?;
        let Fed { images, labels, ids } = batch?;
        let targets = Targets { images: &images, labels: &labels, ids: &ids };
        let outcome = stepper.step(model, optimizer, stage, &targets, place, rate as f32)?;
        place.step += 1;
        ledger.enter(ids.len(), outcome);
        job.watch.advance(ids.len() as u64);
        if ledger.is_due() {
            read(&mut ledger, model)?;
            job.watch.remark(&format!("loss {:.4}", ledger.loss()));
        }
    }
    read(&mut ledger, model)?;
    let seconds = clock.elapsed().as_secs_f64();
    let images_per_s = ledger.images() as f64 / seconds;
    let shown = |what: &str, percent: Option<f64>| percent.map(|percent| format!(", {what} {percent:.1} %")).unwrap_or_default();
    let rest = format!("{}{}", shown("clean", ledger.clean()), shown("adversarial", ledger.adversarial()));
    job.watch.end(&format!("{title}: loss {:.4}{rest}, {images_per_s:.0} images/s", ledger.loss()));
    Ok(Epoch {
        track: job.track.name().into(),
        stage: job.name.into(),
        epoch,
        loss: ledger.loss(),
        train_acc: ledger.clean(),
        adv_acc: ledger.adversarial(),
        lr: rate,
        images_per_s,
        thresholds: if model.spec().steps > 0 { model.thresholds().iter().map(|&v| f64::from(v)).collect() } else { Vec::new() },
    })
}

impl Sgd {
    /// Write the velocities beside a checkpoint.
    fn save(&self, model: &Model, path: &std::path::Path) -> Result<()> {
        let tensors = model.params().into_iter().zip(self.velocity()).filter_map(|(param, velocity)| {
            let velocity = velocity.as_ref()?;
            Some((param.name.clone(), velocity.shape().extents().to_vec(), checkpoint::Kind::Floats(velocity.to_vec())))
        });
        checkpoint::save_tensors(path, &tensors.collect::<Vec<_>>())
    }

    /// Read the velocities back. Errors: other shapes than the model's.
    fn restore(&mut self, model: &Model, file: &TensorFile) -> Result<()> {
        for (param, velocity) in model.params().into_iter().zip(self.velocity_mut()) {
            *velocity = match file.shape(&param.name) {
                None => None,
                Some(shape) if shape == param.value().shape().extents() => {
                    Some(Tensor::from_slice(model.device(), param.value().shape(), &file.floats(&param.name)?))
                }
                Some(_) => return Err(fail!("{} belongs to another network; start without --resume", param.name)),
            };
        }
        Ok(())
    }
}
