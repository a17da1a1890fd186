//! `caltrop import` and `caltrop export`.

use super::args::{Common, Export, Import, StatisticsArg};
use super::commands::device;
use super::say;
use crate::base::{Error, Result, file, suggest, usage};
use crate::checkpoint::{self, DIALECTS, Dialect, Meta, Require, Said};
use crate::data;
use crate::device::Device;
use crate::nn::{Model, Spec};
use crate::ops::lif::Reset;

/// CIFAR-10's normalisation, the default.
pub const MEAN: [f32; 3] = [0.4914, 0.4822, 0.4465];
pub const STD: [f32; 3] = [0.2023, 0.1994, 0.2010];

/// A checkpoint of a PyTorch state dict or of a NIR graph.
pub fn import(args: &Import, common: &Common) -> Result<()> {
    let device = device(common)?;
    if let Some(name) = &args.dataset {
        data::spec(name)?;
    }
    if let Err(cause) = std::fs::metadata(&args.weights) {
        return Err(Error::io("cannot read", &args.weights, &cause));
    }
    let (model, meta, notes) = if checkpoint::is_nir(&args.weights) { of_nir(args, &device)? } else { of_torch(args, &device)? };
    checkpoint::save(&args.out, &model, &meta)?;
    let numbers: usize = model.params().iter().map(|param| param.value().shape().count()).sum();
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
    say(format!("{}: {} with {numbers} parameters{notes}", args.out.display(), model.spec().arch))
}

/// The network of a NIR graph, which says nearly all of itself.
fn of_nir(args: &Import, device: &Device) -> Result<(Model, Meta, Vec<String>)> {
    let typed = [("--mean", args.mean.is_some()), ("--std", args.std.is_some()), ("--leak", args.leak.is_some()), ("--bias", args.bias)];
    if let Some((flag, _)) = typed.iter().find(|(_, typed)| *typed) {
        return Err(usage!("{flag}: {} is an HDF5 file, read as a NIR graph, which says it itself; leave it out", args.weights.display()));
    }
    let said = Said {
        arch: args.arch.clone(),
        steps: args.steps,
        classes: args.classes,
        input: args.input.as_deref().map(size).transpose()?,
        dropout: args.dropout,
        reset: args.reset.as_deref().map(reset).transpose()?,
        dialect: args.dialect.as_deref().map(Dialect::named).transpose()?,
    };
    file::writable(&args.out)?;
    let (model, meta) = checkpoint::import_nir(&args.weights, &said, device)?;
    let spec = model.spec();
    let notes = vec![format!("{} steps, leak {}, {} reset", spec.steps, spec.leak, spec.reset)];
    Ok((model, Meta { dataset: args.dataset.clone().or(meta.dataset.clone()), ..meta }, notes))
}

/// The network of a PyTorch state dict, of which all is typed.
fn of_torch(args: &Import, device: &Device) -> Result<(Model, Meta, Vec<String>)> {
    if args.dialect.is_some() {
        return Err(usage!("--dialect: only NIR graphs have one, and {} is none", args.weights.display()));
    }
    let (Some(arch), Some(classes), Some(input)) = (args.arch.clone(), args.classes, args.input.as_deref()) else {
        let given = [("--arch", args.arch.is_some()), ("--classes", args.classes.is_some()), ("--input", args.input.is_some())];
        let missing: Vec<&str> = given.iter().filter(|(_, given)| !given).map(|(flag, _)| *flag).collect();
        return Err(usage!("{}: needed, since a state dict does not say it", missing.join(", ")));
    };
    let input = size(input)?;
    let normal = |given: &Option<Vec<f32>>, default: [f32; 3], flag: &str| match given {
        Some(values) if values.len() == input[0] => Ok(values.clone()),
        Some(values) => Err(usage!("{flag}: {} values for {} channels", values.len(), input[0])),
        None if input[0] == 3 => Ok(default.to_vec()),
        None => Err(usage!("{flag} is needed: the default is CIFAR-10's three channels, --input has {}", input[0])),
    };
    let spec = Spec {
        arch,
        classes,
        input,
        mean: normal(&args.mean, MEAN, "--mean")?,
        std: normal(&args.std, STD, "--std")?,
        bias: args.bias,
        steps: args.steps.unwrap_or(0),
        leak: args.leak.unwrap_or(1.0),
        reset: args.reset.as_deref().map_or(Ok(Reset::Hard), reset)?,
        dropout: args.dropout.unwrap_or(0.2),
    };
    let require = match args.statistics {
        StatisticsArg::Running => Require::Everything,
        StatisticsArg::Batch => Require::NoStatistics,
    };
    file::writable(&args.out)?;
    let (model, notes) = checkpoint::import(&args.weights, spec, require, device)?;
    Ok((model, Meta { dataset: args.dataset.clone(), ..Meta::default() }, notes))
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

/// A state dict with PyTorch's names, or a NIR graph.
pub fn export(args: &Export, common: &Common) -> Result<()> {
    let formats = ["torch", "nir"];
    if !formats.contains(&args.format.as_str()) {
        return Err(usage!("--format {}: no such format{}", args.format, suggest(&args.format, formats)));
    }
    let dialect = Dialect::named(args.dialect.as_deref().unwrap_or(DIALECTS[0].name))?;
    if args.dialect.is_some() && args.format != "nir" {
        return Err(usage!("--dialect: only --format nir has one, this is --format {}", args.format));
    }
    file::writable(&args.out)?;
    let (model, meta) = checkpoint::load(&args.checkpoint, &device(common)?)?;
    if args.format == "nir" {
        checkpoint::export_nir(&args.out, &model, &meta, dialect).map_err(|error| error.within(args.checkpoint.display()))?;
    } else {
        checkpoint::export(&args.out, &model)?;
    }
    say(args.out.display())
}
