//! Recipes: a TOML table of what to do, checked whole before anything runs.

mod book;
mod eval;
mod keys;
mod resolved;
mod selection;
mod stage;

pub use book::{RECIPES, Source, find};
pub use eval::{Eval, Members, Trial};
pub use resolved::{difference, settings};
pub use selection::{Select, Selection};
pub use stage::{Defense, Stage, Thresholds};

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
    /// Dropout probability (None: 0.2, or in finetuning alone the checkpoint's; leak and reset likewise).
    pub dropout: Option<f32>,
    /// Leak of the spiking neurons (None: 1).
    pub leak: Option<f32>,
    /// Reset of the spiking neurons (None: hard).
    pub reset: Option<Reset>,
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
    /// Which epoch's network is a stage's result.
    pub selection: Selection,
    /// Newest epochs of a stage whose states are kept, at least 1.
    pub keep: usize,
    /// Minutes of training between two states within an epoch (0: only ends of epochs and interrupts).
    pub save_minutes: f64,
    /// Batches between two records of the running loss (0: epochs alone are recorded).
    pub log_every: usize,
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
    /// The keys at the top of a recipe that are no table and belong to no stage.
    pub const KEYS: [&'static str; 13] = [
        "arch",
        "dataset",
        "bias",
        "dropout",
        "leak",
        "reset",
        "seed",
        "validation",
        "validation_images",
        "select",
        "keep",
        "save_minutes",
        "log_every",
    ];

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
        if natural.as_ref().is_some_and(|natural| natural.selection.validation != recipe.selection.validation) {
            return Err(usage!("{}: [natural] has another validation; both networks hold out the same images", table.place()));
        }
        let text = resolved::text(&table.trail(), twin.map(|twin| twin.trail()).as_ref());
        Ok(Recipe { natural, text, ..recipe })
    }

    fn read(root: &Table) -> Result<Recipe> {
        let place = root.place();
        if let Some(key) = stage::KEYS.into_iter().find(|&key| key != "augment" && root.has(key)) {
            return Err(usage!("{place}: \"{key}\" belongs to a stage; write ann.{key} or snn.{key}"));
        }
        root.allow(&[&Self::KEYS[..], &["augment", "name", "about", "ann", "convert", "snn", "eval", "natural"]].concat())?;
        let (name, about) = (root.text("name", root.name())?, root.text("about", "")?);
        let (arch, dataset) = (root.required("arch")?, root.required("dataset")?);
        // A default of the stages, which say what it came to.
        let augment = root.peek_words("augment")?.map(|words| Augment::parse(&words)).transpose().map_err(|error| error.within(place))?;
        let (ann, convert, snn, eval) = (root.table("ann")?, root.table("convert")?, root.table("snn")?, root.table("eval")?);
        convert.allow(&["percentile", "scale", "calibration_steps", "batch", "batches"])?;
        let given = |key: &str, low: f64, high: f64| -> Result<Option<f32>> {
            if root.has(key) { Ok(Some(root.number(key, low, low..=high)? as f32)) } else { Ok(None) }
        };
        let ann = stage::read(&ann, augment, StageKind::Ann)?;
        let snn = stage::read(&snn, augment.map(|augment| Augment { cutout: 0, ..augment }), StageKind::Snn)?;
        let recipe = Recipe {
            name,
            about,
            text: String::new(),
            arch,
            dataset,
            dropout: given("dropout", 0.0, 0.99)?,
            leak: given("leak", 1e-6, 1.0)?,
            reset: match root.has("reset").then(|| root.required("reset")).transpose()?.as_deref() {
                None => None,
                Some("hard") => Some(Reset::Hard),
                Some("soft") => Some(Reset::Soft),
                Some(other) => return Err(usage!("{place}: reset = \"{other}\" is unknown{}", suggest(other, ["hard", "soft"]))),
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
            selection: selection::read(root, ann.patience.max(snn.patience))?,
            keep: root.count("keep", 2, 1..=1_000_000)?,
            save_minutes: root.number("save_minutes", 10.0, 0.0..=1e6)?,
            log_every: root.count("log_every", 0, 0..=1 << 32)?,
            ann,
            snn,
            natural: None,
        };
        Ok(recipe)
    }
}
