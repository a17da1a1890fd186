//! Accuracy, clean and under attack.

use super::attacker::Attacker;
use super::recipe::Members;
use super::seen::Seen;
use super::train::upload;
use super::watch::{self, Watch};
use crate::attack::{Attack, Noise, Targets, Victim, ensemble};
use crate::autodiff::{Keep, Lens, Pass};
use crate::base::{Result, ensure, usage};
use crate::data::Images;
use crate::nn::{Activity, Model};
use crate::ops::{loss, reduce};
use crate::tensor::{Array, Tensor};
use std::time::Instant;

/// What to evaluate.
pub struct Question<'a> {
    /// The images, in order.
    pub images: &'a Images,
    /// How many of them, from the first.
    pub count: usize,
    /// The attack.
    pub attack: Attack,
    /// One lens, or all.
    pub members: Members,
    /// The lens of a single attack.
    pub lens: Lens,
    /// l-inf radius in 1/255.
    pub eps: f64,
    /// Seed of the noise.
    pub seed: u64,
    /// Whether later members see survivors alone.
    pub pass_on: PassOn,
}

/// Which images a member of an ensemble attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassOn {
    /// All of them, so that its own accuracy is known.
    All,
    /// Those that earlier members did not break (`--fast`).
    Survivors,
}

/// What came out.
pub struct Answer {
    /// Images looked at.
    pub images: usize,
    /// Clean accuracy in percent.
    pub clean: f64,
    /// Percent that are right when clean and under every member.
    pub robust: f64,
    /// Each member and its own robust accuracy in percent (with survivors alone: cumulative).
    pub members: Vec<(Lens, f64)>,
    /// Adversarial images `[N,H,W,C]`: of each image the first that broke it, else the last; the clean image where that is
    /// wrong already. Their accuracy is `robust`.
    pub adversarial: Vec<f32>,
    /// Whether each image survived.
    pub survived: Vec<bool>,
    /// Wall time.
    pub seconds: f64,
}

/// Images attacked together.
const BATCH: usize = 128;

/// Attack the first images and judge on the network itself. Images wrong when clean count as not robust.
///
/// Errors (usage): an ensemble on a network without spikes, images of another size.
pub fn evaluate(model: &Model, question: &Question, watch: &dyn Watch) -> Result<Answer> {
    let lenses = match question.members {
        Members::One => vec![question.lens],
        Members::Ensemble => ensemble().to_vec(),
    };
    if question.members == Members::Ensemble && model.spec().steps == 0 {
        return Err(usage!("--ensemble: this network has no spikes (T = 0), so all gradient variants are one; leave --ensemble out"));
    }
    let count = question.count.min(question.images.len());
    ensure!(count > 0, "eval: zero images to evaluate");
    let eps = (question.eps / 255.0) as f32;
    let clock = Instant::now();
    let mut answer =
        Answer { images: count, clean: 0.0, robust: 0.0, members: Vec::new(), adversarial: Vec::new(), survived: Vec::new(), seconds: 0.0 };
    let (mut clean, mut each) = (0, vec![0usize; lenses.len()]);
    let mut attacker = Attacker::new(model, question.attack, &lenses, eps, Noise::new(question.seed, 0));
    watch.begin(&title(question), (count * lenses.len()) as u64);
    for start in (0..count).step_by(BATCH) {
        let batch = question.images.batch(start..(start + BATCH).min(count))?;
        let (images, labels) = upload(model, &batch);
        let victim = Seen { model };
        let clean_right = right(&victim.logits(&images, Lens::default())?, &labels)?;
        clean += clean_right.iter().filter(|&&right| right).count();
        let noise = Noise::new(question.seed, 0);
        let mut verdict = Verdict { survived: clean_right.clone(), adversarial: batch.images.clone() };
        match question.pass_on {
            PassOn::All => {
                let targets = Targets { images: &images, labels: &labels, ids: &batch.ids };
                for (member, adversarial) in attacker.members(&targets).enumerate() {
                    let adversarial = adversarial?;
                    let robust = right(&victim.logits(&adversarial, Lens::default())?, &labels)?;
                    each[member] += robust.iter().zip(&clean_right).filter(|&(&robust, &clean)| robust && clean).count();
                    verdict.judge(&(0..batch.len()).collect::<Vec<_>>(), &robust, &adversarial);
                    watch.advance(batch.len() as u64);
                }
            }
            PassOn::Survivors => {
                for (member, &lens) in lenses.iter().enumerate() {
                    watch::check()?;
                    let alive: Vec<usize> = (0..batch.len()).filter(|&i| verdict.survived[i]).collect();
                    if !alive.is_empty() {
                        let (some, some_labels) = (images.gather(&alive), labels.gather(&alive));
                        let ids: Vec<u64> = alive.iter().map(|&i| batch.ids[i]).collect();
                        let targets = Targets { images: &some, labels: &some_labels, ids: &ids };
                        let adversarial =
                            question.attack.perturb(&victim, &targets, lens, eps, &Noise { member: member as u64, ..noise })?;
                        verdict.judge(&alive, &right(&victim.logits(&adversarial, Lens::default())?, &some_labels)?, &adversarial);
                    }
                    each[member] += verdict.survived.iter().filter(|&&alive| alive).count();
                    watch.advance(batch.len() as u64);
                }
            }
        }
        answer.adversarial.extend(verdict.adversarial);
        answer.survived.extend(verdict.survived);
    }
    let percent = |part: usize| 100.0 * part as f64 / count as f64;
    answer.clean = percent(clean);
    answer.robust = percent(answer.survived.iter().filter(|&&alive| alive).count());
    answer.members = lenses.into_iter().zip(each).map(|(lens, right)| (lens, percent(right))).collect();
    answer.seconds = clock.elapsed().as_secs_f64();
    watch.end(&format!(
        "{}: clean {:.1} %, robust {:.1} % of {count} images, {:.1} s",
        title(question),
        answer.clean,
        answer.robust,
        answer.seconds
    ));
    Ok(answer)
}

fn title(question: &Question) -> String {
    let ensemble = if question.members == Members::Ensemble { "ensemble " } else { "" };
    match question.attack {
        Attack::Identity => "clean".to_string(),
        attack => format!("{ensemble}{attack} at {}/255", question.eps),
    }
}

struct Verdict {
    survived: Vec<bool>,
    adversarial: Vec<f32>,
}

impl Verdict {
    /// Take what a member did to the images at `places`.
    fn judge(&mut self, places: &[usize], robust: &[bool], adversarial: &Tensor) {
        let size = adversarial.shape().count() / places.len().max(1);
        for ((&place, &robust), image) in places.iter().zip(robust).zip(adversarial.to_vec().chunks_exact(size)) {
            if self.survived[place] {
                self.adversarial[place * size..(place + 1) * size].copy_from_slice(image);
            }
            self.survived[place] &= robust;
        }
    }
}

/// Whether each row of logits is largest at its label (the first of equals counts).
fn right(logits: &Tensor, labels: &Array<i32>) -> Result<Vec<bool>> {
    sound(logits)?;
    Ok(loss::hits(logits, labels)?.to_vec().into_iter().map(|hit| hit == 1).collect())
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
        let (pixels, labels) = upload(model, &batch);
        let (logits, trace) = model.forward(&pixels, &pass)?;
        correct += right(&logits, &labels)?.into_iter().filter(|&right| right).count();
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
