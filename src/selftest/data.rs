//! The numbers of the cases, and the way in and out of a device's memory.

use crate::base::{Result, fail};
use crate::device::Device;
use crate::ops::norm::Affine;
use crate::selftest::naive::{time_inward, time_outward};
use crate::tensor::{Array, Data, Tensor, planes};

/// The unit roundoff of float32.
pub const U: f64 = 1.0 / 16_777_216.0;

/// What a chain of `terms` roundings may lose, in units of the sum of the terms' sizes: random roundings add up
/// like a walk, √terms (Higham & Mary 2019); four deviations are never seen, an error in the data always is.
pub fn walk(terms: usize) -> f64 {
    4.0 * U * (1.0 + (terms as f64).sqrt())
}

/// `n` values in [0, 1) on the 2^-24 grid, which depend on the name and the seed alone (splitmix64 from FNV-1a of the name).
pub fn unit(name: &str, n: usize, seed: u64) -> Vec<f64> {
    words(name, n, seed).iter().map(|word| (word >> 40) as f64 / 16_777_216.0).collect()
}

/// The 64-bit words behind [`unit()`].
pub fn words(name: &str, n: usize, seed: u64) -> Vec<u64> {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let base: u64 = hash ^ seed.wrapping_mul(GOLDEN);
    (1..=n as u64)
        .map(|i| {
            let mut z = base.wrapping_add(i.wrapping_mul(GOLDEN));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        })
        .collect()
}

/// `n` values in [low, high): computed in f64, rounded to f32.
pub fn uniform(name: &str, n: usize, low: f64, high: f64, seed: u64) -> Vec<f32> {
    unit(name, n, seed).iter().map(|u| (low + (high - low) * u) as f32).collect()
}

/// The values of [`uniform`] as f64, for an oracle.
pub fn uniform64(name: &str, n: usize, low: f64, high: f64, seed: u64) -> Vec<f64> {
    uniform(name, n, low, high, seed).into_iter().map(f64::from).collect()
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

/// The product of the extents.
pub fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// [N, H, W, F, C] as [F·N, H, W, C].
pub fn outward(a: &[f64], [n, h, w, frames, c]: [usize; 5]) -> Vec<f64> {
    time_outward(a, [n * h * w, frames, c])
}

/// [F·N, H, W, C] as [N, H, W, F, C].
pub fn inward(a: &[f64], [n, h, w, frames, c]: [usize; 5]) -> Vec<f64> {
    time_inward(a, [n * h * w, frames, c])
}

/// [rows, F, C] at `steps` frames: F = 1 is repeated, other frames stay as they are.
pub fn repeat(x: &[f64], frames: usize, steps: usize, c: usize) -> Vec<f64> {
    if frames == steps { x.to_vec() } else { x.chunks(c).flat_map(|row| row.repeat(steps)).collect() }
}

/// Sums over T: [rows, T, C] to [rows, 1, C].
pub fn summed(dx: &[f64], steps: usize, c: usize) -> Vec<f64> {
    dx.chunks(steps * c).flat_map(|row| (0..c).map(|k| row.iter().skip(k).step_by(c).sum()).collect::<Vec<f64>>()).collect()
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

/// Numbers on the device, rounded to f32. Panics (a bug) when their number is not the shape's.
#[track_caller]
pub fn tensor<const R: usize>(device: &Device, shape: [usize; R], values: &[f64]) -> Tensor {
    let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    Tensor::from_slice(device, shape, &values)
}

/// Labels on the device.
pub fn labels(device: &Device, labels: &[usize]) -> Array<i32> {
    Array::from_slice(device, [labels.len()], &labels.iter().map(|&y| y as i32).collect::<Vec<_>>())
}

/// The elements as f64, for an oracle.
pub fn wide(tensor: &Tensor) -> Vec<f64> {
    tensor.to_vec().into_iter().map(f64::from).collect()
}

/// The form in which an activation travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Any numbers.
    Real,
    /// The values are 0 or 1.
    Spikes,
    /// The values are 0, ¼, ½, ¾ or 1.
    Quarters,
}

impl Form {
    /// Every form.
    pub const ALL: [Form; 3] = [Form::Real, Form::Spikes, Form::Quarters];

    /// Numbers in -1..1 as this form can hold them.
    pub fn values(self, uniform: &[f64]) -> Vec<f64> {
        let round = |v: f64| match self {
            Form::Real => v,
            Form::Spikes => f64::from(u8::from(v > 0.2)),
            Form::Quarters => ((v + 1.0) * 2.4).floor() / 4.0,
        };
        uniform.iter().map(|&v| round(v)).collect()
    }
}

/// The activation [N, H, W, F, C] in `form`; step t is bit (nibble) t % 8 of plane t / 8.
pub fn data(device: &Device, form: Form, shape: [usize; 5], values: &[f64]) -> Data {
    let [n, h, w, steps, c] = shape;
    let codes = |unit: f64, width: usize| {
        let mut codes = vec![0u32; n * h * w * planes(steps) * c];
        for (i, v) in values.iter().enumerate() {
            let (channel, t, pixel) = (i % c, i / c % steps, i / (c * steps));
            codes[(pixel * planes(steps) + t / 8) * c + channel] |= ((v / unit) as u32) << (t % 8 * width);
        }
        codes
    };
    let coded = [n, h, w, planes(steps), c];
    match form {
        Form::Real => Data::Real(tensor(device, shape, values)),
        Form::Spikes => {
            let bytes: Vec<u8> = codes(1.0, 1).into_iter().map(|code| code as u8).collect();
            Data::Spikes { codes: Array::from_slice(device, coded, &bytes), steps }
        }
        Form::Quarters => Data::Quarters { codes: Array::from_slice(device, coded, &codes(0.25, 4)), steps },
    }
}

/// The numbers of an activation, decoded here and not by the op that reads them.
pub fn decoded(x: &Data) -> Vec<f64> {
    let shape = x.shape();
    let (steps, c) = (shape[3], shape[4]);
    let at = |i: usize| ((i / (c * steps) * planes(steps) + i / c % steps / 8) * c + i % c, i / c % steps % 8);
    match x {
        Data::Real(x) => wide(x),
        Data::Spikes { codes, .. } => {
            let codes = codes.to_vec();
            (0..shape.count()).map(at).map(|(i, t)| f64::from(codes[i] >> t & 1)).collect()
        }
        Data::Quarters { codes, .. } => {
            let codes = codes.to_vec();
            (0..shape.count()).map(at).map(|(i, t)| f64::from(codes[i] >> (4 * t) & 15) / 4.0).collect()
        }
    }
}

/// Leaves freed memory of every size up to a quarter of a megabyte full of NaN, so that an op that reads what it
/// has not written, or leaves out what it should write, is found. The emulator does so by itself whenever memory is used again.
pub fn poison(device: &Device) {
    // The unit of the device's memory, in numbers.
    let line = match device {
        Device::Cpu(_) => 16,
        Device::Gpu(gpu) if gpu.describe().starts_with("cuda") => 64,
        Device::Gpu(_) => return,
    };
    let mut held = Vec::new();
    let mut lines: usize = 1;
    while lines <= 4096 {
        for _ in 0..3 {
            held.push(Array::full(device, [lines * line], u32::MAX));
        }
        lines += ((lines + 1).next_power_of_two() / 8).max(1);
    }
}

/// What `op` computes, after it computed the same bits once more in memory full of NaN.
///
/// Errors: the op's, or other bits the second time.
pub fn twice(device: &Device, op: impl Fn() -> Result<Vec<Tensor>>) -> Result<Vec<Vec<f32>>> {
    let read = || op().map(|found| found.iter().map(Tensor::to_vec).collect::<Vec<_>>());
    let first = read()?;
    poison(device);
    for (which, (one, other)) in first.iter().zip(&read()?).enumerate() {
        if let Some(at) = other_bits(other, one) {
            let (got, want) = (other[at], one[at]);
            return Err(fail!("computed again in used memory, result {which} has other bits: [{at}] was {want:e}, then {got:e}"));
        }
    }
    Ok(first)
}

/// The first index at which the bits differ; NaN has bits too.
pub fn other_bits(got: &[f32], want: &[f32]) -> Option<usize> {
    if got.len() != want.len() {
        return Some(got.len().min(want.len()));
    }
    (0..got.len()).find(|&i| got[i].to_bits() != want[i].to_bits())
}
