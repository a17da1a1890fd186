//! Where an evaluation keeps what is done, so that a killed one goes on.

use super::super::args::Eval;
use super::super::version;
use crate::base::{Error, Result, fail, file};
use crate::drive::{Answer, Question, Store, Watch, evaluate_with};
use crate::nn::Model;

/// What an evaluation keeps. It lies beside the checkpoint, in a folder that is named by the question and goes when the answer
/// is written. None where that folder cannot be written: there is nothing to go on from, should it be interrupted.
pub struct Kept(Option<Store>);

impl Kept {
    /// Evaluate `model`, with what an interrupted evaluation left there.
    pub fn evaluate(args: &Eval, model: &Model, question: &Question, watch: &dyn Watch) -> Result<(Answer, Kept)> {
        let slug: String =
            question.to_string().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        let name = args.checkpoint.file_stem().unwrap_or_default().to_string_lossy();
        let folder = args.checkpoint.with_file_name(format!("{name}.eval-{slug}-seed{}", args.seed));
        if !folder.exists() && file::writable(&folder).is_err() {
            if args.resume {
                return Err(fail!(
                    "--resume: an evaluation is kept beside its checkpoint, and that folder cannot be written: {}",
                    folder.display()
                ));
            }
            return Ok((evaluate_with(model, question, None, watch)?, Kept(None)));
        }
        let (mut store, pages) = question.store(&folder, model, &version(), args.resume)?;
        if args.resume {
            watch.end(&match pages.len() {
                0 => format!("--resume: nothing was kept in {}; from the beginning", folder.display()),
                pages => format!("{pages} batches were done before"),
            });
        }
        let answer = evaluate_with(model, question, Some((&mut store, pages)), watch);
        let kept = Kept(Some(store));
        Ok((kept.resumable(answer)?, kept))
    }

    /// An interrupt, or a disk that is full: what is kept is a place to go on from.
    pub fn resumable<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match &self.0 {
            Some(store) if store.is_begun() => {
                let kept = store.folder().display();
                Error::new(error.kind(), format!("{error}; what is done is kept in {kept}, the same command with --resume goes on"))
            }
            _ => error,
        })
    }

    /// The answer is written: remove what was kept. Errors: the disk.
    pub fn clear(self) -> Result<()> {
        self.0.map_or(Ok(()), |mut store| store.clear())
    }
}
