//! The ops at the shapes of the demo's network and of VGG-11's middle, in multiply-accumulates (or neuron steps) a second.
//!
//! `cargo bench --bench ops` measures all; a filter such as `conv/forward` measures some. Data is random, buffers are
//! warm: these are the figures of a run's inner loops. Keep results with device and commit in `bench/record/`.

use caltrop::autodiff::{Credit, Surrogate, SurrogateKind};
use caltrop::base::Shape;
use caltrop::base::rng::{Philox, Purpose};
use caltrop::device::Device;
use caltrop::ops::conv::{self, Geometry};
use caltrop::ops::lif::{self, Down, Dynamics, Reset, Spread, Upstream};
use caltrop::ops::pool;
use caltrop::ops::product::Weight;
use caltrop::tensor::{Data, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// Uniform in ±1.
fn random(device: &Device, shape: impl Into<Shape>, stream: u64) -> Tensor {
    let shape = shape.into();
    let draws = Philox::stream(0, Purpose::Test, &[stream]);
    let values: Vec<f32> = (0..shape.count() as u64).map(|i| 2.0 * draws.uniform(i) - 1.0).collect();
    Tensor::from_slice(device, shape, &values)
}

/// What a convolution reads.
#[derive(Clone, Copy, PartialEq)]
enum Reads {
    Numbers,
    Spikes,
    PooledSpikes,
}

struct Case {
    name: &'static str,
    reads: Reads,
    images: usize,
    side: usize,
    frames: usize,
    inputs: usize,
    outputs: usize,
    kernel: usize,
}

const CASES: &[Case] = &[
    Case { name: "demo-conv2-ann", reads: Reads::Numbers, images: 64, side: 14, frames: 1, inputs: 16, outputs: 32, kernel: 3 },
    Case { name: "demo-conv2-T8", reads: Reads::PooledSpikes, images: 16, side: 14, frames: 8, inputs: 16, outputs: 32, kernel: 3 },
    Case { name: "demo-conv3-T8", reads: Reads::PooledSpikes, images: 16, side: 7, frames: 8, inputs: 32, outputs: 64, kernel: 3 },
    Case { name: "demo-fc1-T8", reads: Reads::Spikes, images: 16, side: 1, frames: 8, inputs: 3136, outputs: 256, kernel: 1 },
    Case { name: "vgg11-conv5-T8", reads: Reads::Spikes, images: 4, side: 8, frames: 8, inputs: 512, outputs: 512, kernel: 3 },
];

/// Spikes of random currents, about a fifth of them on.
fn spikes(device: &Device, shape: [usize; 5]) -> Data {
    let dynamics = Dynamics { steps: shape[3], leak: 1.0, reset: Reset::Hard };
    lif::forward(&random(device, shape, 1), None, &Tensor::full(device, [], 0.8), dynamics).expect("a fitting shape")
}

fn convolutions(criterion: &mut Criterion) {
    let device = Device::cpu(None).expect("threads");
    for case in CASES {
        let side = case.side;
        let x = match case.reads {
            Reads::Numbers => Data::Real(random(&device, [case.images, side, side, case.frames, case.inputs], 2)),
            Reads::Spikes => spikes(&device, [case.images, side, side, case.frames, case.inputs]),
            Reads::PooledSpikes => {
                pool::average(&spikes(&device, [case.images, 2 * side, 2 * side, case.frames, case.inputs])).expect("a square")
            }
        };
        let pad = case.kernel / 2;
        let weight = Weight::new(random(&device, [case.outputs, case.kernel, case.kernel, case.inputs], 3));
        let geometry = Geometry::new(x.shape(), weight.value().shape(), 1, pad).expect("a fitting shape");
        let dy = random(&device, geometry.output_shape(), 4);
        let mut group = criterion.benchmark_group(format!("conv/{}", case.name));
        group.throughput(Throughput::Elements(geometry.macs()));
        group.bench_function("forward", |b| b.iter(|| black_box(conv::forward(&x, &weight, None, 1, pad))));
        group.bench_function("backward-input", |b| b.iter(|| black_box(conv::backward_input(&dy, &weight, x.shape(), 1, pad))));
        group.bench_function("backward-weight", |b| b.iter(|| black_box(conv::backward_weight(&x, &dy, weight.value().shape(), 1, pad))));
        group.finish();
    }
}

fn neurons(criterion: &mut Criterion) {
    let device = Device::cpu(None).expect("threads");
    let dynamics = Dynamics { steps: 8, leak: 1.0, reset: Reset::Hard };
    let (y, v_th) = (random(&device, [16, 28, 28, 8, 16], 5), Tensor::full(&device, [], 0.8));
    let gradient = random(&device, [16, 14, 14, 8, 16], 6);
    let mut group = criterion.benchmark_group("lif/demo-conv1-T8");
    group.throughput(Throughput::Elements(y.shape().count() as u64));
    group.bench_function("forward", |b| b.iter(|| black_box(lif::forward(&y, None, &v_th, dynamics))));
    for kind in [SurrogateKind::Pcw, SurrogateKind::Exp] {
        let credit = Credit::Bptt(Surrogate { kind, gamma: 1.0 });
        let upstream = Upstream { gradient: &gradient, spread: Spread::Quarters };
        let name = format!("backward-{}", kind.name());
        group.bench_function(name, |b| b.iter(|| black_box(lif::backward(&y, None, &v_th, dynamics, upstream, credit, Down::Current))));
    }
    group.finish();
}

criterion_group!(benches, convolutions, neurons);
criterion_main!(benches);
