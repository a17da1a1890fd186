//! ASSG, the adaptive sharpness surrogate gradient (Wang et al., "Towards reliable evaluation of adversarial robustness for
//! spiking neural networks", arXiv 2512.22522).
//!
//! σ'(x) = (α/2) / (1 + (π/2·α·x)²), x = u − v_th: the derivative of an arc tangent, whose sharpness α each neuron has for
//! itself at each step. It follows what |x| was over the iterations of an attack, newest heaviest:
//!   M ← 0.9·M + 0.1·|x|;  D ← 0.9·D + 0.1·||x| − M|;  α = (2/π)·tan(π·A/2) / (M + 1.5·D + 10⁻⁴),
//! M = 1 and D = 0 before the first. A bounds the share of the gradient that is expected to vanish; A/2 = 0.425, as in the
//! published code, while the paper searches it network by network. The statistics are constants: nothing is
//! differentiated through them. What follows is backpropagation through time, the reset differentiated as with every surrogate
//! here (the published code detaches it). Statistics are each image's own, in the paper too.

use super::membrane::membranes;
use super::{Credit, Dynamics};
use crate::base::{Result, ensure};
use crate::ops::norm::Affine;
use crate::tensor::Tensor;
use std::f32::consts::FRAC_PI_2;
use std::f64::consts::PI;

/// A/2.
const VANISHING: f64 = 0.425;
/// What an iteration leaves of the mean, and of the deviation.
const KEPT: f32 = 0.9;
/// What the next brings.
const NEW: f32 = 0.1;
/// How much the deviation widens the surrogate.
const RELAXATION: f32 = 1.5;
/// So that a membrane at rest on the threshold has a finite sharpness.
const LEAST: f32 = 1e-4;

/// What a layer of neurons remembers of the iterations of an attack: `[N,H,W,T,C]` each.
#[derive(Default)]
pub struct Sharpness {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Sharpness {
    /// The next iteration: remember the membranes of y, and return the slope of each spike, `[N,H,W,T,C]`.
    ///
    /// Errors: as the forward; other images than before; a device that the credit does not suit.
    pub fn observe(&mut self, y: &Tensor, affine: Option<&Affine>, v_th: &Tensor, dynamics: Dynamics) -> Result<Tensor> {
        Credit::Assg.suits(y.device())?;
        let u = membranes(y, affine, v_th, dynamics)?;
        if self.mean.is_empty() {
            (self.mean, self.deviation) = (vec![1.0; u.len()], vec![0.0; u.len()]);
        }
        ensure!(u.len() == self.mean.len(), "assg: {} membranes after {}: an attack's images must stay the same", u.len(), self.mean.len());
        let (v_th, bound) = (v_th.to_vec()[0], (2.0 * (VANISHING * PI).tan() / PI) as f32);
        let each = |((&u, mean), deviation): ((&f32, &mut f32), &mut f32)| {
            let x = u - v_th;
            *mean = KEPT * *mean + NEW * x.abs();
            *deviation = KEPT * *deviation + NEW * (x.abs() - *mean).abs();
            let sharpness = bound / (*mean + RELAXATION * *deviation + LEAST);
            let bent = FRAC_PI_2 * sharpness * x;
            0.5 * sharpness / (1.0 + bent * bent)
        };
        let slopes: Vec<f32> = u.iter().zip(&mut self.mean).zip(&mut self.deviation).map(each).collect();
        let shape = y.shape();
        Ok(Tensor::from_slice(y.device(), [shape[0], shape[1], shape[2], dynamics.steps, shape[4]], &slopes))
    }
}
