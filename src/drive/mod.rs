//! Floor 8: the loops. Here the network and the attacks first meet.

mod convert;
mod evaluate;
mod folder;
mod gallery;
mod inputs;
mod pipeline;
mod recipe;
mod results;
mod seen;
mod train;

pub use crate::base::watch::{self, Silent, Watch};
pub use convert::{calibration_batches, convert};
pub use evaluate::{
    Answer, Grade, Honesty, Member, Page, PassOn, Question, Radius, Recheck, Score, Store, classes, evaluate, evaluate_with, examine,
    infer, sound,
};
pub use folder::{Begin, RunFolder, Tensorboard, Track, replaced_by_finetuning};
pub use gallery::gallery;
pub use pipeline::{Ending, Setup, run};
pub use recipe::{Convert, Defense, Eval, Members, RECIPES, Recipe, Select, Selection, Source, Stage, Thresholds, Trial, find, settings};
pub use seen::{Remembering, Seen, credit, victim};
pub use train::{Job, Outcome, Place, Stepper, start, step, train, upload};

/// A ReLU network of a few weights, for the unit tests of this room.
#[cfg(test)]
fn tiny(device: &crate::device::Device, input: [usize; 3]) -> crate::nn::Model {
    let spec = crate::nn::Spec {
        arch: "vgg:3,A/4".into(),
        classes: 2,
        input,
        mean: vec![0.5; input[0]],
        std: vec![0.25; input[0]],
        bias: false,
        steps: 0,
        leak: 1.0,
        reset: crate::ops::lif::Reset::Hard,
        dropout: 0.0,
    };
    crate::zoo::build(device, spec, 1).expect("a small network")
}
