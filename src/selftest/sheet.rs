//! Where a run of the tables is written down: a row for every comparison.

use crate::base::Result;
use crate::device::{Device, catch};
use serde::Serialize;

/// One comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The op.
    pub op: &'static str,
    /// What of it is checked.
    pub check: &'static str,
    /// The case: shape and settings.
    pub case: String,
    /// Which of its results.
    pub what: String,
    /// |got − want| where it is largest against its bound (NaN: null in JSON).
    pub error: f64,
    /// The bound there; 0: equal.
    pub bound: f64,
    /// Whether every element is within its bound.
    pub passed: bool,
    /// What failed, and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Row {
    /// The error in units of the bound; a NaN is infinitely far.
    pub fn share(&self) -> f64 {
        share(self.error, self.bound)
    }
}

fn share(error: f64, bound: f64) -> f64 {
    match error {
        0.0 => 0.0,
        e if e.is_nan() => f64::INFINITY,
        e => e / bound,
    }
}

/// The rows of a run on a device.
pub struct Sheet<'a> {
    device: &'a Device,
    op: &'static str,
    check: &'static str,
    case: String,
    rows: Vec<Row>,
    /// Why the device can go no further.
    fault: Option<String>,
}

impl<'a> Sheet<'a> {
    /// An empty one.
    pub fn new(device: &'a Device) -> Sheet<'a> {
        Sheet { device, op: "", check: "", case: String::new(), rows: Vec::new(), fault: None }
    }

    /// The device under test.
    pub fn device(&self) -> &'a Device {
        self.device
    }

    /// From now on rows are of `op`.
    pub fn begin(&mut self, op: &'static str) {
        self.op = op;
    }

    /// The rows, and why they end early if they do.
    pub fn finish(self) -> (Vec<Row>, Option<String>) {
        (self.rows, self.fault)
    }

    /// Why nothing more can be run, if so.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Run `test` for every case of a table. An error, of the op or of the device, is a failed row; a device that does
    /// not work after it is asked no more.
    pub fn each<C>(
        &mut self,
        check: &'static str,
        cases: &[C],
        name: impl Fn(&C) -> String,
        mut test: impl FnMut(&mut Self, &C) -> Result<()>,
    ) {
        for case in cases {
            if self.fault.is_some() {
                return;
            }
            (self.check, self.case) = (check, name(case));
            if let Err(error) = catch(|| test(self, case)) {
                self.push("it runs", f64::NAN, 0.0, Some(error.to_string()));
                if let Device::Gpu(gpu) = self.device {
                    self.fault = gpu.launcher().wait().err().map(|fault| format!("{} {check}, {}: {fault}", self.op, self.case));
                }
            }
        }
    }

    /// Every element within its own bound; NaN fails.
    pub fn within(&mut self, what: impl Into<String>, got: &[f32], want: &[f64], bound: impl Fn(usize) -> f64) {
        let got: Vec<f64> = got.iter().map(|&v| f64::from(v)).collect();
        self.compare(what.into(), &got, want, bound);
    }

    /// As [`Sheet::within`], of f64.
    pub fn within_wide(&mut self, what: impl Into<String>, got: &[f64], want: &[f64], bound: impl Fn(usize) -> f64) {
        self.compare(what.into(), got, want, bound);
    }

    /// |got − want| ≤ absolute + relative·|want|; where `want` is 0 everywhere, `got` must be exactly that.
    pub fn close(&mut self, what: impl Into<String>, got: &[f32], want: &[f64], (absolute, relative): (f64, f64)) {
        let nothing = want.iter().all(|&w| w == 0.0);
        self.within(what, got, want, |i| if nothing { 0.0 } else { absolute + relative * want[i].abs() });
    }

    /// Equal numbers (0 and -0 are).
    pub fn equal<V: Copy + Into<f64>>(&mut self, what: impl Into<String>, got: &[V], want: &[V]) {
        let wide = |values: &[V]| values.iter().map(|&v| v.into()).collect::<Vec<f64>>();
        self.compare(what.into(), &wide(got), &wide(want), |_| 0.0);
    }

    /// Equal bits, NaN included.
    pub fn same_bits(&mut self, what: impl Into<String>, got: &[f32], want: &[f32]) {
        let failure = super::data::other_bits(got, want).map(|at| match (got.get(at), want.get(at)) {
            (Some(one), Some(other)) => format!("[{at}] of {} differs: got {one:e}, want {other:e}, to the bit", want.len()),
            _ => format!("got {} elements, want {}", got.len(), want.len()),
        });
        let error = got.iter().zip(want).map(|(&g, &w)| if g.to_bits() == w.to_bits() { 0.0 } else { f64::from(g) - f64::from(w) });
        // Of two NaN with other bits, or of 0 and -0, the difference says nothing.
        let largest = error.map(f64::abs).fold(0.0, |most, e| if e > most || e.is_nan() { e } else { most });
        self.push(what, largest, 0.0, failure);
    }

    fn compare(&mut self, what: String, got: &[f64], want: &[f64], bound: impl Fn(usize) -> f64) {
        if got.len() != want.len() {
            return self.push(what, f64::NAN, 0.0, Some(format!("got {} elements, want {}", got.len(), want.len())));
        }
        let (mut worst, mut wrong, mut first) = ((0.0, 0.0, -1.0), 0, None); // error, bound, share
        for i in 0..got.len() {
            let (error, bound) = ((got[i] - want[i]).abs(), bound(i));
            let close = error <= bound; // no NaN is
            if !close {
                wrong += 1;
                first.get_or_insert(i);
            }
            let share = share(error, bound);
            if share > worst.2 {
                worst = (error, bound, share);
            }
        }
        let failure = first.map(|i: usize| {
            let (count, got, want, bound) = (got.len(), got[i], want[i], bound(i));
            format!("{wrong} of {count} elements differ; first at [{i}]: got {got:e}, want {want:e}, bound {bound:e}")
        });
        self.push(what, worst.0, worst.1, failure);
    }

    fn push(&mut self, what: impl Into<String>, error: f64, bound: f64, failure: Option<String>) {
        let row = Row {
            op: self.op,
            check: self.check,
            case: self.case.clone(),
            what: what.into(),
            error,
            bound,
            passed: failure.is_none(),
            failure,
        };
        self.rows.push(row);
    }
}
