//! Accuracy, clean and under attack.

use super::attacker::Attacker;
use super::recipe::Members;
use super::seen::Seen;
use super::train::upload;
use super::watch::{self, Watch};
use crate::attack::{Attack, Expected, Noise, Targets, Victim, ensemble};
use crate::autodiff::{Keep, Lens, Pass};
use crate::base::{Kind, Result, ensure, usage};
use crate::data::Images;
use crate::device::catch;
use crate::nn::{Activity, Model};
use crate::ops::{loss, reduce};
use crate::record::with_interval;
use crate::tensor::{Array, Tensor};
use std::ops::Range;
use std::time::Instant;

/// What to evaluate.
pub struct Question<'a> {
    /// The images, in order.
    pub images: &'a Images,
    /// How many of them, from the first.
    pub count: usize,
    /// The attack.
    pub attack: Attack,
    /// The network that the adversarial images are made on (None: the one that is judged).
    pub source: Option<&'a Model>,
    /// Forwards a gradient is the mean of, at least 1.
    pub draws: usize,
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
/// Errors (usage): an ensemble on a network without spikes, images of another size, a source of another input or other classes.
pub fn evaluate(model: &Model, question: &Question, watch: &dyn Watch) -> Result<Answer> {
    let lenses = match question.members {
        Members::One => vec![question.lens],
        Members::Ensemble => ensemble().to_vec(),
    };
    let source = question.source.unwrap_or(model);
    alike(source, model)?;
    if question.members == Members::Ensemble && source.spec().steps == 0 {
        return Err(usage!("--ensemble: this network has no spikes (T = 0), so all gradient variants are one; leave --ensemble out"));
    }
    let count = question.count.min(question.images.len());
    ensure!(count > 0, "eval: zero images to evaluate");
    let eps = (question.eps / 255.0) as f32;
    let clock = Instant::now();
    let mut answer =
        Answer { images: count, clean: 0.0, robust: 0.0, members: Vec::new(), adversarial: Vec::new(), survived: Vec::new(), seconds: 0.0 };
    let (mut clean, mut each) = (0, vec![0usize; lenses.len()]);
    watch.begin(&title(question), (count * lenses.len()) as u64);
    let trial = Trial { model, source, question, lenses: &lenses, eps, noise: Noise::new(question.seed, 0), watch };
    let mut attacker = trial.attacker();
    let size = in_batches(count, BATCH, |range, again| {
        if again == Again::Yes {
            attacker = trial.attacker(); // and with the old one goes the memory of its recordings
        }
        let found = trial.batch(range, &mut attacker)?;
        clean += found.clean;
        each.iter_mut().zip(found.each).for_each(|(each, more)| *each += more);
        answer.adversarial.extend(found.verdict.adversarial);
        answer.survived.extend(found.verdict.survived);
        Ok(())
    })?;
    if size < BATCH {
        watch.remark(&format!("{size} images at a time: more do not fit the device's memory"));
    }
    let percent = |part: usize| 100.0 * part as f64 / count as f64;
    answer.clean = percent(clean);
    answer.robust = percent(answer.survived.iter().filter(|&&alive| alive).count());
    answer.members = lenses.into_iter().zip(each).map(|(lens, right)| (lens, percent(right))).collect();
    answer.seconds = clock.elapsed().as_secs_f64();
    watch.end(&format!(
        "{}: clean {} %, robust {} % of {count} images, {:.1} s",
        title(question),
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

fn title(question: &Question) -> String {
    let ensemble = if question.members == Members::Ensemble { "ensemble " } else { "" };
    match question.attack {
        Attack::Identity => "clean".to_string(),
        attack => format!("{ensemble}{attack} at {}/255", question.eps),
    }
}

/// What all batches of an evaluation have in common.
struct Trial<'a> {
    model: &'a Model,
    source: &'a Model,
    question: &'a Question<'a>,
    lenses: &'a [Lens],
    eps: f32,
    noise: Noise,
    watch: &'a dyn Watch,
}

/// What came out of a batch: how many were right when clean, and under each member.
struct Found {
    clean: usize,
    each: Vec<usize>,
    verdict: Verdict,
}

impl<'a> Trial<'a> {
    fn attacker(&self) -> Attacker<'a> {
        Attacker::new(self.source, self.question.attack, self.lenses, self.eps, self.noise).expecting(self.question.draws)
    }

    fn batch(&self, range: Range<usize>, attacker: &mut Attacker) -> Result<Found> {
        let Trial { model, source, question, lenses, eps, noise, watch } = *self;
        let batch = question.images.batch(range)?;
        let (images, labels) = upload(model, &batch);
        let victim = Seen { model };
        let clean_right = right(&victim.logits(&images, Lens::default())?, &labels)?;
        let clean = clean_right.iter().filter(|&&right| right).count();
        let mut each = vec![0; lenses.len()];
        let mut verdict = Verdict { survived: clean_right.clone(), adversarial: batch.images.clone() };
        match question.pass_on {
            PassOn::All => {
                let targets = Targets { images: &images, labels: &labels, ids: &batch.ids };
                for (member, adversarial) in attacker.members(&targets).enumerate() {
                    let adversarial = adversarial?;
                    let robust = right(&victim.logits(&adversarial, Lens::default())?, &labels)?;
                    each[member] = robust.iter().zip(&clean_right).filter(|&(&robust, &clean)| robust && clean).count();
                    verdict.judge(&(0..batch.len()).collect::<Vec<_>>(), &robust, &adversarial);
                    watch.advance(batch.len() as u64);
                }
            }
            PassOn::Survivors => {
                let seen = Seen { model: source };
                let attacked = Expected { victim: &seen, draws: question.draws };
                for (member, &lens) in lenses.iter().enumerate() {
                    watch::check()?;
                    let alive: Vec<usize> = (0..batch.len()).filter(|&i| verdict.survived[i]).collect();
                    if !alive.is_empty() {
                        let (some, some_labels) = (images.gather(&alive), labels.gather(&alive));
                        let ids: Vec<u64> = alive.iter().map(|&i| batch.ids[i]).collect();
                        let targets = Targets { images: &some, labels: &some_labels, ids: &ids };
                        let adversarial =
                            question.attack.perturb(&attacked, &targets, lens, eps, &Noise { member: member as u64, ..noise })?;
                        verdict.judge(&alive, &right(&victim.logits(&adversarial, Lens::default())?, &some_labels)?, &adversarial);
                    }
                    each[member] = verdict.survived.iter().filter(|&&alive| alive).count();
                    watch.advance(batch.len() as u64);
                }
            }
        }
        Ok(Found { clean, each, verdict })
    }
}

/// Do `work` on the indices below `count`, at most `most` at a time; where a device has no memory for so many, on half as
/// many, `work` being told that it is asked again. Returns how many at a time it was in the end.
fn in_batches(count: usize, most: usize, mut work: impl FnMut(Range<usize>, Again) -> Result<()>) -> Result<usize> {
    let (mut size, mut start, mut again) = (most, 0, Again::No);
    while start < count {
        let end = (start + size).min(count);
        match catch(|| work(start..end, again)) {
            Ok(()) => (start, again) = (end, Again::No),
            Err(error) if error.kind() == Kind::Memory && size > 1 => (size, again) = (size / 2, Again::Yes),
            Err(error) => return Err(error),
        }
    }
    Ok(size)
}

/// Whether the last try failed for want of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Yes,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Error;
    use crate::device::raise;

    #[test]
    fn a_batch_that_does_not_fit_is_halved_and_nothing_is_done_twice() {
        let mut done = Vec::new();
        let mut tries = Vec::new();
        let size = in_batches(10, 8, |range, again| {
            tries.push((range.len(), again));
            if range.len() > 3 {
                raise(Error::new(Kind::Memory, "gpu: out of memory"));
            }
            done.extend(range);
            Ok(())
        });
        assert_eq!((size.unwrap(), done), (2, (0..10).collect()));
        assert_eq!(tries[..4], [(8, Again::No), (4, Again::Yes), (2, Again::Yes), (2, Again::No)]);
    }

    #[test]
    fn another_error_or_a_single_image_that_does_not_fit_ends_it() {
        let memory = in_batches(3, 4, |_, _| Err(Error::new(Kind::Memory, "gpu: out of memory")));
        assert_eq!(memory.unwrap_err().kind(), Kind::Memory);
        let mut tries = 0;
        let failed = in_batches(3, 4, |_, _| {
            tries += 1;
            Err(Error::failed("broken"))
        });
        assert_eq!((failed.unwrap_err().to_string().as_str(), tries), ("broken", 1));
    }
}
