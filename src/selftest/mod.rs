//! Floor 8: does a device compute right? The case tables of every op against naive f64 oracles, and every wrapper of
//! `kernels/gpu.cuh` with random registers. The tests run the same tables; a user runs them on a GPU of their own.

mod cases;
pub mod data;
pub mod naive;
mod sheet;

pub use cases::loss::{Numbers as Logits, PARTS as LOSSES, numbers as logits};
pub use sheet::Row;

use crate::base::{Result, suggest, usage};
use crate::device::{Device, Precision};
use serde::Serialize;
use sheet::Sheet;

/// The name under which the wrappers are checked, beside the ops.
pub const CONFORM: &str = "conform";

/// Every table's name, in the order in which they run.
pub fn names() -> Vec<&'static str> {
    cases::TABLES.iter().map(|(op, _)| *op).collect()
}

/// What a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The device, in words (a GPU's with its driver).
    pub device: String,
    /// The program's version.
    pub version: &'static str,
    /// The commit that it was built from.
    pub commit: &'static str,
    /// Checks that passed.
    pub passed: usize,
    /// Checks in all.
    pub checks: usize,
    /// Why the run ended early, if it did.
    pub fault: Option<String>,
    /// Every comparison.
    pub rows: Vec<Row>,
}

impl Report {
    /// What failed first, if anything did.
    pub fn first_failure(&self) -> Option<String> {
        let row = self.rows.iter().find(|row| !row.passed)?;
        Some(format!("{} {}, {}: {}: {}", row.op, row.check, row.case, row.what, row.failure.as_deref().unwrap_or("failed")))
    }
}

/// Run the tables called `ops` on `device`, whatever its precision (both are checked); `began` hears each name before it runs.
///
/// Errors (usage): an unknown name, or one that has nothing to check on this device. What goes wrong on the device is in
/// the report.
pub fn run(device: &Device, ops: &[&str], began: impl Fn(&str)) -> Result<Report> {
    let tables: Vec<&cases::Table> = ops.iter().map(|op| table(op, device)).collect::<Result<_>>()?;
    let device = &device.with_precision(Precision::F32);
    let mut sheet = Sheet::new(device);
    for (op, rows) in tables {
        if sheet.fault().is_none() {
            began(op);
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

fn table(op: &str, device: &Device) -> Result<&'static cases::Table> {
    let found = cases::TABLES.iter().find(|(name, _)| *name == op);
    let table = found.ok_or_else(|| usage!("--ops {op}: no such op{}", suggest(op, names())))?;
    match device {
        Device::Cpu(_) if op == CONFORM => Err(usage!("--ops {op}: a CPU runs no kernels; use --device cuda or emulated")),
        _ => Ok(table),
    }
}
