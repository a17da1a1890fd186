//! Who is told what a long job is doing, and may stop it.

use super::{Error, Kind, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// The listener of a long job. The command line shows bars; tests stay silent.
pub trait Watch: Sync {
    /// Work of `total` units called `what` begins.
    fn begin(&self, what: &str, total: u64);
    /// So many units are done since the last call.
    fn advance(&self, units: u64);
    /// Of the next `units` a share (0 to 1) is done; [`Watch::advance`] will tell when all are.
    fn within(&self, share: f64, units: u64);
    /// A short remark beside the bar.
    fn remark(&self, text: &str);
    /// The work is over; `line` says how it went (empty: nothing to say).
    fn end(&self, line: &str);
}

/// Nobody listens.
pub struct Silent;

impl Watch for Silent {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn within(&self, _: f64, _: u64) {}
    fn remark(&self, _: &str) {}
    fn end(&self, _: &str) {}
}

static STOP: AtomicBool = AtomicBool::new(false);

/// Ask the running job to stop at the next safe point (the first Ctrl-C).
pub fn request_stop() {
    STOP.store(true, Ordering::Relaxed);
}

/// Errors (interrupted) once a stop was asked for.
pub fn check() -> Result<()> {
    if STOP.load(Ordering::Relaxed) { Err(Error::new(Kind::Interrupted, "interrupted")) } else { Ok(()) }
}
