//! Floor 9: what happens inside a network on given images, clean and attacked.
//!
//! [`Samples`] are the images, [`Sites`] the layers of neurons by name. [`inside()`] records spikes and membranes, [`step`] goes through
//! time for one neuron, [`measure`] counts operations, [`anytime()`] asks after every step, [`doctor`] tells why a conversion is bad.
//! Everything here is read off an ordinary forward's trace: no layer knows that it is looked at.

mod anytime;
pub mod doctor;
mod inside;
mod prices;
mod reach;
mod samples;
mod sites;
pub mod step;
mod workload;

pub use anytime::anytime;
pub use inside::{Chosen, Inner, Snapshot, Words, inside, snapshot};
pub use prices::Prices;
pub use reach::{Operations, Synapses};
pub use samples::{Onslaught, Samples};
pub use sites::{Place, Site, Sites};
pub use workload::{Counter, Held, Neurons, Pair, Product, Reads, Totals, Workload, measure};

use crate::base::Result;
use crate::drive::watch;
use crate::nn::Model;
use crate::tensor::Tensor;
use std::ops::Range;

/// `count` images, batch by batch: a bar moves and an interrupt is answered after each.
fn batches(count: usize) -> impl Iterator<Item = Range<usize>> {
    const BATCH: usize = 64;
    (0..count).step_by(BATCH).map(move |start| start..(start + BATCH).min(count))
}

/// Images of a slice: what a forward keeps of them should stay in a thread's cache.
const SLICE: usize = 4;

/// What `look` sees in each slice of `images`, in their order; on the CPU each slice is one thread's. Eval mode treats every image by
/// itself, so the slices change nothing. Errors: those of `look`, an interrupt.
fn in_slices<R: Send>(model: &Model, images: &Tensor, look: impl Fn(&Tensor, Range<usize>) -> Result<R> + Sync) -> Result<Vec<R>> {
    let count = images.shape()[0];
    let size = model.device().slice_of(SLICE, count);
    let starts: Vec<usize> = (0..count).step_by(size).collect();
    let seen = model.device().map(starts.len(), |index| {
        watch::check()?;
        let range = starts[index]..(starts[index] + size).min(count);
        look(&images.slice(range.clone()), range)
    });
    seen.into_iter().collect()
}
