//! APGD, Auto-PGD (Croce & Hein 2020): an ascent with momentum whose step size every image halves for itself.
//!
//! A run starts somewhere in the ball, at a step of twice its radius. At checkpoints, whose distances shrink, an image whose
//! loss rose in too few of the steps since the last, or that gained nothing since, goes back to its best point and halves its
//! step. As in the published code, images that are wrong when clean are left alone, an image that was misclassified at some
//! point of a run is that point (the last such), one that never was is the clean image, and the runs of further targets
//! attack those alone. All decisions are masks on the device, so that a GPU records whole attacks; where the device's memory is
//! the program's own, further runs are given survivors only.

use super::noise::any_direction;
use super::{Objective, Response, Targets, Victim};
use crate::autodiff::Lens;
use crate::base::{Result, usage};
use crate::ops::ascent::Ascent;
use crate::ops::pixel::{self, Ball, Stand};
use crate::ops::{loss, pixel::Noise as Law};
use crate::tensor::{Array, Tensor};
use std::mem;

/// Share of the new step; the rest goes on as the last did.
const MOMENTUM: f32 = 0.75;
/// The most targets of a targeted attack.
const MOST_TARGETS: usize = 9;

/// What APGD climbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The cross-entropy with the true class.
    CrossEntropy,
    /// The difference of logits ratio.
    Dlr,
    /// The targeted ratio, toward each of the (at most 9) most likely wrong classes of the clean image in turn.
    Targeted,
}

impl Goal {
    /// Errors (usage): too few classes for its ratio.
    pub fn suits(self, classes: usize) -> Result<()> {
        match self {
            Goal::Dlr if classes < 3 => {
                Err(usage!("apgd-dlr: {classes} classes; the difference of logits ratio needs at least 3: use apgd-ce"))
            }
            Goal::Targeted if classes < 4 => {
                Err(usage!("apgd-t: {classes} classes; the targeted difference of logits ratio needs at least 4: use apgd-ce"))
            }
            _ => Ok(()),
        }
    }

    /// How many objectives there are at K `classes` (None: at however many).
    pub(super) fn targets(self, classes: Option<usize>) -> usize {
        match self {
            Goal::CrossEntropy | Goal::Dlr => 1,
            Goal::Targeted => classes.map_or(MOST_TARGETS, |classes| MOST_TARGETS.min(classes.saturating_sub(1))),
        }
    }

    /// The objective number `rank` for images with these clean logits.
    fn objective(self, clean: &Tensor, labels: &Array<i32>, rank: usize) -> Result<Objective> {
        let labels = labels.clone();
        Ok(match self {
            Goal::CrossEntropy => Objective::CrossEntropy(labels),
            Goal::Dlr => Objective::Dlr(labels),
            Goal::Targeted => Objective::DlrToward { targets: loss::rival(clean, &labels, rank)?, labels },
        })
    }
}

/// An APGD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Apgd {
    /// What it climbs.
    pub goal: Goal,
    /// Where it stays.
    pub ball: Ball,
    /// Steps a run.
    pub iterations: usize,
}

impl Apgd {
    /// Runs, at most: one a target.
    pub fn most_runs(&self) -> usize {
        self.goal.targets(None)
    }

    /// The law of the noise that a run starts from: uniform in l-inf, normal in l2; its size does not matter.
    pub fn law(&self) -> Law {
        any_direction(self.ball.norm)
    }

    /// Adversarial images for `targets`, started at x + eps · t/‖t‖ with t from `start` `[R·N,H,W,C]`, the noise of R =
    /// [`Apgd::most_runs`] runs one after the other. Errors (usage): too few classes.
    pub fn perturb(&self, victim: &dyn Victim, targets: &Targets, lens: Lens, start: &Tensor) -> Result<Tensor> {
        let (images, labels) = (targets.images, targets.labels);
        let clean = victim.logits(images, lens)?;
        let (count, classes) = (clean.shape()[0], clean.shape()[1]);
        self.goal.suits(classes)?;
        let (mut alive, mut adversarial) = (loss::hits(&clean, labels)?, images.clone());
        for run in 0..self.goal.targets(Some(classes)) {
            if images.device().is_remote() {
                let objective = self.goal.objective(&clean, labels, run)?;
                let start = start.slice(run * count..(run + 1) * count);
                let of = Run { images, labels, open: &alive, adversarial, start: &start };
                (alive, adversarial) = self.run(victim, lens, &objective, of)?;
                continue;
            }
            let survived = alive.to_vec();
            let some: Vec<usize> = (0..count).filter(|&i| survived[i] != 0).collect();
            if some.is_empty() {
                break;
            }
            let (images, labels, open) = (images.gather(&some), labels.gather(&some), alive.gather(&some));
            let start = start.gather(&some.iter().map(|i| run * count + i).collect::<Vec<_>>());
            let objective = self.goal.objective(&clean.gather(&some), &labels, run)?;
            let of = Run { images: &images, labels: &labels, open: &open, adversarial: images.clone(), start: &start };
            let (left, found) = self.run(victim, lens, &objective, of)?;
            // Each image's row in what there was followed by what was found.
            let mut rows: Vec<usize> = (0..count).collect();
            some.iter().enumerate().for_each(|(place, &image)| rows[image] = count + place);
            alive = Array::joined(&[alive, left]).gather(&rows);
            adversarial = Tensor::joined(&[adversarial, found]).gather(&rows);
        }
        Ok(adversarial)
    }

    /// One run: which images are still alive, and all as they are now.
    fn run(&self, victim: &dyn Victim, lens: Lens, objective: &Objective, of: Run) -> Result<(Array<u32>, Tensor)> {
        let Run { images, labels, open, mut adversarial, start } = of;
        let judge = |logits: &Tensor| Ok((objective.losses(logits)?.values, loss::hits(logits, labels)?));
        let mut adv = pixel::displace(images, &pixel::unit(start, self.ball.norm), self.ball.eps)?;
        let Response { logits, mut gradient } = objective.response(victim, &adv, lens)?;
        let (values, right) = judge(&logits)?;
        let (mut ascent, seen) = Ascent::begin(&values, &right, open, 2.0 * self.ball.eps)?;
        pixel::replace(&mut adversarial, &seen.broken, &adv)?;
        let (mut previous, mut best, mut best_gradient) = (adv.clone(), adv.clone(), gradient.clone());
        let mut checkpoints = Checkpoints::new(self.iterations);
        for iteration in 1..=self.iterations {
            let share = if iteration == 1 { 1.0 } else { MOMENTUM };
            let stand = Stand { images, adv: &adv, previous: &previous, gradient: &gradient, steps: ascent.steps() };
            let next = pixel::momentum_step(&stand, self.ball, share)?;
            previous = mem::replace(&mut adv, next);
            if iteration == self.iterations {
                // Nothing climbs on from here.
                let (values, right) = judge(&victim.logits(&adv, lens)?)?;
                pixel::replace(&mut adversarial, &ascent.observe(&values, &right)?.broken, &adv)?;
                break;
            }
            let response = objective.response(victim, &adv, lens)?;
            gradient = response.gradient;
            let (values, right) = judge(&response.logits)?;
            let seen = ascent.observe(&values, &right)?;
            pixel::replace(&mut adversarial, &seen.broken, &adv)?;
            pixel::replace(&mut best, &seen.improved, &adv)?;
            pixel::replace(&mut best_gradient, &seen.improved, &gradient)?;
            if let Some(window) = checkpoints.after_step() {
                let halved = ascent.check(window);
                pixel::replace(&mut adv, halved, &best)?;
                pixel::replace(&mut gradient, halved, &best_gradient)?;
            }
        }
        Ok((ascent.alive().clone(), adversarial))
    }
}

/// What a run is given. Everything is of the same N images.
struct Run<'a> {
    images: &'a Tensor,
    labels: &'a Array<i32>,
    /// 1 where an image is attacked.
    open: &'a Array<u32>,
    /// What earlier runs made of them.
    adversarial: Tensor,
    start: &'a Tensor,
}

/// When step sizes are looked at: after 22 % of the steps, then at distances that shrink by 3 % down to 6 %.
pub(super) struct Checkpoints {
    window: usize,
    shrink: usize,
    least: usize,
    since: usize,
}

impl Checkpoints {
    pub(super) fn new(iterations: usize) -> Checkpoints {
        let share = |of: f64| ((of * iterations as f64) as usize).max(1);
        Checkpoints { window: share(0.22), shrink: share(0.03), least: share(0.06), since: 0 }
    }

    /// The number of steps since the last checkpoint, if this step ends at one.
    pub(super) fn after_step(&mut self) -> Option<usize> {
        self.since += 1;
        if self.since < self.window {
            return None;
        }
        let window = self.window;
        (self.window, self.since) = (window.saturating_sub(self.shrink).max(self.least), 0);
        Some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoints(iterations: usize) -> Vec<usize> {
        let mut checkpoints = Checkpoints::new(iterations);
        (1..=iterations).filter(|_| checkpoints.after_step().is_some()).collect()
    }

    #[test]
    fn checkpoints_are_the_paper_s() {
        // Croce & Hein 2020, section 3: p = 0, 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99.
        assert_eq!(checkpoints(100), [22, 41, 57, 70, 80, 87, 93, 99]);
        assert_eq!(checkpoints(10), [2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(checkpoints(1), [1]);
    }

    #[test]
    fn ratios_need_their_classes() {
        let text = |goal: Goal, classes| goal.suits(classes).unwrap_err().to_string();
        assert_eq!(text(Goal::Dlr, 2), "apgd-dlr: 2 classes; the difference of logits ratio needs at least 3: use apgd-ce");
        assert_eq!(text(Goal::Targeted, 3), "apgd-t: 3 classes; the targeted difference of logits ratio needs at least 4: use apgd-ce");
        assert!(Goal::CrossEntropy.suits(2).is_ok() && Goal::Dlr.suits(3).is_ok() && Goal::Targeted.suits(4).is_ok());
        assert_eq!([4, 10, 200].map(|classes| Goal::Targeted.targets(Some(classes))), [3, 9, 9]);
    }
}
