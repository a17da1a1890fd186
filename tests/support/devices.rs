//! The devices under test, and the way in and out of their memory. Every case table runs on all of them.

use caltrop::device::{Device, Flavour, Gpu, Isa, Order};
use caltrop::tensor::{Array, Data, Tensor, planes};
use std::sync::OnceLock;

/// Every device: the CPU's, the emulated GPUs, and a real one where there is one.
pub fn all() -> Vec<Device> {
    cpus().into_iter().chain(gpus()).collect()
}

/// All that run kernels.
pub fn gpus() -> Vec<Device> {
    emulated().into_iter().chain(cuda()).collect()
}

/// The first CUDA device, if it can be used (tests/cuda.rs says whether it should).
pub fn cuda() -> Option<Device> {
    static CUDA: OnceLock<Option<Device>> = OnceLock::new();
    CUDA.get_or_init(|| Gpu::cuda(0).ok().map(Device::Gpu)).clone()
}

/// The emulator with its threads in three orders, and once with every access checked. Empty where the build carries
/// none (tests/emulated.rs says whether it should).
pub fn emulated() -> Vec<Device> {
    let settings = [
        (2, Order::Forward, Flavour::Fast),
        (1, Order::Reverse, Flavour::Fast),
        (2, Order::Random(7), Flavour::Fast),
        (2, Order::Forward, Flavour::Checked),
    ];
    settings
        .into_iter()
        .filter_map(|(threads, order, flavour)| Some(Device::Gpu(Gpu::emulated(Some(threads), order, flavour).ok()?)))
        .collect()
}

/// One thread and two with the best instructions of this machine, then two with each narrower set.
pub fn cpus() -> Vec<Device> {
    let best = Isa::detect();
    let narrower = Isa::ALL.into_iter().skip_while(|&isa| isa != best).skip(1).filter(|isa| isa.runs_here());
    let settings = [(1, best), (2, best)].into_iter().chain(narrower.map(|isa| (2, isa)));
    settings.map(|(threads, isa)| Device::cpu_with(Some(threads), isa).expect("a device that was found")).collect()
}

/// The first device of [`all`].
pub fn first() -> Device {
    Device::cpu(Some(1)).expect("one thread")
}

/// Numbers on the device, rounded to f32.
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
    Real,
    /// The values are 0 or 1.
    Spikes,
    /// The values are 0, ¼, ½, ¾ or 1.
    Quarters,
}

impl Form {
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

/// The numbers of an activation, decoded here and not by the program.
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
/// has not written, or leaves out what it should write, is found.
///
/// The emulator does so by itself whenever memory is used again.
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
#[track_caller]
pub fn twice(device: &Device, what: &str, op: impl Fn() -> Vec<Tensor>) -> Vec<Vec<f32>> {
    let read = || op().iter().map(Tensor::to_vec).collect::<Vec<_>>();
    let first = read();
    poison(device);
    let again = read();
    for (one, other) in first.iter().zip(&again) {
        same_bits(&format!("{what}: again in used memory"), other, one);
    }
    first
}

/// Panics unless the bits agree, NaN included.
#[track_caller]
pub fn same_bits(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    if let Some(at) = (0..got.len()).find(|&i| got[i].to_bits() != want[i].to_bits()) {
        panic!("{what}: [{at}] of {}: got {:e}, want {:e}, to the bit", got.len(), got[at], want[at]);
    }
}
