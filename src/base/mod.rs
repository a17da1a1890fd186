//! Floor 0: what every room may use. Errors, shapes, randomness, files and what they are, pickles, and who watches a long job.

mod error;
pub mod file;
mod nature;
pub mod pickle;
pub mod rng;
mod shape;
pub mod watch;

pub use error::{Error, Kind, Result, ensure, fail, nearest, suggest, usage};
pub use nature::nature;
pub use shape::Shape;
