//! Floor 6: the optimiser, its schedule, gradients of several batches in one step, and the projection of thresholds.

mod accumulate;
mod schedule;
mod sgd;

pub use crate::ops::sgd::Rates;
pub use accumulate::Accumulator;
pub use schedule::{Course, Schedule};
pub use sgd::Sgd;
