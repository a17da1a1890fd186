//! Recipes: a TOML table of what to do, checked whole before anything runs.

mod book;
mod eval;
mod keys;
mod resolved;
mod stage;

pub use book::{RECIPES, Source, find};
pub use eval::{Eval, Members, Trial};
pub use resolved::difference;
pub use stage::{Defense, Stage};

use crate::base::{Result, suggest, usage};
use crate::data::Augment;
use crate::ops::lif::Reset;
use keys::Table;
use stage::StageKind;

/// A whole run: one network, trained, converted, finetuned and evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Its name.
    pub name: String,
    /// What it does, in a few words.
    pub about: String,
    /// Every setting as TOML, inherited ones and defaults included: [`Recipe::parse`] of it is this recipe again.
    /// (Empty in a twin, whose settings are in the text of its run.)
    pub text: String,
    /// Architecture name or plan.
    pub arch: String,
    /// Data set.
    pub dataset: String,
    /// Dropout probability.
    pub dropout: f32,
    /// Leak of the spiking neurons.
    pub leak: f32,
    /// Reset of the spiking neurons.
    pub reset: Reset,
    /// Seed of everything.
    pub seed: u64,
    /// Whether the ANN's products have biases (the SNN's do where the architecture has them).
    pub bias: bool,
    /// The ANN stage.
    pub ann: Stage,
    /// The conversion.
    pub convert: Convert,
    /// The SNN stage.
    pub snn: Stage,
    /// The evaluation.
    pub eval: Eval,
    /// The same run with other settings, for comparison.
    pub natural: Option<Box<Recipe>>,
}

/// The conversion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Convert {
    /// Percentile of the input currents.
    pub percentile: f64,
    /// Factor on the thresholds.
    pub scale: f64,
    /// T of the calibration runs.
    pub calibration_steps: usize,
    /// Images a calibration batch.
    pub batch: usize,
    /// Calibration batches.
    pub batches: usize,
}
impl Recipe {
    /// The recipe called `word`, by name or file, with `set`tings (`stage.key=value`) and a seed on top.
    ///
    /// Errors: as [`find`] and [`Recipe::parse`].
    pub fn load(word: &str, set: &[String], seed: Option<u64>) -> Result<Recipe> {
        let mut table = book::table(&find(word)?)?;
        for setting in set {
            table.set(setting)?;
        }
        if let Some(seed) = seed {
            table.set_seed(seed)?;
        }
        Self::of(&table)
    }

    /// The recipe in `text`, with `set`tings (`stage.key=value`) on top. Errors (usage): TOML that cannot be read,
    /// unknown keys (the nearest is suggested), values out of range, what it inherits and is not there.
    pub fn parse(name: &str, text: &str, set: &[String]) -> Result<Recipe> {
        let mut table = book::table(&Source { name: name.to_string(), text: text.to_string(), path: None })?;
        for setting in set {
            table.set(setting)?;
        }
        Self::of(&table)
    }

    fn of(table: &Table) -> Result<Recipe> {
        let recipe = Self::read(table)?;
        // The comparison is the recipe itself with the table [natural] on top.
        let twin = table.overlaid("natural")?;
        let natural = twin.as_ref().map(Self::read).transpose()?.map(Box::new);
        let text = resolved::text(&table.trail(), twin.map(|twin| twin.trail()).as_ref());
        Ok(Recipe { natural, text, ..recipe })
    }

    fn read(root: &Table) -> Result<Recipe> {
        let place = root.place();
        if let Some(key) = stage::KEYS.into_iter().find(|&key| key != "augment" && root.has(key)) {
            return Err(usage!("{place}: \"{key}\" belongs to a stage; write ann.{key} or snn.{key}"));
        }
        root.allow(&[
            "arch", "dataset", "bias", "dropout", "leak", "reset", "augment", "seed", "ann", "convert", "snn", "eval", "natural", "name",
            "about",
        ])?;
        let (name, about) = (root.text("name", root.name())?, root.text("about", "")?);
        let (arch, dataset) = (root.required("arch")?, root.required("dataset")?);
        // A default of the stages, which say what it came to.
        let augment = root.peek_words("augment")?.map(|words| Augment::parse(&words)).transpose()?;
        let (ann, convert, snn, eval) = (root.table("ann")?, root.table("convert")?, root.table("snn")?, root.table("eval")?);
        convert.allow(&["percentile", "scale", "calibration_steps", "batch", "batches"])?;
        let reset = root.text("reset", "hard")?;
        let recipe = Recipe {
            name,
            about,
            text: String::new(),
            arch,
            dataset,
            dropout: root.number("dropout", 0.2, 0.0..=0.99)? as f32,
            leak: root.number("leak", 1.0, 1e-6..=1.0)? as f32,
            reset: match reset.as_str() {
                "hard" => Reset::Hard,
                "soft" => Reset::Soft,
                _ => return Err(usage!("{place}: reset = \"{reset}\" is unknown{}", suggest(&reset, ["hard", "soft"]))),
            },
            seed: root.count("seed", 0, 0..=u64::MAX >> 1)? as u64,
            bias: root.flag("bias", false)?,
            convert: Convert {
                percentile: convert.number("percentile", 99.7, 0.0..=100.0)?,
                scale: convert.number("scale", 0.3, 1e-6..=1e6)?,
                calibration_steps: convert.count("calibration_steps", 100, 1..=100_000)?,
                batch: convert.count("batch", 64, 1..=1 << 20)?,
                batches: convert.count("batches", 11, 1..=1 << 20)?,
            },
            eval: eval::read(&eval)?,
            ann: stage::read(&ann, augment, StageKind::Ann)?,
            snn: stage::read(&snn, augment.map(|augment| Augment { cutout: 0, ..augment }), StageKind::Snn)?,
            natural: None,
        };
        Ok(recipe)
    }
}
