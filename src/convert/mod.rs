//! Floor 7: an ANN becomes a spiking network (METHOD §4, Algorithm 1): transplant, calibrate, scale. And running statistics for those who do not finetune.

mod calibrate;
mod statistics;

pub use calibrate::{Calibration, calibrate};
pub use statistics::reestimate;

use crate::base::{Result, ensure};
use crate::nn::{MIN_THRESHOLD, Model, Role, Spec};
use crate::ops::norm::Moments;
use crate::tensor::Tensor;
use crate::zoo;

/// The spiking network of `ann`: weights, norm weights and biases copied, new biases 0, running statistics reset to
/// mean 0 and variance 1, thresholds 1. `spec` is the ANN's with steps, leak, reset and bias of the SNN.
///
/// Errors: T = 0, a spec of another architecture.
pub fn transplant(ann: &Model, spec: Spec) -> Result<Model> {
    transplant_into(zoo::blank(ann.device(), spec)?, ann)
}

/// [`transplant`] into `snn`, a new network: for layers of one's own, which no spec tells.
///
/// Errors: T = 0, parameters that `ann` lacks or has in another shape.
pub fn transplant_into(mut snn: Model, ann: &Model) -> Result<Model> {
    ensure!(snn.spec().steps > 0, "convert: T = 0 where spikes are needed; use --steps 1 or more");
    let donors = ann.params();
    for param in snn.params_mut() {
        match donors.iter().find(|donor| donor.name == param.name) {
            Some(donor) if donor.role == Role::Threshold => {}
            Some(donor) => {
                ensure!(donor.value().shape() == param.value().shape(), "convert: {} differs between the networks", param.name);
                param.weight.set(donor.value().clone());
            }
            None => ensure_bias(&param.name, param.role)?,
        }
    }
    Ok(snn)
}

fn ensure_bias(name: &str, role: Role) -> Result<()> {
    ensure!(role == Role::Bias, "convert: the ANN has no {name}");
    Ok(()) // a new bias starts at 0, as built
}

/// v_th ← max(0.03, scale · v_th) for every layer; running statistics to mean 0, variance 1.
pub fn scale(snn: &mut Model, thresholds: &[f32], scale: f32) -> Result<()> {
    let (device, layers) = (snn.device().clone(), snn.neurons().count());
    ensure!(thresholds.len() == layers, "convert: {} thresholds for {layers} layers of neurons", thresholds.len());
    for (neuron, v_th) in snn.neurons_mut().zip(thresholds) {
        neuron.v_th.weight.set(Tensor::full(&device, [], (scale * v_th).max(MIN_THRESHOLD)));
    }
    for norm in snn.norms_mut() {
        let channels = norm.weight.value().shape();
        norm.running = Moments { mean: Tensor::zeros(&device, channels), variance: Tensor::full(&device, channels, 1.0) };
        norm.batches = 0;
    }
    Ok(())
}
