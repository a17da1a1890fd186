//! `caltrop doctor`: what can be typed, and what is done about it.

mod table;

use super::args::Common;
use super::commands::{check_calibration, check_percentile, check_range, check_scale, dataset_of, device, fits};
use super::outputs::{self, answer};
use super::progress::Shown;
use crate::base::{Result, file, usage};
use crate::checkpoint;
use crate::device::Device;
use crate::drive::{Convert, Watch};
use crate::nn::Model;
use crate::probe::doctor::{Choice, Commands, Patient, Visit, advise, word};
use crate::report;
use crate::zoo::MOST_STEPS;
use clap::Args;
use std::path::{Path, PathBuf};

/// `doctor`.
#[derive(Args)]
pub struct Doctor {
    /// A trained ANN
    checkpoint: PathBuf,
    /// Folder of the data set's files (default: the data set named in the checkpoint, if embedded)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Data set (default: the checkpoint's)
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Percentiles of the input currents that become thresholds
    #[arg(long, value_delimiter = ',', default_value = "99,99.7,99.9,100", value_name = "P,..", allow_negative_numbers = true)]
    percentiles: Vec<f64>,
    /// Factors on the thresholds
    #[arg(long, value_delimiter = ',', default_value = "0.3,0.5,1", value_name = "F,..", allow_negative_numbers = true)]
    scales: Vec<f64>,
    /// Steps of the spiking networks
    #[arg(long, value_delimiter = ',', default_value = "4,8,16", value_name = "T,..")]
    steps: Vec<usize>,
    /// Which of them to look into: percentile, scale, T; or best (default: 99.7,0.3,8 if it is swept, else best)
    #[arg(long, value_name = "P,F,T")]
    cell: Option<String>,
    /// The network after finetuning (default: snn.safetensors beside ann.safetensors, as in the folder of a run)
    #[arg(long, value_name = "FILE")]
    finetuned: Option<PathBuf>,
    /// Test images that accuracies are measured on, from the first
    #[arg(long, default_value_t = 256, value_name = "N")]
    images: usize,
    /// Steps of the calibration runs
    #[arg(long, default_value_t = 100, value_name = "T")]
    calibration_steps: usize,
    /// Images a calibration batch
    #[arg(long, default_value_t = 64, value_name = "N")]
    batch: usize,
    /// Calibration batches (fewer where the training images do not suffice)
    #[arg(long, default_value_t = 11, value_name = "N")]
    batches: usize,
    /// Seed of the choice of calibration images
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Write the result as JSON (without FILE or with -: to the standard output, instead of the tables)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Write a page with the tables and pictures
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the pictures, PNG or SVG by the name's ending
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Cells of a sweep, at most.
const MOST_CELLS: usize = 200;
/// The paper's settings.
const USUAL: (f64, f64, usize) = (99.7, 0.3, 8);

/// Examine, print, and write what was asked for.
pub fn doctor(args: &Doctor, common: &Common) -> Result<()> {
    check(args)?;
    let choice = choice(args.cell.as_deref())?;
    let device = device(common)?;
    let written = [("--json", args.json.as_deref()), ("--report", args.report.as_deref()), ("--plot", args.plot.as_deref())];
    outputs::check(
        &written,
        &[Some(&args.checkpoint), args.finetuned.as_ref()].into_iter().flatten().map(PathBuf::as_path).collect::<Vec<_>>(),
    )?;
    let (ann, meta) = checkpoint::load(&args.checkpoint, &device)?;
    if ann.spec().steps > 0 {
        return Err(usage!(
            "{}: this network is a spiking one already (T = {}); give the ANN that it was converted from, and this one as --finetuned",
            args.checkpoint.display(),
            ann.spec().steps
        ));
    }
    if ann.neurons().next().is_none() {
        return Err(usage!("{}: the network has no layer of neurons, so nothing of it is converted", args.checkpoint.display()));
    }
    let watch = Shown::new(common.quiet);
    let [converted, finetuned] = patients(args, &ann, &device, &watch)?;
    let data = dataset_of(&args.checkpoint, &meta, args.dataset.as_deref(), args.data.as_deref(), common)?;
    let data = data.hold_out(meta.validation)?;
    fits(&ann, &data).map_err(|error| error.within(args.checkpoint.display()))?;
    let path = args.checkpoint.display().to_string();
    let visit = Visit {
        ann: &ann,
        meta: &meta,
        path: &path,
        data: &data,
        images: args.images.min(data.test.len()),
        percentiles: sorted(&args.percentiles, f64::total_cmp),
        scales: sorted(&args.scales, f64::total_cmp),
        steps: sorted(&args.steps, usize::cmp),
        choice,
        how: Convert {
            percentile: USUAL.0,
            scale: USUAL.1,
            calibration_steps: args.calibration_steps,
            batch: args.batch,
            batches: args.batches,
        },
        seed: args.seed,
        converted,
        finetuned,
    };
    let mut found = visit.diagnose(&watch)?;
    (found.device, found.version) = (device.describe(), super::version());
    found.advice = advise(&found, &commands(args, meta.recipe.as_deref()));
    if let Some(path) = &args.report {
        file::write(path, report::diagnosis_page(&found)?.as_bytes())?;
    }
    if let Some(path) = &args.plot {
        file::write(path, &report::diagnosis_plot(&found).for_file(path)?)?;
    }
    answer(&found, args.json.as_deref(), || table::tell(&found, super::columns()))
}

fn check(args: &Doctor) -> Result<()> {
    args.percentiles.iter().try_for_each(|&percentile| check_percentile("--percentiles", percentile))?;
    args.scales.iter().try_for_each(|&scale| check_scale("--scales", scale))?;
    args.steps.iter().try_for_each(|&steps| check_range("--steps", steps, MOST_STEPS))?;
    check_calibration(args.calibration_steps, args.batch, args.batches)?;
    check_range("--images", args.images, usize::MAX)?;
    let [p, s, t] = [args.percentiles.len(), args.scales.len(), args.steps.len()];
    match p * s * t {
        cells if cells > MOST_CELLS => {
            Err(usage!("--percentiles, --scales, --steps: {p} x {s} x {t} = {cells} cells; at most {MOST_CELLS}, give fewer values"))
        }
        _ => args.plot.as_deref().map_or(Ok(()), report::check_plot),
    }
}

/// What `--cell` says. Errors (usage): no three numbers, and not `best`.
fn choice(text: Option<&str>) -> Result<Choice> {
    let Some(text) = text else { return Ok(Choice::Usual(USUAL.0, USUAL.1, USUAL.2)) };
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    match (text, parts.as_slice()) {
        ("best", _) => Ok(Choice::Best),
        (_, [percentile, scale, steps]) => match (percentile.parse(), scale.parse(), steps.parse()) {
            (Ok(percentile), Ok(scale), Ok(steps)) => Ok(Choice::These(percentile, scale, steps)),
            _ => Err(usage!("--cell {text}: percentile, scale and T are wanted, such as 99.7,0.3,8, or best")),
        },
        _ => Err(usage!("--cell {text}: percentile, scale and T are wanted, such as 99.7,0.3,8, or best")),
    }
}

/// The values from the smallest on, each once.
fn sorted<V: Copy + PartialEq>(values: &[V], order: impl Fn(&V, &V) -> std::cmp::Ordering) -> Vec<V> {
    let mut values = values.to_vec();
    values.sort_by(order);
    values.dedup();
    values
}

/// The spiking networks that the ANN became: as converted, and finetuned. Those of a run lie beside its `ann.safetensors`; `watch` is
/// told of them, and of those that are passed over since they are another network's.
fn patients(args: &Doctor, ann: &Model, device: &Device, watch: &dyn Watch) -> Result<[Option<Patient>; 2]> {
    let load = |path: &Path, found: bool| -> Result<Patient> {
        let patient = Patient { path: path.display().to_string(), found, model: checkpoint::load(path, device)?.0 };
        patient.fits(ann.spec())?;
        Ok(patient)
    };
    let of_a_run = args.checkpoint.file_name().is_some_and(|name| name == "ann.safetensors");
    let beside = |name: &str| {
        let path = args.checkpoint.with_file_name(name);
        if !of_a_run || !path.is_file() {
            return None;
        }
        match load(&path, true) {
            Ok(patient) => {
                watch.end(&format!("doctor: {} lies beside the ANN and is looked at too", path.display()));
                Some(patient)
            }
            Err(error) => {
                watch.end(&format!("doctor: passed over: {error}"));
                None
            }
        }
    };
    let converted = beside("converted.safetensors");
    let finetuned = match &args.finetuned {
        Some(path) => Some(load(path, false)?),
        None => beside("snn.safetensors"),
    };
    Ok([converted, finetuned])
}

/// What the commands of the advice are told, as it was typed here.
fn commands(args: &Doctor, recipe: Option<&str>) -> Commands {
    let mut convert = String::new();
    if let Some(name) = &args.dataset {
        convert += &format!(" --dataset {}", word(name));
    }
    for (flag, value, default) in
        [("calibration-steps", args.calibration_steps, 100), ("batch", args.batch, 64), ("batches", args.batches, 11)]
    {
        if value != default {
            convert += &format!(" --{flag} {value}");
        }
    }
    if args.seed != 0 {
        convert += &format!(" --seed {}", args.seed);
    }
    Commands {
        ann: args.checkpoint.display().to_string(),
        recipe: recipe.unwrap_or("RECIPE").to_string(),
        data: args.data.as_ref().map_or(String::new(), |dir| format!(" --data {}", word(&dir.display().to_string()))),
        convert,
    }
}
