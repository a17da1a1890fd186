//! `caltrop eval`.

use super::args::{Common, Eval, LensArgs};
use super::commands::{dataset_of, device, fits};
use super::progress::Shown;
use super::{say, version};
use crate::attack::Attack;
use crate::autodiff::Lens;
use crate::base::{Result, fail, file, suggest, usage};
use crate::checkpoint::{self, Kind};
use crate::data;
use crate::device::Device;
use crate::drive::{Member, Members, Page, PassOn, Question, Store, Watch, evaluate_with};
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
    set_steps(&mut model, "--steps", args.steps)?;
    let source = source(args, &device)?;
    suits(&args.lens, source.as_ref().unwrap_or(&model))?;
    let data = dataset_of(&args.checkpoint, &meta, args.dataset.as_deref(), args.data.as_deref(), common)?;
    fits(&model, &data)?;
    let count = args.images.unwrap_or(data.test.len());
    if count > data.test.len() {
        return Err(usage!("--images {count}: {} has {} test images; leave --images out for all of them", data.name, data.test.len()));
    }
    let question = Question {
        images: &data.test,
        count,
        members: Member::all(attack, if args.ensemble { Members::Ensemble } else { Members::One }, lens),
        source: source.as_ref(),
        draws: args.eot.unwrap_or(1),
        eps: args.eps,
        seed: args.seed,
        pass_on: if args.fast { PassOn::Survivors } else { PassOn::All },
    };
    let watch = Shown::new(common.quiet);
    if let Some(draws) = args.eot {
        watch.begin("", 0);
        watch.end(&format!(
            "--eot {draws}: the forward of a network in eval mode is deterministic, so this is the mean of {draws} equal gradients"
        ));
    }
    let held = [
        format!("checkpoint {}", data::fetch::checksum(&args.checkpoint)?),
        format!("images {} of {}", count, data.fingerprint()),
        format!("source {:?}, {} draws", source.as_ref().map(|source| source.spec().steps), question.draws),
        format!("T = {}, {:?}, {}", model.spec().steps, device.precision(), version()),
    ];
    let store = store(args, &question, &held, &watch)?;
    let answer = evaluate_with(&model, &question, store, &watch)?;
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
            .map(|score| {
                let name = score.member.label(&question.members);
                json!({"name": name, "accuracy": score.accuracy, "ci95": ci95(score.accuracy), "first_to_break": score.kills})
            })
            .collect();
        let result = json!({
            "clean_acc": answer.clean, "clean_ci95": ci95(answer.clean), "robust_acc": answer.robust,
            "robust_ci95": ci95(answer.robust), "attack": attack.name(), "ensemble": args.ensemble,
            "source": args.source, "source_steps": source.as_ref().map(|source| source.spec().steps), "eot": args.eot,
            "eps": args.eps, "iterations": attack.iterations(), "images": answer.images, "seed": args.seed,
            "steps": model.spec().steps, "seconds": answer.seconds, "version": version(), "device": device.describe(), "members": members,
            "recheck": {"farthest": answer.recheck.farthest, "changed": answer.recheck.changed},
        });
        let text = serde_json::to_string_pretty(&result).map_err(|cause| fail!("json: {cause}"))? + "\n";
        file::write(path, text.as_bytes())?;
    }
    let told = |percent| with_interval(percent, answer.images);
    if answer.members.len() > 1 {
        for score in &answer.members {
            let name = score.member.label(&question.members);
            say(format!("{name:<14} {:>17} %  breaks {:>5} that none before it broke", told(score.accuracy), score.kills))?;
        }
    }
    let (clean, images) = (told(answer.clean), format!("{} images; in brackets 95 % intervals", answer.images));
    match attack {
        Attack::Identity => say(format!("clean {clean} % ({images})")),
        _ => say(format!("clean {clean} %, robust {} % ({attack} at {}/255, {images})", told(answer.robust), args.eps)),
    }
}

/// Where an evaluation keeps what is done, and what an interrupted one left there.
///
/// It lies beside the checkpoint, in a folder that is named by the question and goes when that is answered.
fn store(args: &Eval, question: &Question, held: &[String], watch: &dyn Watch) -> Result<Option<(Store, Vec<Page>)>> {
    let slug: String = question.to_string().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let name = args.checkpoint.file_stem().unwrap_or_default().to_string_lossy();
    let folder = args.checkpoint.with_file_name(format!("{name}.eval-{slug}-seed{}", args.seed));
    let members: Vec<String> = question.members.iter().map(|member| format!("{} {}", member.attack, member.lens)).collect();
    let text = format!("{question}, seed {}, {:?}\n{}\n{}\n", args.seed, question.pass_on, held.join("\n"), members.join("\n"));
    if !folder.exists() && file::writable(&folder).is_err() {
        if args.resume {
            return Err(fail!("--resume: an evaluation is kept beside its checkpoint, and that folder cannot be written: {}", folder.display()));
        }
        return Ok(None); // nothing to go on from, should it be interrupted
    }
    let (store, pages) = Store::open(&folder, &text, args.resume)?;
    if args.resume {
        watch.begin("", 0);
        watch.end(&match pages.len() {
            0 => format!("--resume: nothing was kept in {}; from the beginning", folder.display()),
            pages => format!("{pages} batches were done before"),
        });
    }
    Ok(Some((store, pages)))
}

/// The network that the adversarial images are made on, where it is another.
fn source(args: &Eval, device: &Device) -> Result<Option<Model>> {
    let Some(path) = &args.source else { return Ok(None) };
    let (mut source, _) = checkpoint::load(path, device)?;
    set_steps(&mut source, "--source-steps", args.source_steps)?;
    Ok(Some(source))
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

fn check(args: &Eval, attack: Attack) -> Result<()> {
    if !(0.0..=255.0).contains(&args.eps) {
        return Err(usage!("--eps {}: must be between 0 and 255 (it counts in 1/255)", args.eps));
    }
    if args.images == Some(0) {
        return Err(usage!("--images 0: at least 1 image is needed"));
    }
    check_steps("--steps", args.steps)?;
    check_steps("--source-steps", args.source_steps)?;
    if args.source.is_some() && !attack.asks_a_network() {
        return Err(usage!("--source: {} asks no network, so nothing can transfer; leave it out", attack.name()));
    }
    if args.eot == Some(0) {
        return Err(usage!("--eot 0: at least 1 forward is needed"));
    }
    if args.eot.is_some() && !attack.is_white_box() {
        return Err(usage!("--eot: {} uses no gradient; leave it out", attack.name()));
    }
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
