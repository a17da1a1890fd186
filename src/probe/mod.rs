//! Floor 9: what happens inside a network on given images, clean and attacked.
//!
//! [`Samples`] are the images, [`Sites`] the layers of neurons by name, [`doctor`] tells why a conversion is bad. Everything here is read off an ordinary forward's trace: no
//! layer knows that it is looked at.

pub mod doctor;
mod samples;
mod sites;

pub use samples::{Onslaught, Samples};
pub use sites::{Place, Site, Sites};
