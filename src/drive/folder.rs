//! A run's folder: checkpoints, the record of events, the report's data.

use super::recipe::Recipe;
use crate::base::{Result, ensure, fail, file, usage};
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
pub const CHECKPOINTS: [&str; 6] =
    ["ann.safetensors", "converted.safetensors", "snn.safetensors", "last.safetensors", "last.optimizer.safetensors", "best.safetensors"];

impl RunFolder {
    /// Open the folder at `path` for `recipe`, whose text is `text`.
    ///
    /// Errors: it cannot be written; on resume, it holds no run or one of another recipe.
    pub fn open(path: &Path, text: &str, begin: Begin, start: Start) -> Result<RunFolder> {
        let (recipe, record) = (path.join("recipe.toml"), path.join("run.jsonl"));
        let (recorder, events) = match begin {
            Begin::Anew => {
                file::folder(path)?;
                for track in [Track::Robust, Track::Natural] {
                    for name in CHECKPOINTS {
                        let _ = std::fs::remove_file(track_path(path, track).join(name)); // of an earlier run, if any
                    }
                }
                file::write(&recipe, text.as_bytes())?;
                (Recorder::create(&record)?, Vec::new())
            }
            Begin::Resume => {
                let earlier = std::fs::read_to_string(&recipe)
                    .map_err(|cause| fail!("--resume: {} holds no run ({cause}); start it without --resume", path.display()))?;
                if earlier != text {
                    return Err(usage!("--resume: the run in {} used another recipe or other settings; give the same, or another --out", path.display()));
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

    /// Append an event.
    pub fn record(&mut self, event: Event) -> Result<()> {
        self.recorder.record(&event)?;
        self.events.push(event);
        Ok(())
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
        let broken = model.params().into_iter().find(|param| param.value().host().iter().any(|x| !x.is_finite()));
        ensure!(broken.is_none(), "training turned NaN: {} is not finite", broken.map_or("", |param| &param.name));
        let path = self.file(track, name);
        if let Some(parent) = path.parent() {
            file::folder(parent)?;
        }
        checkpoint::save(&path, model, meta)
    }

    /// The checkpoint `name` of `track`, where there is one.
    pub fn load(&self, track: Track, name: &str, device: &Device) -> Result<Option<(Model, Meta)>> {
        let path = self.file(track, name);
        if path.exists() { checkpoint::load(&path, device).map(Some) } else { Ok(None) }
    }
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
