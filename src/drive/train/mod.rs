//! The training loop of either stage.

mod feed;
mod judge;
mod ledger;
mod metrics;
mod replay;
mod state;
mod step;

pub use replay::Stepper;
pub use step::{Outcome, Place, start, step};

use super::folder::{BEST, LAST, RunFolder, Track, broken};
use super::recipe::{Recipe, Select, Stage};
use super::watch::{self, Watch};
use crate::attack::Targets;
use crate::base::{Error, Kind, Result, ensure, fail};
use crate::checkpoint::{self, Meta};
use crate::data::{Batch, Dataset, Last, Order, Plan};
use crate::device::Peak;
use crate::nn::Model;
use crate::ops::norm::Moments;
use crate::record::{Epoch, Event, Phase, Saved, with_interval};
use crate::tensor::{Array, Tensor};
use feed::{Fed, Feed};
use judge::{Measured, Verdict, best, is_exhausted, judge, measure};
use ledger::Ledger;
use metrics::Progress;
use state::{Position, Rank, State};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A stage to train.
pub struct Job<'a> {
    /// The recipe that it is of.
    pub recipe: &'a Recipe,
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

/// A batch on the device.
pub fn upload(model: &Model, batch: &Batch) -> (Tensor, Array<i32>) {
    let [channels, height, width] = model.spec().input;
    let images = Tensor::from_slice(model.device(), [batch.len(), height, width, channels], &batch.images);
    (images, Array::from_slice(model.device(), [batch.len()], &batch.labels))
}

/// Train `model` through the epochs that are left, and return the network that is the stage's result (the best or the last)
/// with what is known of it. All draws are keyed by (seed, epoch, step, image), and all else that steps change is in the
/// states that are saved on the way, so a resumed run takes the same path as an unbroken one.
///
/// Errors: NaN (with the step), an interrupt (with how to go on), files that cannot be written.
pub fn train(model: Model, job: &Job, folder: &mut RunFolder) -> Result<(Model, Meta)> {
    let state = State::begin(model, job, folder)?;
    let (at, since, peak) = (state.at, Instant::now(), Peak::from_now(state.model.device()));
    let mut training = Training { job, folder, state, stepper: Stepper::default(), peak, mark: None, saved: at, since };
    while training.is_going_on() {
        training.epoch()?;
    }
    training.record_phase(at)?;
    training.result()
}

impl Job<'_> {
    /// The phase in records.
    fn phase(&self) -> String {
        self.track.training(self.name)
    }

    /// Steps of an epoch.
    fn steps(&self) -> usize {
        self.plan(0, 0).batches(self.data.train.len())
    }

    /// Images of an epoch.
    fn images(&self) -> usize {
        let images = self.data.train.len();
        if self.stage.last == Last::Drop { self.steps() * self.stage.batch } else { images }
    }

    /// The batches of `epoch`, from step `skip` on.
    fn plan(&self, epoch: usize, skip: usize) -> Plan {
        Plan {
            batch: self.stage.batch,
            order: Order::Shuffled,
            last: self.stage.last,
            augment: self.stage.augment,
            mean: self.data.mean.clone(),
            seed: self.meta.seed,
            epoch: epoch as u64,
            skip,
        }
    }
}

/// The accuracies of an epoch in words, each with its interval and its number of images behind a comma.
fn told(epoch: &Epoch) -> String {
    let words = |name| match name {
        "train_acc" => "clean",
        "adv_acc" => "adversarial",
        "val_clean" => "validation clean",
        "val_robust" => "validation PGD-10",
        _ => "test clean",
    };
    let told =
        |(name, percent)| format!(", {} {} % of {}", words(name), with_interval(percent, epoch.images_of(name)), epoch.images_of(name));
    epoch.accuracies().map(told).collect()
}

/// A stage under way.
struct Training<'a> {
    job: &'a Job<'a>,
    folder: &'a mut RunFolder,
    state: State,
    stepper: Stepper,
    /// The memory of the epoch under way.
    peak: Peak,
    /// What a step that is broken off has to put back.
    mark: Option<Mark>,
    /// Where the newest state on the disk is.
    saved: Position,
    /// When it was written, or read.
    since: Instant,
}

/// The place before a step. Parameters and velocities are missing: they move at its end, which no interrupt stops.
struct Mark {
    at: Position,
    running: Vec<(Moments, u64)>,
    ledger: Ledger,
}

/// Time spent on an epoch: by earlier runs, and since when by this one.
#[derive(Clone, Copy)]
struct Clock {
    earlier: f64,
    start: Instant,
}

impl Clock {
    fn seconds(self) -> f64 {
        self.earlier + self.start.elapsed().as_secs_f64()
    }
}

impl<'a> Training<'a> {
    fn is_going_on(&self) -> bool {
        self.state.at.epoch < self.job.stage.epochs && !is_exhausted(&self.measures(), self.job.stage.patience)
    }

    /// Of every whole epoch, what chooses among them.
    fn measures(&self) -> Vec<Option<f64>> {
        let Some(measure) = measure(self.job.recipe.selection.select, self.job.stage.defense) else { return Vec::new() };
        (0..self.state.at.epoch).map(|epoch| (measure.of)(&self.verdict(epoch)).map(|found| found.percent)).collect()
    }

    /// What is recorded of an epoch that is over.
    fn verdict(&self, epoch: usize) -> Verdict {
        self.folder.epoch(self.job.track, self.job.name, epoch).map(Verdict::of).unwrap_or_default()
    }

    /// What is left of an epoch, and its end.
    fn epoch(&mut self) -> Result<()> {
        let Position { epoch, step } = self.state.at;
        let Job { track, name, stage, .. } = *self.job;
        let clock = Clock { earlier: self.folder.seconds_into(track, name, epoch, step), start: Instant::now() };
        let title = format!("{} ({}), epoch {}/{}", track.key(name), stage.defense.name(), epoch + 1, stage.epochs);
        let judged = self.steps(&title, clock).and_then(|()| {
            let training = clock.seconds();
            Ok((training, judge(&self.state.model, self.job).map_err(|error| error.within(format!("epoch {}", epoch + 1)))?))
        });
        let done = match judged {
            Ok((training, verdict)) => self.end_epoch(&title, clock, training, &verdict),
            Err(error) if error.kind() == Kind::Interrupted => self.pause(clock),
            Err(error) => Err(error),
        };
        done.map_err(|error| {
            self.job.watch.end("");
            self.failed(error)
        })
    }

    /// The steps that are left of the epoch.
    fn steps(&mut self, title: &str, clock: Clock) -> Result<()> {
        let Job { data, watch, .. } = *self.job;
        let Position { epoch, step } = self.state.at;
        let mut feed = Feed::new(&self.state.model, data.train.clone(), self.job.plan(epoch, step))?;
        let rate = self.rate() as f32;
        self.peak = Peak::from_now(self.state.model.device());
        watch.begin(title, self.job.images() as u64);
        watch.advance(self.state.ledger.images() as u64);
        while let Some(batch) = feed.next(&self.state.model) {
            self.mark();
            watch::check()?;
            let Fed { images, labels, ids } = batch?;
            self.step(&Targets { images: &images, labels: &labels, ids: &ids }, rate)?;
            watch.advance(ids.len() as u64);
            if self.state.ledger.is_due() {
                self.read()?;
                watch.remark(&format!("loss {:.4}", self.state.ledger.losses().loss()));
            }
            if self.is_save_due() && self.is_whole() && feed.left() > 0 {
                self.save_within(clock)?;
            }
        }
        self.stepper.finish(&mut self.state.model, &mut self.state.optimizer, rate)?;
        self.read()?;
        self.mark();
        self.check()
    }

    /// The learning rate of the epoch.
    fn rate(&self) -> f64 {
        let stage = self.job.stage;
        stage.schedule.rate(stage.lr, self.state.at.epoch, stage.epochs)
    }

    /// Whether the optimiser has moved on all gradients there are.
    fn is_whole(&self) -> bool {
        self.stepper.pending() == 0
    }

    /// From here one can go on, if the state is whole.
    fn mark(&mut self) {
        if self.is_whole() {
            let State { model, at, ledger, .. } = &self.state;
            self.mark = Some(Mark { at: *at, running: model.running(), ledger: ledger.clone() });
        }
    }

    /// Back to where one can go on from.
    fn rewind(&mut self) {
        if let Some(Mark { at, running, ledger }) = self.mark.take() {
            self.state.model.set_running(running);
            (self.state.at, self.state.ledger) = (at, ledger);
        }
    }

    /// One step.
    fn step(&mut self, targets: &Targets, rate: f32) -> Result<()> {
        let State { model, optimizer, at, ledger } = &mut self.state;
        let stage = u64::from(self.job.name == "snn");
        let place = Place { seed: self.job.meta.seed, stage, epoch: at.epoch as u64, step: at.step as u64 };
        let outcome = self.stepper.step(model, optimizer, self.job.stage, targets, place, rate)?;
        ledger.enter(targets.ids.len(), outcome);
        at.step += 1;
        Ok(())
    }

    /// Read the ledger, and record what it logged. Errors: NaN.
    fn read(&mut self) -> Result<()> {
        let (progress, epoch) = (self.progress(), self.state.at.epoch + 1);
        let State { model, ledger, .. } = &mut self.state;
        let failed = |error| fail!("training turned NaN: {error} of epoch {epoch} (lr {}); lower lr", progress.rate);
        ledger.read(model).map_err(failed)?;
        ledger.logged().iter().try_for_each(|(step, losses)| self.folder.record(Event::Step(progress.step(*step, losses))))
    }

    fn progress(&self) -> Progress<'a> {
        Progress { job: self.job, epoch: self.state.at.epoch, batches: self.job.steps(), rate: self.rate() }
    }

    /// Errors: NaN, which no state may hold.
    fn check(&self) -> Result<()> {
        let Position { epoch, step } = self.state.at;
        match broken(&self.state.model) {
            Some(name) => Err(fail!("training turned NaN: {name} is not finite after step {step} of epoch {}; lower lr", epoch + 1)),
            None => Ok(()),
        }
    }

    /// An epoch is over: its line, its record, its state.
    fn end_epoch(&mut self, title: &str, clock: Clock, training: f64, verdict: &Verdict) -> Result<()> {
        let (job, State { model, ledger, .. }, epoch) = (self.job, &self.state, self.state.at.epoch);
        let mut record = self.progress().epoch(model, ledger, &self.peak, training)?;
        record.seconds = Some(clock.seconds());
        verdict.enter(&mut record);
        job.watch.end(&format!("{title}: loss {:.4}{}, {:.0} images/s", record.loss, told(&record), record.images_per_s));
        self.folder.record(Event::Epoch(record))?;
        (self.state.at, self.state.ledger) = (Position { epoch: epoch + 1, step: 0 }, Ledger::new(job.recipe.log_every));
        let rank = if best(&self.measures()) == Some(epoch) { Rank::Best } else { Rank::Newest };
        self.save(verdict.metrics(), rank)
    }

    fn is_save_due(&self) -> bool {
        let minutes = self.job.recipe.save_minutes;
        minutes > 0.0 && self.since.elapsed() >= Duration::from_secs_f64(60.0 * minutes)
    }

    /// Save a state within an epoch.
    fn save_within(&mut self, clock: Clock) -> Result<()> {
        self.read()?;
        self.check()?;
        let Position { epoch, step } = self.state.at;
        let (track, stage, seconds) = (self.job.track.name().into(), self.job.name.into(), clock.seconds());
        self.folder.record(Event::Saved(Saved { track, stage, epoch, step, seconds }))?;
        self.save(BTreeMap::new(), Rank::Newest)
    }

    fn save(&mut self, metrics: BTreeMap<String, f64>, rank: Rank) -> Result<()> {
        let saved = self.state.save(self.job, self.folder, metrics, rank);
        saved.map_err(|error| fail!("{error}; make room and go on with --resume"))?;
        (self.saved, self.since) = (self.state.at, Instant::now());
        Ok(())
    }

    /// Interrupted: save, and say where. Always an error.
    fn pause(&mut self, clock: Clock) -> Result<()> {
        self.rewind();
        self.read()?;
        let at = self.state.at;
        let saved = if at == self.saved { Ok(()) } else { self.save_within(clock) };
        let kept = match (saved, at) {
            (Err(error), _) => format!("not saved: {error}"),
            (_, Position { epoch: 0, step: 0 }) => "before its first step".to_string(),
            (_, Position { step: 0, .. }) => "saved at its beginning".to_string(),
            (_, Position { step, .. }) => format!("saved at step {step} of {}", self.job.steps()),
        };
        let (epochs, stage) = (self.job.stage.epochs, self.job.track.key(self.job.name));
        let place = format!("interrupted in epoch {} of {epochs} of the {stage} stage ({kept})", at.epoch + 1);
        Err(Error::new(Kind::Interrupted, place))
    }

    /// An error, with the phase and what is left to go on with.
    fn failed(&self, error: Error) -> Error {
        let (phase, kept) = (self.job.phase(), self.folder.file(self.job.track, LAST));
        match error.kind() {
            Kind::Interrupted => error,
            _ if self.saved > Position::default() => fail!("{phase}: {error}; the last good network is {}", kept.display()),
            _ => error.within(&phase),
        }
    }

    /// The stage's time, if this run had a part in it since `begun`, or none is recorded.
    fn record_phase(&mut self, begun: Position) -> Result<()> {
        let Job { track, name, .. } = *self.job;
        let phase = self.job.phase();
        let epochs = self.state.at.epoch;
        if begun.epoch == epochs && self.folder.has(|event| matches!(event, Event::Phase(known) if known.name == phase)) {
            return Ok(());
        }
        let records: Vec<&Epoch> = (0..epochs).filter_map(|epoch| self.folder.epoch(track, name, epoch)).collect();
        let seconds = records.iter().filter_map(|epoch| epoch.seconds).sum();
        let training: f64 = records.iter().map(|epoch| 1.0 / epoch.images_per_s).sum();
        self.folder.record(Event::Phase(Phase { name: phase, seconds, images_per_s: records.len() as f64 / training }))
    }

    /// The network that is chosen, and a note on why.
    fn result(self) -> Result<(Model, Meta)> {
        let Job { recipe, stage, track, name, .. } = *self.job;
        let (measures, epochs) = (self.measures(), self.state.at.epoch);
        let chosen = best(&measures).unwrap_or(epochs.saturating_sub(1));
        let verdict = self.verdict(chosen);
        let meta = Meta { epoch: chosen + 1, metrics: verdict.metrics(), ..self.job.meta.clone() };
        let measured = measure(recipe.selection.select, stage.defense).and_then(|measure| Some((measure, (measure.of)(&verdict)?)));
        if let Some((measure, Measured { percent, images })) = measured {
            let early = if epochs < stage.epochs { format!(", of which {epochs} were trained,") } else { String::new() };
            let place = format!("{}: epoch {} of {}{early}", track.key(name), chosen + 1, stage.epochs);
            let mut text = format!("{place} has the best {}, {} % of {images} images", measure.name, with_interval(percent, images));
            if recipe.selection.select == Select::TestClean {
                text += "; the results on the same test images are optimistic (the paper's published code chooses so)";
            }
            self.folder.record(Event::Note { text })?;
        }
        if chosen + 1 == epochs {
            return Ok((self.state.model, meta));
        }
        let path = self.folder.file(track, BEST);
        let (model, of) = checkpoint::load(&path, self.state.model.device())?;
        let cure = "start without --resume";
        ensure!(of.epoch == meta.epoch, "{} is of epoch {}, the record says {}; {cure}", path.display(), of.epoch, meta.epoch);
        Ok((model, meta))
    }
}
