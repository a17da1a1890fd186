//! Floor 6: attacks on pixels. An attack knows only a [`Victim`]: logits and pixel gradients.
//!
//! The shared borrow proves that an attack leaves the network alone. Noise is an argument of every algorithm;
//! [`Noise`] draws it by (seed, image, member, restart), so results do not depend on how images are batched.
//! A [`Ball`] says in which norm an attack stays how near.

mod apgd;
mod expected;
mod fab;
mod fgsm;
mod host;
mod hyperplane;
mod kind;
mod noise;
mod pgd;
mod square;
mod stable;

pub use apgd::{Apgd, Goal};
pub use expected::Expected;
pub use fab::{Fab, fab};
pub use fgsm::{fgsm, fgsm_many, rfgsm};
pub use kind::{AUTOATTACK, Attack, ENSEMBLE_SIZE, NAMES, autoattack, ensemble};
pub use noise::Noise;
pub use pgd::{Walk, pgd};
pub use square::{Square, square};
pub use stable::{Stable, stable};

use crate::autodiff::Lens;
use crate::base::{Result, fail};
use crate::ops::{
    blend::blend,
    loss::{self, Single},
    pixel::{self, Ball, Norm, Stand},
};
use crate::tensor::{Array, Tensor};

/// What is attacked. `images` are `[N,H,W,C]` in `[0,1]`, logits `[N,K]`.
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
    /// `[N,H,W,C]` in `[0,1]`.
    pub images: &'a Tensor,
    /// `[N]`, the true classes.
    pub labels: &'a Array<i32>,
    /// `[N]`, each image's index in its set: the key of its noise.
    pub ids: &'a [u64],
}

/// What an attack raises, image by image.
#[derive(Clone)]
pub enum Objective {
    /// Cross-entropy with the true class.
    CrossEntropy(Array<i32>),
    /// Minus the cross-entropy with a wrong class: it draws the image there.
    Toward(Array<i32>),
    /// KL(softmax clean ‖ softmax here) from these clean logits.
    Divergence(Tensor),
    /// The difference of logits ratio with the true class.
    Dlr(Array<i32>),
    /// The targeted difference of logits ratio.
    DlrToward {
        /// The true classes.
        labels: Array<i32>,
        /// The wanted ones.
        targets: Array<i32>,
    },
}

impl Objective {
    /// Its value for each image at `logits`, and the gradient of their sum: a mean would let an image's gradient underflow, or
    /// round, by the size of its batch.
    fn losses(&self, logits: &Tensor) -> Result<Single> {
        match self {
            Objective::CrossEntropy(labels) => loss::cross_entropy(logits, labels),
            Objective::Toward(labels) => {
                let away = loss::cross_entropy(logits, labels)?;
                Ok(Single { values: blend(&[(&away.values, -1.0)])?, dlogits: blend(&[(&away.dlogits, -1.0)])? })
            }
            Objective::Divergence(clean) => {
                let pair = loss::kl(logits, clean)?;
                Ok(Single { values: pair.values, dlogits: pair.dadv })
            }
            Objective::Dlr(labels) => loss::dlr(logits, labels),
            Objective::DlrToward { labels, targets } => loss::dlr_targeted(logits, labels, targets),
        }
    }

    /// Its gradient at `logits`.
    fn dlogits(&self, logits: &Tensor) -> Result<Tensor> {
        Ok(self.losses(logits)?.dlogits)
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

/// A step from `adv`, projected to the ball around `images` and to `[0,1]`: in l-inf every pixel goes `alpha` along the sign of its
/// gradient, in l2 each image goes `alpha` along its gradient.
pub fn step(images: &Tensor, adv: &Tensor, gradient: &Tensor, alpha: f32, ball: Ball) -> Result<Tensor> {
    match ball.norm {
        Norm::Linf => pixel::signed_step(images, adv, gradient, alpha, ball.eps),
        Norm::L2 => {
            // A step with momentum that forgets all that was before.
            let steps = Tensor::full(images.device(), [images.shape()[0]], alpha);
            pixel::momentum_step(&Stand { images, adv, previous: adv, gradient, steps: &steps }, ball, 1.0)
        }
    }
}
