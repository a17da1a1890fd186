//! Recipes: a TOML table of what to do, checked whole before anything runs.

use super::keys::Table;
use crate::attack::Attack;
use crate::base::{Result, suggest, usage};
use crate::data::{Augment, Last};
use crate::ops::lif::Reset;
use crate::optim::Schedule;
use std::str::FromStr;

/// A whole run: one network, trained, converted, finetuned and evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Its name.
    pub name: String,
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

/// Adversarial training methods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Defense {
    /// Cross-entropy on clean images.
    Natural,
    /// PGD adversarial training (Madry et al. 2018).
    At,
    /// TRADES (Zhang et al. 2019).
    Trades,
    /// MART (Wang et al. 2020).
    Mart,
}

impl Defense {
    const ALL: [(&'static str, Defense); 4] =
        [("natural", Defense::Natural), ("at", Defense::At), ("trades", Defense::Trades), ("mart", Defense::Mart)];

    /// The name in recipes.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, defense)| *defense == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for Defense {
    type Err = crate::base::Error;
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, defense)| *defense)
            .ok_or_else(|| usage!("defense {text}: no such defense{}", suggest(text, Self::ALL.map(|(name, _)| name))))
    }
}

/// What the tables [ann] and [snn] hold.
const STAGE_KEYS: [&str; 13] = [
    "defense",
    "epochs",
    "batch",
    "lr",
    "momentum",
    "weight_decay",
    "schedule",
    "eps",
    "alpha",
    "attack_steps",
    "lambda",
    "augment",
    "last_batch",
];

/// A training stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Method. The SNN stage knows natural and trades (with RFGSM-KL).
    pub defense: Defense,
    /// T (0 in the ANN stage).
    pub steps: usize,
    /// Epochs.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Learning rate at the start.
    pub lr: f64,
    /// Momentum.
    pub momentum: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Schedule.
    pub schedule: Schedule,
    /// l-inf radius of the inner attack, in 1/255.
    pub eps: f64,
    /// Its step size in 1/255.
    pub alpha: f64,
    /// Its steps.
    pub attack_steps: usize,
    /// Weight of the KL term.
    pub lambda: f64,
    /// Augmentation.
    pub augment: Augment,
    /// The short last batch.
    pub last: Last,
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

/// The evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Eval {
    /// l-inf radius in 1/255.
    pub eps: f64,
    /// Test images (None: all).
    pub images: Option<usize>,
    /// Attacks on the ANN.
    pub ann: Vec<Trial>,
    /// Attacks on the SNN.
    pub snn: Vec<Trial>,
    /// Radii of the accuracy curve, in 1/255 (none: no curve).
    pub curve: Vec<f64>,
    /// The attack of the curve and its images.
    pub curve_trial: Trial,
}

/// One attack in an evaluation: `pgd20`, `ensemble-fgsm:500` (on the first 500 images).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// The attack.
    pub attack: Attack,
    /// Whether all gradient variants take part.
    pub members: Members,
    /// The first so many images (None: all that are evaluated).
    pub images: Option<usize>,
}

/// Which gradients an attack uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// One lens.
    One,
    /// The 19 of the ensemble.
    Ensemble,
}

impl Trial {
    /// The key of its result, such as `ensemble_pgd20`.
    pub fn key(&self) -> String {
        let prefix = if self.members == Members::Ensemble { "ensemble_" } else { "" };
        let count = self.attack.iterations().map(|n| n.to_string()).unwrap_or_default();
        format!("{prefix}{}{count}", self.attack.name().replace('-', "_"))
    }
}

impl FromStr for Trial {
    type Err = crate::base::Error;
    fn from_str(text: &str) -> Result<Self> {
        let (word, images) = match text.split_once(':') {
            Some((word, count)) => {
                let count: usize = count.parse().map_err(|_| usage!("attack {text}: \"{count}\" is no number of images"))?;
                (word, Some(count))
            }
            None => (text, None),
        };
        if images == Some(0) {
            return Err(usage!("attack {text}: 0 images; at least 1 is needed"));
        }
        let (members, name) = match word.strip_prefix("ensemble-") {
            Some(name) => (Members::Ensemble, name),
            None => (Members::One, word),
        };
        let attack = Attack::parse(name, None)?;
        if members == Members::Ensemble && !attack.is_white_box() {
            return Err(usage!("attack {text}: {name} uses no gradient, so there is no ensemble of it"));
        }
        Ok(Trial { attack, members, images })
    }
}

impl Recipe {
    /// The recipe in `text`, with `set`tings (`stage.key=value`) on top. Errors (usage): TOML that cannot be read,
    /// unknown keys (the nearest is suggested), values out of range.
    pub fn parse(name: &str, text: &str, set: &[String]) -> Result<Recipe> {
        let mut table = Table::parse(name, text)?;
        for setting in set {
            table.set(setting)?;
        }
        let recipe = Self::read(name, &table)?;
        // The comparison is the recipe itself with the table [natural] on top.
        let natural = match table.overlaid("natural")? {
            Some(natural) => Some(Box::new(Self::read(name, &natural)?)),
            None => None,
        };
        Ok(Recipe { natural, ..recipe })
    }

    fn read(name: &str, root: &Table) -> Result<Recipe> {
        if let Some(key) = STAGE_KEYS.into_iter().find(|&key| key != "augment" && root.has(key)) {
            return Err(usage!("{name}: \"{key}\" belongs to a stage; write ann.{key} or snn.{key}"));
        }
        root.allow(&[
            "arch", "dataset", "bias", "dropout", "leak", "reset", "augment", "seed", "about", "ann", "convert", "snn", "eval", "natural",
        ])?;
        let augment = root.words("augment")?.map(|words| Augment::parse(&words)).transpose()?;
        let (ann, convert, snn, eval) = (root.table("ann")?, root.table("convert")?, root.table("snn")?, root.table("eval")?);
        convert.allow(&["percentile", "scale", "calibration_steps", "batch", "batches"])?;
        let reset = root.text("reset", "hard")?;
        let recipe = Recipe {
            name: name.to_string(),
            arch: root.required("arch")?,
            dataset: root.required("dataset")?,
            dropout: root.number("dropout", 0.2, 0.0..=0.99)? as f32,
            leak: root.number("leak", 1.0, 1e-6..=1.0)? as f32,
            reset: match reset.as_str() {
                "hard" => Reset::Hard,
                "soft" => Reset::Soft,
                _ => return Err(usage!("{name}: reset = \"{reset}\" is unknown{}", suggest(&reset, ["hard", "soft"]))),
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
            eval: Self::read_eval(&eval)?,
            ann: Self::read_stage(&ann, augment, StageKind::Ann)?,
            snn: Self::read_stage(&snn, augment.map(|augment| Augment { cutout: 0, ..augment }), StageKind::Snn)?,
            natural: None,
        };
        Ok(recipe)
    }

    fn read_stage(table: &Table, augment: Option<Augment>, kind: StageKind) -> Result<Stage> {
        let mut keys = STAGE_KEYS.to_vec();
        if kind == StageKind::Snn {
            keys.push("steps");
        }
        table.allow(&keys)?;
        let ann = kind == StageKind::Ann;
        let defense: Defense = table.text("defense", if ann { "at" } else { "trades" })?.parse()?;
        if !ann && !matches!(defense, Defense::Natural | Defense::Trades) {
            return Err(usage!("{}: the SNN stage knows the defenses natural and trades, not {}", table.place(), defense.name()));
        }
        let eps = table.number("eps", 2.0, 0.0..=255.0)?;
        let attack_steps = table.count("attack_steps", if ann { 10 } else { 1 }, 1..=10_000)?;
        let lambda = match (kind, defense) {
            (StageKind::Snn, _) => 2.0,
            (_, Defense::Mart) => 4.0,
            _ => 6.0,
        };
        let own = table.words("augment")?.map(|words| Augment::parse(&words)).transpose()?;
        let last = table.text("last_batch", "keep")?;
        Ok(Stage {
            defense,
            steps: if ann { 0 } else { table.count("steps", 8, 1..=1000)? },
            epochs: table.count("epochs", if ann { 200 } else { 60 }, 1..=1_000_000)?,
            batch: table.count("batch", 64, 1..=1 << 20)?,
            lr: table.number("lr", if ann { 0.1 } else { 1e-3 }, 0.0..=1e6)?,
            momentum: table.number("momentum", 0.9, 0.0..=1.0)? as f32,
            weight_decay: table.number("weight_decay", if ann { 5e-4 } else { 1e-3 }, 0.0..=1e3)? as f32,
            schedule: table.text("schedule", "cosine")?.parse()?,
            eps,
            alpha: table.number("alpha", if ann { 2.5 * eps / attack_steps as f64 } else { eps / 2.0 }, 0.0..=255.0)?,
            attack_steps,
            lambda: table.number("lambda", lambda, 0.0..=1e6)?,
            augment: own.or(augment).unwrap_or(Augment::NONE),
            last: match last.as_str() {
                "keep" => Last::Keep,
                "drop" => Last::Drop,
                _ => return Err(usage!("{}: last_batch = \"{last}\" is unknown{}", table.place(), suggest(&last, ["keep", "drop"]))),
            },
        })
    }

    fn read_eval(table: &Table) -> Result<Eval> {
        table.allow(&["eps", "images", "ann", "snn", "curve", "curve_attack"])?;
        let trials = |key| table.words(key)?.unwrap_or_default().iter().map(|word| word.parse()).collect::<Result<Vec<Trial>>>();
        Ok(Eval {
            eps: table.number("eps", 8.0, 0.0..=255.0)?,
            images: match table.count("images", 0, 0..=1 << 40)? {
                0 => None,
                images => Some(images),
            },
            ann: trials("ann")?,
            snn: trials("snn")?,
            curve: table.numbers("curve", 0.0..=255.0)?,
            curve_trial: table.text("curve_attack", "pgd10:250")?.parse()?,
        })
    }

    /// Lift the limits on the images of every trial (`--full`).
    pub fn lift_limits(&mut self) {
        self.eval.ann.iter_mut().chain(&mut self.eval.snn).for_each(|trial| trial.images = None);
        if let Some(natural) = &mut self.natural {
            natural.lift_limits();
        }
    }

    /// The same recipe under another seed.
    pub fn reseed(&mut self, seed: u64) {
        self.seed = seed;
        if let Some(natural) = &mut self.natural {
            natural.reseed(seed);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StageKind {
    Ann,
    Snn,
}
