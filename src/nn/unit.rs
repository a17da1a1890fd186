//! A product and the neuron behind it: one unit, which a device may compute in one pass.

use super::{Neuron, Param, Product};
use crate::autodiff::{Fire, Frames, Keep, Pass, Saved, Signal, Statistics};
use crate::base::{Error, Result};
use crate::ops::conv::{self, Firing, KeepCurrent};
use crate::ops::norm;
use crate::tensor::Data;

/// The signal behind both, and what the pass keeps of each.
pub(super) fn forward(product: &Product, neuron: &Neuron, x: Signal, pass: &Pass) -> Result<(Signal, [Saved; 2])> {
    let Signal { data, frames } = x;
    let bias = product.bias.as_ref().map(Param::value);
    let (weight, stride, pad) = (&product.weight.weight, product.stride, product.pad);
    let within = |error: Error| error.within(&product.weight.name);
    if let (Some(norm), Statistics::Batch) = (&neuron.norm, pass.statistics) {
        // The moments come with the current, and the neuron after both.
        let (y, moments) = conv::forward_moments(&data, weight, bias, stride, pad).map_err(within)?;
        let affine = norm::affine(&moments, norm.weight.value(), norm.bias.value());
        let (signal, spent) = neuron.respond(y, frames, Some((affine, moments)), pass)?;
        return Ok((signal, [product.saved(data, frames, pass), spent]));
    }
    // Nothing has to be known before the neuron answers.
    let map = neuron.norm.as_ref().map(|norm| {
        let moments = norm.running.clone();
        (norm::affine(&moments, norm.weight.value(), norm.bias.value()), moments)
    });
    let (affine, moments) = map.unzip();
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
    let spent = Saved::Neuron { y, affine, moments, frames, spikes };
    Ok((Signal { data: answer, frames: after }, [product.saved(data, frames, pass), spent]))
}
