//! The spiking neuron: leaky integrate and fire, through time (METHOD §1).
//!
//! u_t = leak·v_{t−1} + x_t; s_t = [u_t ≥ v_th]; v_t = (1 − s_t)·u_t (hard) or u_t − s_t·v_th (soft); x = scale·y + shift.
//!
//! Contract: results are written (`=`). The current y is all that forward saves: membranes are recomputed in
//! backward, whose surrogate is an argument. Layouts `[N,H,W,F,C]`; one stored frame of y stands for all T.

mod cpu;
mod gpu;
mod membrane;
mod potential;
pub(super) mod route;
mod sharpness;
mod surrogate;

pub(super) use cpu::strip;
pub(super) use gpu::Coded;
pub use membrane::membranes;
pub use sharpness::Sharpness;
pub use surrogate::{Surrogate, SurrogateKind};

use crate::base::{Result, Shape, ensure, fail};
use crate::device::Device;
use crate::ops::frames::repeat;
use crate::ops::norm::{self, Affine, Normalised};
use crate::tensor::{Array, Data, Tensor};

/// What a membrane does when it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reset {
    /// Back to 0.
    #[default]
    Hard,
    /// Down by the threshold.
    Soft,
}

impl std::fmt::Display for Reset {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(if *self == Reset::Hard { "hard" } else { "soft" })
    }
}

/// The dynamics of a layer of neurons.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dynamics {
    /// T, at least 1.
    pub steps: usize,
    /// The share of the membrane that survives a step, 1 for IF.
    pub leak: f32,
    /// Reset.
    pub reset: Reset,
}

/// How blame returns through a spiking neuron.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Credit {
    /// Backpropagation through time with a surrogate derivative.
    Bptt(Surrogate),
    /// Through the firing rate (BPTR): dx_t = dy_t·[the neuron fired at all], nothing through the reset.
    Rate,
    /// PDSG: through time, with a bell whose width is the standard deviation of the membranes around (Lun et al. 2025,
    /// arXiv 2503.03272; `potential.rs` has the equations).
    Pdsg,
    /// HART (Hao et al. 2024, "Threaten spiking neural networks through combining rate and temporal information", ICLR):
    /// dx_t = (1/T)·Σ_s dy_s·σ'(u_s − v_th), the same at every step. Each spike is blamed for its own membrane, nothing
    /// returns through leak and reset, and blame is averaged over time as a rate's is.
    Hart(Surrogate),
    /// ASSG: through time, with slopes that follow each membrane over the iterations of an attack, [`Sharpness`].
    Assg,
    /// Through time, each spike with the slope that it was given: a surrogate of one's own (`Model::slope`).
    Given,
}

impl Default for Credit {
    /// BPTT with PCW, γ = 1, the paper's choice for training and attacks.
    fn default() -> Self {
        Credit::Bptt(Surrogate::default())
    }
}

impl Credit {
    /// Whether each spike has a slope of its own, which the backward must be handed.
    pub fn is_sloped(self) -> bool {
        matches!(self, Credit::Assg | Credit::Given)
    }

    /// Whether it gives thresholds a gradient.
    pub fn reaches_thresholds(self) -> bool {
        match self {
            Credit::Bptt(_) | Credit::Pdsg | Credit::Assg | Credit::Given => true,
            Credit::Rate | Credit::Hart(_) => false,
        }
    }
}

/// The upstream gradient of a neuron.
#[derive(Clone, Copy)]
pub struct Upstream<'a> {
    /// `[N,H,W,F,C]`, F = T, or 1 when it is the same at every step; height and width halved when `Quarters`.
    pub gradient: &'a Tensor,
    /// What lies between gradient and neuron.
    pub spread: Spread,
}

/// How a gradient relates to the pixels below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// One to one.
    Plain,
    /// It belongs to 2x2 average pools: each of the four pixels receives a quarter.
    Quarters,
}

/// Gradients of a layer of neurons.
pub struct Gradients {
    /// Of the current x (or of y, where `backward` was told to pass `scale`): F = 1 where y is held (summed over
    /// steps) or where it is the same at every step, else T.
    pub dx: Tensor,
    /// Of v_th, `[]`.
    pub dv_th: Tensor,
}

/// What the neuron's backward hands down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// The gradient of the current x.
    Current,
    /// Multiplied by the affine scale: the gradient of y when the affine map is constant.
    Scaled,
}

/// Spikes of the current scale·y + shift. `v_th` is a scalar. Errors: T = 0, frames neither 1 nor T.
pub fn forward(y: &Tensor, affine: Option<&Affine>, v_th: &Tensor, dynamics: Dynamics) -> Result<Data> {
    check(y.shape(), affine, dynamics)?;
    let shape = y.shape();
    let mut codes = Array::unspecified(y.device(), [shape[0], shape[1], shape[2], crate::tensor::planes(dynamics.steps), shape[4]]);
    match y.device() {
        Device::Gpu(gpu) => gpu::forward(gpu, y, affine, v_th, dynamics, &mut codes),
        Device::Cpu(cpu) => cpu::forward(cpu, y, affine, v_th.host()[0], dynamics, &mut codes),
    }
    Ok(Data::Spikes { codes, steps: dynamics.steps })
}

/// Gradients for the upstream gradient of the spikes. Errors: as forward, a gradient of another shape, and
/// [`Credit::Assg`] and [`Credit::Given`], whose slopes [`backward_sloped`] wants.
pub fn backward(
    y: &Tensor,
    affine: Option<&Affine>,
    v_th: &Tensor,
    dynamics: Dynamics,
    upstream: Upstream,
    credit: Credit,
    down: Down,
) -> Result<Gradients> {
    back(y, affine, v_th, dynamics, upstream, (credit, None), down)
}

/// [`backward`] through time where each spike has a slope of its own, `slopes` `[N,H,W,T,C]`: [`Credit::Assg`], [`Credit::Given`].
///
/// Errors: as backward; slopes of another shape.
pub fn backward_sloped(
    y: &Tensor,
    affine: Option<&Affine>,
    v_th: &Tensor,
    dynamics: Dynamics,
    upstream: Upstream,
    slopes: &Tensor,
    down: Down,
) -> Result<Gradients> {
    back(y, affine, v_th, dynamics, upstream, (Credit::Given, Some(slopes)), down)
}

fn back(
    y: &Tensor,
    affine: Option<&Affine>,
    v_th: &Tensor,
    dynamics: Dynamics,
    upstream: Upstream,
    (credit, slopes): (Credit, Option<&Tensor>),
    down: Down,
) -> Result<Gradients> {
    check(y.shape(), affine, dynamics)?;
    check_upstream(y, upstream, dynamics.steps)?;
    let shape = y.shape();
    if let Some(slopes) = slopes.filter(|_| credit.is_sloped()) {
        let [n, h, w, c] = [0, 1, 2, 4].map(|axis| shape[axis]);
        ensure!(slopes.shape() == [n, h, w, dynamics.steps, c].into(), "lif: slopes {} for a current {shape}", slopes.shape());
    }
    let frames = match credit {
        _ if shape[3] == 1 => 1,
        Credit::Rate if upstream.gradient.shape()[3] == 1 => 1,
        Credit::Hart(_) => 1,
        _ => dynamics.steps,
    };
    let mut dx = Tensor::unspecified(y.device(), [shape[0], shape[1], shape[2], frames, shape[4]]);
    let dv_th = match y.device() {
        Device::Gpu(gpu) => gpu::backward(gpu, y, affine, v_th, dynamics, upstream, (credit, slopes), down, &mut dx)?,
        Device::Cpu(cpu) => {
            let dv_th = cpu::backward(cpu, y, affine, v_th.host()[0], dynamics, upstream, (credit, slopes), down, &mut dx)?;
            Tensor::full(y.device(), [], dv_th as f32)
        }
    };
    Ok(Gradients { dx, dv_th })
}

/// The slopes of ASSG, or those that were given. Errors: there are none.
fn needed(slopes: Option<&Tensor>) -> Result<&Tensor> {
    slopes.ok_or_else(|| fail!("lif: no spike was given a slope; ASSG's come from the iterations of an attack, others from Model::slope"))
}

/// Gradients of a layer of neurons and the normalisation in front of it.
pub struct NormGradients {
    /// Of y, its shape, and of weight and bias.
    pub norm: norm::Gradients,
    /// Of v_th, `[]`.
    pub dv_th: Tensor,
}

/// [`backward`] (of sloped credits [`backward_sloped`], with `slopes`) and [`norm::backward`] behind it, in one pass over y on a
/// GPU, through the rate or with one surrogate for all.
///
/// Errors: those of the two.
pub fn backward_norm(
    y: &Tensor,
    norm: Normalised,
    v_th: &Tensor,
    dynamics: Dynamics,
    upstream: Upstream,
    (credit, slopes): (Credit, Option<&Tensor>),
) -> Result<NormGradients> {
    let surrogate = match credit {
        Credit::Bptt(surrogate) => Some(Some(surrogate)),
        Credit::Rate => Some(None),
        Credit::Pdsg | Credit::Hart(_) | Credit::Assg | Credit::Given => None,
    };
    if let (Device::Gpu(gpu), Some(surrogate)) = (y.device(), surrogate) {
        check(y.shape(), Some(norm.affine), dynamics)?;
        check_upstream(y, upstream, dynamics.steps)?;
        return Ok(gpu::backward_norm(gpu, y, norm, v_th, dynamics, upstream, surrogate));
    }
    let Gradients { dx, dv_th } = back(y, Some(norm.affine), v_th, dynamics, upstream, (credit, slopes), Down::Current)?;
    // The same at every step, but y is not.
    let dx = if dx.shape()[3] == y.shape()[3] { dx } else { repeat(&dx, y.shape()[3], 1.0) };
    Ok(NormGradients { norm: norm::backward(&dx, y, norm.moments, norm.weight, norm.moving)?, dv_th })
}

/// The number of spikes in `spikes` (0 for an activation that is no spikes). Waits for the device.
pub fn count(spikes: &Data) -> u64 {
    tally(spikes).to_vec().iter().sum()
}

/// Spikes in `spikes` in parts, which add up to their number: `[parts]`, still on the device. Numbers hold none.
pub fn tally(spikes: &Data) -> Array<u64> {
    let Data::Spikes { codes, .. } = spikes else { return Array::zeros(spikes.device(), [1]) };
    match codes.device() {
        Device::Gpu(gpu) => gpu::tally(gpu, codes),
        Device::Cpu(cpu) => Array::full(codes.device(), [1], cpu::count(cpu, codes.host())),
    }
}

/// Neurons that never fire in `spikes`. Waits for the device.
pub fn silent(spikes: &Data) -> u64 {
    let Data::Spikes { codes, .. } = spikes else { return 0 };
    match codes.device() {
        Device::Gpu(gpu) => gpu::silent(gpu, codes),
        Device::Cpu(_) => cpu::silent(codes),
    }
}

/// Checks that a current of `shape` can drive the neuron.
pub(super) fn check(shape: Shape, affine: Option<&Affine>, dynamics: Dynamics) -> Result<()> {
    let steps = dynamics.steps;
    ensure!(shape.rank() == 5, "lif: the current wants shape NxHxWxFxC, got {shape}");
    ensure!(steps >= 1, "lif: T = 0 where spikes are needed; use --steps 1 or more");
    ensure!(shape[3] == 1 || shape[3] == steps, "lif: {} frames for {steps} steps", shape[3]);
    if let Some(affine) = affine {
        ensure!(affine.scale.shape().count() == shape[4], "lif: {} scales for {} channels", affine.scale.shape(), shape[4]);
    }
    Ok(())
}

/// Checks that `upstream` fits a neuron whose current is `y`.
pub(super) fn check_upstream(y: &Tensor, upstream: Upstream, steps: usize) -> Result<()> {
    let (shape, gradient) = (y.shape(), upstream.gradient.shape());
    let [height, width] = match upstream.spread {
        Spread::Plain => [shape[1], shape[2]],
        Spread::Quarters => [shape[1] / 2, shape[2] / 2],
    };
    ensure!(
        gradient.extents() == [shape[0], height, width, gradient[3], shape[4]] && (gradient[3] == 1 || gradient[3] == steps),
        "neuron: the gradient {gradient} does not fit a current of {shape} over {steps} steps"
    );
    Ok(())
}
