//! Step mode against sums over the weights, by definition, and against the network's own spikes and membranes.

use crate::support::devices::{self, tensor};
use crate::support::named::uniform64;
use caltrop::autodiff::{Fire, Keep, Pass, Saved, Trace};
use caltrop::device::{Device, Precision};
use caltrop::nn::{Layer, Model, Product, Spec};
use caltrop::ops::lif::Reset;
use caltrop::ops::pool;
use caltrop::probe::step::{Form, Inside, Part, Share, Stepped};
use caltrop::probe::{Place, Sites};
use caltrop::tensor::{Data, Tensor};
use caltrop::zoo;

const SIDE: usize = 9;

/// Convolutions of pixels, spikes and pooled spikes, linear layers; strides, projections and identities of residual blocks.
const ARCHS: [&str; 3] = ["vgg:16,8,A,16,A/12,9", "resnet8", "wrn10_1"];

/// T with dynamics: one step, a full plane of codes, one more.
const DYNAMICS: [(usize, f32, Reset); 4] = [(1, 1.0, Reset::Hard), (8, 1.0, Reset::Soft), (9, 0.8, Reset::Hard), (9, 0.75, Reset::Soft)];

fn model(device: &Device, arch: &str, (steps, leak, reset): (usize, f32, Reset)) -> Model {
    let spec = Spec {
        arch: arch.into(),
        classes: 4,
        input: [2, SIDE, SIDE],
        mean: vec![0.5, 0.4],
        std: vec![0.25, 0.2],
        bias: true,
        steps,
        leak,
        reset,
        dropout: 0.2,
    };
    let mut model = zoo::build(device, spec, 5).unwrap();
    for param in model.params_mut() {
        let range = match param.name.rsplit('.').next().unwrap() {
            "v_th" => (0.2, 0.5),
            "bias" => (-0.1, 0.2),
            "comb" => (0.3, 0.7),
            _ => continue,
        };
        let shape = param.value().shape();
        let values = uniform64(&param.name, shape.count(), range.0, range.1, 0);
        param.weight.set(Tensor::from_slice(device, shape, &values.iter().map(|&value| value as f32).collect::<Vec<_>>()));
    }
    model
}

fn image(device: &Device) -> Tensor {
    tensor(device, [1, SIDE, SIDE, 2], &uniform64("image", SIDE * SIDE * 2, 0.0, 1.0, 3))
}

/// A few neurons of a layer: corners, the middle.
fn places([channels, height, width]: [usize; 3]) -> Vec<Place> {
    vec![
        Place { x: 0, y: 0, c: 0 },
        Place { x: width - 1, y: height - 1, c: channels - 1 },
        Place { x: width / 2, y: 0, c: channels / 2 },
        Place { x: width / 2, y: height / 2, c: channels / 3 },
    ]
}

/// The product `name` and what it read.
fn product<'a>(model: &'a Model, trace: &'a Trace, name: &str) -> (&'a Product, &'a Data) {
    let found = model.leaves().zip(trace.saved.iter().flat_map(Saved::leaves)).find_map(|(leaf, saved)| match (leaf, saved) {
        (Layer::Product(product), Saved::Product { x: Some(x), .. }) if product.weight.name == format!("{name}.weight") => {
            Some((product, x))
        }
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no product {name}"))
}

/// Step t of `[1,H,W,F,C]`; 0 outside of the image.
fn at(x: &Data, [y, column]: [i64; 2], t: usize, c: usize) -> f64 {
    let shape = x.shape();
    if !(0..shape[1] as i64).contains(&y) || !(0..shape[2] as i64).contains(&column) {
        return 0.0;
    }
    let frame = if shape[3] == 1 { 0 } else { t };
    f64::from(pool::numbers(x).to_vec()[((y as usize * shape[2] + column as usize) * shape[3] + frame) * shape[4] + c])
}

/// Holds a part's share at step t against the definition of a convolution.
fn holds_product(what: &str, (product, x): (&Product, &Data), part: &Part, share: &Share, place: Place, t: usize) {
    let (field, fired) = (part.field.as_ref().unwrap(), share.fired.as_ref().unwrap());
    let (shape, weights) = (product.weight.value().shape(), product.weight.value().to_vec());
    let folded = shape[3] != field.input[0];
    let weight = |kh: usize, kw: usize, c: usize| f64::from(weights[((place.c * shape[1] + kh) * shape[2] + kw) * shape[3] + c]);
    let (mut sum, mut size, mut count) = (0.0, 0.0, 0);
    for (kh, kw, c) in (0..shape[1]).flat_map(|kh| (0..shape[2]).flat_map(move |kw| (0..shape[3]).map(move |c| (kh, kw, c)))) {
        let reads = |out: usize, k: usize| (out * product.stride + k) as i64 - product.pad as i64;
        let value = at(x, [reads(place.y, kh), reads(place.x, kw)], t, c);
        sum += weight(kh, kw, c) * value;
        size += (weight(kh, kw, c) * value).abs();
        count += usize::from(value != 0.0);
    }
    assert_eq!((fired.fired, fired.contributions.len()), (count, count), "{what}: how many fired");
    assert!((fired.sum - sum).abs() <= 1e-12 * (1.0 + size), "{what}: {} against {sum}", fired.sum);
    // What the network had is the same to f32's rounding.
    assert!((f64::from(share.before) - sum - f64::from(field.bias)).abs() <= 1e-5 * (1.0 + size), "{what}: {} kept", share.before);
    let bias = product.bias.as_ref().map_or(0.0, |bias| bias.value().to_vec()[place.c]);
    assert_eq!(field.bias, bias, "{what}: bias");
    for one in &fired.contributions {
        let Place { x: column, y, c } = one.input;
        let (value, factor) = if folded {
            let [channels, _, width] = field.input;
            let feature = (y * width + column) * channels + c;
            (at(x, [0, 0], t, feature), weight(0, 0, feature))
        } else {
            let tap = |input: usize, out: usize| (input + product.pad).checked_sub(out * product.stride).unwrap();
            (at(x, [y as i64, column as i64], t, c), weight(tap(y, place.y), tap(column, place.x), c))
        };
        assert_eq!((f64::from(one.value), f64::from(one.weight)), (value, factor), "{what}: input {}", one.input);
        assert_eq!(one.product, value * factor, "{what}: input {}", one.input);
    }
    assert!(fired.contributions.is_sorted_by(|a, b| a.product.abs() >= b.product.abs()), "{what}: the strongest first");
    let (counted, brought): (usize, f64) = (fired.counts.iter().flatten().flatten().sum(), fired.brings.iter().flatten().flatten().sum());
    assert!(counted == count && (brought - sum).abs() <= 1e-12 * (1.0 + size), "{what}: maps");
}

/// The bit of step t.
fn spike(spikes: &Data, place: Place, t: usize) -> bool {
    let Data::Spikes { codes, .. } = spikes else { panic!("no spikes") };
    let shape = codes.shape();
    codes.to_vec()[((place.y * shape[2] + place.x) * shape[3] + t / 8) * shape[4] + place.c] >> (t % 8) & 1 == 1
}

/// Holds all that is said about a neuron against the trace of another forward and the equations.
fn holds(what: &str, model: &Model, trace: &Trace, site: usize, place: Place, told: &Stepped) {
    let leaves = model.leaves().zip(trace.saved.iter().flat_map(Saved::leaves));
    let (neuron, spikes) = leaves
        .filter_map(|(leaf, saved)| match (leaf, saved) {
            (Layer::Neuron(neuron), Saved::Neuron { spikes: Some(spikes), .. }) => Some((neuron, spikes)),
            _ => None,
        })
        .nth(site)
        .unwrap();
    let membranes = &model.membranes(trace).unwrap()[site];
    let (shape, steps) = (spikes.shape(), spikes.frames());
    assert_eq!(told.steps.len(), steps);
    let mut v = 0.0f32;
    for (t, step) in told.steps.iter().enumerate() {
        let what = format!("{what}, step {t}");
        let index = ((place.y * shape[2] + place.x) * steps + t) * shape[4] + place.c;
        assert_eq!((step.x, step.u), (membranes.x[index], membranes.u[index]), "{what}: x and u");
        assert_eq!(step.spike, spike(spikes, place, t), "{what}: spike");
        assert_eq!(step.carried, v * neuron.leak, "{what}: carried");
        assert_eq!(step.u, v * neuron.leak + step.x, "{what}: u");
        v = match (step.spike, neuron.reset) {
            (false, _) => step.u,
            (true, Reset::Hard) => 0.0,
            (true, Reset::Soft) => step.u - told.v_th,
        };
        assert_eq!((step.v, step.reset), (v, step.u - v), "{what}: v");
        let mut sum = 0.0;
        for (part, share) in told.parts.iter().zip(&step.shares) {
            if part.field.is_some() {
                holds_product(&what, product(model, trace, &part.name), part, share, place, t);
            }
            let (scale, shift) = part.norm.map_or((1.0, 0.0), |map| (f64::from(map.scale), f64::from(map.shift)));
            assert!((f64::from(share.before) * scale + shift - f64::from(share.value)).abs() < 1e-5, "{what}: {}", part.name);
            sum += f64::from(part.factor) * f64::from(share.value);
        }
        assert!((sum - f64::from(step.y)).abs() < 1e-5, "{what}: {sum} against y = {}", step.y);
        let (scale, shift) = told.norm.map_or((1.0, 0.0), |map| (f64::from(map.scale), f64::from(map.shift)));
        assert!((f64::from(step.y) * scale + shift - f64::from(step.x)).abs() < 1e-5, "{what}: y {} x {}", step.y, step.x);
        // All that adds to x, one by one.
        let adds = |(part, share): (&Part, &Share)| {
            let after = f64::from(part.factor) * scale;
            let map = part.norm.map_or((1.0, 0.0), |map| (f64::from(map.scale), f64::from(map.shift)));
            match (&part.field, &share.fired) {
                (Some(field), Some(fired)) => {
                    let inputs: f64 = fired.contributions.iter().map(|one| one.adds).sum();
                    inputs + (f64::from(field.bias) * map.0 + map.1) * after
                }
                _ => f64::from(share.value) * after,
            }
        };
        let all = told.parts.iter().zip(&step.shares).map(adds).sum::<f64>() + shift;
        assert!((all - f64::from(step.x)).abs() < 2e-5, "{what}: contributions give {all}, x is {}", step.x);
    }
}

/// Every layer of every architecture; returns all that was told.
fn told(device: &Device, arch: &str, dynamics: (usize, f32, Reset)) -> Vec<Stepped> {
    let (model, image) = (model(device, arch, dynamics), image(device));
    let (_, trace) = model.forward(&image, &Pass::eval(Fire::Spike { steps: dynamics.0 }, Keep::All)).unwrap();
    let inside = Inside::of(&model, &image).unwrap();
    let mut all = Vec::new();
    for (site, layer) in Sites::of(&model).all().iter().enumerate() {
        for place in places(layer.shape) {
            let what = format!("{arch} on {}, T = {}, {} at {place}", device.describe(), dynamics.0, layer.name);
            let stepped = inside.steps(site, place).unwrap_or_else(|error| panic!("{what}: {error}"));
            holds(&what, &model, &trace, site, place, &stepped);
            all.push(stepped);
        }
    }
    all
}

#[test]
fn contributions_are_those_of_the_definition() {
    for arch in ARCHS {
        for dynamics in DYNAMICS {
            let all = told(&devices::first(), arch, dynamics);
            let parts: Vec<&Part> = all.iter().flat_map(|one| &one.parts).collect();
            let forms = |form: Form| parts.iter().any(|part| part.field.as_ref().is_some_and(|field| field.form == form));
            assert!(forms(Form::Numbers) && forms(Form::Spikes), "{arch}: pixels and spikes");
            assert!(all.iter().any(|one| one.spikes() > 0), "{arch}: nothing fires");
            if arch.starts_with("vgg") {
                assert!(forms(Form::Quarters), "{arch}: pooled spikes");
                assert!(parts.iter().any(|part| part.kind == "linear"));
            } else {
                let strided = parts.iter().any(|part| part.kind == "conv 3x3, stride 2");
                let sums: Vec<&Stepped> = all.iter().filter(|one| one.parts.len() == 2).collect();
                assert!(strided && !sums.is_empty(), "{arch}: strides and sums");
                // The branch's product is looked into; a shortcut is a product, spikes, or a sum that is not.
                assert!(sums.iter().all(|one| one.parts[1].field.is_some() && one.parts[1].name.ends_with("conv2")), "{arch}");
                assert!(
                    sums.iter().any(|one| one.parts[0].field.is_some())
                        && (arch != "resnet8" || sums.iter().any(|one| one.parts[0].field.is_none())),
                    "{arch}"
                );
            }
        }
    }
}

#[test]
fn the_same_on_an_emulated_gpu() {
    let Some(gpu) = devices::emulated().into_iter().next() else { return };
    for (arch, dynamics) in ARCHS.into_iter().zip([DYNAMICS[2], DYNAMICS[1], DYNAMICS[3]]) {
        let [cpu, gpu] = [&devices::first(), &gpu].map(|device| told(device, arch, dynamics));
        assert_eq!(cpu.len(), gpu.len());
        for (ours, theirs) in cpu.iter().zip(&gpu) {
            assert_eq!(
                ours.parts.iter().map(|part| &part.name).collect::<Vec<_>>(),
                theirs.parts.iter().map(|part| &part.name).collect::<Vec<_>>()
            );
            for (a, b) in ours.steps.iter().zip(&theirs.steps) {
                assert_eq!(a.spike, b.spike, "{arch}, step {}", a.t);
                assert!((a.x - b.x).abs() < 1e-5 && (a.u - b.u).abs() < 5e-5, "{arch}, step {}: {a:?} {b:?}", a.t);
                for (a, b) in a.shares.iter().zip(&b.shares) {
                    let inputs = |share: &Share| share.fired.as_ref().map(|fired| fired.counts.clone());
                    assert_eq!(inputs(a), inputs(b), "{arch}");
                }
            }
        }
    }
}

#[test]
fn rounded_operands_are_no_error() {
    let device = devices::first().with_precision(Precision::Bf16);
    let (model, image) = (model(&device, "resnet8", DYNAMICS[1]), image(&device));
    let inside = Inside::of(&model, &image).unwrap();
    for (site, layer) in Sites::of(&model).all().iter().enumerate() {
        places(layer.shape).into_iter().for_each(|place| drop(inside.steps(site, place).unwrap()));
    }
}

#[test]
fn the_busiest_neuron_fires_most() {
    let device = devices::first();
    let (model, image) = (model(&device, ARCHS[0], DYNAMICS[2]), image(&device));
    let inside = Inside::of(&model, &image).unwrap();
    for (site, layer) in Sites::of(&model).all().iter().enumerate() {
        let (place, spikes) = inside.busiest(site).unwrap();
        let near = |one: &Stepped| one.steps.iter().map(|step| (step.u - one.v_th).abs()).fold(f32::INFINITY, f32::min);
        let best = inside.steps(site, place).unwrap();
        assert_eq!(best.spikes(), spikes);
        for place in (0..layer.neurons()).step_by(7).map(|index| layer.at(index)) {
            let other = inside.steps(site, place).unwrap();
            assert!(other.spikes() < spikes || (other.spikes() == spikes && near(&other) >= near(&best)), "{} {place}", layer.name);
        }
    }
}
