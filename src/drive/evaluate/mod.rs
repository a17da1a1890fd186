//! Accuracy, clean and under attack.
//!
//! Members attack one after another, each all images that are right when clean (or all that are still right), in full batches,
//! and its restarts what is left; every batch that is done may be kept on disk. At the end each adversarial image is judged once more.

mod attacker;
mod batches;
mod board;
mod counted;
mod honesty;
mod radius;
mod store;
mod trial;

pub use honesty::{Grade, Honesty, examine};
pub use radius::Radius;
pub use store::{Page, Store, clear_all};

use super::recipe::Members;
use super::train::upload;
use super::watch::{self, Watch};
use crate::attack::{Attack, autoattack, ensemble};
use crate::autodiff::{Keep, Lens, Pass};
use crate::base::{Result, ensure, usage};
use crate::checkpoint;
use crate::data::Images;
use crate::nn::{Activity, Model};
use crate::ops::{loss, reduce};
use crate::record::with_interval;
use crate::tensor::Tensor;
use board::Board;
use std::fmt;
use std::path::Path;
use std::time::Instant;
use trial::Trial;

/// One attack through one lens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// The attack.
    pub attack: Attack,
    /// What its gradients are seen through.
    pub lens: Lens,
}

impl Member {
    /// All of `members`, through `lens` or those of the ensemble.
    pub fn all(members: Members, lens: Lens) -> Vec<Member> {
        match members {
            Members::One(attack) => vec![Member { attack, lens }],
            Members::Ensemble(attack) => ensemble().map(|lens| Member { attack, lens }).to_vec(),
            Members::AutoAttack => autoattack().map(|attack| Member { attack, lens }).to_vec(),
        }
    }
}

/// What to evaluate.
pub struct Question<'a> {
    /// The images, in order.
    pub images: &'a Images,
    /// How many of them, from the first.
    pub count: usize,
    /// What attacks them, in order; an image is robust if it survives each.
    pub members: Vec<Member>,
    /// The network that adversarial images are made on (None: the one that is judged).
    pub source: Option<&'a Model>,
    /// Forwards a gradient is the mean of, at least 1.
    pub draws: usize,
    /// Runs of each member, at least 1, each from draws of its own on what the last left right.
    pub restarts: usize,
    /// How far from the clean image an adversarial one may be.
    pub radius: Radius,
    /// Seed of the noise.
    pub seed: u64,
    /// Whether later members see survivors alone.
    pub pass_on: PassOn,
}

impl<'a> Question<'a> {
    /// Every member on each of the first `count` images, made on the network that is judged, within `eps`/255 in l-inf.
    pub fn new(images: &'a Images, count: usize, members: Vec<Member>, eps: f64, seed: u64) -> Question<'a> {
        Question { images, count, members, source: None, draws: 1, restarts: 1, radius: Radius::linf(eps), seed, pass_on: PassOn::All }
    }

    /// All that the answer of `model` depends on as text, to tell by which question a [`Store`]'s pages answer; `version` is the
    /// program's.
    pub fn text(&self, model: &Model, version: &str) -> String {
        let network = |model: &Model| format!("{} of {:?}", checkpoint::fingerprint(model), model.spec());
        let members = self.members.iter().map(|member| format!("{} {}\n", member.attack, member.lens)).collect::<String>();
        format!(
            "{self}: {} runs each within {}, seed {}, {:?}, {} draws\nnetwork {}\nsource {}\n{} images of {}\n{:?}, on a {}, {version}\n{members}",
            self.restarts,
            self.radius,
            self.seed,
            self.pass_on,
            self.draws,
            network(model),
            self.source.map_or("itself".to_string(), network),
            self.count,
            self.images.fingerprint(),
            model.device().precision(),
            if model.device().is_remote() { "GPU" } else { "CPU" },
        )
    }

    /// The [`Store`] in `folder` for this question, and its pages if it is to `resume`. Errors: as [`Store::open`].
    pub fn store(&self, folder: &Path, model: &Model, version: &str, resume: bool) -> Result<(Store, Vec<Page>)> {
        let images = self.images;
        let extent = [self.count.min(images.len()), images.channels * images.height * images.width];
        Store::open(folder, &self.text(model, version), resume, |page| page.fits(self.members.len(), self.restarts, extent))
    }
}

impl fmt::Display for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let radius = self.radius;
        let again = if self.restarts > 1 { format!(" with {} restarts", self.restarts) } else { String::new() };
        match self.members.as_slice() {
            [Member { attack: Attack::Identity, .. }] => f.write_str("clean"),
            [Member { attack, .. }] => write!(f, "{attack}{again} at {radius}"),
            [Member { attack, .. }, rest @ ..] if rest.iter().any(|other| other.attack != *attack) => {
                write!(f, "AutoAttack{again} at {radius}")
            }
            [Member { attack, .. }, ..] => write!(f, "ensemble {attack}{again} at {radius}"),
            [] => f.write_str("nothing"),
        }
    }
}

impl Members {
    /// Which images each of them attacks: AutoAttack's four are a cascade.
    pub fn pass_on(self) -> PassOn {
        if self == Members::AutoAttack { PassOn::Survivors } else { PassOn::All }
    }
}

/// Which images a member attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassOn {
    /// All that are right when clean, so that its own accuracy is known.
    All,
    /// Those that earlier members did not break (`--fast`).
    Survivors,
}

/// What a member did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Who.
    pub member: Member,
    /// Its own robust accuracy in percent (with survivors alone: cumulative).
    pub accuracy: f64,
    /// Images that it broke and none before it.
    pub kills: usize,
}

/// What came out. Classes are indices into the data set's.
pub struct Answer {
    /// Images looked at.
    pub images: usize,
    /// Clean accuracy in percent.
    pub clean: f64,
    /// Percent that are right when clean and under every member.
    pub robust: f64,
    /// Each member, in order.
    pub members: Vec<Score>,
    /// Adversarial images `[N,H,W,C]`: of each image the first that broke it, else the last; the clean image where that is
    /// wrong already. Their accuracy is `robust`.
    pub adversarial: Vec<f32>,
    /// `[N]`: the classes seen in the clean and in the adversarial images.
    pub predicted: [Vec<i32>; 2],
    /// Whether each image survived.
    pub survived: Vec<bool>,
    /// What judging all adversarial images once more showed.
    pub recheck: Recheck,
    /// Wall time, with that of the pages it went on from.
    pub seconds: f64,
}

/// Every adversarial image, judged once more by a forward of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recheck {
    /// The largest distance of an adversarial image from its clean one, in the radius' unit.
    pub farthest: f64,
    /// Images that were judged otherwise than before; the second verdict counts. On the CPU none.
    pub changed: usize,
}

/// Attack the first images and judge on the network itself. Images wrong when clean count as not robust.
///
/// Errors (usage): an ensemble on a network without spikes, images of another size.
pub fn evaluate(model: &Model, question: &Question, watch: &dyn Watch) -> Result<Answer> {
    evaluate_with(model, question, None, watch)
}

/// As [`evaluate`], with the pages of an earlier try in and this one's pages out. They stay until the caller has recorded the
/// answer; nothing was written if one batch was all.
///
/// Errors: also the disk's.
pub fn evaluate_with(model: &Model, question: &Question, store: Option<(&mut Store, Vec<Page>)>, watch: &dyn Watch) -> Result<Answer> {
    let source = question.source.unwrap_or(model);
    alike(source, model)?;
    let ensemble = question.members.iter().any(|member| member.lens != question.members[0].lens);
    if source.spec().steps == 0 && ensemble {
        return Err(usage!("--ensemble: this network has no spikes (T = 0), so all gradient variants are one; leave --ensemble out"));
    }
    let suits = |Member { attack, .. }: &Member| attack.knows(question.radius.norm).and_then(|()| attack.suits(model.spec().classes));
    question.members.iter().try_for_each(suits)?;
    let count = question.count.min(question.images.len());
    ensure!(count > 0 && !question.members.is_empty() && question.restarts > 0, "eval: zero images, attacks or runs to evaluate");
    let clock = Instant::now();
    watch.begin(&question.to_string(), (count * question.members.len() * question.restarts) as u64);
    let trial = Trial { model, source, question, watch };
    let images = question.images.batch(0..count)?.images;
    let seen = trial.predict(&images)?;
    let labels = &question.images.labels[..count];
    let right = |seen: &[i32]| -> Vec<bool> { seen.iter().zip(labels).map(|(&seen, &label)| seen == i32::from(label)).collect() };
    let mut board = Board::new(right(&seen), images.clone(), question.members.len(), question.restarts);
    let mut earlier = 0.0;
    let store = store.map(|(store, pages)| {
        pages.iter().for_each(|page| board.take(page));
        earlier = pages.iter().map(|page| f64::from(page.seconds)).sum();
        store
    });
    trial.attack(&mut board, store)?;

    let (adversarial, again) = (board.adversarial().to_vec(), trial.predict(board.adversarial())?);
    let farthest = trial.distance(&images, &adversarial)?;
    let survived: Vec<bool> = board.clean().iter().zip(right(&again)).map(|(&clean, right)| clean && right).collect();
    let changed = (0..count).filter(|&image| survived[image] != (board.clean()[image] && board.first(image).is_none()));
    let recheck = Recheck { farthest, changed: changed.count() };
    let percent = |part: usize| 100.0 * part as f64 / count as f64;
    let holds = |flags: &[bool]| percent(flags.iter().filter(|&&flag| flag).count());
    let score = |(index, &member): (usize, &Member)| {
        let (right, kills) = board.tally(index);
        Score { member, accuracy: percent(right), kills }
    };
    let answer = Answer {
        images: count,
        clean: holds(board.clean()),
        robust: holds(&survived),
        members: question.members.iter().enumerate().map(score).collect(),
        adversarial,
        predicted: [seen, again],
        survived,
        recheck,
        seconds: earlier + clock.elapsed().as_secs_f64(),
    };
    watch.end(&format!(
        "{question}: clean {} %, robust {} % of {count} images, {:.1} s",
        with_interval(answer.clean, count),
        with_interval(answer.robust, count),
        answer.seconds
    ));
    Ok(answer)
}

/// Errors (usage): images made on `source` are none for `model`, or their classes are others.
fn alike(source: &Model, model: &Model) -> Result<()> {
    let told = |model: &Model| {
        let ([channels, height, width], classes) = (model.spec().input, model.spec().classes);
        format!("{channels}x{height}x{width} images in {classes} classes")
    };
    let (from, to) = (told(source), told(model));
    if from == to {
        return Ok(());
    }
    Err(usage!("transfer: the source takes {from}, the attacked network {to}; use a source trained on the same data set"))
}

impl Member {
    /// What tells this member from the others: its lens, or, where attacks differ, its attack.
    pub fn label(&self, all: &[Member]) -> String {
        if all.iter().all(|other| other.attack == self.attack) { self.lens.to_string() } else { self.attack.to_string() }
    }
}

/// The class of each row of logits. Errors: logits that are not finite, which would count as some class.
pub fn classes(logits: &Tensor) -> Result<Vec<i32>> {
    sound(logits)?;
    Ok(loss::predictions(logits)?.to_vec().into_iter().map(|class| class as i32).collect())
}

/// Errors: logits that are not finite, which would count as some class.
pub fn sound(logits: &Tensor) -> Result<()> {
    let finite = reduce::finite(&[logits])?.to_vec();
    ensure!(finite == [1], "the logits are not finite: the network overflows, or the device computes wrong (caltrop selftest tells)");
    Ok(())
}

/// Clean accuracy in percent and the firing of every layer of neurons, on the first `count` images.
pub fn infer(model: &Model, images: &Images, count: usize) -> Result<(f64, Vec<Activity>)> {
    let count = count.min(images.len());
    ensure!(count > 0, "eval: zero images to evaluate");
    let (mut correct, mut activity) = (0, Vec::<Activity>::new());
    let pass = Pass::eval(model.spec().fire(), Keep::Spikes);
    for start in (0..count).step_by(32) {
        watch::check()?;
        let batch = images.batch(start..(start + 32).min(count))?;
        let (pixels, _) = upload(model, &batch);
        let (logits, trace) = model.forward(&pixels, &pass)?;
        let predicted = classes(&logits)?;
        correct += predicted.iter().zip(&batch.labels).filter(|(predicted, label)| predicted == label).count();
        let more = model.activity(&trace);
        if activity.is_empty() {
            activity = more;
        } else {
            for (total, more) in activity.iter_mut().zip(more) {
                total.spikes += more.spikes;
                total.silent += more.silent;
                total.neurons += more.neurons;
            }
        }
    }
    Ok((100.0 * correct as f64 / count as f64, activity))
}
