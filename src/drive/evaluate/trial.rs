//! The attacks of an evaluation, batch after batch.

use super::attacker::Attacker;
use super::batches::{Again, in_batches};
use super::board::Board;
use super::counted::Beat;
use super::{PassOn, Question, Store, classes};
use crate::attack::{Noise, Targets, Victim};
use crate::autodiff::Lens;
use crate::base::{Result, ensure};
use crate::drive::seen::Seen;
use crate::drive::train::upload;
use crate::drive::watch::{self, Watch};
use crate::nn::Model;
use crate::tensor::Tensor;
use std::ops::Range;
use std::time::Instant;

/// Images attacked together. Two threads share out slices of a few, so more gain nothing on a CPU; attacks that take very many
/// forwards go in smaller batches, since what a killed evaluation loses is the batch under way.
const BATCH: usize = 128;
const LONG_BATCH: usize = 32;
/// Iterations from which an attack is long.
const LONG: usize = 1000;

/// What all batches of an evaluation have in common.
pub struct Trial<'a> {
    /// The network that judges.
    pub model: &'a Model,
    /// The network that is attacked.
    pub source: &'a Model,
    /// What was asked.
    pub question: &'a Question<'a>,
    /// Who is told.
    pub watch: &'a dyn Watch,
}

/// What changes from batch to batch.
struct Progress<'a> {
    attacker: Attacker<'a>,
    board: &'a mut Board,
    store: Option<&'a mut Store>,
    /// Since the last page.
    clock: Instant,
}

/// Members that are made together, in one of their runs.
struct Round<'a> {
    group: &'a Range<usize>,
    run: usize,
    /// The images that they have to attack.
    todo: &'a [usize],
}

impl Trial<'_> {
    /// All members on all images that they have to attack.
    pub fn attack(&self, board: &mut Board, store: Option<&mut Store>) -> Result<()> {
        let Trial { source, question, watch, .. } = *self;
        let survivors = question.pass_on == PassOn::Survivors;
        let (ball, noise) = (question.radius.ball(), Noise::new(question.seed, 0));
        let attacker = Attacker::new(source, &question.members, survivors, ball, noise).expecting(question.draws);
        let groups = attacker.groups();
        let mut progress = Progress { attacker, board, store, clock: Instant::now() };
        let mut smallest = usize::MAX;
        for group in groups {
            let long = question.members[group.start].attack.iterations().is_some_and(|iterations| iterations >= LONG);
            for run in 0..question.restarts {
                let todo = progress.board.waiting(group.clone(), run, survivors);
                watch.advance(((progress.board.clean().len() - todo.len()) * group.len()) as u64);
                let round = Round { group: &group, run, todo: &todo };
                let size = in_batches(todo.len(), if long { LONG_BATCH } else { BATCH }, |range, again| {
                    if again == Again::Yes {
                        progress.attacker.forget(); // and with its recordings goes their memory
                    }
                    self.batch(&mut progress, &round, &todo[range])
                })?;
                smallest = if todo.is_empty() { smallest } else { smallest.min(size) };
            }
            progress.attacker.finish(&group);
        }
        if smallest < LONG_BATCH {
            watch.remark(&format!("{smallest} images at a time: more do not fit the device's memory"));
        }
        Ok(())
    }

    /// One batch: the images at `places`.
    fn batch(&self, progress: &mut Progress, round: &Round, places: &[usize]) -> Result<()> {
        let Trial { model, question, watch, .. } = *self;
        let Round { group, run, todo } = *round;
        let status = self.status(progress.board, round);
        watch.remark(&status);
        let batch = question.images.gather(places)?;
        let (images, labels) = upload(model, &batch);
        let targets = Targets { images: &images, labels: &labels, ids: &batch.ids };
        let told = |beat: Beat| {
            watch.within(beat.done as f64 / beat.most.max(1) as f64, (places.len() * group.len()) as u64);
            watch.remark(&format!("{status}; iteration {} of {} on {} images", beat.done, beat.most, beat.images));
        };
        for (member, adversarial) in group.clone().zip(progress.attacker.perturb(group, run, &targets, &told)?) {
            let seen = classes(&Seen { model }.logits(&adversarial, Lens::default())?)?;
            let robust: Vec<bool> = seen.iter().zip(&batch.labels).map(|(seen, label)| seen == label).collect();
            let mut page = progress.board.enter((member, run), places, &robust, &adversarial.to_vec());
            page.seconds = std::mem::replace(&mut progress.clock, Instant::now()).elapsed().as_secs_f32();
            let done = member + 1 == question.members.len() && run + 1 == question.restarts && places.last() == todo.last();
            if let Some(store) = progress.store.as_deref_mut().filter(|store| !done || store.is_begun()) {
                store.append(&page)?;
            }
            watch.advance(places.len() as u64);
        }
        Ok(())
    }

    /// For the bar: who attacks, and how many are still right.
    fn status(&self, board: &Board, round: &Round) -> String {
        let (survivors, restarts, member) = (board.survivors(), self.question.restarts, round.group.start);
        let who = match self.question.members.as_slice() {
            [_] => String::new(),
            all => format!("{} ({} of {}), ", all[member].label(all), member + 1, all.len()),
        };
        let again = if restarts > 1 { format!("run {} of {restarts}, ", round.run + 1) } else { String::new() };
        format!("{who}{again}{survivors} survive")
    }

    /// The class that the network itself sees in each of these images `[N,H,W,C]`.
    pub fn predict(&self, images: &[f32]) -> Result<Vec<i32>> {
        let [channels, height, width] = self.model.spec().input;
        let size = channels * height * width;
        ensure!(
            images.len().is_multiple_of(size.max(1)),
            "eval: the images do not have the {height}x{width}x{channels} that the network takes"
        );
        let mut seen = Vec::new();
        in_batches(images.len() / size, BATCH, |range, _| {
            watch::check()?;
            let batch = Tensor::from_slice(
                self.model.device(),
                [range.len(), height, width, channels],
                &images[range.start * size..range.end * size],
            );
            seen.extend(classes(&Seen { model: self.model }.logits(&batch, Lens::default())?)?);
            Ok(())
        })?;
        Ok(seen)
    }

    /// The largest distance of an adversarial image from its clean one, in the radius' unit. Errors: an image beyond the ball, a
    /// pixel outside `[0,1]`; a bug of an attack.
    pub fn distance(&self, clean: &[f32], adversarial: &[f32]) -> Result<f64> {
        let radius = self.question.radius;
        let (ball, size) = (radius.ball(), self.model.spec().input.iter().product::<usize>());
        let most = f64::from(ball.eps) + radius.rounding(size);
        let mut farthest = 0.0f64;
        for (index, (x, adv)) in clean.chunks_exact(size.max(1)).zip(adversarial.chunks_exact(size.max(1))).enumerate() {
            let distance = ball.norm.distance(x, adv);
            ensure!(
                distance <= most && adv.iter().all(|pixel| (0.0..=1.0).contains(pixel)),
                "eval: image {index}: the adversarial one is {} from it, its pixels from {} to {}; the radius is {radius} (this is a bug of the attack)",
                radius.units(distance),
                adv.iter().copied().fold(f32::INFINITY, f32::min),
                adv.iter().copied().fold(f32::NEG_INFINITY, f32::max)
            );
            farthest = farthest.max(radius.units(distance));
        }
        Ok(farthest)
    }
}
