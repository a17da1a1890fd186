//! Floor 1: what a run writes and a report reads.
//!
//! A run appends one [`Event`] a line to `run.jsonl` through a [`Recorder`]; [`Report::from_events`] folds them into
//! what `report.json` holds, and a [`Board`] writes their numbers for TensorBoard. Everything but the start is optional: a plain `train` makes a report too.
//! [`Found`] says what lies in a folder, a [`Comparison`] sets several of these side by side.

mod anytime;
mod comparison;
mod diagnosis;
mod difference;
mod event;
mod facts;
mod found;
mod inside;
mod interval;
mod lines;
mod recorder;
mod schema;
mod strength;
mod summary;
mod tensorboard;
#[cfg(test)]
mod tests;

pub use anytime::{Accuracy, Anytime, Moment, Turn};
pub use comparison::{Cell, Comparison, Contender, Difference, Fact, Row, Side, letter};
pub use diagnosis::{Advice, CalibrationImages, Diagnosis, Given, Health, Measured, SweepCell};
pub use event::Event;
pub use found::{Found, holds_run, keeps_report};
pub use inside::{Change, Course, Histogram, Inside, Inspected, Potential, Seen, Take};
pub use interval::{wilson, with_interval};
pub use lines::{Chart, Line};
pub use recorder::{Recorder, read_events};
pub use schema::{
    Checks, Curve, Epoch, Firing, Gallery, GalleryItem, Layer, Length, Member, Phase, Report, Saved, Search, Start, Step, Support, Verdict,
};
pub use strength::strength;
pub use summary::{Summary, seed_folder};
pub use tensorboard::Board;
