//! The states of a stage: what training changes, and the files that keep it.
//!
//! A state is two files in `checkpoints/`: the optimiser's velocities and, written after them, the network, which names
//! them. Then the network gets its second name, `last.safetensors`, and only then what is no longer wanted goes. Every file
//! appears whole under its name, so wherever a run is killed, `last.safetensors` is a state from which it goes on to the
//! same bits (docs/adr/0009).

use super::Job;
use super::ledger::{Ledger, Sums};
use crate::base::{Result, ensure, fail, file};
use crate::checkpoint::{self, Meta, TensorFile};
use crate::drive::folder::{BEST, CHECKPOINTS, LAST, RunFolder};
use crate::nn::Model;
use crate::optim::Sgd;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

/// How far a stage is: so many whole epochs, and so many steps of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Whole epochs.
    pub epoch: usize,
    /// Steps of the epoch behind them.
    pub step: usize,
}

impl Position {
    /// What the files of the state here are called in the stage `stage`: of a whole epoch, `ann-epoch-0012`.
    fn stem(self, stage: &str) -> String {
        let step = if self.step > 0 { format!("-step-{:06}", self.step) } else { String::new() };
        format!("{stage}-epoch-{:04}{step}", self.epoch)
    }

    /// The position in the file name `name` of a state of `stage`.
    fn of(name: &str, stage: &str) -> Option<Position> {
        let stem = name.strip_suffix(NETWORK)?;
        let stem = stem.strip_suffix(VELOCITIES).unwrap_or(stem);
        let numbers = stem.strip_prefix(stage)?.strip_prefix("-epoch-")?;
        let (epoch, step) = numbers.split_once("-step-").unwrap_or((numbers, "0"));
        Some(Position { epoch: epoch.parse().ok()?, step: step.parse().ok()? })
    }
}

/// The end of every state's file names.
const NETWORK: &str = ".safetensors";
/// What comes before it where the file holds velocities.
const VELOCITIES: &str = ".optimizer";

/// Whether a state is the best so far, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// No word on it.
    Newest,
    /// It becomes `best.safetensors`.
    Best,
}

/// All that training changes.
pub struct State {
    /// The network.
    pub model: Model,
    /// Its optimiser.
    pub optimizer: Sgd,
    /// How far it is.
    pub at: Position,
    /// What the steps of the epoch found that is under way.
    pub ledger: Ledger,
}

impl State {
    /// The state that the job's stage was left in, or that of `model` before its first step.
    ///
    /// Errors: files that are broken, missing, or of another network.
    pub fn begin(model: Model, job: &Job, folder: &RunFolder) -> Result<State> {
        let optimizer = Sgd::new(&model, job.stage.momentum, job.stage.weight_decay);
        let fresh = State { model, optimizer, at: Position::default(), ledger: Ledger::new(job.recipe.log_every) };
        let path = folder.file(job.track, LAST);
        if !path.exists() {
            return Ok(fresh);
        }
        let (last, meta, more) = checkpoint::load_state(&path, fresh.model.device())?;
        if more.get("stage").map(String::as_str) != Some(job.name) {
            return Ok(fresh); // of the stage before
        }
        fresh.restored(last, &meta, &more, &folder.file(job.track, CHECKPOINTS)).map_err(|error| error.within(path.display()))
    }

    fn restored(mut self, last: Model, meta: &Meta, more: &BTreeMap<String, String>, states: &Path) -> Result<State> {
        let get = |key: &str| more.get(key).ok_or_else(|| fail!("its metadata lacks \"state.{key}\"; start without --resume"));
        let shapes = |model: &Model| model.params().iter().map(|param| (param.name.clone(), param.value().shape())).collect::<Vec<_>>();
        ensure!(shapes(&last) == shapes(&self.model), "it is of another network than the recipe's; start without --resume");
        let step = get("step")?.parse().map_err(|_| fail!("its \"state.step\" is no number; start without --resume"))?;
        let sums: Sums = serde_json::from_str(get("ledger")?).map_err(|cause| fail!("its \"state.ledger\" cannot be read: {cause}"))?;
        (self.model, self.at, self.ledger) = (last, Position { epoch: meta.epoch, step }, self.ledger.after(sums));
        let name = get("optimizer")?;
        ensure!(Path::new(name).file_name().is_some_and(|file| file == name.as_str()), "its \"state.optimizer\" is no file name");
        let path = states.join(name);
        let velocities = TensorFile::open(&path).map_err(|error| fail!("it goes on with an optimiser that is missing: {error}"))?;
        self.optimizer.restore(&self.model, &velocities).map_err(|error| error.within(path.display()))?;
        Ok(self)
    }

    /// Save the state; what the ledger has not read is not in it. `metrics` are numbers measured on the network.
    ///
    /// Errors: the disk is full or refuses. The state that was there before is as it was.
    pub fn save(&self, job: &Job, folder: &RunFolder, metrics: BTreeMap<String, f64>, rank: Rank) -> Result<()> {
        folder.sync()?;
        let states = folder.file(job.track, CHECKPOINTS);
        file::folder(&states)?;
        let stem = self.at.stem(job.name);
        let velocities = format!("{stem}{VELOCITIES}{NETWORK}");
        let network = states.join(format!("{stem}{NETWORK}"));
        let _ = std::fs::remove_file(&network); // of an earlier attempt: it must not meet other velocities
        self.optimizer.save(&self.model, &states.join(&velocities))?;
        let ledger = serde_json::to_string(self.ledger.sums()).map_err(|cause| fail!("cannot save the state: {cause}"))?;
        let more = [("stage", job.name.to_string()), ("step", self.at.step.to_string()), ("optimizer", velocities), ("ledger", ledger)];
        let meta = Meta { epoch: self.at.epoch, metrics, ..job.meta.clone() };
        checkpoint::save_state(&network, &self.model, &meta, &more.into())?;
        if rank == Rank::Best {
            file::link(&network, &folder.file(job.track, BEST))?;
        }
        file::link(&network, &folder.file(job.track, LAST))?;
        tidy(&states, job.name, self.at, job.recipe.keep);
        Ok(())
    }
}

/// Remove the states of `stage` that are neither the one at `now` nor of the last `keep` whole epochs, and what killed runs left.
fn tidy(states: &Path, stage: &str, now: Position, keep: usize) {
    file::sweep(states);
    for entry in std::fs::read_dir(states).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(at) = name.to_str().and_then(|name| Position::of(name, stage)) else { continue };
        let wanted = at == now || (at.step == 0 && at.epoch + keep > now.epoch);
        if !wanted {
            let _ = std::fs::remove_file(entry.path()); // what cannot be removed harms nobody
        }
    }
}

impl Sgd {
    /// Write the velocities beside a checkpoint.
    fn save(&self, model: &Model, path: &Path) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_known_by_its_name() {
        for at in [Position { epoch: 12, step: 0 }, Position { epoch: 0, step: 345 }, Position { epoch: 123_456, step: 7_654_321 }] {
            let stem = at.stem("ann");
            for name in [format!("{stem}{NETWORK}"), format!("{stem}{VELOCITIES}{NETWORK}")] {
                assert_eq!(Position::of(&name, "ann"), Some(at), "{name}");
                assert_eq!(Position::of(&name, "snn"), None, "{name}");
            }
        }
        assert_eq!(Position { epoch: 12, step: 0 }.stem("ann"), "ann-epoch-0012");
        for foreign in ["notes.txt", "ann-epoch-x.safetensors", "ann-epoch-1.txt", "ann.safetensors"] {
            assert_eq!(Position::of(foreign, "ann"), None, "{foreign}");
        }
    }

    #[test]
    fn the_newest_epochs_stay_and_foreign_files_too() {
        let folder = std::env::temp_dir().join(format!("caltrop-states-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let positions = [(1, 0), (2, 0), (2, 7), (3, 0), (3, 5), (3, 9)].map(|(epoch, step)| Position { epoch, step });
        for at in positions {
            for end in [NETWORK, ".optimizer.safetensors"] {
                std::fs::write(folder.join(format!("{}{end}", at.stem("ann"))), "x").unwrap();
            }
        }
        for name in ["snn-epoch-0001.safetensors", "mine.safetensors", ".ann-epoch-0003.safetensors.77.tmp"] {
            std::fs::write(folder.join(name), "x").unwrap();
        }
        tidy(&folder, "ann", Position { epoch: 3, step: 9 }, 2);
        let mut left: Vec<String> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let pair = |stem: &str| [format!("{stem}.optimizer.safetensors"), format!("{stem}.safetensors")];
        let wanted = [pair("ann-epoch-0002"), pair("ann-epoch-0003-step-000009"), pair("ann-epoch-0003")].concat();
        let mut wanted = [wanted, vec!["snn-epoch-0001.safetensors".into(), "mine.safetensors".into()]].concat();
        wanted.sort();
        assert_eq!(left, wanted);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
