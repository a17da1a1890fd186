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

use super::membrane::spelled_out;
use super::{Dynamics, check, gpu};
use crate::base::{Result, ensure};
use crate::device::Device;
use crate::ops::norm::Affine;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};
use std::f32::consts::FRAC_PI_2;
use std::f64::consts::PI;

/// A/2.
const VANISHING: f64 = 0.425;

/// The constants of the formula (`Adaptation` in kernels/adaptive.cu).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Adaptation {
    /// What an iteration leaves of the mean, and of the deviation.
    kept: f32,
    /// What the next brings.
    fresh: f32,
    /// What the statistics divide.
    bound: f32,
    /// How much the deviation widens the surrogate.
    relaxation: f32,
    /// So that a membrane at rest on the threshold has a finite sharpness.
    least: f32,
}

impl Adaptation {
    fn published() -> Adaptation {
        Adaptation { kept: 0.9, fresh: 0.1, bound: (2.0 * (VANISHING * PI).tan() / PI) as f32, relaxation: 1.5, least: 1e-4 }
    }

    /// The slope at x = u − v_th, and the statistics behind it.
    fn slope(&self, x: f32, mean: &mut f32, deviation: &mut f32) -> f32 {
        *mean = self.kept * *mean + self.fresh * x.abs();
        *deviation = self.kept * *deviation + self.fresh * (x.abs() - *mean).abs();
        let sharpness = self.bound / (*mean + self.relaxation * *deviation + self.least);
        let bent = FRAC_PI_2 * sharpness * x;
        0.5 * sharpness / (1.0 + bent * bent)
    }
}

/// What a layer of neurons remembers of the iterations of an attack.
#[derive(Default)]
pub struct Sharpness {
    /// M and D, `[N,H,W,T,C]` each, where the network is; None before the first iteration.
    statistics: Option<[Tensor; 2]>,
}

impl Sharpness {
    /// The next iteration: remember the membranes of y, and return the slope of each spike, `[N,H,W,T,C]`. Nothing is sent to the
    /// device or read from it.
    ///
    /// Errors: as the forward; other images than before.
    pub fn observe(&mut self, y: &Tensor, affine: Option<&Affine>, v_th: &Tensor, dynamics: Dynamics) -> Result<Tensor> {
        check(y.shape(), affine, dynamics)?;
        let (shape, device, adaptation) = (y.shape(), y.device(), Adaptation::published());
        let mut slopes = Tensor::unspecified(device, [shape[0], shape[1], shape[2], dynamics.steps, shape[4]]);
        let shape = slopes.shape();
        let statistics = self.statistics.get_or_insert_with(|| [Tensor::full(device, shape, 1.0), Tensor::zeros(device, shape)]);
        let before = statistics[0].shape();
        ensure!(shape == before, "assg: membranes {shape} after {before}: an attack's images must stay the same");
        match device {
            Device::Gpu(gpu) => gpu::sharpen(gpu, y, affine, v_th, dynamics, adaptation, statistics, &mut slopes),
            Device::Cpu(_) => {
                let v_th = v_th.host()[0];
                let u = spelled_out(y, affine, v_th, dynamics);
                let [mean, deviation] = statistics;
                let remembered = mean.host_mut().iter_mut().zip(deviation.host_mut());
                for ((slope, u), (mean, deviation)) in slopes.host_mut().iter_mut().zip(u).zip(remembered) {
                    *slope = adaptation.slope(u - v_th, mean, deviation);
                }
            }
        }
        Ok(slopes)
    }
}
