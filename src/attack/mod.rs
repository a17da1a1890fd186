//! Floor 6: attacks on pixels. An attack knows only a [`Victim`]: logits and pixel gradients.
//!
//! The shared borrow proves that an attack leaves the network alone. Noise is an argument of every algorithm;
//! [`Noise`] draws it by (seed, image, attack, member), so results do not depend on how images are batched.

mod expected;
mod fab;
mod fgsm;
mod host;
mod hyperplane;
mod kind;
mod noise;
mod norm;
mod pgd;
mod square;

pub use expected::Expected;
pub use fab::{Fab, fab};
pub use fgsm::{fgsm, fgsm_many, rfgsm};
pub use kind::{Attack, ENSEMBLE_SIZE, NAMES, ensemble};
pub use noise::Noise;
pub use norm::Norm;
pub use pgd::{Walk, pgd};
pub use square::{Square, square};

use crate::autodiff::Lens;
use crate::base::{Result, fail};
use crate::loss;
use crate::ops::{blend::blend, pixel};
use crate::tensor::{Array, Tensor};

/// What is attacked. `images` are `[N,H,W,C]` in [0,1], logits `[N,K]`.
pub trait Victim {
    /// The logits as `lens` sees them: of the spiking network, or of the ReLU network for [`Lens::Act`].
    fn logits(&self, images: &Tensor, lens: Lens) -> Result<Tensor>;

    /// For each lens the gradient, with respect to the images, of the scalar whose gradient at that lens's logits
    /// is `dlogits_of(logits)`, and those logits. Lenses of one network share its forward.
    fn gradients(&self, images: &Tensor, dlogits_of: &(dyn Fn(&Tensor) -> Result<Tensor> + Sync), lenses: &[Lens])
    -> Result<Vec<Response>>;
}

/// What one forward and one backward through a lens tell of a batch of images.
#[derive(Clone)]
pub struct Response {
    /// `[N,K]`: the logits as the lens sees them.
    pub logits: Tensor,
    /// `[N,H,W,C]`: the gradient that was asked for.
    pub gradient: Tensor,
}

/// Images under attack.
pub struct Targets<'a> {
    /// `[N,H,W,C]` in [0,1].
    pub images: &'a Tensor,
    /// `[N]`, the true classes.
    pub labels: &'a Array<i32>,
    /// `[N]`, each image's index in its set: the key of its noise.
    pub ids: &'a [u64],
}

/// What an attack raises.
#[derive(Clone)]
pub enum Objective {
    /// Cross-entropy with the true class.
    CrossEntropy(Array<i32>),
    /// Minus the cross-entropy with a wrong class: it draws the image there.
    Toward(Array<i32>),
    /// KL(softmax clean ‖ softmax here) from these clean logits.
    Divergence(Tensor),
}

impl Objective {
    /// Its gradient at `logits`.
    fn dlogits(&self, logits: &Tensor) -> Result<Tensor> {
        match self {
            Objective::CrossEntropy(labels) => Ok(loss::cross_entropy(logits, labels)?.dlogits),
            Objective::Toward(labels) => blend(&[(&loss::cross_entropy(logits, labels)?.dlogits, -1.0)]),
            Objective::Divergence(clean) => Ok(loss::kl(logits, clean)?.dadv),
        }
    }

    /// Its gradient with respect to `images`, through one lens, and the logits of the same forward.
    fn response(&self, victim: &dyn Victim, images: &Tensor, lens: Lens) -> Result<Response> {
        let mut responses = victim.gradients(images, &|logits| self.dlogits(logits), &[lens])?;
        responses.pop().ok_or_else(|| fail!("attack: the victim answered no gradient"))
    }

    /// Its gradient with respect to `images`, through one lens.
    fn gradient(&self, victim: &dyn Victim, images: &Tensor, lens: Lens) -> Result<Tensor> {
        Ok(self.response(victim, images, lens)?.gradient)
    }
}

/// A signed step from `adv`, projected to the ±eps ball around `images` and to [0,1].
fn step(images: &Tensor, adv: &Tensor, gradient: &Tensor, alpha: f32, eps: f32) -> Result<Tensor> {
    pixel::signed_step(images, adv, gradient, alpha, eps)
}
