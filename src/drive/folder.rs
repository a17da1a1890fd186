//! A run's folder: checkpoints, the record of events, the report's data.

use super::recipe::{Recipe, difference};
use crate::base::{Result, fail, file, usage};
use crate::checkpoint::{self, Meta};
use crate::device::Device;
use crate::nn::Model;
use crate::record::{Event, Recorder, Report, Start, read_events};
use std::path::{Path, PathBuf};

/// Whether a run begins anew or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Earlier results in the folder are replaced.
    Anew,
    /// What is there is kept and continued.
    Resume,
}

/// The folder of one run.
pub struct RunFolder {
    path: PathBuf,
    recorder: Recorder,
    events: Vec<Event>,
}

/// The robust network or the natural one that it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    /// The recipe itself.
    Robust,
    /// Its table [natural].
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

    /// A key or phase of this track.
    pub fn key(self, key: &str) -> String {
        match self {
            Track::Robust => key.to_string(),
            Track::Natural => format!("natural.{key}"),
        }
    }
}

/// The checkpoints of a track.
pub const CHECKPOINTS: [&str; 7] = [
    "ann.safetensors",
    "converted.safetensors",
    "snn.safetensors",
    "last.safetensors",
    "last.optimizer-0.safetensors",
    "last.optimizer-1.safetensors",
    "best.safetensors",
];
/// How many of [`CHECKPOINTS`] the SNN stage alone leaves as they are: the networks that it may start from.
const BEFORE_FINETUNING: usize = 2;

/// The files that an SNN stage alone replaces in the folder `path`.
pub fn replaced_by_finetuning(path: &Path) -> Vec<PathBuf> {
    CHECKPOINTS[BEFORE_FINETUNING..].iter().map(|name| path.join(name)).collect()
}

/// The files that a run from the ANN on replaces there.
pub fn replaced(path: &Path) -> Vec<PathBuf> {
    let files = |track| CHECKPOINTS.map(|name| track_path(path, track).join(name));
    [files(Track::Robust), files(Track::Natural)].concat()
}

impl RunFolder {
    /// Open the folder at `path` for `recipe`, whose text is `text`.
    ///
    /// Beginning anew removes the files `replaced` of an earlier run.
    ///
    /// Errors: it cannot be written; on resume, it holds no run or one of another recipe.
    pub fn open(path: &Path, text: &str, begin: Begin, replaced: &[PathBuf], start: Start) -> Result<RunFolder> {
        let (recipe, record) = (path.join("recipe.toml"), path.join("run.jsonl"));
        let (recorder, events) = match begin {
            Begin::Anew => {
                file::folder(path)?;
                for file in replaced {
                    let _ = std::fs::remove_file(file); // if it is there
                }
                file::write(&recipe, text.as_bytes())?;
                (Recorder::create(&record)?, Vec::new())
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
                let events = read_events(&record)?;
                (Recorder::append(&record)?, events)
            }
        };
        let mut folder = RunFolder { path: path.to_path_buf(), recorder, events };
        if !folder.events.iter().any(|event| matches!(event, Event::Start(_))) {
            folder.record(Event::Start(start))?;
        }
        Ok(folder)
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

    /// Append an event.
    pub fn record(&mut self, event: Event) -> Result<()> {
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

    /// Everything recorded, folded.
    pub fn report(&self) -> Result<Report> {
        Report::from_events(&self.events)
    }

    /// Save `model` as checkpoint `name` of `track`. Errors: NaN in it, a folder that cannot be written.
    pub fn save(&self, track: Track, name: &str, model: &Model, meta: &Meta) -> Result<()> {
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

/// What the first line of a record says of a run.
pub fn start(recipe: &Recipe, device: &Device, version: &str) -> Start {
    Start {
        version: version.to_string(),
        recipe: recipe.name.clone(),
        dataset: recipe.dataset.clone(),
        network: recipe.arch.clone(),
        device: device.describe(),
        threads: device.threads(),
        seed: recipe.seed,
        steps: recipe.snn.steps,
        eps: recipe.eval.eps,
    }
}
