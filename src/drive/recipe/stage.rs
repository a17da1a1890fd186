//! A training stage: the tables [ann] and [snn].

use super::keys::Table;
use crate::base::{Result, suggest, usage};
use crate::data::{Augment, Last};
use crate::optim::Schedule;
use std::str::FromStr;

/// What the tables [ann] and [snn] hold.
pub(super) const KEYS: [&str; 13] = [
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

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StageKind {
    Ann,
    Snn,
}

/// The stage in `table`; `augment` is the recipe's.
pub(super) fn read(table: &Table, augment: Option<Augment>, kind: StageKind) -> Result<Stage> {
    let mut keys = KEYS.to_vec();
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
    let augment = own.or(augment).unwrap_or(Augment::NONE);
    table.note("augment", augment.words());
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
        augment,
        last: match last.as_str() {
            "keep" => Last::Keep,
            "drop" => Last::Drop,
            _ => return Err(usage!("{}: last_batch = \"{last}\" is unknown{}", table.place(), suggest(&last, ["keep", "drop"]))),
        },
    })
}
