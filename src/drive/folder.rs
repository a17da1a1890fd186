//! A run's folder: checkpoints, the record of events, the report's data.

use super::evaluate::clear_all;
use super::recipe::{Recipe, difference};
use super::watch::Watch;
use crate::base::{Result, ensure, fail, file, usage};
use crate::checkpoint::{self, Meta};
use crate::data::Dataset;
use crate::device::Device;
use crate::nn::Model;
use crate::record::{Board, Epoch, Event, Recorder, Report, Start, read_events};
use std::path::{Path, PathBuf};

/// Whether a run begins anew or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Earlier results in the folder are replaced, with a word on it.
    Anew,
    /// What is there is kept and continued.
    Resume,
}

/// Whether a run's numbers are written for TensorBoard too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tensorboard {
    /// They are, into the folder `tensorboard` of the run's.
    On,
    /// Only where the run that is resumed did.
    Off,
}

/// The folder of one run.
pub struct RunFolder {
    path: PathBuf,
    recorder: Recorder,
    events: Vec<Event>,
    /// The start of a resumed run, until it has something to record.
    start: Option<Start>,
    /// Seconds of earlier runs that no event tells.
    recovered: f64,
}

/// The robust network or the natural one that it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    /// The recipe itself.
    Robust,
    /// Its table `[natural]`.
    Natural,
}

impl Track {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Track::Robust => "robust",
            Track::Natural => "natural",
        }
    }

    /// The phase in which the stage `ann` or `snn` is trained.
    pub fn training(self, stage: &str) -> String {
        self.key(if stage == "ann" { "ann-train" } else { "snn-finetune" })
    }

    /// A key or phase of this track.
    pub fn key(self, key: &str) -> String {
        match self {
            Track::Robust => key.to_string(),
            Track::Natural => format!("natural.{key}"),
        }
    }
}

/// The newest state of the stage under way.
pub const LAST: &str = "last.safetensors";
/// The best network so far of the stage under way.
pub const BEST: &str = "best.safetensors";
/// The folder of the newest states.
pub const CHECKPOINTS: &str = "checkpoints";
/// What a run that begins with the ANN, and so finetunes nobody's weights, tells of them.
const NO_WEIGHTS: &str = "none";
/// The folder of the attacks under way.
const PAGES: &str = "evaluation";

/// The files of a track that an SNN stage replaces, the one that names others first.
fn of_finetuning(folder: &Path) -> Vec<PathBuf> {
    [vec![folder.join(LAST), folder.join(BEST), folder.join("snn.safetensors")], states(folder, "snn-")].concat()
}

/// The files in `checkpoints/` below `folder` whose names start with `prefix`.
fn states(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join(CHECKPOINTS)).into_iter().flatten().flatten();
    let begins = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    entries.map(|entry| entry.path()).filter(begins).collect()
}

/// The files that an SNN stage alone replaces in the folder `path`.
pub fn replaced_by_finetuning(path: &Path) -> Vec<PathBuf> {
    of_finetuning(path)
}

/// The files that a run from the ANN on replaces there.
pub fn replaced(path: &Path) -> Vec<PathBuf> {
    let of = |track| {
        let folder = track_path(path, track);
        let ann = ["ann.safetensors", "converted.safetensors"].map(|name| folder.join(name));
        [of_finetuning(&folder), ann.to_vec(), states(&folder, "ann-")].concat()
    };
    [of(Track::Robust), of(Track::Natural)].concat()
}

impl RunFolder {
    /// Open the folder at `path` for the recipe whose text is `text`. It is this process's until it is dropped.
    ///
    /// Beginning anew removes the files `replaced` of an earlier run, which `watch` is told of.
    ///
    /// Errors: it cannot be written, another process has it; on resume, it holds no run or one of another recipe, in another
    /// precision or of other images.
    pub fn open(path: &Path, text: &str, begin: Begin, replaced: &[PathBuf], start: Start, watch: &dyn Watch) -> Result<RunFolder> {
        let (recipe, record) = (path.join("recipe.toml"), path.join("run.jsonl"));
        for pages in [Track::Robust, Track::Natural].map(|track| pages(path, track)) {
            ensure!(
                !pages.is_file(),
                "attacks keep their batches in {}: it is a file; move it away, or give another --out",
                pages.display()
            );
        }
        let (recorder, events) = match begin {
            Begin::Anew => {
                file::folder(path)?;
                let mut recorder = Recorder::append(&record)?;
                if recipe.exists() {
                    watch.end(&farewell(path, &read_events(&record).unwrap_or_default()));
                }
                // Where a recipe is, there is a run of it: the old one's goes first, the new one's comes last.
                for file in std::iter::once(&recipe).chain(replaced) {
                    let _ = std::fs::remove_file(file); // if it is there
                }
                [Track::Robust, Track::Natural].into_iter().try_for_each(|track| clear_all(&pages(path, track)))?;
                recorder.clear()?;
                file::write(&recipe, text.as_bytes())?;
                (recorder, Vec::new())
            }
            Begin::Resume => {
                let earlier = std::fs::read_to_string(&recipe)
                    .map_err(|cause| fail!("--resume: {} holds no run ({cause}); start it without --resume", path.display()))?;
                if let Some(which) = difference(&earlier, text) {
                    return Err(usage!(
                        "--resume: the run in {} used another recipe or other settings ({which}); give the same, or another --out",
                        path.display()
                    ));
                }
                let recorder = Recorder::append(&record)?;
                let events = read_events(&record)?;
                if let Some(which) = last_start(&events).and_then(|before| departure(before, &start)) {
                    return Err(usage!("--resume: the run in {} {which}, or another --out", path.display()));
                }
                (recorder, events)
            }
        };
        for track in [Track::Robust, Track::Natural] {
            file::sweep(&track_path(path, track));
        }
        let is_new = last_start(&events).is_none();
        let mut folder = RunFolder { path: path.to_path_buf(), recorder, events, start: Some(start), recovered: 0.0 };
        if is_new {
            folder.begin()?;
        }
        Ok(folder)
    }

    /// Write event files for TensorBoard, or remove those of the run that this one replaces. Errors: they cannot be written.
    pub fn mirror(&mut self, wanted: Tensorboard, begin: Begin) -> Result<()> {
        let place = self.path.join("tensorboard");
        let board = match (begin, wanted) {
            (Begin::Anew, Tensorboard::Off) => return Board::clear(&place),
            (Begin::Anew, Tensorboard::On) => Board::create(&place)?,
            (Begin::Resume, Tensorboard::Off) if !Board::exists(&place) => return Ok(()),
            (Begin::Resume, _) => Board::append(&place, &self.events)?,
        };
        self.recorder.mirror(board);
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file `name` of `track`.
    pub fn file(&self, track: Track, name: &str) -> PathBuf {
        track_path(&self.path, track).join(name)
    }

    /// The file `name` of `track`, to be written: its folder is made. Errors: it cannot be made or takes no files.
    pub fn place(&self, track: Track, name: &str) -> Result<PathBuf> {
        file::folder(&track_path(&self.path, track))?;
        Ok(self.file(track, name))
    }

    /// Where the attacks of `track` that are under way keep what is done.
    pub fn pages(&self, track: Track) -> PathBuf {
        pages(&self.path, track)
    }

    /// Remove what attacks of `track` kept: their results are recorded. Errors: the disk.
    pub fn clear_pages(&self, track: Track) -> Result<()> {
        clear_all(&self.pages(track))
    }

    /// Append an event; before the first one of a resumed run comes its start.
    pub fn record(&mut self, event: Event) -> Result<()> {
        self.begin()?;
        self.append(event)
    }

    /// Record that the run is complete, after `seconds` in all. A resumed run that had nothing left to do adds nothing.
    pub fn finish(&mut self, seconds: f64) -> Result<()> {
        if self.start.is_some() && matches!(self.events.last(), Some(Event::Finish { .. })) {
            return Ok(());
        }
        self.record(Event::Finish { seconds })
    }

    /// Record the start, if it is not recorded yet.
    fn begin(&mut self) -> Result<()> {
        self.start.take().map_or(Ok(()), |start| self.append(Event::Start(start)))
    }

    fn append(&mut self, event: Event) -> Result<()> {
        self.recorder.record(&event)?;
        self.events.push(event);
        Ok(())
    }

    /// Everything recorded, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Whether an event like this was recorded.
    pub fn has(&self, is_it: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(is_it)
    }

    /// What is recorded of an epoch of the stage `stage`; where it was done twice, the last time.
    pub fn epoch(&self, track: Track, stage: &str, epoch: usize) -> Option<&Epoch> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Epoch(known) if (known.epoch, &known.stage[..], &known.track[..]) == (epoch, stage, track.name()) => Some(known),
            _ => None,
        })
    }

    /// Seconds that went into an epoch of the stage `stage` before the state at its step `step` was saved.
    pub fn seconds_into(&self, track: Track, stage: &str, epoch: usize, step: usize) -> f64 {
        let at = (epoch, step, stage, track.name());
        let seconds = |event: &Event| match event {
            Event::Saved(known) if (known.epoch, known.step, &known.stage[..], &known.track[..]) == at => Some(known.seconds),
            _ => None,
        };
        self.events.iter().rev().find_map(seconds).unwrap_or(0.0)
    }

    /// Seconds that all runs so far spent, as far as they are recorded: phases, and what is done of a stage under way.
    pub fn seconds(&self) -> Result<f64> {
        let report = self.report()?;
        if let Some(Event::Finish { .. }) = self.events.last() {
            return Ok(report.seconds);
        }
        let is_open = |track: &str, stage: &str| {
            let track = if track == Track::Natural.name() { Track::Natural } else { Track::Robust };
            report.phases.iter().all(|phase| phase.name != track.training(stage))
        };
        let phases: f64 = report.phases.iter().map(|phase| phase.seconds).sum();
        let epochs: f64 = report.epochs.iter().filter(|e| is_open(&e.track, &e.stage)).filter_map(|e| e.seconds).sum();
        let since = self.events.iter().rev().take_while(|event| !matches!(event, Event::Epoch(_)));
        let within = since.filter_map(|event| if let Event::Saved(saved) = event { Some(saved) } else { None }).next();
        let within = within.filter(|saved| is_open(&saved.track, &saved.stage)).map_or(0.0, |saved| saved.seconds);
        Ok(phases + epochs + within)
    }

    /// An attack goes on that took so many seconds before; no phase tells them until it is done.
    pub fn recover(&mut self, seconds: f64) {
        self.recovered += seconds;
    }

    /// All that was [recovered](RunFolder::recover).
    pub fn recovered(&self) -> f64 {
        self.recovered
    }

    /// Everything recorded, folded.
    pub fn report(&self) -> Result<Report> {
        Report::from_events(&self.events)
    }

    /// Wait until what is recorded is on the disk.
    pub fn sync(&self) -> Result<()> {
        self.recorder.sync()
    }

    /// Save `model` as checkpoint `name` of `track`, behind what is recorded. Errors: NaN in it, a folder that cannot be written.
    pub fn save(&self, track: Track, name: &str, model: &Model, meta: &Meta) -> Result<()> {
        self.sync()?;
        if let Some(broken) = broken(model) {
            return Err(fail!("{broken} is not finite; the network is not saved"));
        }
        checkpoint::save(&self.place(track, name)?, model, meta)
    }

    /// The checkpoint `name` of `track`, where there is one.
    pub fn load(&self, track: Track, name: &str, device: &Device) -> Result<Option<(Model, Meta)>> {
        let path = self.file(track, name);
        if path.exists() { checkpoint::load(&path, device).map(Some) } else { Ok(None) }
    }
}

/// The first tensor of `model` with a NaN or infinity, parameter or running statistic: no checkpoint of it could be loaded.
pub fn broken(model: &Model) -> Option<String> {
    let dict = checkpoint::state_dict(model);
    dict.into_iter().find(|(_, _, values)| values.iter().any(|x| !x.is_finite())).map(|(name, ..)| name)
}

fn track_path(path: &Path, track: Track) -> PathBuf {
    match track {
        Track::Robust => path.to_path_buf(),
        Track::Natural => path.join("natural"),
    }
}

fn pages(path: &Path, track: Track) -> PathBuf {
    track_path(path, track).join(PAGES)
}

/// The start that counts: the last one.
fn last_start(events: &[Event]) -> Option<&Start> {
    events.iter().rev().find_map(|event| if let Event::Start(start) = event { Some(start) } else { None })
}

/// The line on a run with the record `events`, which a new one replaces.
fn farewell(path: &Path, events: &[Event]) -> String {
    let state = match events.last() {
        Some(Event::Finish { .. }) => "finished",
        _ => "unfinished",
    };
    let name = last_start(events).map(|start| format!(" of {} (seed {})", start.recipe, start.seed)).unwrap_or_default();
    format!("{}: the {state} run{name} that is there is replaced", path.display())
}

/// In what that its results depend on a run that goes on is not the one that began, both values and a cure in words, to stand
/// behind the run and before "or". What an older record does not tell is taken for equal.
fn departure(before: &Start, now: &Start) -> Option<String> {
    if ![&now.precision, ""].contains(&before.precision.as_str()) {
        return Some(format!("computed in {} and would go on in {}; give --precision {0}", before.precision, now.precision));
    }
    let images = |start: &Start| [start.train_images, start.validation_images, start.test_images];
    let told = |start: &Start| format!("{} training, {} held-out and {} test images", images(start)[0], images(start)[1], images(start)[2]);
    if before.train_images > 0 && images(before) != images(now) {
        return Some(format!("had {} and would go on with {}; give the data that it had", told(before), told(now)));
    }
    if ![&now.fingerprint, ""].contains(&before.fingerprint.as_str()) {
        let of = "images of the fingerprint";
        return Some(format!("had {of} {} and would go on with {of} {}; give the data that it had", before.fingerprint, now.fingerprint));
    }
    if ![&now.weights, ""].contains(&before.weights.as_str()) {
        let told =
            |weights: &str| if weights == NO_WEIGHTS { "no weights".into() } else { format!("weights of the fingerprint {weights}") };
        let cure = if before.weights == NO_WEIGHTS { "give no checkpoint" } else { "give the checkpoint that it began with" };
        let (before, now) = (told(&before.weights), told(&now.weights));
        return Some(format!("began with {before} and would go on with {now}; {cure}"));
    }
    None
}

/// What the first line of a record says of a run, which finetunes `origin` or begins with the ANN.
pub fn start(recipe: &Recipe, data: &Dataset, device: &Device, version: &str, origin: Option<&Model>) -> Start {
    Start {
        version: version.to_string(),
        recipe: recipe.name.clone(),
        dataset: recipe.dataset.clone(),
        network: recipe.arch.clone(),
        device: device.describe(),
        precision: device.precision().to_string(),
        threads: device.threads(),
        train_images: data.train.len(),
        validation_images: data.validation.as_ref().map_or(0, |images| images.len()),
        test_images: data.test.len(),
        fingerprint: data.fingerprint(),
        weights: origin.map_or(NO_WEIGHTS.to_string(), checkpoint::fingerprint),
        seed: recipe.seed,
        steps: recipe.snn.steps,
        eps: recipe.eval.eps,
    }
}
