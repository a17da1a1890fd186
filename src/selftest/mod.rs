//! Floor 8: does a device compute right? The case tables of every op against naive f64 oracles, and every wrapper of
//! `kernels/gpu.cuh` with random registers. The tests run the same tables; a user runs them on a GPU of their own.

mod cases;
mod conform;
pub mod data;
pub mod naive;
mod report;
mod sheet;

pub use cases::loss::{Numbers as Logits, PARTS as LOSSES, numbers as logits};
pub use report::Report;
pub use sheet::Row;

use crate::base::{Result, suggest, usage};
use crate::device::{Device, Precision};
use sheet::Sheet;

/// The name under which the wrappers are checked, beside the ops.
pub const CONFORM: &str = "conform";

/// Every table's name, in the order in which they run.
pub fn names() -> impl Iterator<Item = &'static str> {
    cases::TABLES.iter().map(|(op, _)| *op)
}

/// The names of the tables that have something to check on `device`: all, or all but [`CONFORM`] where no kernels run.
pub fn names_for(device: &Device) -> Vec<&'static str> {
    names().filter(|&op| op != CONFORM || matches!(device, Device::Gpu(_))).collect()
}

/// Whether all of `ops` are known. Errors (usage): the first that is not.
pub fn check(ops: &[impl AsRef<str>]) -> Result<()> {
    match ops.iter().map(AsRef::as_ref).find(|&op| names().all(|known| known != op)) {
        Some(op) => Err(usage!("--ops {op}: no such op{}", suggest(op, names()))),
        None => Ok(()),
    }
}

/// Run the tables called `ops` on `device`, whatever its precision (both are checked); `began` hears each name before it
/// runs.
///
/// Errors: those of `began`; (usage) an unknown name, or one that has nothing to check on this device. What goes wrong on the device is in
/// the report.
pub fn run(device: &Device, ops: &[impl AsRef<str>], began: impl Fn(&str) -> Result<()>) -> Result<Report> {
    check(ops)?;
    let device = &device.with_precision(Precision::F32);
    if matches!(device, Device::Cpu(_)) && ops.iter().any(|op| op.as_ref() == CONFORM) {
        return Err(usage!("--ops {CONFORM}: a CPU runs no kernels; use --device cuda or emulated"));
    }
    let mut sheet = Sheet::new(device);
    for (op, rows) in cases::TABLES.into_iter().filter(|(op, _)| ops.iter().any(|wanted| wanted.as_ref() == *op)) {
        if sheet.fault().is_none() {
            began(op)?;
            sheet.begin(op);
            rows(&mut sheet);
        }
    }
    let (rows, fault) = sheet.finish();
    Ok(Report {
        device: device.describe(),
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("CALTROP_COMMIT"),
        passed: rows.iter().filter(|row| row.passed).count(),
        checks: rows.len(),
        fault,
        rows,
    })
}
