//! Floor 7: an ANN becomes a spiking network (METHOD §4, Algorithm 1): transplant, calibrate, scale.

use crate::autodiff::{Fire, Pass, Signal, Statistics};
use crate::base::{Result, ensure, fail};
use crate::nn::{Layer, MIN_THRESHOLD, Model, Neuron, Role, Spec};
use crate::ops::norm::Moments;
use crate::ops::percentile::{Percentile, percentile};
use crate::tensor::{Data, Tensor};
use crate::zoo;

/// The spiking network of `ann`: weights, norm weights and biases copied, new biases 0, running statistics reset to
/// mean 0 and variance 1, thresholds 1. `spec` is the ANN's with steps, leak, reset and bias of the SNN.
///
/// Errors: T = 0, a spec of another architecture.
pub fn transplant(ann: &Model, spec: Spec) -> Result<Model> {
    ensure!(spec.steps > 0, "convert: T = 0 where spikes are needed; use --steps 1 or more");
    let mut snn = zoo::build(ann.device(), spec, 0)?;
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

/// How thresholds are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Of the input current.
    pub percentile: Percentile,
    /// T of the calibration runs.
    pub steps: usize,
}

/// Find every threshold of `snn`, from the input on: the largest over `batches` (`[n,H,W,C]` each) of the percentile
/// of that neuron's current, batch norm on batch statistics, the neurons before it already spiking. Returns them,
/// unscaled; the network holds them too. One pass a layer: all batches wait in front of the layer that is calibrated.
///
/// `visit` is called before each layer of neurons with its index and their number, and may stop the work.
pub fn calibrate(
    snn: &mut Model,
    batches: &[Tensor],
    how: Calibration,
    mut visit: impl FnMut(usize, usize) -> Result<()>,
) -> Result<Vec<f32>> {
    ensure!(!batches.is_empty(), "convert: no calibration batches");
    let pass = Pass { statistics: Statistics::Batch, ..Pass::eval(Fire::Spike { steps: how.steps }, crate::autodiff::Keep::Spikes) };
    let mut signals = batches.iter().map(|images| snn.present(images, how.steps)).collect::<Result<Vec<_>>>()?;
    let neurons = snn.thresholds().len();
    let mut thresholds = Vec::new();
    for index in 0..snn.layers().len() {
        if thresholds.len() == neurons {
            break;
        }
        match &snn.layers()[index] {
            // A product waits for its neuron: its currents, T times the size of its spikes, are made one batch at a time.
            Layer::Product(_) if matches!(snn.layers().get(index + 1), Some(Layer::Neuron(_))) => {}
            Layer::Neuron(_) => {
                visit(thresholds.len(), neurons)?;
                let v_th = calibrate_layer(snn, index, &mut signals, how, &pass)?;
                thresholds.push(v_th);
            }
            layer => {
                for signal in &mut signals {
                    *signal = layer.forward(signal.clone(), &pass)?.0;
                }
            }
        }
    }
    Ok(thresholds)
}

fn calibrate_layer(snn: &mut Model, index: usize, signals: &mut [Signal], how: Calibration, pass: &Pass) -> Result<f32> {
    let mut v_th = f32::NEG_INFINITY;
    for signal in signals.iter() {
        let (neuron, current, frames) = current(snn, index, signal, pass)?;
        let affine = neuron.normalise(&current, Statistics::Batch)?.map(|(affine, _)| affine);
        let repeats = how.steps / frames;
        let found = percentile(&current, affine.as_ref(), repeats, how.percentile).map_err(|error| error.within(&neuron.v_th.name))?;
        v_th = v_th.max(found);
    }
    set_threshold(snn, index, v_th)?;
    for signal in signals.iter_mut() {
        let (_, current, _) = current(snn, index, signal, pass)?;
        let input = Signal { data: Data::Real(current), frames: signal.frames };
        *signal = snn.layers()[index].forward(input, pass)?.0;
    }
    Ok(v_th)
}

/// The current of the neuron at `index` for the signal in front of its product, and its frames.
fn current<'a>(snn: &'a Model, index: usize, signal: &Signal, pass: &Pass) -> Result<(&'a Neuron, Tensor, usize)> {
    let Layer::Neuron(neuron) = &snn.layers()[index] else { return Err(fail!("convert: layer {index} has no neurons")) };
    let data = match index.checked_sub(1).map(|before| &snn.layers()[before]) {
        Some(product @ Layer::Product(_)) => product.forward(signal.clone(), pass)?.0.data,
        _ => signal.data.clone(),
    };
    let frames = data.frames();
    match data {
        Data::Real(current) => Ok((neuron, current, frames)),
        _ => Err(fail!("convert: {} is fed spikes, not a current", neuron.v_th.name)),
    }
}

fn set_threshold(snn: &mut Model, index: usize, v_th: f32) -> Result<()> {
    let device = snn.device().clone();
    let Layer::Neuron(neuron) = &mut snn.layers_mut()[index] else { return Err(fail!("convert: layer {index} has no neurons")) };
    ensure!(v_th.is_finite(), "convert: {} would be {v_th}; the currents are broken", neuron.v_th.name);
    neuron.v_th.weight.set(Tensor::full(&device, [], v_th.max(MIN_THRESHOLD)));
    Ok(())
}

/// v_th ← max(0.03, scale · v_th) for every layer; running statistics to mean 0, variance 1.
pub fn scale(snn: &mut Model, thresholds: &[f32], scale: f32) -> Result<()> {
    let device = snn.device().clone();
    let mut raw = thresholds.iter();
    for layer in snn.layers_mut() {
        let Layer::Neuron(neuron) = layer else { continue };
        let v_th = raw.next().ok_or_else(|| fail!("convert: {} thresholds for more layers", thresholds.len()))?;
        neuron.v_th.weight.set(Tensor::full(&device, [], (scale * v_th).max(MIN_THRESHOLD)));
        if let Some(norm) = &mut neuron.norm {
            let channels = norm.weight.value().shape();
            norm.running = Moments { mean: Tensor::zeros(&device, channels), variance: Tensor::full(&device, channels, 1.0) };
            norm.batches = 0;
        }
    }
    Ok(())
}
