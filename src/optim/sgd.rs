//! Stochastic gradient descent over a model's parameters.

use super::Rates;
use crate::autodiff::Gradients;
use crate::base::Result;
use crate::nn::{MIN_THRESHOLD, Model, Role};
use crate::ops::sgd;
use crate::tensor::Tensor;

/// SGD with momentum and weight decay over a model's parameters.
pub struct Sgd {
    momentum: f32,
    decay: f32,
    velocity: Vec<Option<Tensor>>,
}

impl Sgd {
    /// An optimiser for `model` before its first step.
    pub fn new(model: &Model, momentum: f32, decay: f32) -> Sgd {
        Sgd { momentum, decay, velocity: vec![None; model.params().len()] }
    }

    /// b of every parameter, by slot (None before its first step).
    pub fn velocity(&self) -> &[Option<Tensor>] {
        &self.velocity
    }

    /// b, writable, for a resume.
    pub fn velocity_mut(&mut self) -> &mut [Option<Tensor>] {
        &mut self.velocity
    }

    /// The numbers of a step at this learning rate.
    pub fn rates(&self, rate: f32) -> Rates {
        Rates { rate, momentum: self.momentum, decay: self.decay }
    }

    /// One step. A parameter without a gradient stays, decay included; thresholds are projected to ≥ 0.03.
    pub fn step(&mut self, model: &mut Model, gradients: &Gradients, rate: f32) -> Result<()> {
        let rates = self.rates(rate);
        for ((param, gradient), velocity) in model.params_mut().into_iter().zip(&gradients.params).zip(&mut self.velocity) {
            let Some(gradient) = gradient else { continue };
            let value = param.weight.value_mut();
            sgd::step(value, gradient, velocity, rates).map_err(|error| error.within(&param.name))?;
            if param.role == Role::Threshold {
                sgd::at_least(value, MIN_THRESHOLD);
            }
        }
        Ok(())
    }
}
