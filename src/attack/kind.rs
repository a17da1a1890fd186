//! Attacks by name, and the ensemble of gradient variants.

use super::{Apgd, Fab, Goal, Noise, Objective, Square, Stable, Targets, Victim, Walk, fab, fgsm, pgd, rfgsm, square, stable, step};
use crate::autodiff::{Credit, Lens, Surrogate, SurrogateKind};
use crate::base::{Result, fail, suggest, usage};
use crate::ops::loss;
use crate::ops::pixel::{self, Ball, Norm};
use crate::tensor::Tensor;
use std::fmt;

/// The attacks that this version carries, by name.
pub const NAMES: [&str; 14] = [
    "none",
    "noise",
    "gaussian",
    "fgsm",
    "rfgsm",
    "pgd",
    "tpgd",
    "pgd-targeted",
    "sa-pgd",
    "apgd-ce",
    "apgd-dlr",
    "apgd-t",
    "fab-t",
    "square",
];

/// Members of the ensemble.
pub const ENSEMBLE_SIZE: usize = 19;

/// An attack and its length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Attack {
    /// The clean image.
    Identity,
    /// Uniform noise in ±eps, in l2 scaled to length eps: a control.
    Noise,
    /// Normal noise of standard deviation eps/2, cut at ±eps, in l2 scaled to length eps: a control.
    Gaussian,
    /// One step, signed in l-inf.
    Fgsm,
    /// One step from a random corner at eps/2, in l2 from a random direction at eps/2.
    Rfgsm,
    /// PGD on the cross-entropy from a random start ([`Noise::inside`]).
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
    /// SA-PGD (arXiv 2512.22522) on the cross-entropy, in l-inf alone.
    SaPgd {
        /// Steps.
        iterations: usize,
    },
    /// APGD (Croce & Hein 2020).
    Apgd {
        /// What it climbs.
        goal: Goal,
        /// Steps a target.
        iterations: usize,
    },
    /// The nearest adversarial image toward each of the 9 most likely wrong classes (Croce & Hein 2020).
    FabT {
        /// Steps a class.
        iterations: usize,
    },
    /// Random search on logits alone (Andriushchenko et al. 2020).
    Square {
        /// Queries an image.
        queries: usize,
    },
}

impl Attack {
    /// The attack called `name`, with `iterations` where it iterates (None: 10; fab-t 100, square 5000 queries). A number
    /// behind the name counts too: `pgd20`. Errors (usage): unknown names, 0 iterations, iterations for an attack that has none.
    pub fn parse(name: &str, iterations: Option<usize>) -> Result<Attack> {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = Some(&name[stem.len()..]).filter(|digits| !digits.is_empty());
        let counted = digits
            .map(|digits| digits.parse::<usize>().map_err(|_| usage!("attack {name}: {digits} iterations; at most 1000000")))
            .transpose()?;
        let steps = iterations.or(counted);
        let apgd = |goal| Attack::Apgd { goal, iterations: steps.unwrap_or(10) };
        let attack = match stem {
            "none" => Attack::Identity,
            "noise" => Attack::Noise,
            "gaussian" => Attack::Gaussian,
            "fgsm" => Attack::Fgsm,
            "rfgsm" => Attack::Rfgsm,
            "pgd" => Attack::Pgd { iterations: steps.unwrap_or(10) },
            "tpgd" => Attack::Tpgd { iterations: steps.unwrap_or(10) },
            "pgd-targeted" => Attack::PgdTargeted { iterations: steps.unwrap_or(10) },
            "sa-pgd" => Attack::SaPgd { iterations: steps.unwrap_or(10) },
            "apgd-ce" => apgd(Goal::CrossEntropy),
            "apgd-dlr" => apgd(Goal::Dlr),
            "apgd-t" => apgd(Goal::Targeted),
            "fab-t" => Attack::FabT { iterations: steps.unwrap_or(100) },
            "square" => Attack::Square { queries: steps.unwrap_or(5000) },
            AUTOATTACK => {
                return Err(usage!("attack {name}: it is four attacks, which eval runs one after the other; name one of them here"));
            }
            _ => return Err(usage!("attack {name}: no such attack{}", suggest(stem, NAMES.into_iter().chain([AUTOATTACK])))),
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
            Attack::Gaussian => "gaussian",
            Attack::Fgsm => "fgsm",
            Attack::Rfgsm => "rfgsm",
            Attack::Pgd { .. } => "pgd",
            Attack::Tpgd { .. } => "tpgd",
            Attack::PgdTargeted { .. } => "pgd-targeted",
            Attack::SaPgd { .. } => "sa-pgd",
            Attack::Apgd { goal: Goal::CrossEntropy, .. } => "apgd-ce",
            Attack::Apgd { goal: Goal::Dlr, .. } => "apgd-dlr",
            Attack::Apgd { goal: Goal::Targeted, .. } => "apgd-t",
            Attack::FabT { .. } => "fab-t",
            Attack::Square { .. } => "square",
        }
    }

    /// Steps (of Square: queries), for the attacks that iterate.
    pub fn iterations(&self) -> Option<usize> {
        match *self {
            Attack::FabT { iterations } | Attack::Square { queries: iterations } => Some(iterations),
            Attack::Pgd { iterations } | Attack::Tpgd { iterations } | Attack::PgdTargeted { iterations } => Some(iterations),
            Attack::SaPgd { iterations } | Attack::Apgd { iterations, .. } => Some(iterations),
            _ => None,
        }
    }

    /// Whether gradients are used, so that an ensemble of gradient variants makes sense.
    pub fn is_white_box(&self) -> bool {
        !matches!(self, Attack::Identity | Attack::Noise | Attack::Gaussian | Attack::Square { .. })
    }

    /// Whether a network is asked at all, so that another one can be asked in its place.
    pub fn asks_a_network(&self) -> bool {
        !matches!(self, Attack::Identity | Attack::Noise | Attack::Gaussian)
    }

    /// Whether it can be recorded on a GPU: it is some work to record, and the host decides nothing on its way.
    pub fn is_recordable(&self) -> bool {
        !matches!(self, Attack::Identity | Attack::FabT { .. } | Attack::Square { .. })
    }

    /// Whether it draws anything, so that a restart is another attack.
    pub fn is_random(&self) -> bool {
        !matches!(self, Attack::Identity | Attack::Fgsm)
    }

    /// The gradients (of Square: the logits) that it asks a network of `classes` for, at most: how long it is.
    pub fn answers(&self, classes: usize) -> usize {
        match *self {
            Attack::Identity | Attack::Noise | Attack::Gaussian => 0,
            Attack::Fgsm | Attack::Rfgsm => 1,
            Attack::Pgd { iterations } | Attack::Tpgd { iterations } | Attack::PgdTargeted { iterations } => iterations,
            Attack::SaPgd { iterations } => iterations,
            Attack::Apgd { goal, iterations } => goal.targets(Some(classes)) * iterations,
            Attack::FabT { iterations } => Fab::TARGETS.min(classes.saturating_sub(1)) * iterations,
            Attack::Square { queries } => queries + 1,
        }
    }

    /// Errors (usage): it is not defined for so few classes.
    pub fn suits(&self, classes: usize) -> Result<()> {
        match self {
            Attack::Apgd { goal, .. } => goal.suits(classes),
            _ => Ok(()),
        }
    }

    /// Errors (usage): it is not defined in this norm.
    pub fn knows(&self, norm: Norm) -> Result<()> {
        match (self, norm) {
            (Attack::SaPgd { .. }, Norm::L2) => {
                Err(usage!("sa-pgd: has no l2 form; its steps are bounded pixel by pixel: use pgd or apgd-ce, or --norm linf"))
            }
            _ => Ok(()),
        }
    }

    /// Adversarial images for `targets`, in `ball` around each. Errors (usage): too few classes, a norm that it does not know.
    pub fn perturb(&self, victim: &dyn Victim, targets: &Targets, lens: Lens, ball: Ball, noise: &Noise) -> Result<Tensor> {
        self.knows(ball.norm)?;
        match *self {
            Attack::FabT { iterations } => fab(victim, targets, lens, Fab::new(ball, iterations), noise),
            Attack::Square { queries } => square(victim, targets, lens, Square::new(ball, queries), noise),
            _ => self.perturb_from(victim, targets, lens, ball, self.start(targets, ball, noise)?.as_ref()),
        }
    }

    /// The noise that the attack starts from (None: it needs none), of several runs one after the other.
    pub fn start(&self, targets: &Targets, ball: Ball, noise: &Noise) -> Result<Option<Tensor>> {
        let law = match (*self, ball.norm) {
            (Attack::Identity | Attack::Fgsm | Attack::FabT { .. } | Attack::Square { .. }, _) => return Ok(None),
            (Attack::Apgd { goal, iterations }, _) => {
                let apgd = Apgd { goal, ball, iterations };
                let run = |run| noise.of_run(run, apgd.most_runs()).draw(targets, apgd.law());
                return Ok(Some(Tensor::joined(&(0..apgd.most_runs()).map(run).collect::<Result<Vec<_>>>()?)));
            }
            (Attack::Pgd { .. } | Attack::PgdTargeted { .. }, _) => return noise.inside(targets, ball).map(Some),
            (Attack::Tpgd { .. }, _) => pixel::Noise::Normal(0.001),
            // Its size does not matter.
            (Attack::SaPgd { .. }, _) => pixel::Noise::Uniform(1.0),
            (Attack::Noise, Norm::Linf) => pixel::Noise::Uniform(ball.eps),
            (Attack::Noise, Norm::L2) => pixel::Noise::Uniform(1.0),
            (Attack::Gaussian, Norm::Linf) => pixel::Noise::Normal(ball.eps / 2.0),
            (Attack::Rfgsm, Norm::Linf) => pixel::Noise::Sign,
            (Attack::Gaussian | Attack::Rfgsm, Norm::L2) => pixel::Noise::Normal(1.0),
        };
        Ok(Some(noise.draw(targets, law)?))
    }

    /// As [`Attack::perturb`], from a [`Attack::start`] that was drawn before. Nothing is sent to the device or read from it.
    /// Errors: FAB-T and Square, which go on the host.
    pub fn perturb_from(&self, victim: &dyn Victim, targets: &Targets, lens: Lens, ball: Ball, start: Option<&Tensor>) -> Result<Tensor> {
        let entropy = || Objective::CrossEntropy(targets.labels.clone());
        let start = || start.ok_or_else(|| fail!("attack {self}: no noise was drawn for its start"));
        match *self {
            Attack::Identity => Ok(targets.images.clone()),
            Attack::Noise | Attack::Gaussian if ball.norm == Norm::L2 => {
                pixel::displace(targets.images, &pixel::unit(start()?, Norm::L2), ball.eps)
            }
            Attack::Noise => pixel::displace(targets.images, start()?, 1.0),
            // A step of length 0 projects.
            Attack::Gaussian => step(targets.images, &pixel::displace(targets.images, start()?, 1.0)?, start()?, 0.0, ball),
            Attack::Fgsm => fgsm(victim, targets, lens, ball),
            Attack::Rfgsm => rfgsm(victim, targets, lens, &entropy(), ball, ball.eps / 2.0, start()?),
            Attack::Pgd { iterations } => pgd(victim, targets, lens, &entropy(), Walk::new(ball, iterations), start()?),
            Attack::Tpgd { iterations } => {
                let objective = Objective::Divergence(victim.logits(targets.images, lens)?);
                pgd(victim, targets, lens, &objective, Walk::new(ball, iterations), start()?)
            }
            Attack::PgdTargeted { iterations } => {
                let objective = Objective::Toward(loss::runner_up(&victim.logits(targets.images, lens)?, targets.labels)?);
                pgd(victim, targets, lens, &objective, Walk::new(ball, iterations), start()?)
            }
            Attack::Apgd { goal, iterations } => Apgd { goal, ball, iterations }.perturb(victim, targets, lens, start()?),
            Attack::SaPgd { iterations } => stable(victim, targets, lens, Stable { eps: ball.eps, iterations }, start()?),
            Attack::FabT { .. } | Attack::Square { .. } => Err(fail!("attack {self}: the host takes part, so it has no start to go from")),
        }
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

/// The name that stands for [`autoattack`].
pub const AUTOATTACK: &str = "autoattack";

/// AutoAttack's four (Croce & Hein 2020), each on the survivors of the last.
pub fn autoattack() -> [Attack; 4] {
    let apgd = |goal| Attack::Apgd { goal, iterations: 100 };
    [apgd(Goal::CrossEntropy), apgd(Goal::Targeted), Attack::FabT { iterations: 100 }, Attack::Square { queries: 5000 }]
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
        let apgd = |goal, iterations| Attack::Apgd { goal, iterations };
        assert_eq!(Attack::parse("apgd-ce100", None).unwrap(), apgd(Goal::CrossEntropy, 100));
        assert_eq!(Attack::parse("apgd-dlr", None).unwrap(), apgd(Goal::Dlr, 10));
        assert_eq!(Attack::parse("apgd-t", Some(3)).unwrap().to_string(), "APGD-T-3");
        assert!(Attack::parse("pdg", None).unwrap_err().to_string().contains("\"pgd\""));
        assert!(Attack::parse("fgsm20", None).is_err());
        assert!(Attack::parse("pgd", Some(0)).is_err());
        assert_eq!(Attack::parse("fab-t", None).unwrap(), Attack::FabT { iterations: 100 });
        assert_eq!(Attack::parse("square", None).unwrap(), Attack::Square { queries: 5000 });
        assert_eq!(Attack::parse("square1000", None).unwrap().to_string(), "SQUARE-1000");
        assert_eq!(Attack::parse("sa-pgd100", None).unwrap(), Attack::SaPgd { iterations: 100 });
        assert!(Attack::parse("gaussian5", None).is_err());
    }

    #[test]
    fn an_attack_says_how_long_it_is() {
        let most = |name: &str, classes| Attack::parse(name, None).unwrap().answers(classes);
        assert_eq!(["none", "rfgsm", "tpgd7", "sa-pgd3", "apgd-ce20"].map(|name| most(name, 10)), [0, 1, 7, 3, 20]);
        assert_eq!([("apgd-t5", 10), ("apgd-t5", 200), ("apgd-t5", 4)].map(|(name, classes)| most(name, classes)), [45, 45, 15]);
        assert_eq!((most("fab-t2", 10), most("fab-t2", 3), most("square100", 10)), (18, 4, 101));
    }

    #[test]
    fn what_has_no_l2_form_says_so() {
        let refused: Vec<&str> = NAMES.into_iter().filter(|name| Attack::parse(name, None).unwrap().knows(Norm::L2).is_err()).collect();
        assert_eq!(refused, ["sa-pgd"]);
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
