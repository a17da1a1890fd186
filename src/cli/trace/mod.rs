//! `caltrop trace`: one neuron through time, on one image and on its adversarial twin.

mod blocks;
mod pause;
mod sheet;

use super::args::Common;
use super::look::{LookArgs, Looked, OnslaughtArgs};
use super::outputs::{self, answer};
use super::say;
use crate::base::{Result, usage};
use crate::probe::step::{Inside, Stepped};
use crate::probe::{Onslaught, Place, Site, Sites};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// `trace`.
#[derive(Args)]
#[command(
    mut_arg("images", |arg| arg.value_name("FILE").help("A safetensors file with `images` f32 [N,C,H,W] in [0,1] (and `labels`), instead of the test images")),
    mut_arg("attack", |arg| arg.default_value("none").help("Show the adversarial image too: pgd, fgsm, apgd-ce, square, … (see `eval`)")),
    mut_arg("eps", |arg| arg.requires("attack")),
    mut_arg("iterations", |arg| arg.requires("attack")),
    mut_arg("seed", |arg| arg.requires("attack")),
    mut_arg("surrogate", |arg| arg.requires("attack")),
    mut_arg("credit", |arg| arg.requires("attack")),
    mut_arg("lens", |arg| arg.requires("attack"))
)]
pub struct Trace {
    /// The network and where its images are from.
    #[command(flatten)]
    look: LookArgs,
    /// The image: its index among the test images, or in the file of --images
    #[arg(long, default_value_t = 0, value_name = "N")]
    image: usize,
    /// Layer of neurons (default: the second, whose inputs are spikes; a wrong name lists them all)
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Neuron: column, row, channel, from 0 (default: the one that fires most)
    #[arg(long, value_name = "X,Y,C")]
    neuron: Option<String>,
    /// The attack.
    #[command(flatten)]
    onslaught: OnslaughtArgs,
    /// So many of the inputs that count most at a step
    #[arg(long, default_value_t = 5, value_name = "K")]
    top: usize,
    /// On a terminal: wait for Enter before the next step
    #[arg(long)]
    step: bool,
    /// Write the numbers as JSON (without FILE or with -: to the standard output, instead of the text)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
}

/// All that is said about a neuron.
#[derive(Clone, Serialize)]
struct Traced {
    checkpoint: String,
    /// Where the image is from, and its index there.
    source: String,
    image: u64,
    label: Option<i32>,
    layer: String,
    /// Channels, height, width of the layer.
    shape: [usize; 3],
    neuron: Place,
    /// Why this neuron, where nobody named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    chosen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attack: Option<Attacked>,
    clean: Seen,
    #[serde(skip_serializing_if = "Option::is_none")]
    adversarial: Option<Seen>,
}

/// The attack, and how far it went.
#[derive(Clone, Serialize)]
struct Attacked {
    name: String,
    eps: f64,
    iterations: Option<usize>,
    seed: u64,
    /// The largest change of a pixel, in 1/255.
    largest_change: f64,
}

/// One image.
#[derive(Clone, Serialize)]
struct Seen {
    /// The class that the network sees.
    predicted: usize,
    /// Its spikes in all.
    spikes: usize,
    #[serde(flatten)]
    stepped: Stepped,
}

impl Seen {
    fn of(inside: &Inside, site: usize, place: Place) -> Result<Seen> {
        let stepped = inside.steps(site, place)?;
        Ok(Seen { predicted: inside.class()?, spikes: stepped.spikes(), stepped })
    }
}

impl Traced {
    /// The same with the strongest inputs of every step alone.
    fn brief(&self, top: usize) -> Traced {
        let brief = |seen: Seen| Seen { stepped: seen.stepped.strongest(top), ..seen };
        let Traced { clean, adversarial, .. } = self.clone();
        Traced { clean: brief(clean), adversarial: adversarial.map(brief), ..self.clone() }
    }
}

/// Go through the steps.
pub fn trace(args: &Trace, common: &Common) -> Result<()> {
    if args.top == 0 {
        return Err(usage!("--top 0: at least 1 input is needed"));
    }
    outputs::check(&[("--json", args.json.as_deref())], &args.look.inputs())?;
    let looked = args.look.open_one(args.image, common)?;
    looked.must_spike(&args.look, "steps to go through")?;
    let sites = Sites::of(&looked.model);
    let site = match &args.layer {
        Some(name) => sites.find(name)?,
        None => 1.min(sites.all().len() - 1),
    };
    let layer = &sites.all()[site];
    let named = args.neuron.as_deref().map(|text| layer.place(text)).transpose()?;
    let onslaught = args.onslaught.plan(&looked.model)?;
    let clean = Inside::of(&looked.model, &looked.samples.batch(&looked.model, 0..1))?;
    let (place, chosen) = match named {
        Some(place) => (place, None),
        None => choice(&clean, site, looked.model.spec().steps)?,
    };
    let attacked = onslaught.as_ref().map(|onslaught| attacked(onslaught, &looked, site, place)).transpose()?;
    let clean = Seen::of(&clean, site, place)?;
    let (attack, adversarial) = attacked.unzip();
    let traced = traced(args, &looked, layer, (place, chosen), clean, (attack, adversarial));
    show(args, common, &looked, &traced)
}

/// The neuron that is worth a look, and why.
fn choice(inside: &Inside, site: usize, steps: usize) -> Result<(Place, Option<String>)> {
    let (place, spikes) = inside.busiest(site)?;
    let why = match spikes {
        0 => "none of the layer fires, this one comes nearest to its threshold".to_string(),
        _ => format!("none of the layer fires more often than this one, {spikes} times in {steps} steps"),
    };
    Ok((place, Some(why)))
}

/// The same neuron on the adversarial image.
fn attacked(onslaught: &Onslaught, looked: &Looked, site: usize, place: Place) -> Result<(Attacked, Seen)> {
    let image = onslaught.perturb(&looked.model, &looked.samples, 0..1)?;
    let pixels = image.to_vec();
    let change = pixels.iter().zip(looked.samples.image(0)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let said = Attacked {
        name: onslaught.attack.name().to_string(),
        eps: onslaught.radius.size,
        iterations: onslaught.attack.iterations(),
        seed: onslaught.seed,
        largest_change: f64::from(change) * 255.0,
    };
    Ok((said, Seen::of(&Inside::of(&looked.model, &image)?, site, place)?))
}

fn traced(
    args: &Trace,
    looked: &Looked,
    layer: &Site,
    (neuron, chosen): (Place, Option<String>),
    clean: Seen,
    (attack, adversarial): (Option<Attacked>, Option<Seen>),
) -> Traced {
    Traced {
        checkpoint: args.look.checkpoint.display().to_string(),
        source: looked.source.clone(),
        image: looked.samples.ids[0],
        label: looked.samples.labels.as_ref().map(|labels| labels[0]),
        layer: layer.name.clone(),
        shape: layer.shape,
        neuron,
        chosen,
        attack,
        clean,
        adversarial,
    }
}

/// Text on the standard output, JSON where it was asked for.
fn show(args: &Trace, common: &Common, looked: &Looked, traced: &Traced) -> Result<()> {
    let brief = traced.brief(args.top);
    let sheet = sheet::Sheet::of(traced, args.top, |class| looked.class_name(class));
    if !(args.step && pause::possible()) {
        return answer(&brief, args.json.as_deref(), || sheet.whole());
    }
    answer(&brief, args.json.as_deref(), || sheet.head())?;
    if args.json.as_deref() == Some(Path::new("-")) {
        return Ok(());
    }
    for t in 0..sheet.steps() {
        if t > 0 && !pause::wait(common.quiet)? {
            return Ok(());
        }
        say(format!("\n{}", sheet.step(t).trim_end()))?;
    }
    say(format!("\n{}", sheet.overview().trim_end()))
}
