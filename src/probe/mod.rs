//! Floor 9: what happens inside a network on given images, clean and attacked.
//!
//! [`Samples`] are the images, [`Sites`] the layers of neurons by name, [`step`] goes through time for one neuron. Everything here is read off an ordinary forward's trace: no
//! layer knows that it is looked at.

mod inside;
mod samples;
mod sites;
pub mod step;

pub use inside::{Chosen, Inner, Snapshot, Words, inside, snapshot};
pub use samples::{Onslaught, Samples};
pub use sites::{Place, Site, Sites};
