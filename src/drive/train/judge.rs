//! What a network is worth after an epoch, and which epoch's is a stage's result.

use super::Job;
use crate::attack::Attack;
use crate::autodiff::Lens;
use crate::base::Result;
use crate::drive::evaluate::{Member, Question, evaluate, infer};
use crate::drive::recipe::{Defense, Members, Select};
use crate::drive::watch::Watch;
use crate::nn::Model;
use crate::record::Epoch;
use std::collections::BTreeMap;

/// The attack on held-out images.
const ATTACK: Attack = Attack::Pgd { iterations: 10 };

/// An accuracy in percent, and the number of images that it was measured on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// 0 to 100.
    pub percent: f64,
    /// 0: a record does not say.
    pub images: usize,
}

/// Accuracies of what the recipe asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Verdict {
    /// Of all held-out images.
    pub clean: Option<Measured>,
    /// Of the first held-out images under PGD-10.
    pub robust: Option<Measured>,
    /// Of all test images.
    pub test: Option<Measured>,
}

impl Verdict {
    /// What is recorded of an epoch.
    pub fn of(epoch: &Epoch) -> Verdict {
        let of = |name, percent: Option<f64>| percent.map(|percent| Measured { percent, images: epoch.images_of(name) });
        Verdict {
            clean: of("val_clean", epoch.val_clean),
            robust: of("val_robust", epoch.val_robust),
            test: of("test_clean", epoch.test_clean),
        }
    }

    /// By the names that records have.
    fn named(&self) -> impl Iterator<Item = (&'static str, Measured)> {
        let named = [("val_clean", self.clean), ("val_robust", self.robust), ("test_clean", self.test)];
        named.into_iter().filter_map(|(name, found)| Some((name, found?)))
    }

    /// By name, for a checkpoint: percent, and images under the name with `_images`.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let both = |(name, found): (&str, Measured)| [(name.into(), found.percent), (format!("{name}_images"), found.images as f64)];
        self.named().flat_map(both).collect()
    }

    /// Enter it into the record of its epoch.
    pub fn enter(&self, epoch: &mut Epoch) {
        let percent = |found: Option<Measured>| found.map(|found| found.percent);
        (epoch.val_clean, epoch.val_robust, epoch.test_clean) = (percent(self.clean), percent(self.robust), percent(self.test));
        epoch.images.extend(self.named().map(|(name, found)| (name.to_string(), found.images)));
    }
}

/// Judge `model` in eval mode, by the same images and noise after every epoch. Errors: logits that are not finite, an interrupt.
pub fn judge(model: &Model, job: &Job) -> Result<Verdict> {
    let selection = &job.recipe.selection;
    let mut verdict = Verdict::default();
    if let Some(images) = &job.data.validation {
        let attackers = Member::all(Members::One(ATTACK), Lens::default());
        let question = Question::new(images, selection.images, attackers, job.recipe.eval.eps, job.meta.seed);
        let answer = evaluate(model, &question, &Wordless(job.watch))?;
        verdict.robust = Some(Measured { percent: answer.robust, images: answer.images });
        let clean = if answer.images == images.len() { answer.clean } else { infer(model, images, images.len())?.0 };
        verdict.clean = Some(Measured { percent: clean, images: images.len() });
    }
    if selection.select == Select::TestClean {
        let images = job.data.test.len();
        verdict.test = Some(Measured { percent: infer(model, &job.data.test, images)?.0, images });
    }
    Ok(verdict)
}

/// A watch for a part of other work: bars, but no lines.
struct Wordless<'a>(&'a dyn Watch);

impl Watch for Wordless<'_> {
    fn begin(&self, what: &str, total: u64) {
        self.0.begin(what, total);
    }

    fn advance(&self, units: u64) {
        self.0.advance(units);
    }

    fn within(&self, share: f64, units: u64) {
        self.0.within(share, units);
    }

    fn remark(&self, text: &str) {
        self.0.remark(text);
    }

    fn end(&self, _: &str) {
        self.0.end("");
    }
}

/// What chooses among the epochs of a stage: the larger, the better.
#[derive(Clone, Copy)]
pub struct Measure {
    /// The number, where an epoch has it.
    pub of: fn(&Verdict) -> Option<Measured>,
    /// In words.
    pub name: &'static str,
}

/// The measure of a stage with this defense; None where the last epoch is the result.
pub fn measure(select: Select, defense: Defense) -> Option<Measure> {
    match (select, defense) {
        (Select::Last, _) => None,
        (Select::TestClean, _) => Some(Measure { of: |verdict| verdict.test, name: "clean accuracy on the test images" }),
        // Under attack it holds nearly nothing, so chance would choose.
        (Select::Validation, Defense::Natural) => Some(Measure { of: |verdict| verdict.clean, name: "clean accuracy on held-out images" }),
        (Select::Validation, _) => Some(Measure { of: |verdict| verdict.robust, name: "accuracy on held-out images under PGD-10" }),
    }
}

/// The epoch with the largest measure, the last of equals.
pub fn best(measures: &[Option<f64>]) -> Option<usize> {
    let known = measures.iter().enumerate().filter_map(|(epoch, measure)| Some((epoch, (*measure)?)));
    known.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(epoch, _)| epoch)
}

/// Whether the last `patience` epochs all failed to exceed what came before (0: never).
pub fn is_exhausted(measures: &[Option<f64>], patience: usize) -> bool {
    let Some(before) = measures.len().checked_sub(patience).filter(|&before| patience > 0 && before > 0) else { return false };
    let largest = |part: &[Option<f64>]| part.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    largest(&measures[before..]) <= largest(&measures[..before])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(measures: &[f64]) -> Vec<Option<f64>> {
        measures.iter().copied().map(Some).collect()
    }

    #[test]
    fn the_best_epoch_is_the_last_of_the_largest() {
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[None, None]), None);
        assert_eq!(best(&some(&[0.0])), Some(0));
        assert_eq!(best(&some(&[10.0, 40.0, 39.0])), Some(1));
        assert_eq!(best(&some(&[40.0, 10.0, 40.0, 9.0])), Some(2));
        assert_eq!(best(&[Some(3.0), None, Some(2.0)]), Some(0));
    }

    #[test]
    fn patience_is_a_number_of_epochs_without_a_new_largest() {
        let ends = |measures: &[f64], patience| (1..=measures.len()).find(|&n| is_exhausted(&some(&measures[..n]), patience));
        assert_eq!(ends(&[10.0, 20.0, 20.0, 15.0, 30.0], 0), None);
        assert_eq!(ends(&[10.0, 20.0, 20.0, 15.0, 30.0], 1), Some(3));
        assert_eq!(ends(&[10.0, 20.0, 20.0, 15.0, 30.0], 2), Some(4));
        assert_eq!(ends(&[10.0, 20.0, 20.0, 15.0, 30.0], 3), None);
        assert_eq!(ends(&[10.0, 20.0, 30.0], 1), None);
        assert_eq!(ends(&[30.0, 1.0, 2.0, 3.0], 3), Some(4));
        assert!(!is_exhausted(&[], 1));
    }

    #[test]
    fn a_defense_is_judged_under_attack_and_nature_clean() {
        let epoch = Epoch { val_clean: Some(1.0), val_robust: Some(2.0), test_clean: Some(3.0), ..Epoch::default() };
        let verdict = Verdict::of(&epoch);
        let of = |select, defense| measure(select, defense).and_then(|measure| (measure.of)(&verdict)).map(|found| found.percent);
        assert_eq!(of(Select::Validation, Defense::Natural), Some(1.0));
        assert_eq!(of(Select::Validation, Defense::At), Some(2.0));
        assert_eq!(of(Select::Validation, Defense::Trades), Some(2.0));
        assert_eq!(of(Select::TestClean, Defense::At), Some(3.0));
        assert_eq!(of(Select::Last, Defense::At), None);
    }
}
