//! FAB-T: the targeted Fast Adaptive Boundary attack (Croce & Hein 2020a; targets as in AutoAttack, Croce & Hein 2020b).
//!
//! It looks for the nearest point of another class, whatever the radius. For one wrong class t, let f = z_t − z_label. From
//! x₁ = x₀ (the clean image) each iteration linearises f at x₁ into a hyperplane and projects both x₁ and x₀ to it, inside the
//! box; with d₁, d₂ the two ways and a₁, a₂ their lengths, α = min(a₁/(a₁ + a₂), α_max), the next point is
//! (1 − α)·(x₁ + η·d₁) + α·(x₀ + η·d₂): to the boundary and a little beyond, drawn back to the clean image. Where that is
//! adversarial, it is kept if it is the nearest so far, and x₁ goes back to x₀ + β·(x₁ − x₀). At last a search between clean
//! image and nearest adversarial, three times: where would the margin be zero if it were linear between both ends? That point
//! replaces the end whose side it is on.
//!
//! The targets are the most likely wrong classes of the clean image in turn; an image that was broken within the radius leaves.
//! There is one run a target. A first one starts at the clean image itself and draws nothing; a restart begins eps/2 from it in a
//! random direction, as the published code does.

use super::host::{self, Rows};
use super::hyperplane::Hyperplane;
use super::{Noise, Targets, Victim};
use crate::autodiff::Lens;
use crate::base::{Result, fail, watch};
use crate::ops::loss::class;
use crate::ops::pixel::{self, Ball, Norm};
use crate::tensor::Tensor;

/// The path of a FAB-T.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fab {
    /// The distance that it makes small, and the radius in which an adversarial image counts.
    pub ball: Ball,
    /// Iterations a target.
    pub iterations: usize,
    /// Targets at most: an image has one for every wrong class.
    pub targets: usize,
}

/// The pull toward the clean image, at most.
const ALPHA_MAX: f64 = 0.1;
/// How far beyond the hyperplane a step goes.
const ETA: f64 = 1.05;
/// What is left of the displacement after an adversarial point.
const BETA: f64 = 0.9;
/// Steps of the final search.
const SEARCHES: usize = 3;
/// Lengths below this count as this.
const SHORTEST: f64 = 1e-8;

impl Fab {
    /// Targets of the published attack.
    pub const TARGETS: usize = 9;

    /// 9 targets.
    pub fn new(ball: Ball, iterations: usize) -> Fab {
        Fab { ball, iterations, targets: Fab::TARGETS }
    }
}

/// For each image the nearest adversarial one found for the first target that gives one within `path.ball.eps`; the clean image
/// where none does, and where the clean image is wrong already.
///
/// Errors: a label that is no class; what the victim cannot do.
pub fn fab(victim: &dyn Victim, targets: &Targets, lens: Lens, path: Fab, noise: &Noise) -> Result<Tensor> {
    let logits = victim.logits(targets.images, lens)?;
    let (clean, classes) = (Rows::of(&logits), logits.shape()[1]);
    let labels = host::labels(targets.labels, classes)?;
    let images = Rows::of(targets.images);
    let wrong: Vec<Vec<usize>> = labels.iter().enumerate().map(|(n, &label)| wrong_classes(&clean[n], label)).collect();
    let goals = |rank: usize| wrong.iter().map(|classes| classes[rank]).collect::<Vec<_>>();
    let mut alive: Vec<usize> = (0..labels.len()).filter(|&n| class(&clean[n]) == labels[n]).collect();
    let mut adversarial = images.gather(&(0..labels.len()).collect::<Vec<_>>());
    for (rank, goals) in (0..path.targets.min(classes - 1)).map(goals).enumerate() {
        if alive.is_empty() {
            break;
        }
        let begin = match noise.restart {
            0 => images.gather(&alive),
            _ => {
                let direction = noise.of_run(rank, path.targets).direction(targets, path.ball.norm)?;
                Rows::of(&pixel::displace(targets.images, &direction, path.ball.eps / 2.0)?).gather(&alive)
            }
        };
        let race = Race {
            victim,
            lens,
            path,
            like: targets.images,
            start: images.gather(&alive),
            begin,
            clean: clean.gather(&alive),
            labels: alive.iter().map(|&n| labels[n]).collect(),
            goals: alive.iter().map(|&n| goals[n]).collect(),
        };
        let found = race.run()?;
        let mut survivors = Vec::new();
        for (&n, found) in alive.iter().zip(found) {
            match found {
                Some(found) if found.distance <= f64::from(path.ball.eps) => adversarial[n].copy_from_slice(&found.pixels),
                _ => survivors.push(n),
            }
        }
        alive = survivors;
    }
    Ok(adversarial.to_tensor(targets.images))
}

/// All classes but the label, the most likely first (of equals the first).
fn wrong_classes(logits: &[f32], label: usize) -> Vec<usize> {
    let mut wrong: Vec<usize> = (0..logits.len()).filter(|&k| k != label).collect();
    wrong.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    wrong
}

/// One run: each image toward one class.
struct Race<'a> {
    victim: &'a dyn Victim,
    lens: Lens,
    path: Fab,
    /// Images of the batch's shape, on its device.
    like: &'a Tensor,
    /// The clean images, all classified rightly.
    start: Rows,
    /// Where it begins.
    begin: Rows,
    /// The logits of `start`.
    clean: Rows,
    labels: Vec<usize>,
    goals: Vec<usize>,
}

/// An adversarial image.
#[derive(Clone)]
struct Found {
    distance: f64,
    pixels: Vec<f32>,
    logits: Vec<f32>,
}

impl Race<'_> {
    /// The nearest adversarial image of each, of any class but its label's.
    fn run(&self) -> Result<Vec<Option<Found>>> {
        let images = self.labels.len();
        let mut found: Vec<Option<Found>> = vec![None; images];
        let mut now = self.begin.gather(&(0..images).collect::<Vec<_>>());
        let dlogits = self.toward();
        for _ in 0..self.path.iterations {
            watch::check()?;
            let mut responses = self.victim.gradients(&now.to_tensor(self.like), &|_| Ok(dlogits.clone()), &[self.lens])?;
            let response = responses.pop().ok_or_else(|| fail!("attack: the victim answered no gradient"))?;
            let (logits, gradients) = (Rows::of(&response.logits), Rows::of(&response.gradient));
            let Race { path, start, labels, goals, .. } = self;
            let stepped = self.like.device().map(images, |i| {
                let lead = f64::from(logits[i][goals[i]]) - f64::from(logits[i][labels[i]]);
                step(path.ball.norm, &start[i], &now[i], &gradients[i], lead)
            });
            now = host::stack(stepped, self.start[0].len());
            let logits = Rows::of(&self.victim.logits(&now.to_tensor(self.like), self.lens)?);
            for i in (0..images).filter(|&i| class(&logits[i]) != self.labels[i]) {
                let distance = self.path.ball.norm.distance(&now[i], &self.start[i]);
                if found[i].as_ref().is_none_or(|best| distance < best.distance) {
                    found[i] = Some(Found { distance, pixels: now[i].to_vec(), logits: logits[i].to_vec() });
                }
                now[i].iter_mut().zip(&self.start[i]).for_each(|(x, &x0)| *x = between(x0, *x, BETA));
            }
        }
        self.search(&mut found)?;
        Ok(found)
    }

    /// The gradient of Σ (z_goal − z_label) at any logits.
    fn toward(&self) -> Tensor {
        let classes = self.clean[0].len();
        let mut rows = vec![0.0; self.labels.len() * classes];
        for (row, (&goal, &label)) in rows.chunks_exact_mut(classes).zip(self.goals.iter().zip(&self.labels)) {
            (row[goal], row[label]) = (1.0, -1.0);
        }
        Tensor::from_slice(self.like.device(), [self.labels.len(), classes], &rows)
    }

    /// Draw what was found nearer to the clean image: a secant search for the margin's zero, three steps.
    fn search(&self, found: &mut [Option<Found>]) -> Result<()> {
        // The near end of each: still classified rightly.
        let mut inner: Vec<(usize, Vec<f32>, Vec<f32>)> =
            (0..found.len()).filter(|&i| found[i].is_some()).map(|i| (i, self.start[i].to_vec(), self.clean[i].to_vec())).collect();
        if inner.is_empty() {
            return Ok(());
        }
        for _ in 0..SEARCHES {
            let middle = |(i, pixels, logits): &(usize, Vec<f32>, Vec<f32>)| {
                let outer = found[*i].as_ref()?;
                let reached = class(&outer.logits);
                let margin = |logits: &[f32]| f64::from(logits[self.labels[*i]]) - f64::from(logits[reached]);
                let (inside, outside) = (margin(logits), -margin(&outer.logits));
                let share = inside / (inside + outside + 1e-10);
                let share = if (0.0..=1.0).contains(&share) { share } else { 1.0 };
                Some(pixels.iter().zip(&outer.pixels).map(|(&a, &b)| between(a, b, share)).collect())
            };
            let middles = host::stack(inner.iter().filter_map(middle).collect(), self.start[0].len());
            let logits = Rows::of(&self.victim.logits(&middles.to_tensor(self.like), self.lens)?);
            for (at, (i, near, near_logits)) in inner.iter_mut().enumerate() {
                let (pixels, logits) = (middles[at].to_vec(), logits[at].to_vec());
                if class(&logits) == self.labels[*i] {
                    (*near, *near_logits) = (pixels, logits);
                } else {
                    let distance = self.path.ball.norm.distance(&pixels, &self.start[*i]);
                    found[*i] = Some(Found { distance, pixels, logits });
                }
            }
        }
        Ok(())
    }
}

/// One iteration for one image: from `now`, where z_goal − z_label is `lead` and has this gradient.
fn step(norm: Norm, start: &[f32], now: &[f32], gradient: &[f32], lead: f64) -> Vec<f32> {
    let apart: f64 = gradient.iter().zip(start.iter().zip(now)).map(|(&w, (&a, &b))| f64::from(w) * (f64::from(a) - f64::from(b))).sum();
    let from_now = Hyperplane { normal: gradient, excess: lead }.reach(norm, now);
    let from_start = Hyperplane { normal: gradient, excess: lead + apart }.reach(norm, start);
    let [a, b] = [&from_now, &from_start].map(|way| norm.length(way.iter().copied()).max(SHORTEST));
    let alpha = (a / (a + b)).min(ALPHA_MAX);
    let number = |i: usize| {
        let (x, x0) = (f64::from(now[i]) + ETA * from_now[i], f64::from(start[i]) + ETA * from_start[i]);
        ((1.0 - alpha) * x + alpha * x0).clamp(0.0, 1.0) as f32
    };
    (0..now.len()).map(number).collect()
}

/// a + share·(b − a), in the box.
fn between(a: f32, b: f32, share: f64) -> f32 {
    let (a, b) = (f64::from(a), f64::from(b));
    (a + share * (b - a)).clamp(0.0, 1.0) as f32
}
