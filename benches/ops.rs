//! The ops at the layers of the demo's network and of VGG-11, by criterion: the table of `caltrop bench kernels`.
//!
//! `cargo bench --bench ops` measures all; a filter such as `conv/forward` or `vgg11-conv5` measures some. Caches are warm.
//! Throughput is multiply-accumulates a second of the products, bytes a second of everything else.

use caltrop::bench::{Case, ENTRIES, LAYERS, Layer};
use caltrop::device::Device;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;

/// Share of the spikes that are there.
const DENSITY: f64 = 0.1;

/// The layers of VGG-11 that stand for the rest of it.
const MIDDLE: [&str; 3] = ["conv3", "conv4", "conv5"];

fn taken(layer: &&Layer) -> bool {
    layer.network == "demo" || MIDDLE.contains(&layer.name)
}

fn ops(criterion: &mut Criterion) {
    let device = Device::cpu(None).expect("threads");
    for entry in ENTRIES {
        let mut group = criterion.benchmark_group(format!("{}/{}", entry.op, entry.part));
        group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        for layer in LAYERS.iter().filter(taken) {
            let batch = if layer.network == "demo" { 16 } else { 4 };
            for steps in [0, 8] {
                let case = Case { layer, steps, batch, density: DENSITY };
                let Some(mut work) = entry.prepare(&device, &case).expect("a fitting shape") else { continue };
                group.throughput(if work.macs > 0 { Throughput::Elements(work.macs) } else { Throughput::Bytes(work.bytes) });
                let name = format!("{}-{}-T{steps}", layer.network, layer.name);
                group.bench_function(name, |bench| bench.iter(|| (work.run)().expect("a fitting shape")));
            }
        }
        group.finish();
    }
}

criterion_group!(benches, ops);
criterion_main!(benches);
