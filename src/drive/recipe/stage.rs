//! A training stage: the tables `[ann]` and `[snn]`.

use super::keys::Table;
use crate::base::{Error, Result, suggest, usage};
use crate::data::{Augment, Last};
use crate::optim::{Course, Schedule};
use std::str::FromStr;

/// What the tables `[ann]` and `[snn]` hold.
pub(super) const KEYS: [&str; 18] = [
    "defense",
    "epochs",
    "batch",
    "accumulate",
    "lr",
    "momentum",
    "weight_decay",
    "schedule",
    "milestones",
    "decay",
    "warmup",
    "eps",
    "alpha",
    "attack_steps",
    "lambda",
    "augment",
    "last_batch",
    "patience",
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

    /// The terms that add up to its loss, by their names in records.
    pub fn parts(self) -> &'static [&'static str] {
        match self {
            Defense::Natural | Defense::At => &["ce"],
            Defense::Trades => &["ce", "kl"],
            Defense::Mart => &["bce", "kl"],
        }
    }
}

impl FromStr for Defense {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, defense)| *defense)
            .ok_or_else(|| usage!("defense {text}: no such defense{}", suggest(text, Self::ALL.map(|(name, _)| name))))
    }
}

/// What training does to thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thresholds {
    /// They are parameters like any other.
    Learned,
    /// They stay as they are: no step, no decay.
    Fixed,
}

/// A training stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Method. The SNN stage knows natural and trades (with RFGSM-KL).
    pub defense: Defense,
    /// T (0 in the ANN stage).
    pub steps: usize,
    /// What becomes of the thresholds.
    pub thresholds: Thresholds,
    /// Epochs.
    pub epochs: usize,
    /// Images a batch.
    pub batch: usize,
    /// Batches whose gradients are averaged for one step of the optimiser.
    pub accumulate: usize,
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
    /// The stage ends after so many epochs that improved nothing (0: it never does).
    pub patience: usize,
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
        keys.extend(["steps", "learn_thresholds"]);
    }
    table.allow(&keys)?;
    let ann = kind == StageKind::Ann;
    let defense: Defense = table.text("defense", if ann { "at" } else { "trades" })?.parse().map_err(|error| placed(table, error))?;
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
    let own = table.words("augment")?.map(|words| Augment::parse(&words)).transpose().map_err(|error| placed(table, error))?;
    let augment = own.or(augment).unwrap_or(Augment::NONE);
    table.note("augment", augment.words());
    let last = table.text("last_batch", "keep")?;
    let epochs = table.count("epochs", if ann { 200 } else { 60 }, 1..=1_000_000)?;
    Ok(Stage {
        defense,
        steps: if ann { 0 } else { table.count("steps", 8, 1..=1000)? },
        thresholds: if ann || table.flag("learn_thresholds", true)? { Thresholds::Learned } else { Thresholds::Fixed },
        epochs,
        batch: table.count("batch", 64, 1..=1 << 20)?,
        accumulate: table.count("accumulate", 1, 1..=1 << 20)?,
        lr: table.number("lr", if ann { 0.1 } else { 1e-3 }, 0.0..=1e6)?,
        momentum: table.number("momentum", 0.9, 0.0..=1.0)? as f32,
        weight_decay: table.number("weight_decay", if ann { 5e-4 } else { 1e-3 }, 0.0..=1e3)? as f32,
        schedule: schedule(table, epochs)?,
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
        patience: table.count("patience", 0, 0..=1_000_000)?,
    })
}

/// `error` of a value in `table`, and where that stands.
fn placed(table: &Table, error: Error) -> Error {
    error.within(table.place())
}

/// The factor at a milestone where none is given.
const DECAY: f64 = 0.1;

/// The keys schedule, milestones, decay and warmup.
fn schedule(table: &Table, epochs: usize) -> Result<Schedule> {
    let place = table.place();
    let word = table.text("schedule", "cosine")?;
    let mut course: Course = word.parse().map_err(|error| placed(table, error))?;
    let (points, factor) = (table.counts("milestones", 1..=1_000_000)?, table.number("decay", DECAY, 0.0..=1.0)?);
    if let Course::Step { milestones, decay } = &mut course {
        if points.is_empty() || !points.is_sorted_by(|a, b| a < b) {
            return Err(usage!("{place}: milestones = {points:?}; schedule = \"step\" wants epochs in rising order, such as [100, 150]"));
        }
        (*milestones, *decay) = (points, factor);
    } else if !points.is_empty() {
        return Err(usage!(
            "{place}: milestones belongs to schedule = \"step\", and schedule is \"{word}\"; write that, or leave it out (where it is \
             inherited: milestones = [])"
        ));
    } else if factor != DECAY {
        // Every resolved recipe has a decay, so that its default alone may stand anywhere.
        return Err(usage!(
            "{place}: decay = {factor} belongs to schedule = \"step\", and schedule is \"{word}\"; write that, or leave it out (where it \
             is inherited: decay = {DECAY})"
        ));
    }
    let warmup = table.count("warmup", 0, 0..=1_000_000)?;
    if warmup >= epochs {
        return Err(usage!("{place}: warmup = {warmup} leaves none of epochs = {epochs}; lower it"));
    }
    Ok(Schedule { warmup, course })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(text: &str) -> Result<Stage> {
        read(&Table::parse("r [ann]", text).unwrap(), None, StageKind::Ann)
    }

    fn wrong(text: &str) -> String {
        stage(text).unwrap_err().to_string()
    }

    #[test]
    fn schedules_are_read_and_checked() {
        let schedule = |text| stage(text).unwrap().schedule;
        assert_eq!(schedule(""), Schedule::default());
        assert_eq!(schedule("schedule = \"constant\"\nwarmup = 5"), Schedule { warmup: 5, course: Course::Constant });
        let step = Course::Step { milestones: vec![100, 150], decay: 0.1 };
        assert_eq!(schedule("schedule = \"step\"\nmilestones = [100, 150]").course, step);
        let step = Course::Step { milestones: vec![9], decay: 0.5 };
        assert_eq!(schedule("schedule = \"step\"\nmilestones = [9]\ndecay = 0.5\nepochs = 3").course, step);
        // What is inherited is taken back by an empty list and the default, which a resolved recipe has as well.
        assert_eq!(schedule("schedule = \"cosine\"\nmilestones = []\ndecay = 0.1").course, Course::Cosine);
        assert_eq!(wrong("schedule = \"stp\""), "r [ann]: schedule stp: no such schedule (did you mean \"step\"?)");
        for course in ["cosine", "constant"] {
            let said = wrong(&format!("schedule = \"{course}\"\nmilestones = [1]"));
            assert!(said.contains("milestones belongs to schedule = \"step\"") && said.contains(&format!("is \"{course}\"")), "{said}");
            assert!(wrong(&format!("schedule = \"{course}\"\ndecay = 0.5")).contains("decay = 0.5 belongs to"));
        }
        for milestones in ["", "milestones = []", "milestones = [3, 3]", "milestones = [5, 2]"] {
            assert!(wrong(&format!("schedule = \"step\"\n{milestones}")).contains("rising order"));
        }
        assert!(wrong("schedule = \"step\"\nmilestones = [1.5]").contains("milestones"));
        assert!(wrong("milestones = [3]").contains("milestones belongs to schedule = \"step\""));
        assert!(wrong("warmup = 4\nepochs = 4").contains("warmup = 4 leaves none of epochs = 4"));
    }

    #[test]
    fn batches_to_a_step_are_one_or_more() {
        assert_eq!((stage("").unwrap().accumulate, stage("accumulate = 4").unwrap().accumulate), (1, 4));
        assert!(wrong("accumulate = 0").contains("accumulate = 0"));
    }
}
