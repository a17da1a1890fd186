//! What a run measures of its networks: accuracies, firing, honesty checks, the curve against eps, a gallery.
//!
//! What is recorded is not done again. Of an attack that is under way the run's folder keeps pages, which go when its result is
//! recorded, so that a killed run goes on within it.

use super::evaluate::{Answer, Grade, Honesty, Member as Attacker, Question, Radius, Store, classes, evaluate_with, examine, infer};
use super::folder::Track;
use super::gallery::gallery;
use super::pipeline::{Course, go_on};
use super::recipe::{Members, Trial};
use super::seen::Seen;
use super::train::upload;
use crate::attack::{Attack, Noise, Targets, Victim};
use crate::autodiff::Lens;
use crate::base::Result;
use crate::nn::Model;
use crate::record::{Curve, Event, Firing, Layer, Member, with_interval};
use std::time::Instant;

impl<'a> Course<'a> {
    /// Clean accuracy, firing, and every trial that is not recorded yet.
    pub(super) fn evaluate_network(&mut self, network: &str, model: &Model, trials: &[Trial]) -> Result<()> {
        self.clean(network, model)?;
        // Gradients that mislead make a number too good; the natural track's are there to be low.
        let checked = Trial::strongest(trials).filter(|_| self.recipe.eval.checks && self.track == Track::Robust);
        trials.iter().try_for_each(|trial| self.attacked(network, model, trial, checked == Some(trial)))
    }

    fn clean(&mut self, network: &str, model: &Model) -> Result<()> {
        let (key, all) = (self.track.key(&format!("{network}.clean")), self.images());
        if self.known(&key) {
            return Ok(());
        }
        let clock = Instant::now();
        let (clean, activity) = infer(model, &self.setup.data.test, all).map_err(|error| error.within(&key))?;
        self.setup.watch.begin("", 0);
        self.setup.watch.end(&format!("{key}: {} % of {all} images", with_interval(clean, all)));
        if network == "snn" {
            self.phase("snn-infer", clock.elapsed().as_secs_f64(), all)?;
        }
        if !activity.is_empty() {
            let layers = activity.iter().map(|layer| Layer {
                name: layer.name.clone(),
                rate: layer.spikes as f64 / (layer.neurons as f64 * layer.steps as f64),
                silent: layer.silent as f64 / layer.neurons as f64,
            });
            self.folder.record(Event::Firing(Firing { track: self.track.name().into(), layers: layers.collect() }))?;
        }
        self.folder.record(Event::Result { key, percent: clean, images: all })
    }

    /// One trial, and, if it is to be `checked`, whether it can be believed.
    fn attacked(&mut self, network: &str, model: &Model, trial: &Trial, checked: bool) -> Result<()> {
        let name = format!("{network}.{}", trial.key());
        let key = self.track.key(&name);
        if self.known(&key) {
            return Ok(());
        }
        let question = self.question(trial.members, trial.images.unwrap_or(usize::MAX).min(self.images()), self.recipe.eval.eps);
        let (answer, mut store) = self.answer(&name, model, &question).map_err(|error| error.within(&key))?;
        let honesty = if checked { self.check(&key, model, &question, &answer)? } else { None };
        // All of it at the end: a kill before leaves the pages, from which the attack's time counts once.
        self.phase(&format!("{network}-{}", trial.word()), answer.seconds, answer.images)?;
        if answer.members.len() > 1 {
            for score in &answer.members {
                let name = score.member.label(&question.members);
                let member = Member { name, accuracy: score.accuracy, images: answer.images, ci95: None };
                self.folder.record(Event::Member { key: key.clone(), member })?;
            }
        }
        if let Some((honesty, seconds)) = honesty {
            self.phase(&format!("{network}-checks"), seconds, honesty.images)?;
            self.folder.record(Event::Checks { key: key.clone(), checks: honesty.recorded() })?;
        }
        self.folder.record(Event::Result { key, percent: answer.robust, images: answer.images })?;
        store.clear()
    }

    /// The honesty checks of an answer, and the seconds that they took.
    fn check(&self, key: &str, model: &Model, question: &Question, answer: &Answer) -> Result<Option<(Honesty, f64)>> {
        let (clock, watch) = (Instant::now(), self.setup.watch);
        let Some(honesty) = examine(model, question, answer, &[], watch).map_err(|error| error.within(key))? else { return Ok(None) };
        let seconds = clock.elapsed().as_secs_f64();
        for (_, text) in honesty.verdicts().iter().filter(|(grade, _)| *grade == Grade::Doubtful) {
            watch.end(&format!("{key}: doubt: {text}"));
        }
        Ok(Some((honesty, seconds)))
    }

    /// Test images that are looked at.
    fn images(&self) -> usize {
        let test = self.setup.data.test.len();
        self.recipe.eval.images.unwrap_or(test).min(test)
    }

    fn known(&self, key: &str) -> bool {
        self.folder.has(|event| matches!(event, Event::Result { key: known, .. } if known == key))
    }

    fn question(&self, members: Members, count: usize, eps: f64) -> Question<'a> {
        let all = Attacker::all(members, Lens::default());
        Question { pass_on: members.pass_on(), ..Question::new(&self.setup.data.test, count, all, eps, self.recipe.seed) }
    }

    /// The answer to `question`, from where an earlier run of this folder left it, and what is to be cleared once it is recorded.
    fn answer(&mut self, name: &str, model: &Model, question: &Question) -> Result<(Answer, Store)> {
        let folder = self.folder.pages(self.track).join(name);
        let (mut store, pages) = question.store(&folder, model, self.setup.version, true)?;
        if !pages.is_empty() {
            self.setup.watch.end(&format!("{}: {} batches were done before", self.track.key(name), pages.len()));
        }
        self.folder.recover(pages.iter().map(|page| f64::from(page.seconds)).sum());
        match evaluate_with(model, question, Some((&mut store, pages)), self.setup.watch) {
            Err(error) if store.is_full() => Err(go_on(&error, self.setup.out)),
            answer => Ok((answer?, store)),
        }
    }

    /// Accuracy against eps.
    pub(super) fn curve(&mut self, snn: &Model) -> Result<()> {
        let eval = &self.recipe.eval;
        let name = self.track.name();
        if eval.curve.is_empty() || self.folder.has(|event| matches!(event, Event::Curve(curve) if curve.track == name)) {
            return Ok(());
        }
        let trial = eval.curve_trial;
        let images = trial.images.unwrap_or(usize::MAX).min(self.setup.data.test.len());
        let (mut points, mut stores) = (Vec::new(), Vec::new());
        for &eps in &eval.curve {
            let members = if eps == 0.0 { Members::One(Attack::Identity) } else { trial.members };
            let question = self.question(members, images, eps);
            let (answer, store) =
                self.answer(&format!("snn.curve-{eps}"), snn, &question).map_err(|error| error.within(self.track.key("curve")))?;
            points.push([eps, answer.robust]);
            stores.push(store);
        }
        let (track, attack, network) = (name.into(), trial.members.to_string(), "snn".into());
        self.folder.record(Event::Curve(Curve { track, attack, network, images, points, intervals: Vec::new() }))?;
        stores.iter_mut().try_for_each(Store::clear)
    }

    /// The first test images before and after PGD, with what the network makes of them.
    pub(super) fn gallery(&mut self, snn: &Model) -> Result<()> {
        const SHOWN: usize = 8;
        let (data, name) = (self.setup.data, self.track.name());
        let shown =
            self.folder.has(|event| matches!(event, Event::Gallery(gallery) if gallery.items.iter().any(|item| item.track == name)));
        if shown || ![1, 3].contains(&data.test.channels) {
            return Ok(());
        }
        let batch = data.test.batch(0..SHOWN.min(data.test.len()))?;
        let (images, labels) = upload(snn, &batch);
        let targets = Targets { images: &images, labels: &labels, ids: &batch.ids };
        let (victim, ball) = (Seen { model: snn }, Radius::linf(self.recipe.eval.eps).ball());
        let attack = Attack::Pgd { iterations: 20 };
        let adversarial = attack.perturb(&victim, &targets, Lens::default(), ball, &Noise::new(self.recipe.seed, 0))?;
        let predict = |images| classes(&victim.logits(images, Lens::default())?);
        let (before, after) = (predict(&images)?, predict(&adversarial)?);
        self.folder.record(Event::Gallery(gallery(data, 0..batch.len(), &adversarial.to_vec(), [&before, &after], name)))
    }
}
