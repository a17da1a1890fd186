//! Dropout: an independent mask for every image, step and feature.

use crate::autodiff::{Frames, Grad, Pass, Saved, Signal};
use crate::base::rng::{Philox, Purpose};
use crate::base::{Result, fail};
use crate::ops::{dropout, frames, pool};
use crate::tensor::Data;

/// A dropout layer.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// The share that is dropped.
    pub p: f32,
    /// Which dropout of the model it is: its draws differ from the others'.
    pub index: u64,
}

impl Dropout {
    /// The draws of this layer in a pass whose draws are `pass`.
    pub fn stream(&self, pass: Philox) -> Philox {
        pass.fork(Purpose::Dropout, self.index)
    }

    pub(super) fn forward(&self, x: Signal, pass: &Pass) -> Result<(Signal, Saved)> {
        let stream = pass.dropout.filter(|_| self.p > 0.0).map(|draws| self.stream(draws));
        let saved = Saved::Mask { stream, frames: x.frames };
        let Some(stream) = stream else { return Ok((x, saved)) };
        if matches!(x.frames, Frames::Held(steps) if steps > 1) {
            return Err(fail!("dropout: a held signal has one frame for {} steps, which need masks of their own", x.frames.steps()));
        }
        let z = dropout::forward(&pool::numbers(&x.data), self.p, stream)?;
        Ok((Signal { data: Data::Real(z), frames: x.frames }, saved))
    }

    pub(super) fn backward(&self, stream: Option<Philox>, came: Frames, dz: Grad) -> Result<Grad> {
        let Some(stream) = stream else { return Ok(dz) };
        let steps = if let Frames::Each(steps) = came { steps } else { 1 };
        let all = if dz.tensor.shape()[3] == steps { dz.tensor } else { frames::repeat(&dz.tensor, steps, 1.0) };
        Ok(Grad::plain(dropout::backward(&all, self.p, stream)?))
    }
}
