//! `caltrop bench`: what can be typed, and what is done about it.

use super::args::Common;
use super::commands::device;
use super::import::{MEAN, STD, size};
use super::outputs::{self, answer, writable};
use super::progress::Shown;
use crate::autodiff::Lens;
use crate::base::{Result, file, usage};
use crate::bench::{self, Kernels, Load, Mode, Plan, Sweep};
use crate::checkpoint;
use crate::data::Augment;
use crate::device::Device;
use crate::drive::{Watch, watch};
use crate::nn::{Model, Spec};
use crate::ops::lif::Reset;
use crate::report::{Bar, Figure, bars, check_plot};
use crate::zoo::{self, MOST_STEPS};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// `bench`.
#[derive(Args)]
pub struct Bench {
    /// What to measure.
    #[command(subcommand)]
    what: What,
}

/// What `bench` measures.
#[derive(Subcommand)]
enum What {
    /// Every op at the layers of vgg11 and of the demo's network, beside the measured ceilings of copy and matrix product
    #[command(
        after_help = "Example:\n  caltrop bench kernels --ops conv --network vgg11 --steps 8 --batch 16 --density 0.05,0.1,0.3 --json kernels.json"
    )]
    Kernels(KernelsArgs),
    /// A network: images a second, milliseconds a step, peak memory, firing rates
    #[command(
        after_help = "A step is: infer, logits in eval mode; attack, one PGD step (forward, gradient of the pixels, signed step); train, at T > 0 one finetuning\nstep (clean forward, RFGSM-KL attack, adversarial forward, backward of both, SGD), at T = 0 one PGD-AT step (10 inner steps,\nforward, backward, SGD).\n\nExample:\n  caltrop bench network --arch vgg11 --steps 8 --batch 16 --mode attack --credit rate --json"
    )]
    Network(NetworkArgs),
    /// The loader: images a second, and the share of a core that they take
    #[command(
        after_help = "Examples:\n  caltrop bench loader --size 32x32x3 --augment crop,flip,cutout --json\n  caltrop bench loader --size 64x64x3 --augment resized,flip --threads 2"
    )]
    Loader(LoaderArgs),
}

/// `bench kernels`.
#[derive(Args)]
struct KernelsArgs {
    /// Ops: conv, lif, relu, norm, pool, dropout, frames, flatten, convex, loss, pixel, sgd, percentile (default: all)
    #[arg(long, value_delimiter = ',', value_name = "OP,..")]
    ops: Option<Vec<String>>,
    /// Networks whose layers are taken: vgg11, demo (default: both)
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    network: Option<Vec<String>>,
    /// Layers, such as conv5,fc1 (default: all)
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    layers: Vec<String>,
    /// Steps T of the spiking network; 0 is the ANN
    #[arg(long, value_delimiter = ',', default_value = "8", value_name = "T,..")]
    steps: Vec<usize>,
    /// Images
    #[arg(long, value_delimiter = ',', default_value = "64", value_name = "B,..")]
    batch: Vec<usize>,
    /// Share of the spikes that are there
    #[arg(long, value_delimiter = ',', default_value = "0.1", value_name = "D,..", allow_negative_numbers = true)]
    density: Vec<f64>,
    /// Seconds a row (at least three runs are timed)
    #[arg(long, default_value_t = 1.0, value_name = "S", allow_negative_numbers = true)]
    seconds: f64,
    /// Write the result as JSON (without FILE or with -: to the standard output, instead of the table)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Draw how near each op comes to its ceiling (.png or .svg)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// `bench network`.
#[derive(Args)]
struct NetworkArgs {
    /// Architecture with random weights, thresholds set to the firing rates of a trained network (default: vgg11)
    #[arg(long, value_name = "NAME", conflicts_with = "checkpoint")]
    arch: Option<String>,
    /// A trained network
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Image size of the architecture (default: 3x32x32; 3x64x64 for vgg11_tin)
    #[arg(long, value_name = "CxHxW", conflicts_with = "checkpoint")]
    input: Option<String>,
    /// Steps T; 0 is the ANN (default: 8, or the checkpoint's)
    #[arg(long, value_name = "T")]
    steps: Option<usize>,
    /// Images a step; max: as many as a GPU holds
    #[arg(long, default_value = "16", value_name = "B")]
    batch: String,
    /// What a step is: infer, attack, train
    #[arg(long, default_value = "infer", value_name = "MODE")]
    mode: String,
    /// How credit returns in an attack: bptt, rate (BPTR), pdsg, hart, assg
    #[arg(long, value_name = "NAME")]
    credit: Option<String>,
    /// How training is done: natural, at, trades, mart (default: at for T = 0, trades for T > 0)
    #[arg(long, value_name = "NAME")]
    defense: Option<String>,
    /// Seconds of measuring (at least three steps are timed)
    #[arg(long, default_value_t = 5.0, value_name = "S", allow_negative_numbers = true)]
    seconds: f64,
    /// Write the result as JSON (without FILE or with -: to the standard output, instead of the lines)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
}

/// `bench loader`.
#[derive(Args)]
struct LoaderArgs {
    /// Size of the images
    #[arg(long, default_value = "32x32x3", value_name = "HxWxC")]
    size: String,
    /// What is done to each image, as in a recipe: crop[:PAD] or resized, flip, cutout[:SIDE]; none for nothing
    #[arg(long, value_delimiter = ',', default_value = "crop,flip,cutout", value_name = "WORD,..")]
    augment: Vec<String>,
    /// Images a batch
    #[arg(long, default_value_t = 128, value_name = "B")]
    batch: usize,
    /// Seconds of measuring (at least three passes are timed)
    #[arg(long, default_value_t = 3.0, value_name = "S", allow_negative_numbers = true)]
    seconds: f64,
    /// Write the result as JSON (without FILE or with -: to the standard output, instead of the lines)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
}

/// Measure, and print or write the result.
pub fn bench(args: &Bench, common: &Common) -> Result<()> {
    match &args.what {
        What::Kernels(args) => kernels(args, common),
        What::Network(args) => network(args, common),
        What::Loader(args) => loader(args, common),
    }
}

fn kernels(args: &KernelsArgs, common: &Common) -> Result<()> {
    let all = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    let sweep = Sweep {
        ops: args.ops.clone().unwrap_or_else(|| all(&bench::OPS)),
        networks: args.network.clone().unwrap_or_else(|| all(&bench::NETWORKS)),
        layers: args.layers.clone(),
        steps: args.steps.clone(),
        batches: args.batch.clone(),
        densities: args.density.clone(),
        seconds: seconds(args.seconds)?,
    };
    sweep.check()?;
    args.plot.as_deref().map_or(Ok(()), check_plot)?;
    outputs::check(&[("--json", args.json.as_deref()), ("--plot", args.plot.as_deref())], &[])?;
    let device = prepared(common, args.json.as_deref())?;
    let result = bench::kernels(&device, &sweep, &Shown::new(common.quiet))?;
    if let Some(path) = &args.plot {
        file::write(path, &drawn(&result).for_file(path)?)?;
    }
    answer(&result, args.json.as_deref(), || result.table())
}

/// The share of its ceiling that each op reaches.
fn drawn(result: &Kernels) -> Figure {
    let bar = |row: &bench::Row| Bar {
        name: format!("{} {}, {} {}, T = {}", row.op, row.part, row.network, row.layer, row.steps),
        share: row.share,
        told: format!("{:.0} %, {}", 100.0 * row.share, bench::time(row.time.seconds)),
        kind: usize::from(row.bound == "product"),
    };
    let title = format!("Share of the ceiling, {}", result.facts.device);
    let kinds = ["bound by the copy of its bytes", "bound by its operations"];
    bars("kernels", &title, kinds, "100 %", &result.rows.iter().map(bar).collect::<Vec<_>>())
}

fn network(args: &NetworkArgs, common: &Common) -> Result<()> {
    let mode: Mode = args.mode.parse()?;
    let (seconds, lens) = (seconds(args.seconds)?, suitable(args, mode)?);
    let batch = match args.batch.as_str() {
        "max" => None,
        count => match count.parse() {
            Ok(count @ 1..=65_536) => Some(count),
            _ => return Err(usage!("--batch {count}: must be max, or between 1 and 65536")),
        },
    };
    if let Some(steps) = args.steps.filter(|&steps| steps > MOST_STEPS) {
        return Err(usage!("--steps {steps}: at most {MOST_STEPS}"));
    }
    let device = prepared(common, args.json.as_deref())?;
    // The emulator's memory is the machine's: looking for its end would take the machine down.
    if batch.is_none() && (matches!(device, Device::Cpu(_)) || common.device == "emulated") {
        return Err(usage!("--batch max: only a GPU's memory is searched; give a number"));
    }
    let shown = Shown::new(common.quiet);
    let mut model = match &args.checkpoint {
        Some(path) => trained(path, args.steps, &device)?,
        None => random(args, &device)?,
    };
    let stage = bench::stage(model.spec().steps, args.defense.as_deref())?;
    if args.credit.is_some() && model.spec().steps == 0 {
        return Err(usage!("--credit: this network has no spikes (T = 0), so it has one gradient; leave it out"));
    }
    if args.checkpoint.is_none() {
        shown.begin("thresholds", 0);
        let images = bench::images(&model, CALIBRATION);
        bench::settle(&mut model, &images)?;
    }
    let mut plan = Plan { mode, lens, stage, batch: batch.unwrap_or(0), seconds };
    if batch.is_none() {
        let (found, said) = bench::largest_batch(&mut model, &plan)?;
        shown.end(&format!("the largest batch is {found} ({said})"));
        plan.batch = found;
    }
    watch::check()?;
    let result = bench::network(&mut model, &plan)?;
    answer(&result, args.json.as_deref(), || result.table())
}

fn loader(args: &LoaderArgs, common: &Common) -> Result<()> {
    let words: &[String] = if args.augment == ["none"] { &[] } else { &args.augment };
    let size: Vec<usize> = args.size.split('x').map_while(|side| side.parse().ok()).collect();
    let size = <[usize; 3]>::try_from(size).map_err(|_| usage!("--size {}: must be HxWxC, such as 32x32x3", args.size))?;
    let load = Load {
        size,
        augment: Augment::parse(words)?,
        batch: args.batch,
        threads: common.threads.unwrap_or(1),
        seconds: seconds(args.seconds)?,
    };
    load.check()?;
    writable(args.json.as_deref())?;
    let result = bench::load(&load)?;
    answer(&result, args.json.as_deref(), || result.table())
}

/// Images that the thresholds of random weights are chosen on.
const CALIBRATION: usize = 16;

fn seconds(seconds: f64) -> Result<f64> {
    match seconds {
        s if (0.0..=3600.0).contains(&s) => Ok(s),
        s => Err(usage!("--seconds {s}: must be between 0 and 3600")),
    }
}

/// How an attack's gradients are taken. Errors (usage): options of another mode.
fn suitable(args: &NetworkArgs, mode: Mode) -> Result<Lens> {
    if let Some(name) = &args.credit {
        if mode != Mode::Attack {
            return Err(usage!("--credit {name}: only --mode attack has a choice; leave it out"));
        }
        return Lens::credit(name);
    }
    match &args.defense {
        Some(name) if mode != Mode::Train => Err(usage!("--defense {name}: only --mode train has one; leave it out")),
        _ => Ok(Lens::default()),
    }
}

/// The device, after a look whether the result can be written.
pub fn prepared(common: &Common, json: Option<&Path>) -> Result<Device> {
    let device = device(common)?;
    writable(json)?;
    Ok(device)
}

/// A trained network, at `steps` if it has spikes.
fn trained(path: &Path, steps: Option<usize>, device: &Device) -> Result<Model> {
    let (mut model, _) = checkpoint::load(path, device)?;
    match (steps, model.spec().steps) {
        (Some(steps), own) if (steps == 0) != (own == 0) => {
            let what = if own == 0 { "it has no spikes (T = 0); convert it first" } else { "it is a spiking network; use 1 or more" };
            Err(usage!("--steps {steps}: {}: {what}", path.display()))
        }
        (Some(steps), _) => {
            model.set_steps(steps);
            Ok(model)
        }
        (None, _) => Ok(model),
    }
}

/// A network of random weights.
fn random(args: &NetworkArgs, device: &Device) -> Result<Model> {
    let arch = args.arch.clone().unwrap_or_else(|| "vgg11".into());
    let (side, classes) = if arch == "vgg11_tin" { (64, 200) } else { (32, 10) };
    let input = args.input.as_deref().map_or(Ok([3, side, side]), size)?;
    let (mean, std) = if input[0] == 3 { (MEAN.to_vec(), STD.to_vec()) } else { (vec![0.286; input[0]], vec![0.353; input[0]]) };
    let steps = args.steps.unwrap_or(8);
    let spec = Spec { arch, classes, input, mean, std, bias: steps > 0, steps, leak: 1.0, reset: Reset::Hard, dropout: 0.2 };
    zoo::build(device, spec, 0)
}
