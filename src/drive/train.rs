//! The training loop of either stage.

use super::folder::{RunFolder, Track};
use super::recipe::Stage;
use super::step::{Place, step};
use super::watch::{self, Watch};
use crate::attack::Targets;
use crate::base::{Kind, Result, fail};
use crate::checkpoint::{self, Meta, TensorFile};
use crate::data::{Batch, Dataset, Loader, Order, Plan};
use crate::nn::Model;
use crate::optim::Sgd;
use crate::record::{Epoch, Event, Phase};
use crate::tensor::{Array, Tensor};
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
const OPTIMIZER: &str = "last.optimizer.safetensors";

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
    let mut first = 0;
    if let Some((last, meta)) = folder.load(job.track, LAST, model.device())?
        && (last.spec().steps > 0) == (job.name == "snn")
    {
        (model, first) = (last, meta.epoch);
        optimizer.restore(&model, &TensorFile::open(&folder.file(job.track, OPTIMIZER))?)?;
    }
    let clock = Instant::now();
    let mut seen = 0;
    for epoch in first..stage.epochs {
        let before = folder.has(|event| matches!(event, Event::Epoch(e) if e.stage == job.name && e.track == job.track.name()));
        let images = train_epoch(&mut model, &mut optimizer, job, epoch, folder).map_err(|error| match error.kind() {
            Kind::Interrupted => fail_resumable(job, epoch, folder),
            _ if before => error.within(format!("{phase}; the last good network is {}", folder.file(job.track, LAST).display())),
            _ => error.within(&phase),
        })?;
        seen += images;
        let meta = Meta { epoch: epoch + 1, ..job.meta.clone() };
        folder.save(job.track, LAST, &model, &meta)?;
        optimizer.save(&model, &folder.file(job.track, OPTIMIZER))?;
    }
    let seconds = clock.elapsed().as_secs_f64();
    if seen > 0 {
        folder.record(Event::Phase(Phase { name: phase, seconds, images_per_s: seen as f64 / seconds }))?;
    }
    Ok(model)
}

fn fail_resumable(job: &Job, epoch: usize, folder: &RunFolder) -> crate::base::Error {
    let kept = if epoch == 0 { "no epoch of it is complete".to_string() } else { format!("{epoch} epochs are saved") };
    crate::base::Error::new(
        Kind::Interrupted,
        format!("interrupted in epoch {} of {} of the {} stage ({kept}); go on with the same command and --resume --out {}", epoch + 1, job.stage.epochs, job.name, folder.path().display()),
    )
}

fn train_epoch(model: &mut Model, optimizer: &mut Sgd, job: &Job, epoch: usize, folder: &mut RunFolder) -> Result<usize> {
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
    let loader = Loader::new(job.data.train.clone(), plan)?;
    let rate = stage.schedule.rate(stage.lr, epoch, stage.epochs);
    let title = format!("{} {} {}/{}", job.track.key(job.name), stage.defense.name(), epoch + 1, stage.epochs);
    job.watch.begin(&title, (loader.len() * stage.batch).min(job.data.train.len()) as u64);
    let clock = Instant::now();
    let (mut images, mut loss, mut clean, mut adversarial) = (0, 0.0, None, None);
    for (index, batch) in loader.enumerate() {
        watch::check()?;
        let (pixels, labels) = upload(model, &batch);
        let targets = Targets { images: &pixels, labels: &labels, ids: &batch.ids };
        let place = Place { seed, stage: u64::from(job.name == "snn"), epoch: epoch as u64, step: index as u64 };
        let outcome = step(model, stage, &targets, place)?;
        if !outcome.loss.is_finite() {
            job.watch.end("");
            return Err(fail!("training turned NaN: loss {} at step {} of epoch {} (lr {rate}); lower lr", outcome.loss, index + 1, epoch + 1));
        }
        optimizer.step(model, &outcome.gradients, rate as f32)?;
        images += batch.len();
        loss += outcome.loss * batch.len() as f64;
        clean = tally(clean, outcome.clean);
        adversarial = tally(adversarial, outcome.adversarial);
        job.watch.advance(batch.len() as u64);
        job.watch.remark(&format!("loss {:.4}", loss / images as f64));
    }
    let seconds = clock.elapsed().as_secs_f64();
    let percent = |count: Option<usize>| count.map(|count| 100.0 * count as f64 / images as f64);
    let shown = |what: &str, count| percent(count).map(|percent| format!(", {what} {percent:.1} %")).unwrap_or_default();
    let rest = format!("{}{}", shown("clean", clean), shown("adversarial", adversarial));
    job.watch.end(&format!("{title}: loss {:.4}{rest}, {:.0} images/s", loss / images as f64, images as f64 / seconds));
    folder.record(Event::Epoch(Epoch {
        track: job.track.name().into(),
        stage: job.name.into(),
        epoch,
        loss: loss / images as f64,
        train_acc: percent(clean),
        adv_acc: percent(adversarial),
        lr: rate,
        images_per_s: images as f64 / seconds,
        thresholds: if model.spec().steps > 0 { model.thresholds().iter().map(|&v| f64::from(v)).collect() } else { Vec::new() },
    }))?;
    Ok(images)
}

fn tally(total: Option<usize>, more: Option<usize>) -> Option<usize> {
    more.map(|more| total.unwrap_or(0) + more)
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
                Some(_) => return Err(fail!("{OPTIMIZER} belongs to another network; start without --resume")),
            };
        }
        Ok(())
    }
}
