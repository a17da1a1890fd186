//! Floor 0: what every room may use. Errors, shapes, randomness, pickles.

mod error;
pub mod file;
pub mod pickle;
pub mod rng;
mod shape;

pub use error::{Error, Kind, Result, ensure, fail, nearest, suggest, usage};
pub use shape::Shape;
