//! A recipe from beginning to end: train, convert, finetune, evaluate, for the robust track and the natural one.

use super::convert::{adopt, calibration_batches, convert, finetuned, snn_spec};
use super::evaluate::Member as Attacker;
use super::folder::{BEST, Begin, RunFolder, Tensorboard, Track, replaced, replaced_by_finetuning, start};
use super::recipe::Recipe;
use super::train::{Job, train};
use super::watch::Watch;
use crate::autodiff::Lens;
use crate::base::{Error, Kind, Result, ensure, file};
use crate::checkpoint::Meta;
use crate::data::{Dataset, Last};
use crate::device::Device;
use crate::nn::{Model, Spec};
use crate::ops::lif::Reset;
use crate::record::{Event, Phase, Report};
use crate::zoo;
use std::path::Path;
use std::time::Instant;

/// Everything that a run needs.
pub struct Setup<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// Where to write.
    pub out: &'a Path,
    /// Anew or on.
    pub begin: Begin,
    /// Whether TensorBoard is to be served.
    pub tensorboard: Tensorboard,
    /// How far.
    pub ending: Ending,
    /// The data, of which the recipe's validation images are held out.
    pub data: &'a Dataset,
    /// The device.
    pub device: &'a Device,
    /// The program's version.
    pub version: &'a str,
    /// Told of progress.
    pub watch: &'a dyn Watch,
}

/// Which stages run.
#[derive(Clone)]
pub enum Ending {
    /// All of them.
    Whole,
    /// The ANN stage alone.
    Ann,
    /// The SNN stage alone, from this network.
    Snn(Box<Model>, Meta),
}

/// Run, and return what the report says. Checkpoints and `run.jsonl` are in the folder; the report is the caller's to write.
///
/// Errors: what cannot be, before the folder is touched; NaN; an interrupt, with how to go on.
pub fn run(setup: Setup) -> Result<Report> {
    let clock = Instant::now();
    let tracks = [(Track::Robust, Some(setup.recipe)), (Track::Natural, setup.recipe.natural.as_deref())];
    let twins = matches!(setup.ending, Ending::Whole);
    let courses = || tracks.into_iter().filter_map(|(track, recipe)| Some((track, recipe.filter(|_| twins || track == Track::Robust)?)));
    for (_, recipe) in courses() {
        check(&setup, recipe)?;
    }
    let (text, replaced, origin) = match &setup.ending {
        Ending::Snn(model, _) => (finetuned(setup.recipe, model.spec())?.text, replaced_by_finetuning(setup.out), Some(&**model)),
        Ending::Ann | Ending::Whole => (setup.recipe.text.clone(), replaced(setup.out), None),
    };
    let begin = start(setup.recipe, setup.data, setup.device, setup.version, origin);
    let mut folder = RunFolder::open(setup.out, &text, setup.begin, &replaced, begin, setup.watch)?;
    folder.mirror(setup.tensorboard, setup.begin)?;
    let earlier = if setup.begin == Begin::Resume { folder.seconds()? } else { 0.0 };
    for (track, recipe) in courses() {
        let mut course = Course { setup: &setup, recipe, track, folder: &mut folder };
        course.go().map_err(|error| resumable(error, setup.out))?;
    }
    folder.finish(earlier + folder.recovered() + clock.elapsed().as_secs_f64())?;
    folder.report()
}

/// What would fail later, after the results of an earlier run are gone.
fn check(setup: &Setup, recipe: &Recipe) -> Result<()> {
    let (images, name) = (setup.data.train.len(), setup.data.name);
    ensure!(images > 0 && !setup.data.test.is_empty(), "{name}: zero images");
    let held_out = setup.data.validation.is_some();
    ensure!(held_out == (recipe.selection.validation > 0.0), "{name}: the recipe's validation images are not those that are held out");
    for (stage, key) in [(&recipe.ann, "ann"), (&recipe.snn, "snn")] {
        let batches = stage.last == Last::Keep || stage.batch <= images;
        ensure!(batches, "{key}: {name} has {images} training images, too few for one batch of {}; lower {key}.batch", stage.batch);
    }
    let eval = &recipe.eval;
    let trials = eval.ann.iter().chain(&eval.snn).chain((!eval.curve.is_empty()).then_some(&eval.curve_trial));
    for member in trials.flat_map(|trial| Attacker::all(trial.members, Lens::default())) {
        member.attack.suits(setup.data.train.classes)?;
    }
    if !matches!(setup.ending, Ending::Snn(..)) {
        zoo::blank(setup.device, ann_spec(recipe, setup.data))?;
    }
    Ok(())
}

fn ann_spec(recipe: &Recipe, data: &Dataset) -> Spec {
    Spec {
        arch: recipe.arch.clone(),
        classes: data.train.classes,
        input: [data.train.channels, data.train.height, data.train.width],
        mean: data.mean.clone(),
        std: data.std.clone(),
        bias: recipe.bias,
        steps: 0,
        leak: recipe.leak.unwrap_or(1.0),
        reset: recipe.reset.unwrap_or(Reset::Hard),
        dropout: recipe.dropout.unwrap_or(0.2),
    }
}

/// An interrupt says how to go on.
fn resumable(error: Error, out: &Path) -> Error {
    match error.kind() {
        Kind::Interrupted => go_on(&error, out),
        _ => error,
    }
}

/// `error`, which took nothing away, with how to go on.
pub(super) fn go_on(error: &Error, out: &Path) -> Error {
    Error::new(error.kind(), format!("{error}; go on with the same command and --resume ({} keeps what is done)", out.display()))
}

/// One track of a run.
pub(super) struct Course<'a> {
    pub(super) setup: &'a Setup<'a>,
    pub(super) recipe: &'a Recipe,
    pub(super) track: Track,
    pub(super) folder: &'a mut RunFolder,
}

impl Course<'_> {
    fn go(&mut self) -> Result<()> {
        self.stages()?;
        // What a kill between a result and the end of its pages left.
        self.folder.clear_pages(self.track)
    }

    fn stages(&mut self) -> Result<()> {
        let snn = match &self.setup.ending {
            Ending::Snn(model, meta) => {
                let mut model = (**model).clone();
                self.setup.watch.end(&adopt(self.recipe, &mut model));
                self.finetune(model, meta.clone())?
            }
            Ending::Ann | Ending::Whole => {
                let ann = self.ann()?;
                self.evaluate_network("ann", &ann, &self.recipe.eval.ann)?;
                if matches!(self.setup.ending, Ending::Ann) {
                    return Ok(());
                }
                let (converted, meta) = self.converted(&ann)?;
                self.finetune(converted, meta)?
            }
        };
        self.evaluate_network("snn", &snn, &self.recipe.eval.snn)?;
        self.curve(&snn)?;
        self.gallery(&snn)
    }

    fn meta(&self) -> Meta {
        Meta {
            dataset: Some(self.recipe.dataset.clone()),
            recipe: Some(self.recipe.name.clone()),
            seed: self.recipe.seed,
            validation: self.recipe.selection.validation,
            ..Meta::default()
        }
    }

    /// The trained ANN: loaded where it is complete, else trained.
    fn ann(&mut self) -> Result<Model> {
        let (recipe, setup) = (self.recipe, self.setup);
        if let Some((ann, _)) = self.folder.load(self.track, "ann.safetensors", setup.device)? {
            return Ok(ann);
        }
        let data = setup.data;
        let model = zoo::build(setup.device, ann_spec(recipe, data), recipe.seed)?;
        let job = Job { recipe, stage: &recipe.ann, data, name: "ann", track: self.track, watch: setup.watch, meta: self.meta() };
        let (ann, meta) = train(model, &job, self.folder)?;
        self.keep("ann.safetensors", &ann, &meta)?;
        Ok(ann)
    }

    /// The converted network, and what is known of it.
    fn converted(&mut self, ann: &Model) -> Result<(Model, Meta)> {
        let (recipe, setup) = (self.recipe, self.setup);
        if let Some(converted) = self.folder.load(self.track, "converted.safetensors", setup.device)? {
            return Ok(converted);
        }
        let clock = Instant::now();
        let batches = calibration_batches(ann, setup.data, &recipe.convert, recipe.snn.augment, recipe.seed, setup.watch)?;
        let images: usize = batches.iter().map(|batch| batch.shape()[0]).sum();
        let (snn, meta) = convert(ann, snn_spec(recipe, ann.spec()), &batches, &recipe.convert, &self.meta(), setup.watch)
            .map_err(|error| error.within(self.track.key("calibrate")))?;
        self.phase("calibrate", clock.elapsed().as_secs_f64(), images)?;
        self.folder.save(self.track, "converted.safetensors", &snn, &meta)?;
        Ok((snn, meta))
    }

    /// The finetuned network.
    fn finetune(&mut self, converted: Model, meta: Meta) -> Result<Model> {
        let (recipe, setup) = (self.recipe, self.setup);
        if let Some((snn, _)) = self.folder.load(self.track, "snn.safetensors", setup.device)? {
            return Ok(snn);
        }
        let meta = Meta { raw_thresholds: meta.raw_thresholds, scale: meta.scale, ..self.meta() };
        let job = Job { recipe, stage: &recipe.snn, data: setup.data, name: "snn", track: self.track, watch: setup.watch, meta };
        let (snn, meta) = train(converted, &job, self.folder)?;
        self.keep("snn.safetensors", &snn, &meta)?;
        Ok(snn)
    }

    /// A stage's result under its own name and as the run's best. Its own name comes last: where that is, a resumed run
    /// takes everything as done.
    fn keep(&self, name: &str, model: &Model, meta: &Meta) -> Result<()> {
        self.folder.save(self.track, BEST, model, meta)?;
        file::link(&self.folder.file(self.track, BEST), &self.folder.file(self.track, name))
    }

    pub(super) fn phase(&mut self, name: &str, seconds: f64, images: usize) -> Result<()> {
        self.folder.record(Event::Phase(Phase { name: self.track.key(name), seconds, images_per_s: images as f64 / seconds }))
    }
}
