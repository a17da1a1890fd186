//! Through what a network is looked at: its lens and its steps.

use super::super::args::LensArgs;
use crate::attack::{Attack, Goal};
use crate::autodiff::{Credit, Lens, Surrogate};
use crate::base::{Result, suggest, usage};
use crate::nn::Model;
use crate::zoo::MOST_STEPS;

/// The lens that was asked for.
pub fn lens(args: &LensArgs) -> Result<Lens> {
    if let Some(name) = &args.lens {
        return match name.as_str() {
            "act" => Ok(Lens::Act),
            _ => Err(usage!("--lens {name}: no such lens{}", suggest(name, ["act"]))),
        };
    }
    if let Some(name) = &args.credit {
        return match (Lens::credit(name)?, args.gamma) {
            (Lens::Spiking(Credit::Hart(surrogate)), Some(gamma)) => {
                Ok(Lens::Spiking(Credit::Hart(Surrogate::new(surrogate.kind, gamma)?)))
            }
            (_, Some(gamma)) => Err(usage!("--gamma {gamma}: --credit {name} has no width to set; leave it out, or use --surrogate")),
            (lens, None) => Ok(lens),
        };
    }
    match &args.surrogate {
        Some(name) => Lens::surrogate(name, args.gamma.unwrap_or(1.0)),
        None => Ok(Lens::default()),
    }
}

/// Errors (usage) where gradients of spikes were asked for and there are none.
pub fn suits(args: &LensArgs, model: &Model) -> Result<()> {
    let asked =
        args.surrogate.as_ref().map(|name| format!("--surrogate {name}")).or(args.credit.as_ref().map(|name| format!("--credit {name}")));
    match asked {
        Some(asked) if model.spec().steps == 0 => {
            Err(usage!("{asked}: this network has no spikes (T = 0), so it has one gradient; leave --surrogate and --credit out"))
        }
        _ => Ok(()),
    }
}

/// Errors (usage) where an attack has no one path whose iterations ASSG could follow.
pub fn follows(lens: Lens, attack: Attack, draws: Option<usize>) -> Result<()> {
    match (lens, attack) {
        (Lens::Spiking(Credit::Assg), Attack::FabT { .. } | Attack::Square { .. }) => {
            Err(usage!("--credit assg: {} takes no images as they are from step to step; use pgd, sa-pgd or apgd-ce", attack.name()))
        }
        (Lens::Spiking(Credit::Assg), Attack::Apgd { goal: Goal::Targeted, .. }) => {
            Err(usage!("--credit assg: {} is several runs, of fewer and fewer images; use pgd, sa-pgd or apgd-ce", attack.name()))
        }
        (Lens::Spiking(Credit::Assg), _) if draws.is_some() => Err(usage!("--credit assg: it follows single forwards; leave --eot out")),
        _ => Ok(()),
    }
}

/// Run `model` at another number of steps, if one was given by `flag`. Errors (usage): it has no spikes.
pub fn set_steps(model: &mut Model, flag: &str, steps: Option<usize>) -> Result<()> {
    match steps {
        Some(steps) if model.spec().steps == 0 => Err(usage!("{flag} {steps}: this network has no spikes (T = 0); convert it first")),
        Some(steps) => {
            model.set_steps(steps);
            Ok(())
        }
        None => Ok(()),
    }
}

/// Errors (usage) where what `flag` says is no number of steps.
pub fn check_steps(flag: &str, steps: Option<usize>) -> Result<()> {
    match steps {
        Some(0) => Err(usage!("{flag} 0: T = 0 where spikes are needed; use 1 or more (--lens act looks at the ReLU network)")),
        Some(steps) if steps > MOST_STEPS => Err(usage!("{flag} {steps}: at most {MOST_STEPS}")),
        _ => Ok(()),
    }
}
