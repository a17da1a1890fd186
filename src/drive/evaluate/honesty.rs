//! Can the robust accuracy be believed? What a reviewer would ask of it (Carlini et al. 2019; Athalye et al. 2018), measured.
//!
//! A gradient that is zero, a loss that has not settled, or an attack without gradients that beats those with them, all say that
//! the attack failed rather than that the network is robust.

use super::{Answer, Question, classes};
use crate::attack::{Attack, Noise, Targets, Victim, Walk, step};
use crate::autodiff::{Credit, Keep, Lens, Pass, SurrogateKind};
use crate::base::{Result, ensure};
use crate::drive::seen::Seen;
use crate::drive::train::upload;
use crate::drive::watch::{self, Watch};
use crate::nn::Model;
use crate::ops::loss;
use crate::ops::pixel::{self, Ball};
use crate::record::{Checks, Length, Search, Support, Verdict, with_interval};
use crate::tensor::Tensor;

/// Images that are looked at.
const IMAGES: usize = 16;
/// Steps of the ascent whose loss is watched, at most.
const STEPS: usize = 40;
/// Queries of the search that asks no gradient.
const QUERIES: usize = 100;

/// The measurements. Shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Honesty {
    /// Images looked at: the first that are right when clean.
    pub images: usize,
    /// Share of the pixels' gradients that are exactly zero, of the clean images, through the first member's lens.
    pub zero_gradients: f64,
    /// Images all of whose gradients are zero.
    pub blind: usize,
    /// Of each layer of neurons the share of membranes, over all steps, at which the surrogate is not zero; empty for lenses that
    /// use none.
    pub support: Vec<(String, f64)>,
    /// The mean cross-entropy at each step of PGD through the first member's lens.
    pub ascent: Vec<f64>,
    /// Survivors that were searched, and those that Square broke with a few queries.
    pub search: [usize; 2],
    /// As `search`, of PGD on the ReLU network of the same weights, judged on the network.
    pub transfer: [usize; 2],
    /// Whether the same images, alone and in a batch, gave the same logits to the bit, twice.
    pub deterministic: bool,
    /// Whether the outputs are probabilities (within 0 and 1, adding up to 1), so that the losses are those of something else.
    pub probabilities: bool,
    /// Robust accuracy in percent, of the images looked at, after so many steps of PGD; empty unless asked for.
    pub curve: Vec<(usize, f64)>,
}

/// Whether something is amiss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Sound,
    /// The number may be too good.
    Doubtful,
}

/// Measure. With `curve` lengths, PGD of each is run on the images that are looked at. None where no image is right when clean.
pub fn examine(model: &Model, question: &Question, answer: &Answer, curve: &[usize], watch: &dyn Watch) -> Result<Option<Honesty>> {
    let label = |id: usize| i32::from(question.images.labels[id]);
    let right: Vec<usize> = (0..answer.images).filter(|&id| answer.predicted[0][id] == label(id)).take(IMAGES).collect();
    let Some(member) = question.members.first().filter(|_| !right.is_empty()) else { return Ok(None) };
    watch.begin("honesty checks", 0);
    let source = question.source.unwrap_or(model);
    let (lens, ball) = (if member.attack.is_white_box() { member.lens } else { Lens::default() }, question.radius.ball());
    let batch = question.images.gather(&right)?;
    let (images, labels) = upload(source, &batch);
    let targets = Targets { images: &images, labels: &labels, ids: &batch.ids };
    let victim = Seen { model: source };

    let gradient = respond(&victim, &targets, &images, lens)?.0.to_vec();
    let zeros = |gradient: &[f32]| gradient.iter().filter(|&&g| g == 0.0).count();
    let size = gradient.len() / right.len();
    let iterations = member.attack.iterations().unwrap_or(1).min(STEPS);
    let survivors: Vec<usize> = (0..answer.images).filter(|&id| answer.survived[id]).take(IMAGES).collect();
    let broken = |attack: Attack, lens: Lens| -> Result<[usize; 2]> {
        if survivors.is_empty() {
            return Ok([0, 0]);
        }
        let batch = question.images.gather(&survivors)?;
        let (images, labels) = upload(model, &batch);
        let targets = Targets { images: &images, labels: &labels, ids: &batch.ids };
        // Draws of their own: those of the attack have been tried.
        let noise = Noise::new(question.seed, 1);
        let adversarial = attack.perturb(&Seen { model }, &targets, lens, ball, &noise)?;
        let seen = classes(&Seen { model }.logits(&adversarial, Lens::default())?)?;
        Ok([survivors.len(), seen.iter().zip(&batch.labels).filter(|(seen, label)| seen != label).count()])
    };
    let (mut points, mut robust) = (Vec::new(), vec![true; right.len()]);
    for &length in curve {
        let attack = Attack::Pgd { iterations: length };
        let adversarial = attack.perturb(&victim, &targets, lens, ball, &Noise::new(question.seed, 0))?;
        let seen = classes(&Seen { model }.logits(&adversarial, Lens::default())?)?;
        robust.iter_mut().zip(seen).zip(&batch.labels).for_each(|((robust, seen), &label)| *robust = seen == label);
        points.push((length, 100.0 * robust.iter().filter(|&&robust| robust).count() as f64 / right.len() as f64));
    }
    let own = Seen { model }.logits(&images, Lens::default())?.to_vec();
    let honesty = Honesty {
        images: right.len(),
        zero_gradients: zeros(&gradient) as f64 / gradient.len() as f64,
        blind: gradient.chunks_exact(size.max(1)).filter(|image| zeros(image) == size).count(),
        support: support(source, &images, lens)?,
        ascent: ascent(&victim, &targets, lens, ball, iterations, question.seed)?,
        search: broken(Attack::Square { queries: QUERIES }, Lens::default())?,
        transfer: if model.spec().steps == 0 { [0, 0] } else { broken(Attack::Pgd { iterations: 10 }, Lens::Act)? },
        deterministic: deterministic(model, &images, &own)?,
        probabilities: own.chunks_exact(model.spec().classes).all(|row| {
            let sum: f32 = row.iter().sum();
            (sum - 1.0).abs() < 1e-4 && row.iter().all(|&p| (0.0..=1.0).contains(&p))
        }),
        curve: points,
    };
    watch.end("");
    Ok(Some(honesty))
}

/// The gradient of the cross-entropy at `images`, and its mean value.
fn respond(victim: &Seen, targets: &Targets, images: &Tensor, lens: Lens) -> Result<(Tensor, f64)> {
    let labels = targets.labels;
    let mut all = victim.gradients(images, &|logits| Ok(loss::cross_entropy(logits, labels)?.dlogits), &[lens])?;
    ensure!(all.len() == 1, "honesty checks: one lens, {} gradients", all.len());
    let response = all.remove(0);
    let values = loss::cross_entropy(&response.logits, labels)?.values.to_vec();
    Ok((response.gradient, values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64))
}

/// The mean loss at the start of PGD and after each of its steps.
fn ascent(victim: &Seen, targets: &Targets, lens: Lens, ball: Ball, iterations: usize, seed: u64) -> Result<Vec<f64>> {
    let walk = Walk::new(ball, iterations);
    let start = Attack::Pgd { iterations }.start(targets, ball, &Noise::new(seed, 0))?;
    let mut adv = match &start {
        Some(start) => pixel::displace(targets.images, start, 1.0)?,
        None => targets.images.clone(),
    };
    let mut losses = Vec::new();
    for _ in 0..iterations {
        watch::check()?;
        let (gradient, loss) = respond(victim, targets, &adv, lens)?;
        losses.push(loss);
        adv = step(targets.images, &adv, &gradient, walk.alpha, ball)?;
    }
    losses.push(respond(victim, targets, &adv, lens)?.1);
    Ok(losses)
}

/// Of each layer, the share of membranes that the surrogate sees.
fn support(model: &Model, images: &Tensor, lens: Lens) -> Result<Vec<(String, f64)>> {
    let Lens::Spiking(Credit::Bptt(surrogate)) = lens else { return Ok(Vec::new()) };
    if model.spec().steps == 0 || surrogate.kind == SurrogateKind::Ste {
        return Ok(Vec::new());
    }
    let (_, trace) = model.forward(images, &Pass::eval(model.spec().fire(), Keep::ForInput))?;
    // An exponential is nowhere zero; what is below a hundredth of its peak passes nothing on.
    let least = match surrogate.kind {
        SurrogateKind::Exp | SurrogateKind::ExpD => 0.01 * surrogate.slope(0.0),
        _ => 0.0,
    };
    let share = |layer: crate::nn::Membranes| {
        let seen = layer.u.iter().filter(|&&u| surrogate.slope(u - layer.v_th) > least).count();
        (layer.name, seen as f64 / layer.u.len().max(1) as f64)
    };
    Ok(model.membranes(&trace)?.into_iter().map(share).collect())
}

/// Whether the first image by itself, and all once more, give the bits that they gave.
fn deterministic(model: &Model, images: &Tensor, logits: &[f32]) -> Result<bool> {
    let victim = Seen { model };
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let again = victim.logits(images, Lens::default())?.to_vec();
    let alone = victim.logits(&images.slice(0..1), Lens::default())?.to_vec();
    Ok(bits(&again) == bits(logits) && bits(&alone) == bits(&logits[..alone.len()]))
}

impl Honesty {
    /// As it is recorded.
    pub fn recorded(&self) -> Checks {
        let search = |[survivors, broken]: [usize; 2]| Search { survivors, broken };
        Checks {
            images: self.images,
            zero_gradients: self.zero_gradients,
            blind_images: self.blind,
            support: self.support.iter().map(|(layer, share)| Support { layer: layer.clone(), share: *share }).collect(),
            ascent: self.ascent.clone(),
            square: search(self.search),
            transfer: search(self.transfer),
            deterministic: self.deterministic,
            probabilities: self.probabilities,
            curve: self.curve.iter().map(|&(iterations, robust_acc)| Length { iterations, robust_acc }).collect(),
            verdicts: self.verdicts().into_iter().map(|(grade, text)| Verdict { sound: grade == Grade::Sound, text }).collect(),
        }
    }

    /// What the measurements say, in words, the doubtful ones first.
    pub fn verdicts(&self) -> Vec<(Grade, String)> {
        let mut all = vec![self.gradients(), self.ascends()];
        all.extend(self.sees());
        let counted = |what: &str, [searched, broken]: [usize; 2]| match (searched, broken) {
            (0, _) => None,
            (_, 0) => Some((Grade::Sound, format!("{what} breaks none of {searched} survivors"))),
            _ => Some((
                Grade::Doubtful,
                format!(
                    "{what} breaks {broken} of {searched} survivors of the attack: their gradients misled it (masking); use autoattack or --ensemble"
                ),
            )),
        };
        all.extend(counted(&format!("a search without gradients (Square, {QUERIES} queries)"), self.search));
        all.extend(counted("transfer from the ReLU network of the same weights (PGD-10)", self.transfer));
        all.push(match self.deterministic {
            true => (Grade::Sound, "the forward is deterministic".into()),
            false => (Grade::Doubtful, "the same image gave different logits: use --eot, and judge more than once".into()),
        });
        if self.probabilities {
            all.push((Grade::Doubtful, "the outputs are probabilities, not logits: a second softmax flattens the gradients".into()));
        }
        if let [.., (before, earlier), (length, last)] = self.curve[..] {
            let told = |percent| with_interval(percent, self.images);
            all.push(if last < earlier {
                (
                    Grade::Doubtful,
                    format!("PGD-{length} leaves {} %, PGD-{before} {} %: the attack is too short", told(last), told(earlier)),
                )
            } else {
                (Grade::Sound, format!("PGD-{length} leaves {} %, no less than PGD-{before}", told(last)))
            });
        }
        all.sort_by_key(|(grade, _)| *grade == Grade::Sound);
        all
    }

    fn gradients(&self) -> (Grade, String) {
        let share = 100.0 * self.zero_gradients;
        let text =
            format!("{share:.1} % of the pixels' gradients are exactly zero, and all of them in {} of {} images", self.blind, self.images);
        // A few dark corners that no filter sees are usual; a signed step leaves those pixels where they are.
        if self.blind > 0 || self.zero_gradients > 0.5 {
            (Grade::Doubtful, format!("{text}: the attack is blind there; try --ensemble, another --surrogate or --credit rate"))
        } else {
            (Grade::Sound, text)
        }
    }

    fn ascends(&self) -> (Grade, String) {
        let steps = self.ascent.len() - 1;
        let [first, last] = [self.ascent[0], self.ascent[steps]];
        let before = self.ascent[steps - steps.div_ceil(10)];
        let text = format!("the loss goes from {first:.3} to {last:.3} in {steps} steps of PGD");
        let still = last - before > 0.05 * (last - first).abs();
        match (last > first, still) {
            (false, _) => (Grade::Doubtful, format!("{text}: it does not rise, so the gradients lead nowhere")),
            (true, true) if steps == 1 => (
                Grade::Doubtful,
                format!("one step raises the loss from {first:.3} to {last:.3}; pgd and apgd-ce go on from there and are stronger"),
            ),
            (true, true) => (Grade::Doubtful, format!("{text} and still rises at the end: give it more --iterations")),
            (true, false) => (Grade::Sound, format!("{text} and has settled")),
        }
    }

    fn sees(&self) -> Option<(Grade, String)> {
        let (name, least) = self.support.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
        let text = format!("the surrogate sees at least {:.1} % of each layer's membranes (least: {name})", 100.0 * least);
        Some(if *least < 0.02 {
            (Grade::Doubtful, format!("{text}: hardly any gradient passes; try a wider one (--gamma)"))
        } else {
            (Grade::Sound, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Honesty {
        Honesty {
            images: 16,
            zero_gradients: 0.1,
            blind: 0,
            support: vec![("a".into(), 0.5), ("b".into(), 0.3)],
            ascent: vec![1.0, 2.0, 2.5, 2.6, 2.61],
            search: [16, 0],
            transfer: [16, 0],
            deterministic: true,
            probabilities: false,
            curve: vec![(10, 50.0), (100, 50.0)],
        }
    }

    #[test]
    fn a_sound_evaluation_raises_no_doubt() {
        let verdicts = sound().verdicts();
        assert!(verdicts.iter().all(|(grade, _)| *grade == Grade::Sound), "{verdicts:?}");
        assert_eq!(verdicts.len(), 7);
    }

    #[test]
    fn each_symptom_is_named_first() {
        let cases: [(Honesty, &str); 10] = [
            (Honesty { zero_gradients: 0.6, ..sound() }, "60.0 % of the pixels' gradients are exactly zero"),
            (Honesty { blind: 1, ..sound() }, "in 1 of 16 images"),
            (Honesty { support: vec![("a".into(), 0.5), ("b".into(), 0.01)], ..sound() }, "least: b"),
            (Honesty { ascent: vec![1.0, 2.0, 3.0], ..sound() }, "still rises"),
            (Honesty { ascent: vec![1.0, 0.9], ..sound() }, "does not rise"),
            (Honesty { search: [16, 2], ..sound() }, "breaks 2 of 16 survivors"),
            (Honesty { transfer: [3, 1], ..sound() }, "breaks 1 of 3 survivors"),
            (Honesty { deterministic: false, ..sound() }, "different logits"),
            (Honesty { probabilities: true, ..sound() }, "probabilities"),
            (Honesty { curve: vec![(10, 50.0), (100, 40.0)], ..sound() }, "PGD-100 leaves 40.0 ("),
        ];
        for (honesty, words) in cases {
            let verdicts = honesty.verdicts();
            assert!(verdicts[0].0 == Grade::Doubtful && verdicts[0].1.contains(words), "{words}: {verdicts:?}");
            assert_eq!(verdicts.iter().filter(|(grade, _)| *grade == Grade::Doubtful).count(), 1, "{words}");
        }
    }
}
