//! Deterministic tensors generated from their names (`tests/parity/README.md`).

pub use caltrop::selftest::data::{uniform, uniform64, unit};

/// The parameter or buffer `name` of a state dict, of PyTorch's `shape`, row-major in PyTorch's layout.
/// A 4-d `weight` is a convolution's [C_out, C_in, kh, kw], a 2-d one a linear's [out, in], a 1-d one a norm's.
#[track_caller]
pub fn parameter(name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    let (lo, hi) = match (leaf, shape) {
        ("weight", [c_out, _, kh, kw]) => symmetric((6.0 / (c_out * kh * kw) as f64).sqrt()),
        ("weight", [_, fan_in]) => symmetric(1.0 / (*fan_in as f64).sqrt()),
        ("weight" | "running_var", [_]) => (0.5, 1.5),
        ("bias", [_]) => (-0.2, 0.2),
        ("running_mean", [_]) => (-0.1, 0.1),
        ("v_th", _) => (0.3, 0.8),
        ("comb", _) => (0.3, 0.7),
        _ => panic!("named::parameter: no range for {name} of shape {shape:?}"),
    };
    uniform(name, shape.iter().product(), lo, hi, seed)
}

/// `n` labels in 0..10: floor(10·u).
pub fn labels(name: &str, n: usize, seed: u64) -> Vec<usize> {
    unit(name, n, seed).iter().map(|u| (10.0 * u) as usize).collect()
}

fn symmetric(r: f64) -> (f64, f64) {
    (-r, r)
}
