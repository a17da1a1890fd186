//! The evaluation: the table `[eval]`.

use super::keys::Table;
use crate::attack::{AUTOATTACK, Attack};
use crate::base::{Error, Result, usage};
use crate::record::strength;
use std::fmt;
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
    /// Whether the strongest attack on each network is looked at by the honesty checks.
    pub checks: bool,
}

/// One entry of an evaluation: `pgd20`, `ensemble-fgsm:500` (on the first 500 images), `autoattack:100`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// What attacks.
    pub members: Members,
    /// The first so many images (None: all that are evaluated).
    pub images: Option<usize>,
}

/// What attacks an image, which is robust if it withstands all of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Members {
    /// An attack through one lens.
    One(Attack),
    /// An attack through the 19 of the ensemble.
    Ensemble(Attack),
    /// AutoAttack's four, each on the survivors of the last.
    AutoAttack,
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Members::One(attack) => attack.fmt(f),
            Members::Ensemble(attack) => write!(f, "ensemble {attack}"),
            Members::AutoAttack => f.write_str("AutoAttack"),
        }
    }
}

impl Trial {
    /// The key of its result, such as `ensemble_pgd20`.
    pub fn key(&self) -> String {
        self.word().replace('-', "_")
    }

    /// The word that it is read from, without a limit on its images.
    pub fn word(&self) -> String {
        let of = |attack: Attack| format!("{}{}", attack.name(), attack.iterations().map(|n| n.to_string()).unwrap_or_default());
        match self.members {
            Members::One(attack) => of(attack),
            Members::Ensemble(attack) => format!("ensemble-{}", of(attack)),
            Members::AutoAttack => AUTOATTACK.to_string(),
        }
    }

    /// Of these the strongest that asks a network, the later of equals: the one whose failure is to be doubted.
    pub fn strongest(trials: &[Trial]) -> Option<&Trial> {
        trials.iter().filter(|trial| strength(&trial.key()).is_some()).max_by_key(|trial| strength(&trial.key()))
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
        let members = match word.strip_prefix("ensemble-") {
            None if word == AUTOATTACK => Members::AutoAttack,
            None => Members::One(Attack::parse(word, None)?),
            Some(AUTOATTACK) => return Err(usage!("attack {text}: {AUTOATTACK} looks through one lens; leave ensemble- out")),
            Some(name) => match Attack::parse(name, None)? {
                attack if attack.is_white_box() => Members::Ensemble(attack),
                _ => return Err(usage!("attack {text}: {name} uses no gradient, so there is no ensemble of it")),
            },
        };
        Ok(Trial { members, images })
    }
}

/// The evaluation in `table`.
pub(super) fn read(table: &Table) -> Result<Eval> {
    table.allow(&["eps", "images", "ann", "snn", "curve", "curve_attack", "checks"])?;
    let trials = |key| {
        let words = table.words(key)?.unwrap_or_default();
        table.note(key, words.clone());
        let trials = words.iter().map(|word| trial(table, key, word)).collect::<Result<Vec<Trial>>>()?;
        let twice = trials.iter().enumerate().find(|(at, trial)| trials[..*at].iter().any(|other| other.members == trial.members));
        match twice {
            Some((_, trial)) => Err(usage!("{}: {key}: {} is there twice; each attack once", table.place(), trial.word())),
            None => Ok(trials),
        }
    };
    let ann = trials("ann")?;
    if let Some(trial) = ann.iter().find(|trial| matches!(trial.members, Members::Ensemble(_))) {
        let (place, word) = (table.place(), trial.word());
        return Err(usage!("{place}: ann: {word}: a ReLU network has no spikes, so all gradient variants are one; leave ensemble- out"));
    }
    let curve = table.numbers("curve", 0.0..=255.0)?;
    if let Some((_, twice)) = curve.iter().enumerate().find(|(at, eps)| curve[..*at].contains(eps)) {
        return Err(usage!("{}: curve: {twice} is there twice; each radius once", table.place()));
    }
    Ok(Eval {
        eps: table.number("eps", 8.0, 0.0..=255.0)?,
        images: match table.count("images", 0, 0..=1 << 40)? {
            0 => None,
            images => Some(images),
        },
        ann,
        snn: trials("snn")?,
        curve,
        curve_trial: trial(table, "curve_attack", &table.text("curve_attack", "pgd10:250")?)?,
        checks: table.flag("checks", true)?,
    })
}

/// The attack `word` at `key`.
fn trial(table: &Table, key: &str, word: &str) -> Result<Trial> {
    word.parse().map_err(|error: Error| error.within(format!("{}: {key}", table.place())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::NAMES;

    fn trial(word: &str) -> Trial {
        word.parse().unwrap_or_else(|error| panic!("{word}: {error}"))
    }

    #[test]
    fn every_attack_that_there_is_can_be_named_and_is_read_from_its_own_word() {
        for name in NAMES.into_iter().chain([AUTOATTACK, "apgd-dlr7", "square30", "ensemble-sa-pgd20", "ensemble-fab-t5"]) {
            let (plain, some) = (trial(name), trial(&format!("{name}:9")));
            assert_eq!((plain.images, some.images, plain.members), (None, Some(9), some.members), "{name}");
            assert_eq!(trial(&plain.word()), plain, "{name}");
            let (Members::One(attack) | Members::Ensemble(attack)) = plain.members else { continue };
            let known = strength(&plain.key()).map(|(follows, ..)| follows);
            assert_eq!(known, attack.asks_a_network().then_some(attack.is_white_box()), "{name}: its strength");
            assert!(plain.word().starts_with(name) && plain.key() == plain.word().replace('-', "_"), "{name}: {}", plain.word());
        }
        assert_eq!(trial("autoattack:5"), Trial { members: Members::AutoAttack, images: Some(5) });
        let said = |word: &str| word.parse::<Trial>().unwrap_err().to_string();
        assert!(said("ensemble-autoattack").contains("leave ensemble- out") && said("ensemble-square").contains("no gradient"));
        assert!(said("zzzzzzzz").contains("valid: none, noise") && said("zzzzzzzz").contains("autoattack"), "{}", said("zzzzzzzz"));
    }

    #[test]
    fn the_strongest_follows_gradients_the_longest_through_the_most_lenses() {
        let strongest = |words: &[&str]| {
            let trials: Vec<Trial> = words.iter().map(|word| trial(word)).collect();
            Trial::strongest(&trials).map(Trial::word)
        };
        assert_eq!(strongest(&["fgsm", "pgd20", "square", "ensemble-pgd20", "ensemble-fgsm"]).unwrap(), "ensemble-pgd20");
        assert_eq!(strongest(&["autoattack", "apgd-ce50"]).unwrap(), "autoattack");
        assert_eq!(strongest(&["ensemble-fgsm", "autoattack", "pgd1000", "ensemble-rfgsm"]).unwrap(), "autoattack");
        assert_eq!(strongest(&["ensemble-pgd20", "autoattack"]).unwrap(), "ensemble-pgd20");
        assert_eq!(strongest(&["noise", "square10"]).unwrap(), "square10");
        assert_eq!(strongest(&["none", "gaussian"]), None);
    }
}
