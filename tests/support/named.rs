//! Deterministic tensors generated from their names (`tests/parity/README.md`).

/// `n` values in [0, 1) on the 2^-24 grid.
pub fn unit(name: &str, n: usize, seed: u64) -> Vec<f64> {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let base = fnv1a64(name) ^ seed.wrapping_mul(GOLDEN);
    (1..=n as u64)
        .map(|i| {
            let mut z = base.wrapping_add(i.wrapping_mul(GOLDEN));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            (z >> 40) as f64 / 16_777_216.0
        })
        .collect()
}

/// `n` values in [lo, hi): computed in f64, rounded to f32.
pub fn uniform(name: &str, n: usize, lo: f64, hi: f64, seed: u64) -> Vec<f32> {
    unit(name, n, seed).iter().map(|u| (lo + (hi - lo) * u) as f32).collect()
}

/// The values of [`uniform`] as f64, for an oracle.
pub fn uniform64(name: &str, n: usize, lo: f64, hi: f64, seed: u64) -> Vec<f64> {
    uniform(name, n, lo, hi, seed).iter().map(|&x| f64::from(x)).collect()
}

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

fn fnv1a64(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
