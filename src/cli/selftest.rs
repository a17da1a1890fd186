//! `caltrop selftest`.

use super::args::Common;
use super::bench::prepared;
use super::outputs::answer;
use super::progress::Shown;
use crate::base::{Result, fail};
use crate::drive::{Watch, watch};
use crate::selftest;
use clap::Args;
use std::path::PathBuf;

/// `selftest`.
#[derive(Args)]
pub struct Selftest {
    /// Ops: conv, lif, norm, relu, pool, flatten, frames, dropout, convex, loss, pixel, sgd, augment, percentile, blend, reduce, conform (default: all; conform, the building blocks, on GPUs)
    #[arg(long, value_delimiter = ',', value_name = "OP,..")]
    pub ops: Option<Vec<String>>,
    /// Write every comparison as JSON (without FILE or with -: to the standard output, instead of the table)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<PathBuf>,
}

/// Run the tables, print or write what they found. Errors: a check that failed, named; a fault that ended the run.
pub fn selftest(args: &Selftest, common: &Common) -> Result<()> {
    selftest::check(args.ops.as_deref().unwrap_or_default())?;
    let device = prepared(common, args.json.as_deref())?;
    let ops = args.ops.clone().unwrap_or_else(|| selftest::names_for(&device).into_iter().map(String::from).collect());
    let shown = Shown::new(common.quiet);
    shown.begin("selftest", ops.len() as u64);
    let report = selftest::run(&device, &ops, |op| {
        shown.advance(1);
        shown.remark(op);
        watch::check()
    })?;
    shown.end("");
    answer(&report, args.json.as_deref(), || report.table())?;
    match (&report.fault, report.first_failure()) {
        (Some(fault), _) => Err(fail!("selftest: the device failed and was asked no more: {fault}")),
        (None, Some(failure)) => {
            Err(fail!("selftest: {} of {} checks failed, first {failure}", report.checks - report.passed, report.checks))
        }
        (None, None) => Ok(()),
    }
}
