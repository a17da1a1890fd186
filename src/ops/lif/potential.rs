//! PDSG, the potential-dependent surrogate gradient (Lun et al., "Towards effective and sparse adversarial attack on spiking
//! neural networks via breaking invisible surrogate gradients", CVPR 2025, arXiv 2503.03272).
//!
//! σ'(x) = exp(−(x − w/2)²/(2·w²)) / (√(2π)·w), x = u − v_th: a bell around half a width above the threshold. Its width w
//! belongs to a channel at step t: the standard deviation (over n − 1) of the membranes u that its neurons had at steps 0 to t,
//! before any reset; where all are equal, or there is one alone, w = 1. A layer without a plane (H = W = 1) is one group.
//! Widths are constants: nothing is differentiated through them. What follows is backpropagation through time, the reset
//! differentiated as with every surrogate here.
//!
//! The paper pools a width over the images of a batch as well. Here each image has its own, so that what an attack finds does
//! not depend on how images are batched.

use super::Dynamics;
use super::membrane::spelled_out;
use super::surrogate::{Place, Slope};
use crate::ops::norm::Affine;
use crate::ops::wide::{Wide, exp};
use crate::tensor::Tensor;

/// The widths of a layer.
pub struct Widths {
    /// 1/w: `[N,T,C]`.
    inverse: Vec<f32>,
    /// H·W.
    pixels: usize,
    steps: usize,
    channels: usize,
}

/// How many membranes there were, their mean, and the sum of squared distances from it.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Of numbers all at once: exactly no spread where they are equal.
    fn of(values: impl Iterator<Item = f64> + Clone) -> Moments {
        let count = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / count;
        Moments { count, mean, squares: values.map(|value| (value - mean).powi(2)).sum() }
    }

    /// Of both together (Chan, Golub & LeVeque 1983).
    fn and(self, other: Moments) -> Moments {
        let (count, apart) = (self.count + other.count, other.mean - self.mean);
        let squares = self.squares + other.squares + apart * apart * self.count * other.count / count;
        Moments { count, mean: self.mean + apart * other.count / count, squares }
    }

    fn width(self) -> f64 {
        let deviation = (self.squares / (self.count - 1.0)).sqrt();
        // One number alone gives NaN.
        if deviation > 0.0 { deviation } else { 1.0 }
    }
}

impl Widths {
    /// Of the neurons that y drives `[N,H,W,F,C]`.
    pub fn of(y: &Tensor, affine: Option<&Affine>, v_th: f32, dynamics: Dynamics) -> Widths {
        let (pixels, channels, steps) = (y.shape()[1] * y.shape()[2], y.shape()[4], dynamics.steps);
        let u = spelled_out(y, affine, v_th, dynamics);
        let mut inverse = Vec::with_capacity(y.shape()[0] * steps * channels);
        for image in u.chunks_exact((pixels * steps * channels).max(1)) {
            let mut so_far = vec![Moments::default(); channels];
            for t in 0..steps {
                let row = |pixel: usize| &image[(pixel * steps + t) * channels..][..channels];
                if pixels == 1 {
                    let all = so_far[0].and(Moments::of(row(0).iter().map(|&u| f64::from(u))));
                    so_far.fill(all);
                } else {
                    for (c, so_far) in so_far.iter_mut().enumerate() {
                        *so_far = so_far.and(Moments::of((0..pixels).map(|pixel| f64::from(row(pixel)[c]))));
                    }
                }
                inverse.extend(so_far.iter().map(|moments| (1.0 / moments.width()) as f32));
            }
        }
        Widths { inverse, pixels, steps, channels }
    }

    /// The surrogate of these widths.
    pub fn bell(&self) -> Bell<'_> {
        Bell(self)
    }
}

/// PDSG's surrogate.
#[derive(Clone, Copy)]
pub struct Bell<'a>(&'a Widths);

impl Slope for Bell<'_> {
    #[inline(always)]
    fn at<V: Wide>(&self, u: V, place: Place) -> V {
        let Widths { inverse, pixels, steps, channels } = self.0;
        let row = (place.pixel / pixels * steps + place.step) * channels;
        let inverse = V::load(&inverse[row + place.channels.start..row + place.channels.end]);
        let z = u.mul(inverse).sub(V::splat(0.5));
        const HEIGHT: f32 = 0.398_942_3; // 1/√(2π)
        exp(z.mul(z).mul(V::splat(-0.5))).mul(inverse.mul(V::splat(HEIGHT)))
    }
}
