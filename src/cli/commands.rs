//! Conversion, devices, and what the commands share.

use super::args::{Common, Convert};
use super::import::reset;
use super::progress::Shown;
use super::say;
use crate::base::{Error, Kind, Result, ensure, file, usage};
use crate::checkpoint::{self, Meta};
use crate::data::{self, Augment, Dataset};
use crate::device::{Device, Flavour, Gpu, Order};
use crate::drive;
use crate::nn::{Model, Spec};
use crate::zoo::MOST_STEPS;
use std::path::Path;

/// More worker threads than this help no machine.
const MOST_THREADS: usize = 1024;

/// The device of `--device`, `--threads` and `--precision`.
pub fn device(common: &Common) -> Result<Device> {
    if common.threads == Some(0) {
        return Err(usage!("--threads 0: at least one thread is needed"));
    }
    if let Some(threads) = common.threads.filter(|&threads| threads > MOST_THREADS) {
        return Err(usage!("--threads {threads}: at most {MOST_THREADS}; leave it out for one a core"));
    }
    Ok(Device::named(&common.device, common.threads)?.with_precision(common.precision.into()))
}

/// The data set `name`, from `dir` or embedded; pictures that are decoded for the first time show how far it is.
pub fn dataset(name: &str, dir: Option<&Path>, common: &Common) -> Result<Dataset> {
    data::load_watched(name, dir, &Shown::new(common.quiet))
}

/// The data set of a checkpoint: `--dataset`, else the one in its metadata.
pub fn dataset_of(path: &Path, meta: &Meta, name: Option<&str>, dir: Option<&Path>, common: &Common) -> Result<Dataset> {
    match name.or(meta.dataset.as_deref()) {
        Some(name) => dataset(name, dir, common),
        None => Err(usage!("{}: the checkpoint names no data set; give --dataset (and --data)", path.display())),
    }
}

/// Errors where the data's images do not fit the network.
pub fn fits(model: &Model, data: &Dataset) -> Result<()> {
    let (spec, images) = (model.spec(), &data.test);
    ensure!(
        spec.input == [images.channels, images.height, images.width],
        "{} has images of {}x{}x{}, the network wants {}x{}x{}; use the data set that it was trained on",
        data.name,
        images.channels,
        images.height,
        images.width,
        spec.input[0],
        spec.input[1],
        spec.input[2]
    );
    ensure!(
        spec.classes >= images.classes,
        "{} has {} classes, the network {}; use the data set that it was trained on",
        data.name,
        images.classes,
        spec.classes
    );
    Ok(())
}

/// `caltrop convert`.
pub fn convert(args: &Convert, common: &Common) -> Result<()> {
    let device = device(common)?;
    check_convert(args)?;
    let reset = args.reset.as_deref().map(reset).transpose()?;
    file::writable(&args.out)?;
    let how = drive::Convert {
        percentile: args.percentile,
        scale: args.scale,
        calibration_steps: args.calibration_steps,
        batch: args.batch,
        batches: args.batches,
    };
    let (ann, meta) = checkpoint::load(&args.checkpoint, &device)?;
    if ann.spec().steps > 0 {
        return Err(usage!("{}: this network is a spiking one already (T = {}); give an ANN", args.checkpoint.display(), ann.spec().steps));
    }
    let data = dataset_of(&args.checkpoint, &meta, args.dataset.as_deref(), args.data.as_deref(), common)?;
    // What the network was validated on, nothing is calibrated on.
    let data = data.hold_out(meta.validation)?;
    fits(&ann, &data).map_err(|error| error.within(args.checkpoint.display()))?;
    let (leak, reset) = (args.leak.unwrap_or(ann.spec().leak), reset.unwrap_or(ann.spec().reset));
    let spec = Spec { steps: args.steps, leak, reset, bias: true, ..ann.spec().clone() };
    let watch = Shown::new(common.quiet);
    let batches = drive::calibration_batches(&ann, &data, &how, Augment::NONE, args.seed, &watch)?;
    let meta = Meta { dataset: Some(data.name.to_string()), seed: args.seed, ..meta };
    let (snn, meta) = drive::convert(&ann, spec, &batches, &how, &meta, &watch)?;
    checkpoint::save(&args.out, &snn, &meta)?;
    say(args.out.display())
}

/// T of calibration beyond this only costs memory.
const MOST_CALIBRATION_STEPS: usize = 10_000;

fn check_convert(args: &Convert) -> Result<()> {
    check_calibration(args.calibration_steps, args.batch, args.batches)?;
    check_range("--steps", args.steps, MOST_STEPS)?;
    check_scale("--scale", args.scale)?;
    if let Some(leak) = args.leak.filter(|leak| !(*leak > 0.0 && *leak <= 1.0)) {
        return Err(usage!("--leak {leak}: must be above 0 and at most 1 (1 keeps the whole membrane)"));
    }
    check_percentile("--percentile", args.percentile)
}

/// Errors (usage) where the calibration runs no step or sees no image.
pub fn check_calibration(steps: usize, batch: usize, batches: usize) -> Result<()> {
    check_range("--calibration-steps", steps, MOST_CALIBRATION_STEPS)?;
    [("--batch", batch), ("--batches", batches)].into_iter().try_for_each(|(flag, value)| check_range(flag, value, usize::MAX))
}

/// Errors (usage) where what `flag` says is 0 or beyond `most`.
pub fn check_range(flag: &str, value: usize, most: usize) -> Result<()> {
    match value {
        0 => Err(usage!("{flag} 0: at least 1 is needed")),
        _ if value > most => Err(usage!("{flag} {value}: at most {most}")),
        _ => Ok(()),
    }
}

/// Errors (usage) where what `flag` says is no factor on thresholds.
pub fn check_scale(flag: &str, scale: f64) -> Result<()> {
    match scale > 0.0 && scale.is_finite() {
        true => Ok(()),
        false => Err(usage!("{flag} {scale}: must be a positive number, such as 0.3")),
    }
}

/// Errors (usage) where what `flag` says is no percentile.
pub fn check_percentile(flag: &str, percentile: f64) -> Result<()> {
    match (0.0..=100.0).contains(&percentile) {
        true => Ok(()),
        false => Err(usage!("{flag} {percentile}: must be between 0 and 100")),
    }
}

/// `caltrop devices`: what `--device` can name here, or why it cannot.
pub fn devices(common: &Common) -> Result<()> {
    if let Err(error) = device(common)
        && error.kind() == Kind::Usage
    {
        return Err(error);
    }
    say(format!("cpu       {}", Device::cpu(common.threads)?.describe()))?;
    match Gpu::list() {
        Ok(lines) => lines.iter().try_for_each(|line| say(format!("cuda      {line}")))?,
        Err(error) => say(format!("cuda      none: {}", reason(&error)))?,
    }
    match Device::emulated(common.threads, Order::default(), Flavour::default()) {
        Ok(emulated) => say(format!("emulated  {}", emulated.describe())),
        Err(error) => say(format!("emulated  none: {}", reason(&error))),
    }
}

/// The text of an error about a device, without the option that asked for it.
fn reason(error: &Error) -> String {
    let text = error.to_string();
    text.split_once(": ").filter(|(option, _)| option.starts_with("--device")).map_or(text.clone(), |(_, rest)| rest.to_string())
}
