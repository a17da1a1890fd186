//! Floor 1: what a run writes and a report reads.
//!
//! A run appends one [`Event`] a line to `run.jsonl` through a [`Recorder`]; [`Report::from_events`] folds them into
//! what `report.json` holds, and a [`Board`] writes their numbers for TensorBoard. Everything but the start is optional: a plain `train` makes a report too.

mod diagnosis;
mod event;
mod interval;
mod recorder;
mod schema;
mod strength;
mod summary;
mod tensorboard;
#[cfg(test)]
mod tests;

pub use diagnosis::{Advice, CalibrationImages, Diagnosis, Given, Health, Measured, SweepCell};
pub use event::Event;
pub use interval::{wilson, with_interval};
pub use recorder::{Recorder, read_events};
pub use schema::{
    Checks, Curve, Epoch, Firing, Gallery, GalleryItem, Layer, Length, Member, Phase, Report, Saved, Search, Start, Step, Support, Verdict,
};
pub use strength::strength;
pub use summary::{Summary, seed_folder};
pub use tensorboard::Board;
