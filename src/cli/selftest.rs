//! `caltrop selftest`.

use super::args::{Common, Selftest};
use super::bench::{answer, prepared};
use super::progress::Shown;
use crate::base::{Result, fail};
use crate::drive::{Watch, watch};
use crate::selftest;

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
