//! The conversion (METHOD §4) against its words: what is copied and what is dropped, thresholds computed naively layer
//! after layer with explicit frames, scaling, and that the order of the batches does not matter.

// The oracles' own style: plain indices.
#![allow(clippy::needless_range_loop)]

mod support;

use caltrop::autodiff::{Fire, Keep, Pass, Statistics};
use caltrop::base::fail;
use caltrop::base::rng::{Philox, Purpose};
use caltrop::convert::{Calibration, calibrate, reestimate, scale, transplant};
use caltrop::device::Device;
use caltrop::nn::{Layer, Model, Norm, Origin, Role, Spec};
use caltrop::ops::lif::Reset;
use caltrop::ops::percentile::Percentile;
use caltrop::tensor::Tensor;
use caltrop::{checkpoint, zoo};
use support::devices::{self, same_bits, tensor, wide};
use support::naive;
use support::named::{uniform, uniform64};
use support::neuron::{self, Neuron};

const INPUT: [usize; 3] = [2, 6, 7];
const STEPS: usize = 10;

fn spec(steps: usize) -> Spec {
    Spec {
        arch: "vgg:5,A,4/6".into(),
        classes: 3,
        input: INPUT,
        mean: vec![0.4, 0.5],
        std: vec![0.25, 0.3],
        bias: steps > 0,
        steps,
        leak: 1.0,
        reset: Reset::Hard,
        dropout: 0.2,
    }
}

/// As [`spec`], of residual blocks.
fn residual(arch: &str) -> Spec {
    Spec { arch: arch.into(), ..spec(8) }
}

/// A network whose norms and running statistics are not the ones that it is born with.
fn network(device: &Device, spec: Spec) -> Model {
    let mut model = zoo::build(device, spec, 3).unwrap();
    for param in model.params_mut() {
        let shape = param.value().shape();
        let (lo, hi) = match param.role {
            Role::NormWeight => (0.5, 1.5),
            Role::NormBias | Role::Bias => (-0.2, 0.3),
            Role::Mix => (0.3, 0.7),
            _ => continue,
        };
        param.weight.set(Tensor::from_slice(device, shape, &uniform(&param.name, shape.count(), lo, hi, 0)));
    }
    let (_, trace) = model.forward(&batch(device, "other", 9), &Pass::train(Fire::Relu, Philox::stream(0, Purpose::Dropout, &[]))).unwrap();
    model.absorb(&trace);
    model
}

fn values(name: &str, n: usize) -> Vec<f64> {
    uniform64(name, n * INPUT.iter().product::<usize>(), 0.0, 1.0, 1)
}

fn batch(device: &Device, name: &str, n: usize) -> Tensor {
    tensor(device, [n, INPUT[1], INPUT[2], INPUT[0]], &values(name, n))
}

fn dict(model: &Model) -> Vec<(String, Vec<f32>)> {
    checkpoint::state_dict(model).into_iter().map(|(name, _, values)| (name, values)).collect()
}

#[test]
fn a_transplant_copies_what_was_learned_and_drops_running_statistics() {
    for arch in ["resnet8", "wrn10_1"] {
        let device = devices::first();
        let spec = |steps: usize| Spec { bias: steps > 0, steps, ..residual(arch) };
        let ann = network(&device, spec(0));
        let snn = transplant(&ann, spec(8)).unwrap();
        let pairs = dict(&snn).into_iter().filter(|(name, _)| name.ends_with(".comb"));
        for (name, values) in pairs {
            let (_, old) = dict(&ann).into_iter().find(|(old, _)| *old == name).unwrap();
            same_bits(&name, &values, &old);
            assert_ne!(values, [0.5, 0.5], "{name}");
        }
    }
    let device = devices::first();
    let ann = network(&device, spec(0));
    let before = dict(&ann);
    let learned = before.iter().find(|(name, _)| name == "features.1.running_mean").unwrap();
    assert!(learned.1.iter().all(|&mean| mean != 0.0), "the test's network has no running statistics");
    let snn = transplant(&ann, spec(8)).unwrap();
    assert_eq!((snn.spec().steps, snn.spec().bias), (8, true));
    for (name, values) in dict(&snn) {
        let leaf = name.rsplit('.').next().unwrap();
        let old = before.iter().find(|(old, _)| *old == name).map(|(_, values)| values);
        match (leaf, old) {
            ("running_mean", _) => assert!(values.iter().all(|&x| x == 0.0), "{name}"),
            ("running_var" | "v_th", _) => assert!(values.iter().all(|&x| x == 1.0), "{name}"),
            (_, Some(old)) => same_bits(&name, &values, old),
            ("bias", None) => assert!(values.iter().all(|&x| x == 0.0), "{name}: a new bias is 0"),
            _ => panic!("{name} came from nowhere"),
        }
    }
    assert!(before == dict(&ann), "the ANN changed");
    assert!(transplant(&ann, spec(0)).err().unwrap().to_string().contains("T = 0"));
    let other = Spec { arch: "vgg:5,A,8/6".into(), ..spec(8) };
    assert!(transplant(&ann, other).err().unwrap().to_string().contains("differs"));
    let deeper = Spec { arch: "vgg:5,A,4/6,6".into(), ..spec(8) };
    assert!(transplant(&ann, deeper).is_err());
}

/// A signal of every batch: frames are images, [N·T, H, W, C], t fastest.
#[derive(Clone)]
struct Signals {
    batches: Vec<Vec<f64>>,
    extents: [usize; 3],
}

impl Signals {
    /// What `change` makes of each batch and its number of frames.
    fn map(self, extents: [usize; 3], change: impl Fn(&[f64], usize) -> Vec<f64>) -> Signals {
        let size: usize = self.extents.iter().product();
        Signals { batches: self.batches.iter().map(|signal| change(signal, signal.len() / size)).collect(), extents }
    }
}

/// Thresholds by the words of METHOD §4: every frame of every image explicit, f64, one batch after the other.
struct Naive {
    per_mille: u64,
    thresholds: Vec<f64>,
}

fn naive_thresholds(model: &Model, batches: &[(Vec<f64>, usize)], per_mille: u64) -> Vec<f64> {
    let [channels, height, width] = model.spec().input;
    let present = |(images, n): &(Vec<f64>, usize)| {
        let size = images.len() / n;
        let normal = |i: usize| (images[i] - f64::from(model.spec().mean[i % channels])) / f64::from(model.spec().std[i % channels]);
        (0..n * STEPS).flat_map(|frame| (0..size).map(move |i| frame / STEPS * size + i)).map(normal).collect::<Vec<f64>>()
    };
    let signals = Signals { batches: batches.iter().map(present).collect(), extents: [height, width, channels] };
    let mut naive = Naive { per_mille, thresholds: Vec::new() };
    naive.along(model.layers(), signals);
    naive.thresholds
}

impl Naive {
    fn along(&mut self, layers: &[Layer], signals: Signals) -> Signals {
        layers.iter().fold(signals, |signals, layer| self.through(layer, signals))
    }

    fn through(&mut self, layer: &Layer, x: Signals) -> Signals {
        let [h, w, c] = x.extents;
        match layer {
            Layer::Product(product) => {
                let (shape, bias) = (product.weight.value().shape(), product.bias.as_ref().map_or(Vec::new(), |bias| wide(bias.value())));
                let (weight, kernel) = (wide(product.weight.value()), (shape[1], shape[2]));
                let conv = |n| naive::Conv { n, h, w, c_in: c, c_out: shape[0], kernel, stride: product.stride, pad: product.pad };
                let (oh, ow) = conv(1).out();
                x.map([oh, ow, shape[0]], |signal, n| naive::conv_forward(conv(n), signal, &weight, &bias))
            }
            Layer::Norm(norm) => normalised(norm, x),
            Layer::Neuron(layer) => {
                let x = if let Some(norm) = &layer.norm { normalised(norm, x) } else { x };
                let found = x.batches.iter().map(|signal| naive::percentile(signal, self.per_mille, 1000));
                let v_th = found.fold(f64::NEG_INFINITY, f64::max);
                self.thresholds.push(v_th);
                let reset = if layer.reset == Reset::Soft { neuron::Reset::Soft } else { neuron::Reset::Hard };
                let lif = Neuron { v_th: v_th.max(0.03), leak: f64::from(layer.leak), reset };
                // A row is an image: all its pixels and channels are columns.
                x.map([h, w, c], |signal, n| neuron::neuron_forward(signal, [n / STEPS, STEPS, h * w * c], lif, neuron::Fire::Spike).s)
            }
            Layer::Block(block) => {
                let behind = self.along(&block.stem, x.clone());
                let start = if block.origin == Origin::Input { x } else { behind.clone() };
                let along = self.along(&block.branch, behind);
                let across = self.along(&block.shortcut, start);
                let comb = wide(block.comb.value());
                let mix = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| comb[0] * a + comb[1] * b).collect();
                Signals { batches: across.batches.iter().zip(&along.batches).map(mix).collect(), extents: along.extents }
            }
            Layer::AveragePool => x.map([h / 2, w / 2, c], |signal, n| naive::pool_forward(signal, [n, h, w, c])),
            Layer::GlobalPool => x.map([1, 1, c], |signal, n| {
                let mean = |i: usize| (0..h * w).map(|p| signal[(i / c * h * w + p) * c + i % c]).sum::<f64>() / (h * w) as f64;
                (0..n * c).map(mean).collect()
            }),
            Layer::Flatten => Signals { extents: [1, 1, h * w * c], ..x },
            Layer::Dropout(_) => x,
        }
    }
}

fn normalised(norm: &Norm, x: Signals) -> Signals {
    let (weight, bias) = (wide(norm.weight.value()), wide(norm.bias.value()));
    let (mean, var) = (vec![0.0; weight.len()], vec![1.0; weight.len()]);
    x.clone().map(x.extents, |y, _| naive::norm_forward(y, &weight, &bias, &mean, &var, naive::Statistics::BatchFrozen, 1).y)
}

#[test]
fn thresholds_are_those_of_a_naive_calibration() {
    for device in devices::all() {
        for (leak, reset, per_mille) in [(1.0, Reset::Hard, 997), (0.9, Reset::Hard, 900), (1.0, Reset::Soft, 950)] {
            hold(&device, Spec { leak, reset, ..spec(8) }, per_mille, &[("a", 5), ("b", 3), ("c", 5)]);
        }
    }
}

/// Both neurons of every block, each by its own currents, in order.
#[test]
fn thresholds_of_residual_networks_are_those_of_a_naive_calibration() {
    let batches = [("a", 4), ("b", 3)];
    for (arch, layers) in [("resnet8", 7), ("wrn10_1", 7)] {
        for device in devices::cpus() {
            assert_eq!(hold(&device, residual(arch), 997, &batches), layers);
        }
        hold(&devices::first(), Spec { leak: 0.9, reset: Reset::Soft, ..residual(arch) }, 900, &batches);
        if let Some(device) = devices::emulated().first() {
            hold(device, residual(arch), 997, &batches[..1]);
        }
    }
}

/// Calibrates a network of `spec` on these batches; returns its number of layers of neurons.
fn hold(device: &Device, spec: Spec, per_mille: u64, batches: &[(&str, usize)]) -> usize {
    let (leak, arch) = (spec.leak, spec.arch.clone());
    let mut snn = network(device, spec);
    let before = dict(&snn);
    let tensors: Vec<Tensor> = batches.iter().map(|(name, n)| batch(device, name, *n)).collect();
    let how = Calibration { percentile: Percentile::new(per_mille as f64 / 10.0).unwrap(), steps: STEPS };
    let mut visited = Vec::new();
    let found = calibrate(&mut snn, &tensors, how, |index, of| {
        visited.push((index, of));
        Ok(())
    });
    let found = found.unwrap();
    let pairs: Vec<(Vec<f64>, usize)> = batches.iter().map(|(name, n)| (values(name, *n), *n)).collect();
    let want = naive_thresholds(&snn, &pairs, per_mille);
    let layers = want.len();
    assert_eq!((found.len(), visited), (layers, (0..layers).map(|index| (index, layers)).collect::<Vec<_>>()));
    for (layer, (&found, want)) in found.iter().zip(&want).enumerate() {
        let apart = (f64::from(found) - want).abs();
        assert!(apart <= 2e-5 * want.abs(), "{arch}, {per_mille} ‰, leak {leak}, layer {layer}: {found} instead of {want}");
    }
    assert_eq!(snn.thresholds(), found.iter().map(|v| v.max(0.03)).collect::<Vec<_>>());
    // Nothing else moved: neither weights nor running statistics.
    for ((name, old), (_, new)) in before.iter().zip(dict(&snn)).filter(|((name, _), _)| !name.ends_with(".v_th")) {
        same_bits(name, &new, old);
    }
    layers
}

#[test]
fn the_order_of_the_batches_does_not_matter_nor_do_the_thresholds_before() {
    let device = devices::first();
    let how = Calibration { percentile: Percentile::new(99.7).unwrap(), steps: STEPS };
    let batches: Vec<Tensor> = ["a", "b", "c", "d"].iter().map(|name| batch(&device, name, 4)).collect();
    let run = |order: &[usize], v_th: f32| {
        let mut snn = network(&device, spec(8));
        snn.params_mut()
            .into_iter()
            .filter(|param| param.role == Role::Threshold)
            .for_each(|param| param.weight.set(Tensor::full(&device, [], v_th)));
        let some: Vec<Tensor> = order.iter().map(|&i| batches[i].clone()).collect();
        calibrate(&mut snn, &some, how, |_, _| Ok(())).unwrap()
    };
    let found = run(&[0, 1, 2, 3], 1.0);
    same_bits("another order", &run(&[2, 0, 3, 1], 1.0), &found);
    same_bits("other thresholds before", &run(&[0, 1, 2, 3], 0.2), &found);
    assert!(run(&[0], 1.0)[0] <= found[0], "the largest over the batches");
    assert!((0..4).any(|i| run(&[i], 1.0)[0] == found[0]), "one of the batches'");
}

#[test]
fn a_calibration_can_be_stopped_and_needs_batches() {
    let device = devices::first();
    let how = Calibration { percentile: Percentile::new(99.7).unwrap(), steps: 4 };
    let mut snn = network(&device, spec(8));
    assert!(calibrate(&mut snn, &[], how, |_, _| Ok(())).unwrap_err().to_string().contains("no calibration batches"));
    let stopped = calibrate(&mut snn, &[batch(&device, "a", 2)], how, |index, _| if index == 1 { Err(fail!("enough")) } else { Ok(()) });
    assert_eq!(stopped.unwrap_err().to_string(), "enough");
    let broken = tensor(&device, [1, INPUT[1], INPUT[2], INPUT[0]], &vec![f64::NAN; 84]);
    assert!(calibrate(&mut snn, &[broken], how, |_, _| Ok(())).unwrap_err().to_string().contains("features.2.v_th"));
    assert!(Percentile::new(100.5).is_err() && Percentile::new(-1.0).is_err() && Percentile::new(f64::NAN).is_err());
}

#[test]
fn scaling_keeps_thresholds_from_vanishing_and_resets_running_statistics() {
    let device = devices::first();
    let mut snn = network(&device, spec(8));
    scale(&mut snn, &[2.0, 0.09, -5.0], 0.3).unwrap();
    same_bits("thresholds", &snn.thresholds(), &[0.3 * 2.0, 0.03, 0.03]);
    for (name, values) in dict(&snn) {
        match name.rsplit('.').next().unwrap() {
            "running_mean" => assert!(values.iter().all(|&x| x == 0.0), "{name}"),
            "running_var" => assert!(values.iter().all(|&x| x == 1.0), "{name}"),
            _ => {}
        }
    }
    assert!(snn.norms().map(|norm| norm.batches).all(|count| count == 0));
    assert!(scale(&mut snn, &[1.0], 0.3).is_err(), "too few thresholds");
}

/// Of one batch: eval mode is then train mode, to the bit. Of several: as if they were one, where the layers before are the same.
#[test]
fn statistics_are_estimated_again_as_those_of_all_batches_together() {
    for arch in ["vgg:5,A,4/6", "resnet8"] {
        let device = devices::first();
        let mut snn = transplant(&network(&device, Spec { steps: 0, bias: false, ..residual(arch) }), residual(arch)).unwrap();
        let layers = snn.thresholds().len();
        scale(&mut snn, &vec![0.7; layers], 1.0).unwrap();
        let batches = [batch(&device, "first", 4), batch(&device, "second", 4)];
        let logits = |snn: &Model, statistics: Statistics| {
            let pass = Pass { statistics, ..Pass::eval(Fire::Spike { steps: 8 }, Keep::Spikes) };
            snn.forward(&batches[0], &pass).unwrap().0.to_vec()
        };
        let wanted = logits(&snn, Statistics::Batch);
        assert_ne!(logits(&snn, Statistics::Running), wanted, "{arch}: the statistics are there already");
        reestimate(&mut snn, &batches[..1]).unwrap();
        same_bits(arch, &logits(&snn, Statistics::Running), &wanted);

        let first = |snn: &Model| {
            let running = &snn.norms().next().unwrap().running;
            (running.mean.to_vec(), running.variance.to_vec())
        };
        let alone = first(&snn);
        reestimate(&mut snn, &batches).unwrap();
        let (means, variances) = first(&snn);
        reestimate(&mut snn, &[Tensor::joined(&batches)]).unwrap();
        let (mean, variance) = first(&snn);
        assert_ne!(mean, alone.0);
        for (found, wanted) in means.iter().chain(&variances).zip(mean.iter().chain(&variance)) {
            assert!((found - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{arch}: {found}, not {wanted}");
        }
        assert!(reestimate(&mut snn, &[]).unwrap_err().to_string().contains("no batches"));
        let uneven = [batches[0].clone(), batches[1].slice(0..3)];
        assert!(reestimate(&mut snn, &uneven).unwrap_err().to_string().contains("several sizes"));
        snn.set_steps(0);
        assert!(reestimate(&mut snn, &batches).unwrap_err().to_string().contains("T = 0"));
    }
}
