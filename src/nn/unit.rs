//! A product and what follows it: one unit, which a device may compute in one pass.

use super::{Layer, Neuron, Norm, Param, Product};
use crate::autodiff::{Fire, Frames, Keep, Pass, Saved, Signal, Statistics};
use crate::base::{Error, Result};
use crate::ops::conv::{self, Firing, KeepCurrent};
use crate::tensor::Data;

/// What follows a product in its unit.
#[derive(Clone, Copy)]
pub(super) enum After<'a> {
    /// Norm (if any) and neuron.
    Neuron(&'a Neuron),
    /// A norm alone.
    Norm(&'a Norm),
}

impl<'a> After<'a> {
    /// `layer`, if it is of that kind.
    pub(super) fn of(layer: &'a Layer) -> Option<After<'a>> {
        match layer {
            Layer::Neuron(neuron) => Some(After::Neuron(neuron)),
            Layer::Norm(norm) => Some(After::Norm(norm)),
            _ => None,
        }
    }
}

/// The signal behind both, and what the pass keeps of each.
pub(super) fn forward(product: &Product, after: After, x: Signal, pass: &Pass) -> Result<(Signal, [Saved; 2])> {
    let norm = match after {
        After::Neuron(neuron) => neuron.norm.as_ref(),
        After::Norm(norm) => Some(norm),
    };
    if let (Some(norm), Statistics::Batch) = (norm, pass.statistics) {
        // The moments come with the current, and what follows after both.
        let Signal { data, frames } = x;
        let bias = product.bias.as_ref().map(Param::value);
        let found = conv::forward_moments(&data, &product.weight.weight, bias, product.stride, product.pad);
        let (y, moments) = found.map_err(|error| error.within(&product.weight.name))?;
        let map = norm.under(moments);
        let (signal, spent) = match after {
            After::Neuron(neuron) => neuron.respond(y, frames, Some(map), pass)?,
            After::Norm(norm) => norm.respond(y, frames, map, pass)?,
        };
        return Ok((signal, [product.saved(data, frames, pass), spent]));
    }
    match after {
        After::Neuron(neuron) => answer(product, neuron, x, pass),
        After::Norm(norm) => {
            let (y, saved) = product.forward(x, pass)?;
            let (signal, spent) = norm.forward(y, pass)?;
            Ok((signal, [saved, spent]))
        }
    }
}

/// Nothing has to be known before the neuron answers.
fn answer(product: &Product, neuron: &Neuron, x: Signal, pass: &Pass) -> Result<(Signal, [Saved; 2])> {
    let Signal { data, frames } = x;
    let bias = product.bias.as_ref().map(Param::value);
    let (weight, stride, pad) = (&product.weight.weight, product.stride, product.pad);
    let within = |error: Error| error.within(&product.weight.name);
    let (affine, moments) = neuron.norm.as_ref().map(Norm::constant).unzip();
    let keep = if pass.keep > Keep::Spikes { KeepCurrent::Yes } else { KeepCurrent::No };
    let (y, answer, after, spikes) = match pass.fire {
        Fire::Relu => {
            let (y, z) = conv::rectify(&data, weight, bias, stride, pad, affine.as_ref(), keep).map_err(within)?;
            (y, Data::Real(z), frames, None)
        }
        Fire::Spike { steps } => {
            let firing = Firing { affine: affine.as_ref(), v_th: neuron.v_th.value(), dynamics: neuron.dynamics(steps) };
            let (y, spikes) = conv::fire(&data, weight, bias, stride, pad, firing, keep).map_err(within)?;
            (y, spikes.clone(), Frames::Each(steps), Some(spikes))
        }
    };
    let spent = Saved::Neuron { y, affine, moments, frames, spikes, slopes: None };
    Ok((Signal { data: answer, frames: after }, [product.saved(data, frames, pass), spent]))
}
