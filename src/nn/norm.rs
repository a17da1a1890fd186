//! Batch norm: its parameters and running statistics, and the layer that it is where no neuron stands behind it.

use super::Param;
use crate::autodiff::{Frames, Grad, Gradients, Keep, Pass, Saved, Signal, Statistics, Want};
use crate::base::{Result, Shape, fail};
use crate::ops::lif::Spread;
use crate::ops::norm::{self, Affine, Moments, Moving};
use crate::ops::{frames, pool};
use crate::tensor::{Data, Tensor};

/// Batch normalisation's parameters and running statistics.
#[derive(Clone)]
pub struct Norm {
    /// `[C]`.
    pub weight: Param,
    /// `[C]`.
    pub bias: Param,
    /// Running mean and (unbiased) variance.
    pub running: Moments,
    /// Batches that the running statistics have seen.
    pub batches: u64,
}

impl Norm {
    /// The normalisation of y under these statistics: what is applied, and the moments behind it.
    pub fn normalise(&self, y: &Tensor, statistics: Statistics) -> Result<(Affine, Moments)> {
        Ok(match statistics {
            Statistics::Running => self.constant(),
            Statistics::Batch => self.under(norm::moments(y)?),
        })
    }

    /// The normalisation under the running statistics.
    pub(super) fn constant(&self) -> (Affine, Moments) {
        self.under(self.running.clone())
    }

    /// The normalisation under `moments`.
    pub(super) fn under(&self, moments: Moments) -> (Affine, Moments) {
        (norm::affine(&moments, self.weight.value(), self.bias.value()), moments)
    }

    pub(super) fn forward(&self, x: Signal, pass: &Pass) -> Result<(Signal, Saved)> {
        let Data::Real(y) = x.data else { return Err(fail!("{}: a norm wants numbers, got spikes", self.weight.name)) };
        let map = self.normalise(&y, pass.statistics)?;
        self.respond(y, x.frames, map, pass)
    }

    /// The signal behind y under this map, and what the pass keeps.
    pub(super) fn respond(&self, y: Tensor, frames: Frames, map: (Affine, Moments), pass: &Pass) -> Result<(Signal, Saved)> {
        let (affine, moments) = map;
        let data = Data::Real(norm::apply(&y, &affine)?);
        // Under constant statistics the gradient of the input asks for the scale alone.
        let kept = pass.keep == Keep::All || (pass.keep == Keep::ForInput && pass.statistics == Statistics::Batch);
        let saved = Saved::Norm { shape: y.shape(), y: kept.then_some(y), affine, moments, frames };
        Ok((Signal { data, frames }, saved))
    }

    pub(super) fn backward(&self, saved: &Saved, pass: &Pass, dx: Grad, want: Want, gradients: &mut Gradients) -> Result<Grad> {
        let Saved::Norm { y, shape, affine, moments, .. } = saved else {
            return Err(fail!("{}: the trace belongs to another network", self.weight.name));
        };
        let dx = spelled_out(dx, *shape);
        let moving = if pass.statistics == Statistics::Running { Moving::Constant } else { Moving::Batch };
        if moving == Moving::Constant && !want.params() {
            let shift = Tensor::zeros(dx.device(), affine.scale.shape());
            return Ok(Grad::plain(norm::apply(&dx, &Affine { scale: affine.scale.clone(), shift })?));
        }
        let Some(y) = y else {
            return Err(fail!("{}: the trace keeps no input; this gradient needs Keep::ForInput or Keep::All", self.weight.name));
        };
        // The same at every step, but y is not.
        let dx = if dx.shape()[3] == y.shape()[3] { dx } else { frames::repeat(&dx, y.shape()[3], 1.0) };
        let norm::Gradients { dy, dweight, dbias } = norm::backward(&dx, y, moments, self.weight.value(), moving)?;
        if want.params() {
            gradients.params[self.weight.slot] = Some(dweight);
            gradients.params[self.bias.slot] = Some(dbias);
        }
        Ok(Grad::plain(dy))
    }

    /// Running statistics after the batch that left `saved` (METHOD §2: unbiased over T·N·H·W).
    pub(super) fn absorb(&mut self, saved: &Saved) {
        let (batch, shape, frames) = match saved {
            Saved::Neuron { moments: Some(batch), y: Some(y), frames, .. } => (batch, y.shape(), frames),
            Saved::Norm { moments, shape, frames, .. } => (moments, *shape, frames),
            _ => return,
        };
        let stored = shape.count() / shape[4];
        let repeats = if let Frames::Held(steps) = frames { *steps } else { 1 };
        let (mean, variance) = norm::running(&self.running.mean, &self.running.variance, batch, stored, repeats);
        // In place: what a GPU has recorded finds them there.
        self.running.mean.assign(&mean);
        self.running.variance.assign(&variance);
        self.batches += 1;
    }
}

/// The gradient of a signal of this shape, its pool's spelled out.
pub(super) fn spelled_out(dy: Grad, shape: Shape) -> Tensor {
    match dy.spread {
        Spread::Plain => dy.tensor,
        Spread::Quarters => pool::spread(&dy.tensor, shape),
    }
}
