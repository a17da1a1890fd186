//! What an evaluation says and writes.

use super::super::{say, version};
use crate::base::{Result, fail, file};
use crate::checkpoint::{self, Kind};
use crate::data::{Dataset, Images};
use crate::drive::{self, Answer, Grade, Honesty, Question};
use crate::ops::pixel::Norm;
use crate::record::{Gallery, wilson, with_interval};
use crate::report;
use serde_json::{Value, json};
use std::path::Path;

/// An evaluation that is over.
pub struct Outcome<'a> {
    /// What was asked.
    pub question: &'a Question<'a>,
    /// As typed: an attack's name, or autoattack.
    pub attack: &'a str,
    /// What came out.
    pub answer: &'a Answer,
    /// Whether it can be believed (None: not looked at).
    pub honesty: Option<&'a Honesty>,
    /// Of the images.
    pub data: &'a Dataset,
}

impl Outcome<'_> {
    /// Results on stdout.
    pub fn tell(&self) -> Result<()> {
        let Outcome { question, answer, .. } = self;
        let told = |percent| with_interval(percent, answer.images);
        if answer.members.len() > 1 {
            for score in &answer.members {
                let name = score.member.label(&question.members);
                say(format!("{name:<14} {:>17} %  first to break {:>5}", told(score.accuracy), score.kills))?;
            }
        }
        if answer.recheck.changed > 0 {
            say(format!("{} images were judged otherwise by a second forward, which counts", answer.recheck.changed))?;
        }
        for (grade, text) in self.honesty.map(Honesty::verdicts).unwrap_or_default() {
            say(format!("{} {text}", if grade == Grade::Sound { "  ok  " } else { "doubt " }))?;
        }
        let (clean, images) = (told(answer.clean), format!("{} images; in brackets 95 % intervals", answer.images));
        match self.attack {
            "none" => say(format!("clean {clean} % ({images})")),
            _ => say(format!("clean {clean} %, robust {} % ({question}, {images})", told(answer.robust))),
        }
    }

    /// All of it as JSON, with `more` members.
    pub fn json(&self, path: &Path, more: Value) -> Result<()> {
        let Outcome { question, answer, attack, honesty, .. } = self;
        let ci95 = |percent| wilson(percent, answer.images);
        let member = |score: &crate::drive::Score| {
            let name = score.member.label(&question.members);
            json!({"name": name, "accuracy": score.accuracy, "ci95": ci95(score.accuracy), "first_to_break": score.kills})
        };
        // RobustBench's words.
        let (norm, unit) = match question.radius.norm {
            Norm::Linf => ("Linf", "1/255"),
            Norm::L2 => ("L2", "1"),
        };
        let mut result = json!({
            "clean_acc": answer.clean, "clean_ci95": ci95(answer.clean), "robust_acc": answer.robust,
            "robust_ci95": ci95(answer.robust), "attack": attack, "norm": norm, "eps": question.radius.size, "eps_unit": unit,
            "images": answer.images, "seed": question.seed,
            "seconds": answer.seconds, "version": version(), "members": answer.members.iter().map(member).collect::<Vec<_>>(),
            "recheck": {"farthest": answer.recheck.farthest, "changed": answer.recheck.changed},
            "honesty": honesty.map(Honesty::recorded),
        });
        let Value::Object(object) = &mut result else { unreachable!("json! of an object") };
        if *attack == crate::attack::AUTOATTACK {
            object.insert("autoattack_acc".into(), json!(answer.robust));
        }
        if let Value::Object(more) = more {
            object.extend(more);
        }
        let text = serde_json::to_string_pretty(&result).map_err(|cause| fail!("json: {cause}"))? + "\n";
        file::write(path, text.as_bytes())
    }

    /// The adversarial images as tensors.
    pub fn save(&self, path: &Path) -> Result<()> {
        let (n, images): (usize, &Images) = (self.answer.images, self.question.images);
        let integers = |values: &mut dyn Iterator<Item = i64>| Kind::Integers(values.collect());
        let seen = |index: usize| integers(&mut self.answer.predicted[index].iter().map(|&class| i64::from(class)));
        let tensors = [
            (
                "images".into(),
                vec![n, images.channels, images.height, images.width],
                Kind::Floats(checkpoint::channels_first(&self.answer.adversarial, images.channels, images.height * images.width)),
            ),
            ("labels".into(), vec![n], integers(&mut images.labels[..n].iter().map(|&label| i64::from(label)))),
            ("survived".into(), vec![n], integers(&mut self.answer.survived.iter().map(|&alive| i64::from(alive)))),
            ("predicted_clean".into(), vec![n], seen(0)),
            ("predicted".into(), vec![n], seen(1)),
        ];
        checkpoint::save_tensors(path, &tensors)
    }

    /// The first images that were right when clean, before and after, as a PNG file.
    pub fn grid(&self, path: &Path) -> Result<()> {
        file::write(path, &report::grid(&format!("{}, {}", self.data.name, self.question), &self.gallery())?)
    }

    /// The page.
    pub fn page(&self, path: &Path, checkpoint: &str) -> Result<()> {
        let (answer, question) = (self.answer, self.question.to_string());
        let member = |score: &crate::drive::Score| (score.member.label(&self.question.members), score.accuracy, score.kills);
        let checks = self.honesty.map(Honesty::recorded);
        let page = report::attacked(&report::Attacked {
            names: [checkpoint, self.data.name, &question],
            images: answer.images,
            clean: answer.clean,
            robust: answer.robust,
            members: answer.members.iter().map(member).collect(),
            checks: checks.as_ref(),
            gallery: &self.gallery(),
            seconds: answer.seconds,
            version: &version(),
        })?;
        file::write(path, page.as_bytes())
    }

    /// The first images that were right when clean.
    fn gallery(&self) -> Gallery {
        const SHOWN: usize = 20;
        let (answer, labels) = (self.answer, &self.question.images.labels);
        let right = |&id: &usize| answer.predicted[0][id] == i32::from(labels[id]);
        let places = (0..answer.images).filter(right).take(SHOWN);
        let [clean, attacked] = &answer.predicted;
        drive::gallery(self.data, places, &answer.adversarial, [clean, attacked], "")
    }
}
