//! Floor 8: the loops. Here the network and the attacks first meet.

mod attacker;
mod convert;
mod evaluate;
mod feed;
mod folder;
mod keys;
mod ledger;
mod pipeline;
mod recipe;
mod replay;
mod seen;
mod step;
mod train;
pub mod watch;

pub use convert::{calibration_batches, convert};
pub use evaluate::{Answer, PassOn, Question, evaluate, infer, sound};
pub use folder::{Begin, RunFolder, Track, replaced_by_finetuning};
pub use pipeline::{Ending, Setup, run};
pub use recipe::{Convert, Defense, Eval, Members, Recipe, Stage, Trial};
pub use replay::Stepper;
pub use seen::{Seen, credit};
pub use step::{Outcome, Place, start, step};
pub use train::{Job, train, upload};
pub use watch::{Silent, Watch};
