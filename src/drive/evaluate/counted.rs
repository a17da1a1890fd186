//! How far an attack on a batch is, seen from the network that it asks.
//!
//! An attack knows nothing of who waits for it. But every iteration asks the victim once for gradients (of an attack without:
//! for logits), and attacks that let go of broken images ask about fewer and fewer.

use crate::attack::{Response, Victim};
use crate::autodiff::Lens;
use crate::base::Result;
use crate::tensor::Tensor;
use std::cell::Cell;

/// How far an attack on a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Answers given: iterations, or queries.
    pub done: usize,
    /// Answers that it asks for at most.
    pub most: usize,
    /// Images that the last one was about.
    pub images: usize,
}

/// Who is told after every answer.
pub type Told<'a> = &'a dyn Fn(Beat);

/// Answers that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Gradients.
    Gradients,
    /// Logits.
    Logits,
}

/// A victim that tells after every answer how many it has given.
pub struct Counted<'a> {
    victim: &'a dyn Victim,
    counting: Counting,
    most: usize,
    done: Cell<usize>,
    told: Told<'a>,
}

impl<'a> Counted<'a> {
    /// Of an attack that asks `victim` for at most `most` such answers.
    pub fn new(victim: &'a dyn Victim, counting: Counting, most: usize, told: Told<'a>) -> Counted<'a> {
        Counted { victim, counting, most, done: Cell::new(0), told }
    }

    fn count(&self, answer: Counting, images: &Tensor) {
        if answer == self.counting {
            self.done.set(self.done.get() + 1);
            (self.told)(Beat { done: self.done.get().min(self.most), most: self.most, images: images.shape()[0] });
        }
    }
}

impl Victim for Counted<'_> {
    fn logits(&self, images: &Tensor, lens: Lens) -> Result<Tensor> {
        let logits = self.victim.logits(images, lens)?;
        self.count(Counting::Logits, images);
        Ok(logits)
    }

    fn gradients(
        &self,
        images: &Tensor,
        dlogits_of: &(dyn Fn(&Tensor) -> Result<Tensor> + Sync),
        lenses: &[Lens],
    ) -> Result<Vec<Response>> {
        let responses = self.victim.gradients(images, dlogits_of, lenses)?;
        self.count(Counting::Gradients, images);
        Ok(responses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::{Attack, NAMES, Noise, Targets};
    use crate::device::Device;
    use crate::drive::seen::Seen;
    use crate::drive::tiny;
    use crate::ops::{loss, pixel::Ball};
    use crate::tensor::Array;
    use std::cell::RefCell;

    /// Every attack on images that it cannot break asks exactly as often as it says.
    #[test]
    fn attacks_ask_as_often_as_they_say() {
        let device = Device::cpu(Some(1)).unwrap();
        let model = tiny(&device, [1, 4, 4]);
        let pixels: Vec<f32> = (0..48).map(|i| (i * 29 % 48) as f32 / 48.0).collect();
        let images = Tensor::from_slice(&device, [3, 4, 4, 1], &pixels);
        let victim = Seen { model: &model };
        let classes = loss::predictions(&victim.logits(&images, Lens::default()).unwrap()).unwrap().to_vec();
        let labels = Array::from_slice(&device, [3], &classes.iter().map(|&class| class as i32).collect::<Vec<_>>());
        let targets = Targets { images: &images, labels: &labels, ids: &[0, 1, 2] };
        for name in NAMES {
            let attack = Attack::parse(name, None).unwrap();
            let attack = Attack::parse(name, attack.iterations().map(|_| 5)).unwrap();
            if attack.suits(2).is_err() {
                continue;
            }
            let beats = RefCell::new(Vec::new());
            let told = |beat| beats.borrow_mut().push(beat);
            let counting = if attack.is_white_box() { Counting::Gradients } else { Counting::Logits };
            let counted = Counted::new(&victim, counting, attack.answers(2), &told);
            attack.perturb(&counted, &targets, Lens::default(), Ball::linf(1e-6), &Noise::new(0, 0)).unwrap();
            let want: Vec<Beat> = (1..=attack.answers(2)).map(|done| Beat { done, most: attack.answers(2), images: 3 }).collect();
            assert_eq!(*beats.borrow(), want, "{name}");
        }
    }
}
