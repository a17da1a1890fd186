//! Attacks by name, and the ensemble of gradient variants.

use super::{Noise, Objective, Targets, Victim, Walk, fgsm, fgsm_many, pgd, rfgsm};
use crate::autodiff::{Credit, Lens, Surrogate, SurrogateKind};
use crate::base::{Result, suggest, usage};
use crate::ops::{loss, pixel};
use crate::tensor::Tensor;
use std::fmt;

/// The attacks that this version carries, by name.
pub const NAMES: [&str; 7] = ["none", "noise", "fgsm", "rfgsm", "pgd", "tpgd", "pgd-targeted"];

/// Members of the ensemble.
pub const ENSEMBLE_SIZE: usize = 19;

/// An attack and its length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Attack {
    /// The clean image.
    Identity,
    /// Uniform noise in ±eps, a control.
    Noise,
    /// One signed step.
    Fgsm,
    /// One signed step from a random corner at eps/2.
    Rfgsm,
    /// PGD on the cross-entropy from a uniform start.
    Pgd {
        /// Steps.
        iterations: usize,
    },
    /// PGD on KL(clean ‖ adv) from a 0.001-normal start (Zhang et al. 2019).
    Tpgd {
        /// Steps.
        iterations: usize,
    },
    /// PGD toward the most likely wrong class of the clean image.
    PgdTargeted {
        /// Steps.
        iterations: usize,
    },
}

impl Attack {
    /// The attack called `name`, with `iterations` where it iterates (None: 10). A number behind the name counts
    /// too: `pgd20`. Errors (usage): unknown names, 0 iterations, iterations for an attack that has none.
    pub fn parse(name: &str, iterations: Option<usize>) -> Result<Attack> {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = Some(&name[stem.len()..]).filter(|digits| !digits.is_empty());
        let counted = digits
            .map(|digits| digits.parse::<usize>().map_err(|_| usage!("attack {name}: {digits} iterations; at most 1000000")))
            .transpose()?;
        let steps = iterations.or(counted);
        let attack = match stem {
            "none" => Attack::Identity,
            "noise" => Attack::Noise,
            "fgsm" => Attack::Fgsm,
            "rfgsm" => Attack::Rfgsm,
            "pgd" => Attack::Pgd { iterations: steps.unwrap_or(10) },
            "tpgd" => Attack::Tpgd { iterations: steps.unwrap_or(10) },
            "pgd-targeted" => Attack::PgdTargeted { iterations: steps.unwrap_or(10) },
            _ => return Err(usage!("attack {name}: no such attack{}", suggest(stem, NAMES))),
        };
        match (attack.iterations(), steps) {
            (_, Some(0)) => Err(usage!("attack {name}: 0 iterations; at least 1 is needed")),
            (Some(_), Some(many)) if many > 1_000_000 => Err(usage!("attack {name}: {many} iterations; at most 1000000")),
            (None, Some(_)) if counted.is_some() => Err(usage!("attack {name}: {stem} takes no iterations")),
            _ => Ok(attack),
        }
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        match self {
            Attack::Identity => "none",
            Attack::Noise => "noise",
            Attack::Fgsm => "fgsm",
            Attack::Rfgsm => "rfgsm",
            Attack::Pgd { .. } => "pgd",
            Attack::Tpgd { .. } => "tpgd",
            Attack::PgdTargeted { .. } => "pgd-targeted",
        }
    }

    /// Steps, for the attacks that iterate.
    pub fn iterations(&self) -> Option<usize> {
        match *self {
            Attack::Pgd { iterations } | Attack::Tpgd { iterations } | Attack::PgdTargeted { iterations } => Some(iterations),
            _ => None,
        }
    }

    /// Whether gradients are used, so that an ensemble of gradient variants makes sense.
    pub fn is_white_box(&self) -> bool {
        !matches!(self, Attack::Identity | Attack::Noise)
    }

    /// Adversarial images for `targets`, l-inf radius `eps` in pixels of [0,1].
    pub fn perturb(&self, victim: &dyn Victim, targets: &Targets, lens: Lens, eps: f32, noise: &Noise) -> Result<Tensor> {
        let entropy = || Objective::CrossEntropy(targets.labels.clone());
        match *self {
            Attack::Identity => Ok(targets.images.clone()),
            Attack::Noise => pixel::displace(targets.images, &noise.draw(targets, pixel::Noise::Uniform(eps))?, 1.0),
            Attack::Fgsm => fgsm(victim, targets, lens, eps),
            Attack::Rfgsm => rfgsm(victim, targets, lens, &entropy(), eps, eps / 2.0, &noise.draw(targets, pixel::Noise::Sign)?),
            Attack::Pgd { iterations } => {
                let start = noise.draw(targets, pixel::Noise::Uniform(eps))?;
                pgd(victim, targets, lens, &entropy(), Walk::new(eps, iterations), &start)
            }
            Attack::Tpgd { iterations } => {
                let objective = Objective::Divergence(victim.logits(targets.images, lens)?);
                let start = noise.draw(targets, pixel::Noise::Normal(0.001))?;
                pgd(victim, targets, lens, &objective, Walk::new(eps, iterations), &start)
            }
            Attack::PgdTargeted { iterations } => {
                let objective = Objective::Toward(loss::runner_up(&victim.logits(targets.images, lens)?, targets.labels)?);
                let start = noise.draw(targets, pixel::Noise::Uniform(eps))?;
                pgd(victim, targets, lens, &objective, Walk::new(eps, iterations), &start)
            }
        }
    }

    /// [`Attack::perturb`] for every lens, each a member with noise of its own, made as they are asked for; FGSM's all
    /// at once, since they share forwards.
    pub fn perturb_many<'a>(
        self,
        victim: &'a dyn Victim,
        targets: &'a Targets,
        lenses: &'a [Lens],
        eps: f32,
        noise: Noise,
    ) -> Box<dyn Iterator<Item = Result<Tensor>> + 'a> {
        if self == Attack::Fgsm {
            return match fgsm_many(victim, targets, lenses, eps) {
                Ok(all) => Box::new(all.into_iter().map(Ok)),
                Err(error) => Box::new(std::iter::once(Err(error))),
            };
        }
        let members = lenses.iter().enumerate();
        Box::new(members.map(move |(member, &lens)| self.perturb(victim, targets, lens, eps, &Noise { member: member as u64, ..noise })))
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.iterations() {
            Some(iterations) => write!(f, "{}-{iterations}", self.name().to_uppercase()),
            None => f.write_str(&self.name().to_uppercase()),
        }
    }
}

/// The 19 gradient variants of METHOD §6, in its order.
pub fn ensemble() -> [Lens; ENSEMBLE_SIZE] {
    use SurrogateKind::{Exp, ExpD, Pcw, Rect, Ste};
    let bptt = |kind, gamma| Lens::Spiking(Credit::Bptt(Surrogate { kind, gamma }));
    let [pcw, exp_d, exp, rect] = [Pcw, ExpD, Exp, Rect].map(|kind| move |gamma| bptt(kind, gamma));
    [
        pcw(1.0),
        pcw(2.0),
        pcw(3.0),
        pcw(0.5),
        pcw(0.25),
        exp_d(0.5),
        exp_d(1.0),
        exp_d(2.0),
        exp(0.5),
        exp(1.0),
        exp(2.0),
        rect(0.25),
        rect(0.5),
        rect(1.0),
        rect(2.0),
        rect(4.0),
        bptt(Ste, 1.0),
        Lens::Spiking(Credit::Rate),
        Lens::Act,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_counts_parse() {
        assert_eq!(Attack::parse("pgd20", None).unwrap(), Attack::Pgd { iterations: 20 });
        assert_eq!(Attack::parse("pgd", Some(7)).unwrap(), Attack::Pgd { iterations: 7 });
        assert!(Attack::parse("pdg", None).unwrap_err().to_string().contains("\"pgd\""));
        assert!(Attack::parse("fgsm20", None).is_err());
        assert!(Attack::parse("pgd", Some(0)).is_err());
    }

    #[test]
    fn the_ensemble_has_the_paper_s_members_in_its_order() {
        let names = ensemble().map(|lens| lens.to_string());
        assert_eq!(names[0], "PCW γ=1");
        assert_eq!(names[5], "EXP-D γ=0.5");
        assert_eq!(names[11], "RECT γ=0.25");
        assert_eq!(names[16..], ["STE", "BPTR", "Act"]);
    }
}
