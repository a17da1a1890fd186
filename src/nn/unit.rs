//! A product and the neuron behind it: one unit, which a device may compute in one pass.

use super::{Neuron, Param, Product};
use crate::autodiff::{Fire, Frames, Keep, Pass, Saved, Signal, Statistics};
use crate::base::Result;
use crate::ops::conv::{self, Firing, KeepCurrent};
use crate::ops::norm;

/// The signal behind both, and what the pass keeps of each. None where they are two steps anyway: `x` comes back.
pub(super) fn forward(product: &Product, neuron: &Neuron, x: Signal, pass: &Pass) -> Result<Result<(Signal, [Saved; 2]), Signal>> {
    let bias = product.bias.as_ref().map(Param::value);
    let (weight, stride, pad) = (&product.weight.weight, product.stride, product.pad);
    let within = |error: crate::base::Error| error.within(&product.weight.name);
    match (&neuron.norm, pass.statistics, pass.fire) {
        // The moments come with the current.
        (Some(norm), Statistics::Batch, _) => {
            let (y, moments) = conv::forward_moments(&x.data, weight, bias, stride, pad).map_err(within)?;
            let affine = norm::affine(&moments, norm.weight.value(), norm.bias.value());
            let saved = product.saved(x.data, x.frames, pass);
            let (signal, spent) = neuron.respond(y, x.frames, Some((affine, moments)), pass)?;
            Ok(Ok((signal, [saved, spent])))
        }
        // Nothing has to be known before the neuron fires.
        (norm, _, Fire::Spike { steps }) => {
            let map = norm.as_ref().map(|norm| {
                let moments = norm.running.clone();
                (norm::affine(&moments, norm.weight.value(), norm.bias.value()), moments)
            });
            let (affine, moments) = map.unzip();
            let firing = Firing { affine: affine.as_ref(), v_th: neuron.v_th.value(), dynamics: neuron.dynamics(steps) };
            let keep = if pass.keep > Keep::Spikes { KeepCurrent::Yes } else { KeepCurrent::No };
            let (y, spikes) = conv::fire(&x.data, weight, bias, stride, pad, firing, keep).map_err(within)?;
            let saved = product.saved(x.data, x.frames, pass);
            let spent = Saved::Neuron { y, affine, moments, frames: x.frames, spikes: Some(spikes.clone()) };
            Ok(Ok((Signal { data: spikes, frames: Frames::Each(steps) }, [saved, spent])))
        }
        _ => Ok(Err(x)),
    }
}
