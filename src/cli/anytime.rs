//! `caltrop anytime`: accuracy after every step, and at other numbers of steps.

use super::args::Common;
use super::evaluate::check_steps;
use super::look::{LookArgs, OnslaughtArgs};
use super::outputs::{self, answer};
use super::progress::Shown;
use super::sheet::Sheet;
use super::version;
use crate::base::{Result, file};
use crate::probe;
use crate::record::{Accuracy, Anytime as Record, with_interval};
use crate::report;
use clap::Args;
use std::path::PathBuf;

/// Images that are looked at unless others are asked for.
const IMAGES: usize = 1000;

/// `anytime`.
#[derive(Args)]
pub struct Anytime {
    /// The network and the images.
    #[command(flatten)]
    look: LookArgs,
    /// The attack.
    #[command(flatten)]
    onslaught: OnslaughtArgs,
    /// Also run the network at these numbers of steps, attacked at each
    #[arg(long, value_delimiter = ',', value_name = "T,..")]
    sweep: Vec<usize>,
    /// Write all numbers as JSON (without FILE or with -: to the standard output, instead of the table)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Write a row a step as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw the curves (.png or .svg)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Write a page of it all (HTML in one file)
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Measure, and print or write what was measured.
pub fn anytime(args: &Anytime, common: &Common) -> Result<()> {
    args.sweep.iter().try_for_each(|&steps| check_steps("--sweep", Some(steps)))?;
    args.plot.as_deref().map_or(Ok(()), report::check_plot)?;
    let written = [("--json", &args.json), ("--csv", &args.csv), ("--plot", &args.plot), ("--report", &args.report)];
    outputs::check(&written.map(|(flag, path)| (flag, path.as_deref())), &args.look.inputs())?;
    let mut sweep = args.sweep.clone();
    sweep.sort_unstable();
    sweep.dedup();
    let looked = args.look.open(IMAGES, common)?;
    looked.must_spike(&args.look, "accuracy over time")?;
    let onslaught = args.onslaught.plan(&looked.model)?;
    let measured = probe::anytime(&looked.model, &looked.samples, onslaught.as_ref(), &sweep, &Shown::new(common.quiet))?;
    let record = Record {
        network: args.look.checkpoint.display().to_string(),
        source: looked.source.clone(),
        attack: onslaught.map(|onslaught| onslaught.words(&looked.model)),
        version: version(),
        ..measured
    };
    if let Some(path) = &args.csv {
        file::write(path, rows(&record).csv().as_bytes())?;
    }
    if let Some(path) = &args.plot {
        file::write(path, &report::anytime_plot(&record).for_file(path)?)?;
    }
    if let Some(path) = &args.report {
        file::write(path, report::anytime(&record)?.as_bytes())?;
    }
    answer(&record, args.json.as_deref(), || table(&record))
}

/// For a terminal.
fn table(record: &Record) -> String {
    let told = |percent: f64| format!("{} %", with_interval(percent, record.images));
    let attacked = record.attack.is_some();
    let names = ["clean", "robust"];
    let accuracies = |accuracy: &Accuracy| std::iter::once(accuracy.clean_acc).chain(accuracy.robust_acc).map(told).collect::<Vec<_>>();
    let head = |first: &'static str, more: &[&'static str]| {
        let names = &names[..1 + usize::from(attacked)];
        Sheet::new(&[&[first], names, more].concat())
    };
    let mut lines = vec![format!("{}: {} images of {}; in brackets 95 % intervals", record.network, record.images, record.source)];
    if let Some(attack) = &record.attack {
        lines.push(format!("attacked by {attack}, against all {} steps; robust: recognised clean and attacked", record.steps));
    }
    lines.push(String::new());
    let stays = ["settled clean", "settled attacked"];
    let mut sheet = head("step", &stays[..1 + usize::from(attacked)]);
    for moment in &record.moments {
        let mut row = vec![moment.step.to_string()];
        row.extend(accuracies(&moment.accuracy));
        row.extend(std::iter::once(moment.settled_clean).chain(moment.settled_attacked).map(|share| format!("{share:.1} %")));
        sheet.rows.push(row);
    }
    lines.extend(sheet.lines(0));
    let decided = record.decided_attacked.map_or(String::new(), |steps| format!(", {steps:.2} on attacked ones"));
    lines.push(format!(
        "settled: no later step changes the prediction. The last change comes at step {:.2} on clean images{decided}, on average.",
        record.decided_clean
    ));
    if !record.sweep.is_empty() {
        let against = if attacked { ", the attack made against each" } else { "" };
        lines.extend([String::new(), format!("run at other numbers of steps{against}")]);
        let mut sheet = head("T", &[]);
        sheet.rows =
            (record.sweep.iter()).map(|turn| std::iter::once(turn.steps.to_string()).chain(accuracies(&turn.accuracy)).collect()).collect();
        lines.extend(sheet.lines(0));
    }
    lines.join("\n")
}

/// A row a step, for other programs.
fn rows(record: &Record) -> Sheet {
    let mut sheet = Sheet::new(&[
        "kind",
        "steps",
        "clean_acc",
        "clean_low",
        "clean_high",
        "robust_acc",
        "robust_low",
        "robust_high",
        "settled_clean",
        "settled_attacked",
    ]);
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let mut row = |kind: &str, steps: usize, accuracy: &Accuracy, settled: [Option<f64>; 2]| {
        let bounds = |bounds: Option<[f64; 2]>| [bounds.map(|[low, _]| low), bounds.map(|[_, high]| high)];
        let [clean_low, clean_high] = bounds(accuracy.clean_ci95);
        let [robust_low, robust_high] = bounds(accuracy.robust_ci95);
        let values = [Some(accuracy.clean_acc), clean_low, clean_high, accuracy.robust_acc, robust_low, robust_high];
        let mut row = vec![kind.to_string(), steps.to_string()];
        row.extend(values.into_iter().chain(settled).map(number));
        sheet.rows.push(row);
    };
    for moment in &record.moments {
        row("stopped", moment.step, &moment.accuracy, [Some(moment.settled_clean), moment.settled_attacked]);
    }
    for turn in &record.sweep {
        row("run", turn.steps, &turn.accuracy, [None, None]);
    }
    sheet
}
