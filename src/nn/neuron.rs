//! Batch norm and neuron: one unit, so that the normalised current is never stored.

use super::{Norm, Param};
use crate::autodiff::{Credit, Fire, Frames, Grad, Gradients, Keep, Pass, Saved, Signal, Statistics, Want};
use crate::base::{Result, Shape, fail};
use crate::ops::lif::{self, Down, Dynamics, Reset, Spread, Upstream};
use crate::ops::norm::{self, Affine, Moments, Moving, Normalised};
use crate::ops::{pool, relu};
use crate::tensor::{Data, Tensor};

/// A layer of neurons behind an optional normalisation.
#[derive(Clone)]
pub struct Neuron {
    /// The normalisation.
    pub norm: Option<Norm>,
    /// The firing threshold.
    pub v_th: Param,
    /// Share of the membrane that survives a step.
    pub leak: f32,
    /// Reset.
    pub reset: Reset,
}

impl Neuron {
    /// Its name: the threshold's without `.v_th`.
    pub fn name(&self) -> &str {
        self.v_th.name.trim_end_matches(".v_th")
    }

    /// The dynamics over `steps` steps.
    pub fn dynamics(&self, steps: usize) -> Dynamics {
        Dynamics { steps, leak: self.leak, reset: self.reset }
    }

    /// The normalisation under these statistics: what is applied, and the moments behind it.
    pub fn normalise(&self, y: &Tensor, statistics: Statistics) -> Result<Option<(Affine, Moments)>> {
        self.norm.as_ref().map(|norm| norm.normalise(y, statistics)).transpose()
    }

    pub(super) fn forward(&self, x: Signal, pass: &Pass) -> Result<(Signal, Saved)> {
        let Data::Real(y) = x.data else { return Err(fail!("{}: a neuron wants a current, got spikes", self.v_th.name)) };
        let map = self.normalise(&y, pass.statistics)?;
        self.respond(y, x.frames, map, pass)
    }

    /// The signal behind the current y under this map, and what the pass keeps.
    pub(super) fn respond(&self, y: Tensor, frames: Frames, map: Option<(Affine, Moments)>, pass: &Pass) -> Result<(Signal, Saved)> {
        let (affine, moments) = map.unzip();
        let (data, after, spikes) = match pass.fire {
            Fire::Relu => (Data::Real(relu::forward(&y, affine.as_ref())), frames, None),
            Fire::Spike { steps } => {
                let spikes = lif::forward(&y, affine.as_ref(), self.v_th.value(), self.dynamics(steps))?;
                (spikes.clone(), Frames::Each(steps), Some(spikes))
            }
        };
        let kept = pass.keep > Keep::Spikes;
        let saved = Saved::Neuron { y: kept.then_some(y), affine, moments, frames, spikes, slopes: None };
        Ok((Signal { data, frames: after }, saved))
    }

    pub(super) fn backward(
        &self,
        saved: &Saved,
        pass: &Pass,
        dz: Grad,
        credit: Credit,
        want: Want,
        gradients: &mut Gradients,
    ) -> Result<Grad> {
        let Saved::Neuron { y: Some(y), affine, moments, slopes, .. } = saved else {
            return Err(fail!("{}: the trace keeps no current; a backward needs Keep::ForInput or Keep::All", self.v_th.name));
        };
        let affine = affine.as_ref();
        let constant = pass.statistics == Statistics::Running;
        // With constant statistics and no parameter wanted, the affine map is passed on the way.
        let short = constant && !want.params();
        let down = if short { Down::Scaled } else { Down::Current };
        let upstream = Upstream { gradient: &dz.tensor, spread: dz.spread };
        let v_th = self.v_th.value();
        let mut learn = |dv_th| {
            if want.params() && credit.reaches_thresholds() {
                gradients.params[self.v_th.slot] = Some(dv_th);
            }
        };
        let (Some(norm), Some(moments), Some(affine), false) = (&self.norm, moments, affine, short) else {
            return Ok(Grad::plain(match pass.fire {
                Fire::Relu => relu::backward(y, affine, upstream, down)?,
                Fire::Spike { steps } => {
                    let dynamics = self.dynamics(steps);
                    let lif::Gradients { dx, dv_th } = match slopes {
                        Some(slopes) if credit.is_sloped() => lif::backward_sloped(y, affine, v_th, dynamics, upstream, slopes, down)?,
                        _ => lif::backward(y, affine, v_th, dynamics, upstream, credit, down)?,
                    };
                    learn(dv_th);
                    dx
                }
            }));
        };
        let moving = if constant { Moving::Constant } else { Moving::Batch };
        let normalised = Normalised { affine, moments, weight: norm.weight.value(), moving };
        let norm::Gradients { dy, dweight, dbias } = match pass.fire {
            Fire::Relu => relu::backward_norm(y, normalised, upstream)?,
            Fire::Spike { steps } => {
                let back = lif::backward_norm(y, normalised, v_th, self.dynamics(steps), upstream, (credit, slopes.as_ref()))?;
                learn(back.dv_th);
                back.norm
            }
        };
        if want.params() {
            gradients.params[norm.weight.slot] = Some(dweight);
            gradients.params[norm.bias.slot] = Some(dbias);
        }
        Ok(Grad::plain(dy))
    }
}

/// The gradient of a signal that reached a pool: handed on in the pool's terms, for the neuron below to spread.
pub(super) fn through_pool(dy: Grad, shape: Shape) -> Grad {
    match dy.spread {
        Spread::Plain => Grad { tensor: dy.tensor, spread: Spread::Quarters },
        // A pool upon a pool: the upper one is spelled out.
        Spread::Quarters => {
            let halved = Shape::new(&[shape[0], shape[1] / 2, shape[2] / 2, shape[3], shape[4]]);
            Grad { tensor: pool::spread(&dy.tensor, halved), spread: Spread::Quarters }
        }
    }
}
