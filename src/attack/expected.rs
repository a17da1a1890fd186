//! Expectation over transformation (Athalye et al. 2018): gradients of a victim whose forward is drawn anew each time.

use super::{Response, Victim};
use crate::autodiff::Lens;
use crate::base::Result;
use crate::ops::blend::blend;
use crate::tensor::Tensor;

/// A victim whose gradients are means over several of its forwards. Of a victim whose forward is the same every time they are
/// means of equals.
pub struct Expected<'a> {
    /// What is asked.
    pub victim: &'a dyn Victim,
    /// Forwards a gradient, at least 1.
    pub draws: usize,
}

impl Victim for Expected<'_> {
    /// Of one forward.
    fn logits(&self, images: &Tensor, lens: Lens) -> Result<Tensor> {
        self.victim.logits(images, lens)
    }

    /// Gradients and logits, each the mean over all forwards; the objective sees each forward's own logits.
    fn gradients(
        &self,
        images: &Tensor,
        dlogits_of: &(dyn Fn(&Tensor) -> Result<Tensor> + Sync),
        lenses: &[Lens],
    ) -> Result<Vec<Response>> {
        let mut sums = self.victim.gradients(images, dlogits_of, lenses)?;
        for draw in 1..self.draws {
            // The running mean: (draw·mean + new) / (draw + 1).
            let [old, new] = [draw as f64, 1.0].map(|part| part / (draw + 1) as f64);
            let mean = |a: &Tensor, b: &Tensor| blend(&[(a, old), (b, new)]);
            for (mean_so_far, more) in sums.iter_mut().zip(self.victim.gradients(images, dlogits_of, lenses)?) {
                mean_so_far.logits = mean(&mean_so_far.logits, &more.logits)?;
                mean_so_far.gradient = mean(&mean_so_far.gradient, &more.gradient)?;
            }
        }
        Ok(sums)
    }
}
