//! `caltrop eval`.

mod kept;
mod lens;
mod outputs;
mod radius;

pub use lens::{check_steps, follows, lens, set_steps, suits};
pub use radius::NormArg;

use super::args::{Common, Eval};
use super::commands::{dataset_of, device, fits};
use super::progress::Shown;
use crate::attack::{AUTOATTACK, Attack, autoattack};
use crate::base::{Result, usage};
use crate::checkpoint;
use crate::device::Device;
use crate::drive::{Member, Members, PassOn, Question, Radius, Watch, examine};
use crate::nn::Model;
use kept::Kept;
use outputs::Outcome;
use serde_json::json;
use std::path::Path;

/// Runs of an attack, at most.
const MOST_RESTARTS: usize = 1000;

/// Measure, print, and write what was asked for.
pub fn eval(args: &Eval, common: &Common) -> Result<()> {
    let attacks = attacks(args)?;
    let (lens, radius) = (lens(&args.lens)?, radius::radius(args)?);
    attacks.iter().try_for_each(|&attack| check(args, attack, radius).and_then(|()| follows(lens, attack, args.eot)))?;
    let device = device(common)?;
    let written = [("--json", &args.json), ("--save", &args.save), ("--grid", &args.grid), ("--report", &args.report)];
    let inputs: Vec<&Path> = std::iter::once(args.checkpoint.as_path()).chain(args.source.as_deref()).collect();
    super::outputs::check(&written.map(|(flag, path)| (flag, path.as_deref())), &inputs)?;
    let (mut model, meta) = checkpoint::load(&args.checkpoint, &device)?;
    set_steps(&mut model, "--steps", args.steps)?;
    let source = source(args, &device)?;
    suits(&args.lens, source.as_ref().unwrap_or(&model))?;
    radius::fits(radius, model.spec().input)?;
    let data = dataset_of(&args.checkpoint, &meta, args.dataset.as_deref(), args.data.as_deref(), common)?;
    fits(&model, &data).map_err(|error| error.within(args.checkpoint.display()))?;
    let count = args.images.unwrap_or(data.test.len());
    if count > data.test.len() {
        return Err(usage!("--images {count}: {} has {} test images; leave --images out for all of them", data.name, data.test.len()));
    }
    let question = Question {
        images: &data.test,
        count,
        members: match attacks[..] {
            [attack] if args.ensemble => Member::all(Members::Ensemble(attack), lens),
            _ => attacks.iter().map(|&attack| Member { attack, lens }).collect(),
        },
        source: source.as_ref(),
        draws: args.eot.unwrap_or(1),
        restarts: args.restarts,
        radius,
        seed: args.seed,
        pass_on: if args.fast || attacks.len() > 1 { PassOn::Survivors } else { PassOn::All },
    };
    let watch = Shown::new(common.quiet);
    if let Some(draws) = args.eot {
        watch.end(&format!(
            "--eot {draws}: the forward of a network in eval mode is deterministic, so this is the mean of {draws} equal gradients"
        ));
    }
    let (answer, kept) = Kept::evaluate(args, &model, &question, &watch)?;
    let curve: &[usize] = if args.curve { &[10, 100, 1000] } else { &[] };
    let honesty = match attacks[0].asks_a_network() && !args.no_checks {
        true => kept.resumable(examine(&model, &question, &answer, curve, &watch))?,
        false => None,
    };
    let attack = if attacks.len() > 1 { AUTOATTACK } else { attacks[0].name() };
    let outcome = Outcome { question: &question, attack, answer: &answer, honesty: honesty.as_ref(), data: &data };
    if let Some(path) = &args.save {
        outcome.save(path)?;
    }
    if let Some(path) = &args.grid {
        outcome.grid(path)?;
    }
    if let Some(path) = &args.report {
        outcome.page(path, &args.checkpoint.display().to_string())?;
    }
    if let Some(path) = &args.json {
        let one = attacks[0].iterations().filter(|_| attacks.len() == 1);
        let more = json!({
            "ensemble": args.ensemble, "fast": args.fast, "iterations": one, "steps": model.spec().steps, "device": device.describe(),
            "source": args.source, "source_steps": source.as_ref().map(|source| source.spec().steps), "eot": args.eot, "restarts": args.restarts,
        });
        outcome.json(path, more)?;
    }
    kept.clear()?;
    outcome.tell()
}

/// What `--attack` names: one attack, or AutoAttack's four.
fn attacks(args: &Eval) -> Result<Vec<Attack>> {
    if args.attack != AUTOATTACK {
        return Ok(vec![Attack::parse(&args.attack, args.iterations)?]);
    }
    if args.iterations.is_some() {
        return Err(usage!("--iterations: {AUTOATTACK} has lengths of its own; leave it out"));
    }
    if args.restarts != 1 {
        return Err(usage!("--restarts: {AUTOATTACK} has runs of its own; leave it out, or name one of its attacks"));
    }
    if args.ensemble {
        return Err(usage!("--ensemble: {AUTOATTACK} looks through one lens; leave it out, or use --attack apgd-ce --ensemble"));
    }
    Ok(autoattack().to_vec())
}

/// The network that the adversarial images are made on, where it is another.
fn source(args: &Eval, device: &Device) -> Result<Option<Model>> {
    let Some(path) = &args.source else { return Ok(None) };
    let (mut source, _) = checkpoint::load(path, device)?;
    set_steps(&mut source, "--source-steps", args.source_steps)?;
    Ok(Some(source))
}

fn check(args: &Eval, attack: Attack, radius: Radius) -> Result<()> {
    attack.knows(radius.norm)?;
    if args.images == Some(0) {
        return Err(usage!("--images 0: at least 1 image is needed"));
    }
    check_steps("--steps", args.steps)?;
    check_steps("--source-steps", args.source_steps)?;
    if args.source.is_some() && !attack.asks_a_network() {
        return Err(usage!("--source: {} asks no network, so nothing can transfer; leave it out", attack.name()));
    }
    if !(1..=MOST_RESTARTS).contains(&args.restarts) {
        return Err(usage!("--restarts {}: must be between 1 and {MOST_RESTARTS}", args.restarts));
    }
    if args.restarts > 1 && !attack.is_random() {
        return Err(usage!("--restarts: {} draws nothing, so every run is the same; leave it out", attack.name()));
    }
    if args.eot == Some(0) {
        return Err(usage!("--eot 0: at least 1 forward is needed"));
    }
    if args.eot.is_some() && !attack.is_white_box() && args.attack != AUTOATTACK {
        return Err(usage!("--eot: {} uses no gradient; leave it out", attack.name()));
    }
    if args.ensemble && !attack.is_white_box() {
        return Err(usage!("--ensemble: {} uses no gradient, so there is no ensemble of it", attack.name()));
    }
    if radius.ball().eps == 0.0 && attack != Attack::Identity {
        return Err(usage!("--eps {}: no pixel may move; use --attack none for clean accuracy", radius.size));
    }
    if args.curve && (args.no_checks || !attack.asks_a_network()) {
        return Err(usage!("--curve: it is one of the honesty checks, which are left out here; leave it out too"));
    }
    if args.iterations.is_some() && attack.iterations().is_none() {
        return Err(usage!("--iterations: {} does not iterate; leave it out", attack.name()));
    }
    if args.fast && !args.ensemble {
        return Err(usage!("--fast: it passes survivors from member to member, so it needs --ensemble"));
    }
    Ok(())
}
