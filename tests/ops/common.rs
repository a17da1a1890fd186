//! What the op tests share.

pub use crate::support::close::{assert_close, bound};
pub use crate::support::devices::{self, Form, data, decoded, same_bits, tensor, twice, wide};
pub use crate::support::naive;
use crate::support::named::uniform64;
pub use caltrop::device::Device;
pub use caltrop::ops::norm::Affine;
pub use caltrop::tensor::{Data, Tensor};

/// The unit roundoff of float32.
pub const U: f64 = 1.0 / 16_777_216.0;

/// What a chain of `terms` roundings may lose, in units of the sum of the terms' sizes: random roundings add up
/// like a walk, √terms (Higham & Mary 2019); four deviations are never seen, an error in the data always is.
pub fn walk(terms: usize) -> f64 {
    4.0 * U * (1.0 + (terms as f64).sqrt())
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

/// `n` values in [-1, 1), exact in f32.
pub fn random(name: &str, n: usize) -> Vec<f64> {
    uniform64(name, n, -1.0, 1.0, 5)
}

/// `n` values in [low, high), exact in f32.
pub fn between(name: &str, n: usize, low: f64, high: f64) -> Vec<f64> {
    uniform64(name, n, low, high, 5)
}

/// |v|.
pub fn sizes(values: &[f64]) -> Vec<f64> {
    values.iter().map(|v| v.abs()).collect()
}

/// Runs `test` for every case of `table` on every device.
pub fn everywhere<C>(table: &[C], test: impl Fn(&Device, &C)) {
    assert!(!table.is_empty());
    for device in devices::all() {
        table.iter().for_each(|case| test(&device, case));
    }
}

/// A fixed affine map of `c` channels: (scale, shift) for the oracle, and on the device.
pub fn affine(device: &Device, c: usize) -> (Vec<f64>, Vec<f64>, Affine) {
    let (scale, shift) = (between("scale", c, 0.5, 1.5), between("shift", c, -0.3, 0.5));
    let on = Affine { scale: tensor(device, [c], &scale), shift: tensor(device, [c], &shift) };
    (scale, shift, on)
}

/// scale·y + shift, channels last.
pub fn mapped(y: &[f64], scale: &[f64], shift: &[f64]) -> Vec<f64> {
    y.iter().enumerate().map(|(i, y)| y * scale[i % scale.len()] + shift[i % scale.len()]).collect()
}
