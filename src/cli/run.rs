//! `demo`, `run`, `train`, `finetune`: a recipe, for one seed or several.

use super::args::{Common, Demo, Finetune, Run, RunOptions};
use super::commands::{dataset, device, fits};
use super::progress::Shown;
use super::{say, version};
use crate::base::{Result, fail, usage};
use crate::checkpoint;
use crate::data::Dataset;
use crate::device::Device;
use crate::drive::{self, Begin, Ending, Recipe, Setup, Tensorboard, Watch};
use crate::record::{Report, Summary, seed_folder, with_interval};
use crate::report;
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

/// `caltrop demo`.
pub fn demo(args: &Demo, common: &Common) -> Result<()> {
    const RECIPE: &str = "fashion-mnist-7k";
    let quick = if args.quick { QUICK } else { &[] };
    let mut set: Vec<String> = quick.iter().map(|set| set.to_string()).chain(args.set.iter().cloned()).collect();
    if args.full {
        let eval = Recipe::load(RECIPE, &set, None)?.eval;
        let all = |trials: &[drive::Trial]| trials.iter().map(|trial| format!("\"{}\"", trial.word())).collect::<Vec<_>>().join(", ");
        set.extend([format!("eval.ann=[{}]", all(&eval.ann)), format!("eval.snn=[{}]", all(&eval.snn))]);
    }
    let runs = Runs::load(RECIPE, &set, Some(args.seed), &args.seeds)?;
    Job { runs, data: None, out: args.out.clone(), resume: args.resume, tensorboard: board(args.tensorboard) }.run(&Ending::Whole, common)
}

/// `caltrop run`.
pub fn run(args: &Run, common: &Common) -> Result<()> {
    Job::new(&args.recipe, &args.options, None)?.run(&Ending::Whole, common)
}

/// `caltrop train`.
pub fn train(args: &Run, common: &Common) -> Result<()> {
    Job::new(&args.recipe, &args.options, Some("ann"))?.run(&Ending::Ann, common)
}

/// `caltrop finetune`.
pub fn finetune(args: &Finetune, common: &Common) -> Result<()> {
    let job = Job::new(&args.recipe, &args.options, Some("snn"))?;
    let (model, meta) = checkpoint::load(&args.checkpoint, &device(common)?)?;
    if model.spec().steps == 0 {
        return Err(usage!("{}: this network has no spikes (T = 0); convert it first: caltrop convert", args.checkpoint.display()));
    }
    let input = args.checkpoint.canonicalize().unwrap_or_default();
    let mut replaced = job.folders().into_iter().flat_map(|folder| drive::replaced_by_finetuning(&folder));
    if !job.resume && replaced.any(|path| path.canonicalize().is_ok_and(|path| path == input)) {
        return Err(usage!("{}: the run would replace this file; choose another folder with --out", args.checkpoint.display()));
    }
    job.run(&Ending::Snn(Box::new(model), meta), common)
}

/// The recipes of a command.
enum Runs {
    /// One, in the folder itself.
    One(Box<Recipe>),
    /// One a seed, each in a folder of its own; they differ in nothing else.
    Seeds(Vec<Recipe>),
}

impl Runs {
    /// The recipe `word` for all `seeds`; without any, for `seed` or its own. Errors: as [`Recipe::load`]; a seed twice.
    fn load(word: &str, set: &[String], seed: Option<u64>, seeds: &[u64]) -> Result<Runs> {
        if seeds.is_empty() {
            return Ok(Runs::One(Box::new(Recipe::load(word, set, seed)?)));
        }
        if let Some((_, seed)) = seeds.iter().enumerate().find(|(at, seed)| seeds[..*at].contains(seed)) {
            return Err(usage!("--seeds: {seed} is there twice; each seed once"));
        }
        Ok(Runs::Seeds(seeds.iter().map(|&seed| Recipe::load(word, set, Some(seed))).collect::<Result<_>>()?))
    }

    /// What all of them have in common.
    fn recipe(&self) -> &Recipe {
        match self {
            Runs::One(recipe) => recipe,
            Runs::Seeds(recipes) => &recipes[0], // never empty
        }
    }
}

/// A command about to be run.
struct Job {
    runs: Runs,
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
        let runs = Runs::load(word, &set, options.seed, &options.seeds)?;
        // A stage by itself gets a folder of its own, so that finetuning replaces nothing of the ANN's run.
        let name = &runs.recipe().name;
        let name = stage.map_or(name.clone(), |stage| format!("{name}-{stage}"));
        let out = options.out.clone().unwrap_or_else(|| Path::new("runs").join(name));
        Ok(Job { runs, data: options.data.clone(), out, resume: options.resume, tensorboard: board(options.tensorboard) })
    }

    /// Where each run goes.
    fn folders(&self) -> Vec<PathBuf> {
        match &self.runs {
            Runs::One(_) => vec![self.out.clone()],
            Runs::Seeds(recipes) => recipes.iter().map(|recipe| self.out.join(seed_folder(recipe.seed))).collect(),
        }
    }

    fn run(self, ending: &Ending, common: &Common) -> Result<()> {
        let device = device(common)?;
        let recipe = self.runs.recipe();
        let data = dataset(&recipe.dataset, self.data.as_deref(), common)?.hold_out(recipe.selection.validation)?;
        if let Ending::Snn(model, _) = ending {
            fits(model, &data)?;
        }
        let place = Place { ending, data: &data, device: &device, tensorboard: self.tensorboard, watch: &Shown::new(common.quiet) };
        match &self.runs {
            Runs::One(recipe) => {
                let begin = if self.resume { Begin::Resume } else { Begin::Anew };
                let report = place.run(recipe, &self.out, begin)?;
                print_results(&report, &self.out)
            }
            Runs::Seeds(recipes) => {
                let reports = self.each(recipes, &place)?;
                let summary = Summary::of(&reports)?;
                report::write_summary(&summary, &self.out)?;
                print_summary(&summary, &self.out)
            }
        }
    }

    /// A run a seed. Resumed, those that are done stay, one that was interrupted goes on, and the rest begin.
    fn each(&self, recipes: &[Recipe], place: &Place) -> Result<Vec<Report>> {
        let folders = self.folders();
        let begun = |folder: &Path| folder.join("recipe.toml").exists();
        if self.resume && !folders.iter().any(|folder| begun(folder)) {
            return Err(fail!("--resume: {} holds no run of these seeds; start it without --resume", self.out.display()));
        }
        let each = recipes.iter().zip(&folders).enumerate().map(|(at, (recipe, folder))| {
            place.watch.end(&format!("seed {} ({} of {})", recipe.seed, at + 1, recipes.len()));
            place.run(recipe, folder, if self.resume && begun(folder) { Begin::Resume } else { Begin::Anew })
        });
        each.collect()
    }
}

/// What the runs of all seeds share.
struct Place<'a> {
    ending: &'a Ending,
    data: &'a Dataset,
    device: &'a Device,
    tensorboard: Tensorboard,
    watch: &'a Shown,
}

impl Place<'_> {
    /// Run, and write the report.
    fn run(&self, recipe: &Recipe, out: &Path, begin: Begin) -> Result<Report> {
        let report = drive::run(Setup {
            recipe,
            out,
            begin,
            tensorboard: self.tensorboard,
            ending: self.ending.clone(),
            data: self.data,
            device: self.device,
            version: &version(),
            watch: self.watch,
        })?;
        report::write(&report, out)?;
        Ok(report)
    }
}

/// Whether a setting names a key at the top of a recipe rather than one of a stage.
fn is_top_level(setting: &str) -> bool {
    let key = setting.split('=').next().unwrap_or("").trim();
    Recipe::KEYS.contains(&key)
}

/// Every accuracy with its 95 % interval and its number of images.
pub(super) fn print_results(report: &Report, out: &Path) -> Result<()> {
    let natural = report.has_track("natural");
    let row = |key: &str, robust: &str, twin: &str, images: &str| {
        let twin = if natural { format!("  {twin:>17}") } else { String::new() };
        say(format!("{key:<22}  {robust:>17}{twin}  {images:>6}"))
    };
    row("accuracy, % (95 %)", "robust", "natural", "images")?;
    for (key, &percent) in report.results.iter().filter(|(key, _)| !key.starts_with("natural.")) {
        let images = report.images.get(key).copied().unwrap_or(0);
        let twin = report.result("natural", key).map(|percent| with_interval(percent, images)).unwrap_or_default();
        row(key, &with_interval(percent, images), &twin, &images.to_string())?;
    }
    say(format!("{:.0} s on {}; report: {}", report.seconds, report.start.device, out.join("report.html").display()))
}

/// Mean ± standard deviation over the seeds, and each seed's accuracy as [`print_results`] has it.
pub(super) fn print_summary(summary: &Summary, out: &Path) -> Result<()> {
    let width = summary.results.keys().map(String::len).max().unwrap_or(0).max(22);
    let row = |key: &str, mean: &str, each: &[String], images: &str| {
        let each: String = each.iter().map(|value| format!("  {value:>17}")).collect();
        say(format!("{key:<width$}  {mean:>11}{each}  {images:>6}"))
    };
    let heads: Vec<String> = summary.seeds.iter().map(|seed| format!("seed {seed}")).collect();
    row("accuracy, % (95 %)", "mean ± sd", &heads, "images")?;
    for (key, values) in &summary.values {
        let images = summary.images[key];
        let each: Vec<String> = values.iter().map(|&value| with_interval(value, images)).collect();
        row(key, &summary.told(key).unwrap_or_default(), &each, &images.to_string())?;
    }
    say(format!("{:.0} s on {}; report: {}", summary.seconds, summary.device, out.join("report.html").display()))
}
