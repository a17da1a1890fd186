//! `caltrop import` and `caltrop export`.

use super::args::{Common, Export, Import, StatisticsArg};
use super::commands::device;
use super::say;
use crate::base::{Result, file, suggest, usage};
use crate::checkpoint::{self, Meta, Require};
use crate::data;
use crate::nn::Spec;
use crate::ops::lif::Reset;

/// CIFAR-10's normalisation, the default.
pub const MEAN: [f32; 3] = [0.4914, 0.4822, 0.4465];
pub const STD: [f32; 3] = [0.2023, 0.1994, 0.2010];

/// A checkpoint of a PyTorch state dict.
pub fn import(args: &Import, common: &Common) -> Result<()> {
    let device = device(common)?;
    let input = size(&args.input)?;
    let normal = |given: &Option<Vec<f32>>, default: [f32; 3], flag: &str| match given {
        Some(values) if values.len() == input[0] => Ok(values.clone()),
        Some(values) => Err(usage!("{flag}: {} values for {} channels", values.len(), input[0])),
        None if input[0] == 3 => Ok(default.to_vec()),
        None => Err(usage!("{flag} is needed: the default is CIFAR-10's three channels, --input has {}", input[0])),
    };
    if let Some(name) = &args.dataset {
        data::spec(name)?;
    }
    let spec = Spec {
        arch: args.arch.clone(),
        classes: args.classes,
        input,
        mean: normal(&args.mean, MEAN, "--mean")?,
        std: normal(&args.std, STD, "--std")?,
        bias: args.bias,
        steps: args.steps,
        leak: args.leak,
        reset: reset(&args.reset)?,
        dropout: args.dropout,
    };
    let require = match args.statistics {
        StatisticsArg::Running => Require::Everything,
        StatisticsArg::Batch => Require::NoStatistics,
    };
    file::writable(&args.out)?;
    let (model, notes) = checkpoint::import(&args.weights, spec, require, &device)?;
    checkpoint::save(&args.out, &model, &Meta { dataset: args.dataset.clone(), ..Meta::default() })?;
    let numbers: usize = model.params().iter().map(|param| param.value().shape().count()).sum();
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
    say(format!("{}: {} with {numbers} parameters{notes}", args.out.display(), args.arch))
}

/// `hard` or `soft`.
pub fn reset(text: &str) -> Result<Reset> {
    match text {
        "hard" => Ok(Reset::Hard),
        "soft" => Ok(Reset::Soft),
        other => Err(usage!("--reset {other}: unknown{}", suggest(other, ["hard", "soft"]))),
    }
}

/// `3x32x32`.
pub fn size(text: &str) -> Result<[usize; 3]> {
    let parts: Vec<usize> = text.split('x').filter_map(|part| part.trim().parse().ok()).collect();
    match parts[..] {
        [c, h, w] if text.split('x').count() == 3 => Ok([c, h, w]),
        _ => Err(usage!("--input {text}: write CxHxW, such as 3x32x32")),
    }
}

/// A state dict with PyTorch's names.
pub fn export(args: &Export, common: &Common) -> Result<()> {
    if args.format != "torch" {
        return Err(usage!("--format {}: no such format{}", args.format, suggest(&args.format, ["torch"])));
    }
    file::writable(&args.out)?;
    let (model, _) = checkpoint::load(&args.checkpoint, &device(common)?)?;
    checkpoint::export(&args.out, &model)?;
    say(args.out.display())
}
