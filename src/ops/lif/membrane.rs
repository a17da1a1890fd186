//! Membrane potentials spelled out, for those who look inside. Forward and backward never store them.

use super::{Dynamics, Reset, check};
use crate::base::Result;
use crate::ops::norm::Affine;
use crate::tensor::Tensor;

/// u_t = leak·v_{t−1} + x_t of every neuron and step, before its reset: `[N,H,W,T,C]` on the host, whatever the device; in f32
/// and in the order of the forward, so u_t ≥ v_th exactly where the neuron fires. Errors: as the forward.
pub fn membranes(y: &Tensor, affine: Option<&Affine>, v_th: &Tensor, dynamics: Dynamics) -> Result<Vec<f32>> {
    check(y.shape(), affine, dynamics)?;
    Ok(spelled_out(y, affine, v_th.to_vec()[0], dynamics))
}

/// [`membranes`] of a current that was checked.
pub(super) fn spelled_out(y: &Tensor, affine: Option<&Affine>, v_th: f32, dynamics: Dynamics) -> Vec<f32> {
    let Dynamics { steps, leak, reset } = dynamics;
    let (frames, channels) = (y.shape()[3], y.shape()[4]);
    let map = affine.map(|affine| (affine.scale.to_vec(), affine.shift.to_vec()));
    let y = y.to_vec();
    let mut u = vec![0.0; y.len() / frames * steps];
    for (y, u) in y.chunks_exact(frames * channels).zip(u.chunks_exact_mut(steps * channels)) {
        for c in 0..channels {
            let mut v = 0.0;
            for t in 0..steps {
                let y = y[if frames == 1 { 0 } else { t * channels } + c];
                // As the vector loops have it: without a map the scale is 1 and the shift 0.
                let x = map.as_ref().map_or(y, |(scale, shift)| y * scale[c] + shift[c]);
                let now = v * leak + x;
                u[t * channels + c] = now;
                v = match reset {
                    _ if now < v_th => now,
                    Reset::Hard => 0.0,
                    Reset::Soft => now - v_th,
                };
            }
        }
    }
    u
}
