//! `caltrop eval`.

use super::args::{Common, Eval, LensArgs};
use super::commands::{dataset_of, device, fits};
use super::progress::Shown;
use super::{say, version};
use crate::attack::Attack;
use crate::autodiff::Lens;
use crate::base::{Result, fail, file, suggest, usage};
use crate::checkpoint::{self, Kind};
use crate::drive::{Members, PassOn, Question, evaluate};
use crate::nn::Model;
use crate::record::{wilson, with_interval};
use crate::zoo::MOST_STEPS;
use serde_json::json;

/// The lens that was asked for.
pub fn lens(args: &LensArgs) -> Result<Lens> {
    if let Some(name) = &args.lens {
        return match name.as_str() {
            "act" => Ok(Lens::Act),
            _ => Err(usage!("--lens {name}: no such lens{}", suggest(name, ["act"]))),
        };
    }
    if let Some(name) = &args.credit {
        return Lens::credit(name);
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

/// Measure, print, and write what was asked for.
pub fn eval(args: &Eval, common: &Common) -> Result<()> {
    let attack = Attack::parse(&args.attack, args.iterations)?;
    let lens = lens(&args.lens)?;
    check(args, attack)?;
    let device = device(common)?;
    for path in [&args.json, &args.save].into_iter().flatten() {
        file::writable(path)?;
    }
    let (mut model, meta) = checkpoint::load(&args.checkpoint, &device)?;
    set_steps(&mut model, args.steps)?;
    suits(&args.lens, &model)?;
    let data = dataset_of(&args.checkpoint, &meta, args.dataset.as_deref(), args.data.as_deref(), common)?;
    fits(&model, &data).map_err(|error| error.within(args.checkpoint.display()))?;
    let count = args.images.unwrap_or(data.test.len());
    if count > data.test.len() {
        return Err(usage!("--images {count}: {} has {} test images; leave --images out for all of them", data.name, data.test.len()));
    }
    let question = Question {
        images: &data.test,
        count,
        attack,
        members: if args.ensemble { Members::Ensemble } else { Members::One },
        lens,
        eps: args.eps,
        seed: args.seed,
        pass_on: if args.fast { PassOn::Survivors } else { PassOn::All },
    };
    let answer = evaluate(&model, &question, &Shown::new(common.quiet))?;
    if let Some(path) = &args.save {
        let (n, images) = (answer.images, &data.test);
        let tensors = [
            (
                "images".into(),
                vec![n, images.channels, images.height, images.width],
                Kind::Floats(checkpoint::channels_first(&answer.adversarial, images.channels, images.height * images.width)),
            ),
            ("labels".into(), vec![n], Kind::Integers(images.labels[..n].iter().map(|&label| i64::from(label)).collect())),
            ("survived".into(), vec![n], Kind::Integers(answer.survived.iter().map(|&alive| i64::from(alive)).collect())),
        ];
        checkpoint::save_tensors(path, &tensors)?;
    }
    if let Some(path) = &args.json {
        let ci95 = |percent| wilson(percent, answer.images);
        let members: Vec<_> = answer
            .members
            .iter()
            .map(|(lens, accuracy)| json!({"name": lens.to_string(), "accuracy": accuracy, "ci95": ci95(*accuracy)}))
            .collect();
        let result = json!({
            "clean_acc": answer.clean, "clean_ci95": ci95(answer.clean), "robust_acc": answer.robust,
            "robust_ci95": ci95(answer.robust), "attack": attack.name(), "ensemble": args.ensemble,
            "eps": args.eps, "iterations": attack.iterations(), "images": answer.images, "seed": args.seed,
            "steps": model.spec().steps, "seconds": answer.seconds, "version": version(), "device": device.describe(), "members": members,
        });
        let text = serde_json::to_string_pretty(&result).map_err(|cause| fail!("json: {cause}"))? + "\n";
        file::write(path, text.as_bytes())?;
    }
    let told = |percent| with_interval(percent, answer.images);
    if args.ensemble {
        for (lens, accuracy) in &answer.members {
            say(format!("{:<14} {:>17} %", lens.to_string(), told(*accuracy)))?;
        }
    }
    let (clean, images) = (told(answer.clean), format!("{} images; in brackets 95 % intervals", answer.images));
    match attack {
        Attack::Identity => say(format!("clean {clean} % ({images})")),
        _ => say(format!("clean {clean} %, robust {} % ({attack} at {}/255, {images})", told(answer.robust), args.eps)),
    }
}

/// Run `model` at another number of steps, if one was given. Errors (usage): it has no spikes.
pub fn set_steps(model: &mut Model, steps: Option<usize>) -> Result<()> {
    match steps {
        Some(steps) if model.spec().steps == 0 => Err(usage!("--steps {steps}: this network has no spikes (T = 0); convert it first")),
        Some(steps) => {
            model.set_steps(steps);
            Ok(())
        }
        None => Ok(()),
    }
}

/// Errors (usage) where `--steps` is no number of steps.
pub fn check_steps(steps: Option<usize>) -> Result<()> {
    match steps {
        Some(0) => Err(usage!("--steps 0: T = 0 where spikes are needed; use 1 or more (--lens act looks at the ReLU network)")),
        Some(steps) if steps > MOST_STEPS => Err(usage!("--steps {steps}: at most {MOST_STEPS}")),
        _ => Ok(()),
    }
}

fn check(args: &Eval, attack: Attack) -> Result<()> {
    if !(0.0..=255.0).contains(&args.eps) {
        return Err(usage!("--eps {}: must be between 0 and 255 (it counts in 1/255)", args.eps));
    }
    if args.images == Some(0) {
        return Err(usage!("--images 0: at least 1 image is needed"));
    }
    check_steps(args.steps)?;
    if args.ensemble && !attack.is_white_box() {
        return Err(usage!("--ensemble: {} uses no gradient, so there is no ensemble of it", attack.name()));
    }
    if args.iterations.is_some() && attack.iterations().is_none() {
        return Err(usage!("--iterations: {} does not iterate; leave it out", attack.name()));
    }
    if args.fast && !args.ensemble {
        return Err(usage!("--fast: it passes survivors from member to member, so it needs --ensemble"));
    }
    Ok(())
}
