//! The devices under test, and the way in and out of their memory. Every case table runs on all of them.

use caltrop::device::{Device, Flavour, Gpu, Isa, Order};
pub use caltrop::selftest::data::{Form, data, decoded, labels, poison, tensor, wide};
use caltrop::tensor::Tensor;
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
/// none (tests/emulator.rs says whether it should).
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

/// What `op` computes, after it computed the same bits once more in memory full of NaN.
#[track_caller]
pub fn twice(device: &Device, what: &str, op: impl Fn() -> Vec<Tensor>) -> Vec<Vec<f32>> {
    caltrop::selftest::data::twice(device, || Ok(op())).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Panics unless the bits agree, NaN included.
#[track_caller]
pub fn same_bits(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    if let Some(at) = (0..got.len()).find(|&i| got[i].to_bits() != want[i].to_bits()) {
        panic!("{what}: [{at}] of {}: got {:e}, want {:e}, to the bit", got.len(), got[at], want[at]);
    }
}
