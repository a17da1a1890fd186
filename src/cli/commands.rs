//! Training, conversion and their kin.

use super::args::{Common, Convert, Demo, Finetune, Run, RunOptions};
use super::import::reset;
use super::progress::Shown;
use super::{recipes, say, version};
use crate::base::{Error, Kind, Result, ensure, file, usage};
use crate::checkpoint::{self, Meta};
use crate::data::{self, Augment, Dataset};
use crate::device::{Device, Flavour, Gpu, Order};
use crate::drive::{self, Begin, Ending, Recipe, Setup, Tensorboard};
use crate::nn::{Model, Spec};
use crate::record::Report;
use crate::report;
use crate::zoo::MOST_STEPS;
use std::path::{Path, PathBuf};

/// What `--quick` changes in the demo's recipe.
const QUICK: &[&str] = &[
    "ann.epochs=1",
    "ann.attack_steps=2",
    "snn.epochs=1",
    "snn.steps=4",
    "convert.batches=2",
    "convert.calibration_steps=20",
    "eval.images=100",
    "eval.ann=[\"pgd5:50\"]",
    "eval.snn=[\"ensemble-fgsm:50\", \"ensemble-pgd2:25\"]",
    "eval.curve=[0, 8, 16]",
    "eval.curve_attack=\"pgd2:50\"",
];

/// More worker threads than this help no machine.
const MOST_THREADS: usize = 1024;

/// The device of `--device`, `--threads` and `--precision`.
pub fn device(common: &Common) -> Result<Device> {
    if common.threads == Some(0) {
        return Err(usage!("--threads 0: at least one thread is needed"));
    }
    if let Some(threads) = common.threads.filter(|&threads| threads > MOST_THREADS) {
        return Err(usage!("--threads {threads}: at most {MOST_THREADS}; leave it out for one a core"));
    }
    Ok(Device::named(&common.device, common.threads)?.with_precision(common.precision.into()))
}

/// The data set `name`, from `dir` or embedded; pictures that are decoded for the first time show how far it is.
pub fn dataset(name: &str, dir: Option<&Path>, common: &Common) -> Result<Dataset> {
    data::load_watched(name, dir, &Shown::new(common.quiet))
}

/// The data set of a checkpoint: `--dataset`, else the one in its metadata.
pub fn dataset_of(path: &Path, meta: &Meta, name: Option<&str>, dir: Option<&Path>, common: &Common) -> Result<Dataset> {
    match name.or(meta.dataset.as_deref()) {
        Some(name) => dataset(name, dir, common),
        None => Err(usage!("{}: the checkpoint names no data set; give --dataset (and --data)", path.display())),
    }
}

/// Errors where the data's images do not fit the network.
pub fn fits(model: &Model, data: &Dataset) -> Result<()> {
    let (spec, images) = (model.spec(), &data.test);
    ensure!(
        spec.input == [images.channels, images.height, images.width],
        "{} has images of {}x{}x{}, the network wants {}x{}x{}; use the data set that it was trained on",
        data.name,
        images.channels,
        images.height,
        images.width,
        spec.input[0],
        spec.input[1],
        spec.input[2]
    );
    ensure!(spec.classes >= images.classes, "{} has {} classes, the network {}", data.name, images.classes, spec.classes);
    Ok(())
}

/// `caltrop demo`.
pub fn demo(args: &Demo, common: &Common) -> Result<()> {
    let quick = if args.quick { QUICK } else { &[] };
    let set: Vec<String> = quick.iter().map(|set| set.to_string()).chain(args.set.iter().cloned()).collect();
    let (mut recipe, mut text) = recipes::load("fashion-mnist-7k", &set, Some(args.seed))?;
    if args.full {
        recipe.lift_limits();
        text.push_str("# --full\n");
    }
    let job = Job { recipe, text, data: None, out: args.out.clone(), resume: args.resume, tensorboard: board(args.tensorboard) };
    job.run(Ending::Whole, common)
}

/// `caltrop run`.
pub fn run_recipe(args: &Run, common: &Common) -> Result<()> {
    Job::new(&args.recipe, &args.options, None)?.run(Ending::Whole, common)
}

/// `caltrop train`.
pub fn train(args: &Run, common: &Common) -> Result<()> {
    Job::new(&args.recipe, &args.options, Some("ann"))?.run(Ending::Ann, common)
}

/// `caltrop finetune`.
pub fn finetune(args: &Finetune, common: &Common) -> Result<()> {
    let job = Job::new(&args.recipe, &args.options, Some("snn"))?;
    let (model, meta) = checkpoint::load(&args.checkpoint, &device(common)?)?;
    if model.spec().steps == 0 {
        return Err(usage!("{}: this network has no spikes (T = 0); convert it first: caltrop convert", args.checkpoint.display()));
    }
    let input = args.checkpoint.canonicalize().unwrap_or_default();
    let replaced = drive::replaced_by_finetuning(&job.out);
    if !job.resume && replaced.iter().any(|path| path.canonicalize().is_ok_and(|path| path == input)) {
        return Err(usage!("{}: the run would replace this file; choose another folder with --out", args.checkpoint.display()));
    }
    job.run(Ending::Snn(Box::new(model), meta), common)
}

/// A recipe about to be run.
struct Job {
    recipe: Recipe,
    text: String,
    data: Option<PathBuf>,
    out: PathBuf,
    resume: bool,
    tensorboard: Tensorboard,
}

/// What `--tensorboard`, given or not, means.
fn board(given: bool) -> Tensorboard {
    if given { Tensorboard::On } else { Tensorboard::Off }
}

impl Job {
    /// `stage`: the table that `--set` addresses (None: all, as stage.key).
    fn new(word: &str, options: &RunOptions, stage: Option<&str>) -> Result<Job> {
        let addressed = |setting: &String| match stage {
            Some(stage) if !setting.split('=').next().unwrap_or("").contains('.') && !is_top_level(setting) => format!("{stage}.{setting}"),
            _ => setting.clone(),
        };
        let select = options.select.iter().map(|select| format!("select={select}"));
        let set: Vec<String> = options.set.iter().map(addressed).chain(select).collect();
        let (recipe, text) = recipes::load(word, &set, options.seed)?;
        // A stage by itself gets a folder of its own, so that finetuning replaces nothing of the ANN's run.
        let name = stage.map_or(recipe.name.clone(), |stage| format!("{}-{stage}", recipe.name));
        let out = options.out.clone().unwrap_or_else(|| Path::new("runs").join(name));
        Ok(Job { recipe, text, data: options.data.clone(), out, resume: options.resume, tensorboard: board(options.tensorboard) })
    }

    fn run(self, ending: Ending, common: &Common) -> Result<()> {
        let device = device(common)?;
        let data = dataset(&self.recipe.dataset, self.data.as_deref(), common)?.hold_out(self.recipe.selection.validation)?;
        if let Ending::Snn(model, _) = &ending {
            fits(model, &data)?;
        }
        let begin = if self.resume { Begin::Resume } else { Begin::Anew };
        let (watch, version) = (Shown::new(common.quiet), version());
        let report = drive::run(Setup {
            recipe: &self.recipe,
            text: &self.text,
            out: &self.out,
            begin,
            tensorboard: self.tensorboard,
            ending,
            data: &data,
            device: &device,
            version: &version,
            watch: &watch,
        })?;
        report::write(&report, &self.out)?;
        print_results(&report, &self.out)
    }
}

/// Whether a setting names a key at the top of a recipe rather than one of a stage.
fn is_top_level(setting: &str) -> bool {
    let key = setting.split('=').next().unwrap_or("").trim();
    Recipe::KEYS.contains(&key)
}

fn print_results(report: &Report, out: &Path) -> Result<()> {
    let keys: Vec<&String> = report.results.keys().filter(|key| !key.starts_with("natural.")).collect();
    let natural = report.has_track("natural");
    say(format!("{:<22} {:>8}{}", "accuracy, %", "robust", if natural { "   natural" } else { "" }))?;
    for key in keys {
        let twin = report.result("natural", key).map(|percent| format!("{percent:10.1}")).unwrap_or_default();
        say(format!("{key:<22} {:8.1}{twin}", report.results[key]))?;
    }
    say(format!("{:.0} s on {}; report: {}", report.seconds, report.start.device, out.join("report.html").display()))
}

/// `caltrop convert`.
pub fn convert(args: &Convert, common: &Common) -> Result<()> {
    let device = device(common)?;
    check_convert(args)?;
    let reset = args.reset.as_deref().map(reset).transpose()?;
    file::writable(&args.out)?;
    let how = drive::Convert {
        percentile: args.percentile,
        scale: args.scale,
        calibration_steps: args.calibration_steps,
        batch: args.batch,
        batches: args.batches,
    };
    let (ann, meta) = checkpoint::load(&args.checkpoint, &device)?;
    if ann.spec().steps > 0 {
        return Err(usage!("{}: this network is a spiking one already (T = {}); give an ANN", args.checkpoint.display(), ann.spec().steps));
    }
    let data = dataset_of(&args.checkpoint, &meta, args.dataset.as_deref(), args.data.as_deref(), common)?;
    // What the network was validated on, nothing is calibrated on.
    let data = data.hold_out(meta.validation)?;
    fits(&ann, &data)?;
    let (leak, reset) = (args.leak.unwrap_or(ann.spec().leak), reset.unwrap_or(ann.spec().reset));
    let spec = Spec { steps: args.steps, leak, reset, bias: true, ..ann.spec().clone() };
    let batches = drive::calibration_batches(&ann, &data, &how, Augment::NONE, args.seed)?;
    let meta = Meta { dataset: Some(data.name.to_string()), seed: args.seed, ..meta };
    let (snn, meta) = drive::convert(&ann, spec, &batches, &how, &meta, &Shown::new(common.quiet))?;
    checkpoint::save(&args.out, &snn, &meta)?;
    say(args.out.display())
}

/// T of calibration beyond this only costs memory.
const MOST_CALIBRATION_STEPS: usize = 10_000;

fn check_convert(args: &Convert) -> Result<()> {
    for (flag, value) in
        [("--calibration-steps", args.calibration_steps), ("--batch", args.batch), ("--batches", args.batches), ("--steps", args.steps)]
    {
        if value == 0 {
            return Err(usage!("{flag} 0: at least 1 is needed"));
        }
    }
    for (flag, value, most) in
        [("--steps", args.steps, MOST_STEPS), ("--calibration-steps", args.calibration_steps, MOST_CALIBRATION_STEPS)]
    {
        if value > most {
            return Err(usage!("{flag} {value}: at most {most}"));
        }
    }
    if !(args.scale > 0.0 && args.scale.is_finite()) {
        return Err(usage!("--scale {}: must be a positive number, such as 0.3", args.scale));
    }
    if let Some(leak) = args.leak.filter(|leak| !(*leak > 0.0 && *leak <= 1.0)) {
        return Err(usage!("--leak {leak}: must be above 0 and at most 1 (1 keeps the whole membrane)"));
    }
    if !(0.0..=100.0).contains(&args.percentile) {
        return Err(usage!("--percentile {}: must be between 0 and 100", args.percentile));
    }
    Ok(())
}

/// `caltrop devices`: what `--device` can name here, or why it cannot.
pub fn devices(common: &Common) -> Result<()> {
    if let Err(error) = device(common)
        && error.kind() == Kind::Usage
    {
        return Err(error);
    }
    say(format!("cpu       {}", Device::cpu(common.threads)?.describe()))?;
    match Gpu::list() {
        Ok(lines) => lines.iter().try_for_each(|line| say(format!("cuda      {line}")))?,
        Err(error) => say(format!("cuda      none: {}", reason(&error)))?,
    }
    match Device::emulated(common.threads, Order::default(), Flavour::default()) {
        Ok(emulated) => say(format!("emulated  {}", emulated.describe())),
        Err(error) => say(format!("emulated  none: {}", reason(&error))),
    }
}

/// The text of an error about a device, without the option that asked for it.
fn reason(error: &Error) -> String {
    let text = error.to_string();
    text.split_once(": ").filter(|(option, _)| option.starts_with("--device")).map_or(text.clone(), |(_, rest)| rest.to_string())
}
