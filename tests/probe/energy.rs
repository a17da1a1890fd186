//! The energy table's judge: naive loops over output pixels, kernel positions, input and output channels, on the inputs that a forward
//! recorded, unpacked here.

use crate::support::devices::{self, tensor};
use crate::support::named::uniform64;
use caltrop::attack::Attack;
use caltrop::autodiff::{Frames, Keep, Lens, Pass, Saved, Trace};
use caltrop::base::Shape;
use caltrop::device::Device;
use caltrop::drive::{Radius, Silent};
use caltrop::nn::{Layer, Model, Param, Product, Role, Spec};
use caltrop::ops::lif::Reset;
use caltrop::probe::{Counter, Held, Onslaught, Operations, Prices, Samples, Synapses, Totals, Workload, measure};
use caltrop::tensor::{Array, Data, Tensor};
use caltrop::zoo;
use proptest::prelude::*;

/// An activation's numbers `[N,H,W,F,C]`, read off its codes as the tensor room documents them.
fn unpacked(x: &Data) -> Vec<f32> {
    let shape = x.shape();
    let (steps, channels) = (shape[3], shape[4]);
    let planes = steps.div_ceil(8);
    let places = (0..shape.count()).map(|i| (i / (steps * channels), i / channels % steps, i % channels));
    match x {
        Data::Real(numbers) => numbers.to_vec(),
        Data::Spikes { codes, .. } => {
            let codes = codes.to_vec();
            places.map(|(pixel, t, c)| f32::from(codes[(pixel * planes + t / 8) * channels + c] >> (t % 8) & 1)).collect()
        }
        Data::Quarters { codes, .. } => {
            let codes = codes.to_vec();
            places.map(|(pixel, t, c)| (codes[(pixel * planes + t / 8) * channels + c] >> (4 * (t % 8)) & 15) as f32 / 4.0).collect()
        }
    }
}

/// Operations of a product on x `[N,H,W,F,C_in]`, one by one; `spikes` are those that an input stands for.
fn naive(x: &[f32], spikes: fn(f32) -> u64, shape: Shape, weight: &[f32], kernel: Shape, stride: usize, pad: usize) -> Operations {
    let (height, width, frames, inputs) = (shape[1], shape[2], shape[3], shape[4]);
    let (outputs, rows, columns) = (kernel[0], kernel[1], kernel[2]);
    let mut counted = Operations::default();
    for n in 0..shape[0] {
        for oh in 0..(height + 2 * pad - rows) / stride + 1 {
            for ow in 0..(width + 2 * pad - columns) / stride + 1 {
                for f in 0..frames {
                    for co in 0..outputs {
                        for kh in 0..rows {
                            for kw in 0..columns {
                                let (h, w) = ((oh * stride + kh) as isize - pad as isize, (ow * stride + kw) as isize - pad as isize);
                                if h < 0 || w < 0 || h >= height as isize || w >= width as isize {
                                    continue;
                                }
                                for ci in 0..inputs {
                                    let input = x[(((n * height + h as usize) * width + w as usize) * frames + f) * inputs + ci];
                                    let weight = weight[((co * rows + kh) * columns + kw) * inputs + ci];
                                    counted.dense += 1;
                                    counted.effective += u64::from(input != 0.0 && weight != 0.0);
                                    counted.synops += if weight != 0.0 { spikes(input) } else { 0 };
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    counted
}

/// How many spikes a number of this form stands for.
fn spikes_of(x: &Data) -> fn(f32) -> u64 {
    match x {
        Data::Real(_) => |_| 0,
        Data::Spikes { .. } => |spike| spike as u64,
        Data::Quarters { .. } => |mean| (4.0 * mean) as u64,
    }
}

/// A small network whose weights have zeros and whose neurons fire.
fn model(device: &Device, arch: &str, input: [usize; 3], steps: usize, reset: Reset) -> Model {
    let spec = Spec {
        arch: arch.into(),
        classes: 3,
        input,
        mean: vec![0.5; input[0]],
        std: vec![0.25; input[0]],
        bias: steps > 0,
        steps,
        leak: 0.9,
        reset,
        dropout: 0.0,
    };
    let mut model = zoo::build(device, spec, 5).unwrap();
    for param in model.params_mut() {
        let (shape, mut values) = (param.value().shape(), param.value().to_vec());
        match param.role {
            Role::Threshold => values = vec![0.3],
            // Every fifth weight is none.
            Role::Kernel | Role::Matrix => values.iter_mut().step_by(5).for_each(|weight| *weight = 0.0),
            _ => {}
        }
        param.weight.set(Tensor::from_slice(device, shape, &values));
    }
    model
}

/// Pixels of which some are exactly the mean, so that they are zero once they are normalised.
fn images(device: &Device, n: usize, [channels, height, width]: [usize; 3]) -> Tensor {
    let mut pixels = uniform64("pixels", n * channels * height * width, 0.0, 1.0, 3);
    pixels.iter_mut().step_by(7).for_each(|pixel| *pixel = 0.5);
    tensor(device, [n, height, width, channels], &pixels)
}

/// What a product read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Spikes,
    Pooled,
    Numbers,
}

/// What a network did, counted here.
struct Recount {
    /// Of every product: its operations, what it read, the steps that a frame stands for.
    products: Vec<(Operations, Kind, u64)>,
    /// Of every layer of neurons: outputs, those that are not zero, membrane updates.
    neurons: Vec<(u64, u64, Option<u64>)>,
}

fn recount(model: &Model, trace: &Trace) -> Recount {
    let mut found = Recount { products: Vec::new(), neurons: Vec::new() };
    for (leaf, saved) in model.leaves().zip(trace.saved.iter().flat_map(Saved::leaves)) {
        match (leaf, saved) {
            (Layer::Product(product), Saved::Product { x: Some(x), frames, .. }) => {
                let weight = product.weight.value();
                let counted = naive(&unpacked(x), spikes_of(x), x.shape(), &weight.to_vec(), weight.shape(), product.stride, product.pad);
                let repeats = if let Frames::Held(steps) = frames { *steps as u64 } else { 1 };
                let kind = match x {
                    Data::Real(_) => Kind::Numbers,
                    Data::Spikes { .. } => Kind::Spikes,
                    Data::Quarters { .. } => Kind::Pooled,
                };
                found.products.push((counted, kind, repeats));
            }
            (Layer::Neuron(neuron), Saved::Neuron { y: Some(y), affine, spikes, .. }) => {
                let shape = y.shape();
                let channels = shape[4];
                let (scale, shift) = match affine {
                    Some(affine) => (affine.scale.to_vec(), affine.shift.to_vec()),
                    None => (vec![1.0; channels], vec![0.0; channels]),
                };
                let current: Vec<f32> = y.to_vec().iter().enumerate().map(|(i, y)| y * scale[i % channels] + shift[i % channels]).collect();
                let Some(spikes) = spikes else {
                    let positive = current.iter().filter(|&&x| x > 0.0).count();
                    found.neurons.push((current.len() as u64, positive as u64, None));
                    continue;
                };
                let (steps, fired) = (spikes.frames(), unpacked(spikes));
                let v_th = neuron.v_th.value().to_vec()[0];
                let mut updates = 0;
                for pixel in 0..current.len() / (shape[3] * channels) {
                    for c in 0..channels {
                        let mut v = 0.0;
                        for t in 0..steps {
                            let frame = if shape[3] == 1 { 0 } else { t };
                            let before = v;
                            v = neuron.leak * v + current[(pixel * shape[3] + frame) * channels + c];
                            let spike = v >= v_th;
                            assert_eq!(
                                fired[(pixel * steps + t) * channels + c] == 1.0,
                                spike,
                                "{}: the recorded spikes are others",
                                neuron.name()
                            );
                            if spike {
                                v = if neuron.reset == Reset::Hard { 0.0 } else { v - v_th };
                            }
                            updates += u64::from(t == 0 || v != before);
                        }
                    }
                }
                found.neurons.push((fired.len() as u64, fired.iter().sum::<f32>() as u64, Some(updates)));
            }
            _ => {}
        }
    }
    found
}

#[track_caller]
fn agree(what: &str, counted: &Workload, want: &Recount) {
    let products: Vec<_> =
        counted.products.iter().map(|one| (one.dense, one.effective, one.synops, one.reads.accumulates(), one.repeats)).collect();
    let wanted: Vec<_> = (want.products.iter())
        .map(|(one, kind, repeats)| (one.dense, one.effective, one.synops, *kind == Kind::Spikes, *repeats))
        .collect();
    assert_eq!(products, wanted, "{what}: synapses");
    let neurons: Vec<_> = counted.neurons.iter().map(|layer| (layer.neurons * layer.steps, layer.active, layer.updates)).collect();
    assert_eq!(neurons, want.neurons, "{what}: neurons");
    for (held, every) in [(Held::Once, false), (Held::EveryStep, true)] {
        let mut totals = Totals::default();
        for (one, kind, repeats) in &want.products {
            let times = if every { *repeats } else { 1 };
            totals.dense += times * one.dense;
            totals.synops += times * one.synops;
            totals.acs += if *kind == Kind::Spikes { times * one.effective } else { 0 };
            totals.macs += if *kind == Kind::Spikes { 0 } else { times * one.effective };
            totals.analog += if *kind == Kind::Numbers { times * one.effective } else { 0 };
        }
        assert_eq!(counted.totals(held), totals, "{what}: totals, {held:?}");
    }
    // Something was there to be counted, and something to be passed over.
    let all = counted.totals(Held::Once);
    assert!(0 < all.macs + all.acs && all.macs + all.acs < all.dense, "{what}: {all:?}");
}

/// Padding, stride 2, pools of spikes, a pool of pools, a pool of pixels, linear layers; blocks of both families with shortcuts, residual
/// sums and a mean over the image.
const NETWORKS: [(&str, [usize; 3]); 5] =
    [("vgg:5,A,7/9", [2, 7, 9]), ("vgg:4,A,A,3/", [1, 9, 11]), ("vgg:A,4,6/5", [3, 6, 5]), ("resnet8", [2, 5, 7]), ("wrn10_1", [1, 7, 5])];

#[test]
fn every_count_is_what_naive_loops_find_in_the_recorded_inputs() {
    let device = devices::first();
    for (arch, input) in NETWORKS {
        for (steps, reset) in [(0, Reset::Hard), (1, Reset::Hard), (3, Reset::Soft), (8, Reset::Hard), (9, Reset::Soft)] {
            let what = format!("{arch}, T = {steps}, {reset:?}");
            let (model, images) = (model(&device, arch, input, steps, reset), images(&device, 2, input));
            let (logits, trace) = model.forward(&images, &Pass::eval(model.spec().fire(), Keep::All)).unwrap();
            let want = recount(&model, &trace);
            let seen = caltrop::drive::classes(&logits).unwrap();
            let counted = Counter::new(&model).count(&images, Some(&[seen[0], 1 - seen[1].min(1)])).unwrap();
            agree(&what, &counted, &want);
            assert_eq!((counted.images, counted.right), (2, Some(1)), "{what}");
            let one_step: u64 = want.products.iter().zip(&counted.products).map(|((one, ..), product)| one.dense / product.frames).sum();
            assert_eq!(counted.dense_step(), one_step, "{what}");
            if steps > 0 {
                let kinds = |accumulates| counted.products.iter().filter(|product| product.reads.accumulates() == accumulates).count();
                assert!(kinds(false) > 0 && (kinds(true) > 0 || arch == "vgg:4,A,A,3/"), "{what}");
            }
        }
    }
}

#[test]
fn every_device_counts_what_it_recorded() {
    for device in devices::all() {
        let (input, what) = ([2, 7, 9], device.describe());
        let (model, images) = (model(&device, "vgg:5,A,7/9", input, 9, Reset::Hard), images(&device, 3, input));
        let (_, trace) = model.forward(&images, &Pass::eval(model.spec().fire(), Keep::All)).unwrap();
        agree(&what, &Counter::new(&model).count(&images, None).unwrap(), &recount(&model, &trace));
    }
}

#[test]
fn the_architecture_tells_the_dense_operations_padding_included() {
    let device = devices::first();
    for (arch, input) in NETWORKS {
        let model = model(&device, arch, input, 4, Reset::Hard);
        let counted = Counter::new(&model).count(&images(&device, 1, input), None).unwrap();
        let rows = model.geometry().rows;
        for product in &counted.products {
            let row = rows.iter().find(|row| row.name == product.name).unwrap();
            let dense = product.dense / product.frames;
            // A kernel of one position has no border.
            let (whole, kernel) = (dense == row.macs, product.kind.starts_with("conv 3x3"));
            assert!(whole != kernel && dense <= row.macs, "{arch} {}: {dense} of {}", product.name, row.macs);
        }
    }
}

#[test]
fn a_layer_counted_by_hand() {
    let device = devices::first();
    // One row of 3x3 pixels, two channels; a 3x3 kernel with padding 1 to one output channel, all weights but one there.
    let mut weights = vec![1.0_f32; 18];
    weights[8] = 0.0; // the kernel's middle, channel 0
    let weight = Param::new("conv.weight".into(), Role::Kernel, Tensor::from_slice(&device, [1, 3, 3, 2], &weights));
    let synapses = Synapses::of(&Product { weight, bias: None, stride: 1, pad: 1 });
    // T = 2. The middle pixel fires in channel 0 at both steps; the upper left one in channel 1 at the second.
    let mut codes = vec![0_u8; 18];
    (codes[8], codes[1]) = (0b11, 0b10);
    let x = Data::Spikes { codes: Array::from_slice(&device, [1, 3, 3, 1, 2], &codes), steps: 2 };
    // Positions inside: 4 corners of 4, 4 edges of 6, the middle of 9: 49, times 2 channels and 2 steps. The middle pixel is read by all
    // nine outputs, one of them through the weight that is none; the corner by four.
    assert_eq!(synapses.operations(&x), Operations { dense: 49 * 2 * 2, effective: 2 * 8 + 4, synops: 2 * 8 + 4 });
}

#[test]
fn energies_are_prices_times_operations() {
    let prices = Prices::named("45nm").unwrap();
    assert!((prices.energy(1000.0, 0.0) - 4600.0).abs() < 1e-9 && (prices.energy(0.0, 1000.0) - 900.0).abs() < 1e-9);
    assert!((Prices::own(2.0, 0.5).unwrap().energy(3.0, 4.0) - 8.0).abs() < 1e-12);
    for (mac, ac) in [(0.0, 1.0), (1.0, -1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY)] {
        assert!(Prices::own(mac, ac).is_err(), "{mac}, {ac}");
    }
}

#[test]
fn adversarial_images_are_counted_as_any_and_batches_change_nothing() {
    let device = devices::first();
    let (input, n) = ([2, 7, 9], 70);
    let (snn, ann) = (model(&device, "vgg:5,A,7/9", input, 4, Reset::Hard), model(&device, "vgg:5,A,7/9", input, 0, Reset::Hard));
    let labels: Vec<i32> = (0..n).map(|i| i % 3).collect();
    let pixels = images(&device, n as usize, input).to_vec();
    let samples = Samples { extent: [7, 9, 2], images: pixels, labels: Some(labels.clone()), ids: (0..n as u64).collect() };
    let onslaught =
        Onslaught { attack: Attack::parse("pgd", Some(2)).unwrap(), lens: Lens::default(), radius: Radius::linf(16.0), seed: 1 };
    let pairs = measure(&[&snn, &ann], &samples, Some(&onslaught), &Silent).unwrap();
    let adversarial = onslaught.perturb(&snn, &samples, 0..n as usize).unwrap();
    let clean = samples.batch(&snn, 0..n as usize);
    assert_ne!(adversarial.to_vec(), clean.to_vec());
    for (model, pair) in [&snn, &ann].into_iter().zip(&pairs) {
        let counter = Counter::new(model);
        assert_eq!(pair.clean, counter.count(&clean, Some(&labels)).unwrap());
        assert_eq!(pair.attacked, Some(counter.count(&adversarial, Some(&labels)).unwrap()));
        assert_ne!(pair.attacked.as_ref(), Some(&pair.clean));
    }
    let alone = measure(&[&snn], &samples, None, &Silent).unwrap();
    assert_eq!((alone.len(), &alone[0].clean, &alone[0].attacked), (1, &pairs[0].clean, &None));
}

/// A convolution, and an input of one of three forms.
#[derive(Debug, Clone)]
struct Drawn {
    input: [usize; 5],
    kernel: [usize; 4],
    stride: usize,
    pad: usize,
    form: usize,
    seed: u64,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let image = (1..3usize, 1..7usize, 1..7usize, prop::sample::select(vec![1usize, 2, 8, 9, 17]), 1..4usize);
    let kernel = (1..4usize, 1..5usize, 1..5usize);
    (image, kernel, 1..4usize, 0..4usize, 0..3usize, any::<u64>()).prop_filter_map(
        "the kernel fits",
        |((n, h, w, f, c), (out, kh, kw), stride, pad, form, seed)| {
            let fits = pad < kh && pad < kw && h + 2 * pad >= kh && w + 2 * pad >= kw;
            fits.then_some(Drawn { input: [n, h, w, f, c], kernel: [out, kh, kw, c], stride, pad, form, seed })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_convolution_on_any_form_is_counted_as_naive_loops_do(drawn in drawn()) {
        let device = devices::first();
        let Drawn { input, kernel, stride, pad, form, seed } = drawn;
        let [n, h, w, steps, c] = input;
        let mut state = seed | 1;
        let mut next = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) % below
        };
        let planes = [n, h, w, steps.div_ceil(8), c];
        let places = planes.iter().product::<usize>();
        // Bits and nibbles of steps that are not there stay empty.
        let there = |at: usize| (steps - at / c % planes[3] * 8).min(8);
        let x = match form {
            0 => {
                let numbers: Vec<f32> = (0..input.iter().product::<usize>()).map(|_| next(3) as f32 - 1.0).collect();
                Data::Real(Tensor::from_slice(&device, input, &numbers))
            }
            1 => {
                let codes: Vec<u8> = (0..places).map(|at| (next(256) & ((1 << there(at)) - 1)) as u8).collect();
                Data::Spikes { codes: Array::from_slice(&device, planes, &codes), steps }
            }
            _ => {
                let word = |at: usize, next: &mut dyn FnMut(u64) -> u64| (0..there(at)).map(|t| (next(5) as u32) << (4 * t)).sum::<u32>();
                let codes: Vec<u32> = (0..places).map(|at| word(at, &mut next)).collect();
                Data::Quarters { codes: Array::from_slice(&device, planes, &codes), steps }
            }
        };
        let weights: Vec<f32> = (0..kernel.iter().product::<usize>()).map(|_| next(4) as f32 - 1.0).collect();
        let weight = Param::new("w.weight".into(), Role::Kernel, Tensor::from_slice(&device, kernel, &weights));
        let counted = Synapses::of(&Product { weight, bias: None, stride, pad }).operations(&x);
        prop_assert_eq!(counted, naive(&unpacked(&x), spikes_of(&x), x.shape(), &weights, Shape::new(&kernel), stride, pad));
    }
}
