//! What the op tests share.

pub use crate::support::close::bound;
pub use crate::support::devices::{self, Form, data, decoded, same_bits, tensor, twice, wide};
pub use crate::support::naive;
pub use caltrop::device::Device;
use caltrop::selftest;
pub use caltrop::selftest::data::{U, affine, between, random, sizes, walk};
pub use caltrop::tensor::{Data, Tensor};

/// Runs the table of `caltrop selftest` called `op` on every device.
#[track_caller]
pub fn table(op: &str) {
    for device in devices::all() {
        let report = selftest::run(&device, &[op], |_| Ok(())).expect("a table of this name");
        assert!(report.checks > 0, "{op}: an empty table");
        if let Some(failure) = report.first_failure() {
            panic!("{} of {} checks on {}: {failure}", report.passed, report.checks, report.device);
        }
    }
}

/// Panics unless every element is within its own bound (NaN fails).
#[track_caller]
pub fn within(what: &str, got: &[f32], want: &[f64], bound: impl Fn(usize) -> f64) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let close = |&i: &usize| (f64::from(got[i]) - want[i]).abs() <= bound(i);
    if let Some(i) = (0..got.len()).find(|i| !close(i)) {
        let wrong = got.len() - (0..got.len()).filter(close).count();
        panic!(
            "{what}: {wrong} of {} elements differ; first at [{i}]: got {:e}, want {:e}, bound {:e}",
            got.len(),
            got[i],
            want[i],
            bound(i)
        );
    }
}

/// Runs `test` for every case of `table` on every device.
pub fn everywhere<C>(table: &[C], test: impl Fn(&Device, &C)) {
    assert!(!table.is_empty());
    for device in devices::all() {
        table.iter().for_each(|case| test(&device, case));
    }
}
