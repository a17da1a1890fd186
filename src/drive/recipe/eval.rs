//! The evaluation: the table [eval].

use super::keys::Table;
use crate::attack::Attack;
use crate::base::{Error, Result, usage};
use std::str::FromStr;

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

impl Trial {
    /// The word that it is read from, without a limit on its images.
    pub fn word(&self) -> String {
        self.key().replace('_', "-")
    }
}

impl FromStr for Trial {
    type Err = Error;
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

/// The evaluation in `table`.
pub(super) fn read(table: &Table) -> Result<Eval> {
    table.allow(&["eps", "images", "ann", "snn", "curve", "curve_attack"])?;
    let trials = |key| {
        let words = table.words(key)?.unwrap_or_default();
        table.note(key, words.clone());
        words.iter().map(|word| trial(table, key, word)).collect::<Result<Vec<Trial>>>()
    };
    Ok(Eval {
        eps: table.number("eps", 8.0, 0.0..=255.0)?,
        images: match table.count("images", 0, 0..=1 << 40)? {
            0 => None,
            images => Some(images),
        },
        ann: trials("ann")?,
        snn: trials("snn")?,
        curve: table.numbers("curve", 0.0..=255.0)?,
        curve_trial: trial(table, "curve_attack", &table.text("curve_attack", "pgd10:250")?)?,
    })
}

/// The attack `word` at `key`.
fn trial(table: &Table, key: &str, word: &str) -> Result<Trial> {
    word.parse().map_err(|error: Error| error.within(format!("{}: {key}", table.place())))
}
