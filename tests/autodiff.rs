//! The program's networks against the independent f64 tape: logits, input and parameter gradients, running
//! statistics; and the promises of a trace by value.

mod support;

mod autodiff {
    mod dropout;
}

use caltrop::autodiff::{Credit, Frames, Gradients, Keep, Pass, Signal, Statistics, Surrogate, SurrogateKind, Trace, Want};
use caltrop::checkpoint;
use caltrop::device::Device;
use caltrop::nn::{Layer, Model, Product, Spec};
use caltrop::ops::lif::Reset;
use caltrop::ops::{frames, pool};
use caltrop::tensor::{Data, Tensor};
use caltrop::{loss, zoo};
use support::close::{assert_close, assert_relative_l2, bound, dot, norm};
use support::devices::{self, same_bits, tensor, wide};
use support::naive;
use support::named::uniform64;
use support::network::{self, Biases, Judged, Setup, StateDict};
use support::program;

/// float32 against float64 through a small network, relative to the whole tensor: sums over some hundred rows, steps
/// and channels, and slopes of sharp surrogates.
const CLOSE: f64 = 1e-5;

const MEAN: [f32; 2] = [0.4, 0.55];
const STD: [f32; 2] = [0.25, 0.2];
const CLASSES: usize = 4;

/// A network of the judge, and the architecture that the program builds of it.
#[derive(Debug, Clone, Copy)]
struct Plan {
    arch: &'static str,
    side: usize,
    body: Body,
}

#[derive(Debug, Clone, Copy)]
enum Body {
    /// A plan of the zoo: features (0 is a pool) and hidden widths.
    Vgg(&'static [usize], &'static [usize]),
    /// Convolution, norm, neuron, then blocks (c_in, c_out, stride), mean over the image, linear.
    Residual(&'static [[usize; 3]]),
    /// Convolution, then wide blocks, norm, neuron, mean over the image, linear.
    Wide(&'static [[usize; 3]]),
}

const SMALL: Plan = Plan { arch: "vgg:5,A,7/9", side: 9, body: Body::Vgg(&[5, 0, 7], &[9]) };
/// Odd images, two pools in a row, no hidden layer.
const POOLS: Plan = Plan { arch: "vgg:3,A,A,17", side: 9, body: Body::Vgg(&[3, 0, 0, 17], &[]) };
/// A pool before anything else and one at the end, two hidden layers.
const ENDS: Plan = Plan { arch: "vgg:A,6,4,A/7,5", side: 10, body: Body::Vgg(&[0, 6, 4, 0], &[7, 5]) };
/// A network of one linear layer, behind a pool.
const LINEAR: Plan = Plan { arch: "vgg:A", side: 5, body: Body::Vgg(&[0], &[]) };
/// A shortcut of spikes, one that changes width and size, another of spikes.
const RESIDUAL: Plan = Plan { arch: "residual", side: 7, body: Body::Residual(&[[4, 4, 1], [4, 7, 2], [7, 7, 1]]) };
/// The first block's shortcut is held while its branch spikes; then one from behind the stem, and one of a sum.
const WIDE: Plan = Plan { arch: "wide", side: 7, body: Body::Wide(&[[4, 4, 1], [4, 6, 2], [6, 6, 1]]) };

/// One network and the way it is run.
#[derive(Debug, Clone, Copy)]
struct Case {
    plan: Plan,
    images: usize,
    steps: usize,
    biases: Biases,
    reset: Reset,
    leak: f32,
    seed: u64,
}

const fn case(plan: Plan, images: usize, steps: usize, biases: Biases, reset: Reset, leak: f32, seed: u64) -> Case {
    Case { plan, images, steps, biases, reset, leak, seed }
}

const CASES: [Case; 22] = [
    case(SMALL, 3, 0, Biases::Absent, Reset::Hard, 1.0, 1),
    case(SMALL, 2, 0, Biases::Present, Reset::Hard, 1.0, 2),
    case(SMALL, 3, 1, Biases::Present, Reset::Hard, 1.0, 1),
    case(SMALL, 3, 4, Biases::Absent, Reset::Soft, 1.0, 1),
    case(SMALL, 2, 8, Biases::Present, Reset::Hard, 1.0, 1),
    case(SMALL, 3, 8, Biases::Present, Reset::Soft, 0.9, 2),
    case(SMALL, 2, 9, Biases::Absent, Reset::Hard, 0.9, 1),
    case(POOLS, 2, 0, Biases::Present, Reset::Hard, 1.0, 1),
    case(POOLS, 3, 5, Biases::Present, Reset::Hard, 1.0, 1),
    case(POOLS, 2, 9, Biases::Absent, Reset::Soft, 1.0, 1),
    case(ENDS, 2, 0, Biases::Present, Reset::Hard, 1.0, 1),
    case(ENDS, 3, 3, Biases::Present, Reset::Hard, 0.9, 1),
    case(LINEAR, 3, 0, Biases::Present, Reset::Hard, 1.0, 1),
    case(LINEAR, 2, 4, Biases::Absent, Reset::Hard, 1.0, 1),
    case(RESIDUAL, 3, 0, Biases::Linear, Reset::Hard, 1.0, 1),
    case(RESIDUAL, 2, 1, Biases::Absent, Reset::Hard, 1.0, 1),
    case(RESIDUAL, 2, 4, Biases::Linear, Reset::Soft, 0.9, 1),
    case(RESIDUAL, 3, 9, Biases::Absent, Reset::Hard, 1.0, 1),
    case(WIDE, 3, 0, Biases::Absent, Reset::Hard, 1.0, 1),
    case(WIDE, 2, 1, Biases::Linear, Reset::Soft, 1.0, 1),
    case(WIDE, 3, 4, Biases::Linear, Reset::Hard, 0.9, 1),
    case(WIDE, 2, 8, Biases::Linear, Reset::Hard, 1.0, 1),
];

/// Every kind of surrogate at two widths, and the rate.
const CREDITS: [(Option<(SurrogateKind, f32)>, network::Credit); 11] = [
    (Some((SurrogateKind::Pcw, 1.0)), network::Credit::Bptt(naive::Surrogate::Pcw, 1.0)),
    (Some((SurrogateKind::Pcw, 3.0)), network::Credit::Bptt(naive::Surrogate::Pcw, 3.0)),
    (Some((SurrogateKind::ExpD, 0.5)), network::Credit::Bptt(naive::Surrogate::ExpD, 0.5)),
    (Some((SurrogateKind::ExpD, 2.0)), network::Credit::Bptt(naive::Surrogate::ExpD, 2.0)),
    (Some((SurrogateKind::Exp, 0.5)), network::Credit::Bptt(naive::Surrogate::Exp, 0.5)),
    (Some((SurrogateKind::Exp, 2.0)), network::Credit::Bptt(naive::Surrogate::Exp, 2.0)),
    (Some((SurrogateKind::Rect, 0.5)), network::Credit::Bptt(naive::Surrogate::Rect, 0.5)),
    (Some((SurrogateKind::Rect, 4.0)), network::Credit::Bptt(naive::Surrogate::Rect, 4.0)),
    (Some((SurrogateKind::Ste, 1.0)), network::Credit::Bptt(naive::Surrogate::Ste, 1.0)),
    (Some((SurrogateKind::Pcw, 0.5)), network::Credit::Bptt(naive::Surrogate::Pcw, 0.5)),
    (None, network::Credit::Rate),
];

fn credit_of(surrogate: Option<(SurrogateKind, f32)>) -> Credit {
    surrogate.map_or(Credit::Rate, |(kind, gamma)| Credit::Bptt(Surrogate::new(kind, gamma).unwrap()))
}

impl Case {
    fn name(&self) -> String {
        let Case { plan, images, steps, biases, reset, leak, .. } = self;
        format!("{} {images} images T {steps} {biases:?} {reset:?} leak {leak}", plan.arch)
    }

    fn layers(&self) -> Vec<network::Layer> {
        match self.plan.body {
            Body::Vgg(features, hidden) => network::vgg(2, self.plan.side, features, &[hidden, &[CLASSES]].concat()),
            Body::Residual(blocks) => network::residual(2, blocks, CLASSES),
            Body::Wide(blocks) => network::wide(2, blocks, CLASSES),
        }
    }

    /// The parity data's weights, the thresholds a third of theirs: every layer of these small networks fires.
    fn dict(&self) -> StateDict {
        let mut dict = network::state_dict(&self.layers(), self.biases, self.seed);
        dict.iter_mut().filter(|(name, _)| name.ends_with(".v_th")).for_each(|(_, (_, values))| values[0] /= 3.0);
        dict
    }

    fn shape(&self) -> [usize; 4] {
        [self.images, self.plan.side, self.plan.side, 2]
    }

    fn pixels(&self) -> Vec<f64> {
        uniform64("image", self.shape().iter().product(), 0.0, 1.0, self.seed)
    }

    fn labels(&self) -> Vec<usize> {
        (0..self.images).map(|i| (i + 1) % CLASSES).collect()
    }

    fn model(&self, device: &Device) -> Model {
        let side = self.plan.side;
        let spec = Spec {
            arch: self.plan.arch.into(),
            classes: CLASSES,
            input: [2, side, side],
            mean: MEAN.to_vec(),
            std: STD.to_vec(),
            bias: self.biases != Biases::Absent,
            steps: self.steps,
            leak: self.leak,
            reset: self.reset,
            dropout: 0.0,
        };
        if let Body::Residual(_) | Body::Wide(_) = self.plan.body {
            return program::model(device, spec, &self.layers(), &self.dict());
        }
        let mut model = zoo::build(device, spec, 0).unwrap();
        program::fill(&mut model, &self.dict());
        model
    }

    fn setup(&self, statistics: naive::Statistics, credit: network::Credit) -> Setup {
        let reset = if self.reset == Reset::Hard { naive::Reset::Hard } else { naive::Reset::Soft };
        let [mean, std] = [MEAN, STD].map(|values| values.iter().map(|&v| f64::from(v)).collect());
        Setup { steps: self.steps, statistics, credit, leak: f64::from(self.leak), reset, mean, std }
    }

    fn judge(&self, statistics: naive::Statistics, credit: network::Credit) -> Judged {
        let (setup, y) = (self.setup(statistics, credit), self.labels());
        network::judge(&self.layers(), &self.dict(), &self.pixels(), self.shape(), &setup, |t, z| t.cross_entropy(z, &y, CLASSES))
    }
}

/// A model, its images, and one forward of them.
struct Run {
    model: Model,
    images: Tensor,
    logits: Tensor,
    dlogits: Tensor,
    trace: Trace,
}

fn run(device: &Device, case: &Case, statistics: Statistics) -> Run {
    let model = case.model(device);
    let images = tensor(device, case.shape(), &case.pixels());
    let pass = Pass { statistics, ..Pass::eval(model.spec().fire(), Keep::All) };
    let (logits, trace) = model.forward(&images, &pass).unwrap();
    let dlogits = loss::cross_entropy(&logits, &devices::labels(device, &case.labels())).unwrap().dlogits;
    Run { model, images, logits, dlogits, trace }
}

const MODES: [(Statistics, naive::Statistics); 2] =
    [(Statistics::Running, naive::Statistics::Running), (Statistics::Batch, naive::Statistics::Batch)];

/// Parameter gradients by name, in the program's own (channels-last) order, as the judge has them.
fn named(model: &Model, gradients: &Gradients) -> Vec<(String, Option<Vec<f32>>)> {
    model.params().iter().zip(&gradients.params).map(|(param, g)| (param.name.clone(), g.as_ref().map(Tensor::to_vec))).collect()
}

#[test]
fn networks_are_the_tape_s_in_both_modes_for_every_credit() {
    for case in CASES {
        let credits = if case.steps == 0 { &CREDITS[..1] } else { &CREDITS[..] };
        for (statistics, judged_statistics) in MODES {
            let judged: Vec<Judged> = credits.iter().map(|(_, credit)| case.judge(judged_statistics, *credit)).collect();
            for device in devices::all() {
                let what = format!("{} {statistics:?} on {}", case.name(), device.describe());
                let mut run = run(&device, &case, statistics);
                let spikes: Vec<f64> = run.model.activity(&run.trace).iter().map(|layer| layer.spikes as f64).collect();
                assert_eq!(spikes, judged[0].spikes, "{what}: spikes (another seed keeps membranes off the thresholds)");
                assert_relative_l2(&format!("{what}: logits"), &run.logits.to_vec(), &judged[0].logits, CLOSE);
                for ((surrogate, _), judged) in credits.iter().zip(&judged) {
                    let gradients = run.model.backward(&run.trace, &run.dlogits, credit_of(*surrogate), Want::Both).unwrap();
                    hold(&format!("{what} {surrogate:?}"), &run.model, &gradients, judged, case.steps);
                }
                run.model.absorb(&run.trace);
                for (name, _, values) in checkpoint::state_dict(&run.model).iter().filter(|(name, ..)| name.contains(".running_")) {
                    assert_relative_l2(&format!("{what}: {name}"), values, &judged[0].running[name], CLOSE);
                }
            }
        }
    }
}

fn hold(what: &str, model: &Model, gradients: &Gradients, judged: &Judged, steps: usize) {
    let input = gradients.input.as_ref().expect("wanted");
    assert_relative_l2(&format!("{what}: input"), &input.to_vec(), &judged.d_images, CLOSE);
    for (name, g) in named(model, gradients) {
        let (want, what) = (&judged.d_params[&name], format!("{what}: {name}"));
        let Some(g) = g else {
            let none = name.ends_with(".v_th") && (steps == 0 || want[0] == 0.0);
            assert!(none, "{what} has no gradient, the judge's is {want:?}");
            continue;
        };
        // The gradient of a threshold or a pair is a number or two, sums of many of both signs: held against the largest of
        // its kind.
        if let Some(kind) = [".v_th", ".comb"].into_iter().find(|kind| name.ends_with(kind)) {
            let alike = judged.d_params.iter().filter(|(name, _)| name.ends_with(kind));
            let largest = alike.flat_map(|(_, g)| g).fold(0.0, |most: f64, g| most.max(g.abs()));
            assert_close(&what, &g, want, bound(CLOSE * largest, CLOSE));
            continue;
        }
        // A bias before a batch norm in train mode has no gradient but rounding: held against its weight's.
        let size = name.strip_suffix(".bias").map_or(0.0, |stem| norm(&judged.d_params[&format!("{stem}.weight")]));
        if norm(want) < 1e-9 * size {
            assert!(g.iter().all(|g| f64::from(g.abs()) <= CLOSE * size), "{what}: {g:?} is more than rounding of {size}");
        } else {
            assert_relative_l2(&what, &g, want, CLOSE);
        }
    }
}

#[test]
fn the_cases_spike_and_have_gradients() {
    // What the comparison above would not notice: a network that is silent, or saturated.
    for case in CASES.iter().filter(|case| case.steps > 0 && case.plan.arch != LINEAR.arch) {
        let run = run(&devices::first(), case, Statistics::Running);
        for layer in run.model.activity(&run.trace) {
            let rate = layer.spikes as f64 / (layer.neurons * layer.steps as u64) as f64;
            assert!((0.03..0.97).contains(&rate), "{}: {} fires at {rate}", case.name(), layer.name);
        }
        let g = run.model.backward(&run.trace, &run.dlogits, Credit::Bptt(Surrogate::default()), Want::Both).unwrap();
        assert!(g.input.unwrap().to_vec().iter().any(|&g| g.abs() > 1e-4));
    }
}

#[test]
fn a_trace_serves_many_backwards() {
    for case in [CASES[1], CASES[4], CASES[9]] {
        for (statistics, _) in MODES {
            let device = devices::first();
            let once = run(&device, &case, statistics);
            for (surrogate, _) in CREDITS {
                let credit = credit_of(surrogate);
                let what = format!("{} {statistics:?} {surrogate:?}", case.name());
                let again = run(&device, &case, statistics);
                let [mine, fresh] = [&once, &again].map(|run| run.model.backward(&run.trace, &run.dlogits, credit, Want::Both).unwrap());
                same_gradients(&what, &mine, &fresh);
                let consumed = again.model.backward_consuming(again.trace, &again.dlogits, credit, Want::Both).unwrap();
                same_gradients(&format!("{what}, consuming"), &consumed, &fresh);
            }
        }
    }
}

#[track_caller]
fn same_gradients(what: &str, got: &Gradients, want: &Gradients) {
    assert_eq!(got.params.len(), want.params.len());
    let pairs = got.params.iter().chain([&got.input]).zip(want.params.iter().chain([&want.input]));
    for (slot, (got, want)) in pairs.enumerate() {
        assert_eq!(got.is_some(), want.is_some(), "{what}: slot {slot}");
        if let (Some(got), Some(want)) = (got, want) {
            same_bits(&format!("{what}: slot {slot}"), &got.to_vec(), &want.to_vec());
        }
    }
}

#[test]
fn what_is_wanted_decides_what_is_computed_and_not_its_value() {
    for case in CASES {
        for (statistics, _) in MODES {
            let device = devices::first();
            let run = run(&device, &case, statistics);
            let pass = Pass { statistics, ..Pass::eval(run.model.spec().fire(), Keep::ForInput) };
            let (_, slim) = run.model.forward(&run.images, &pass).unwrap();
            for (surrogate, _) in CREDITS {
                let what = format!("{} {statistics:?} {surrogate:?}", case.name());
                let backward = |trace: &Trace, want| run.model.backward(trace, &run.dlogits, credit_of(surrogate), want).unwrap();
                let (both, input, params) =
                    (backward(&run.trace, Want::Both), backward(&run.trace, Want::Input), backward(&run.trace, Want::Params));
                assert!(input.params.iter().all(Option::is_none) && params.input.is_none(), "{what}");
                same_gradients(&what, &Gradients { input: None, params: params.params }, &Gradients { input: None, params: both.params });
                // In eval mode the affine map goes the short way, rounded otherwise.
                let [input, both] =
                    [input, both.input.map(|input| Gradients { params: vec![], input: Some(input) }).unwrap()].map(|g| g.input.unwrap());
                assert_relative_l2(&what, &input.to_vec(), &wide(&both), if statistics == Statistics::Batch { 0.0 } else { CLOSE });
                same_bits(&format!("{what}: a slim trace"), &backward(&slim, Want::Input).input.unwrap().to_vec(), &input.to_vec());
                let refused = run.model.backward(&slim, &run.dlogits, credit_of(surrogate), Want::Params).err().expect("refused");
                assert!(refused.to_string().contains("Keep::All"), "{refused}");
            }
        }
    }
}

#[test]
fn a_held_signal_is_its_explicit_copies_in_train_mode() {
    for case in CASES.into_iter().filter(|case| case.steps > 0) {
        for (statistics, _) in MODES {
            let device = devices::first();
            let mut held = run(&device, &case, statistics);
            let mut model = case.model(&device);
            // The same forward over T copies of the image, and its backward (of the parameters: pixels come once).
            let Signal { data: Data::Real(frame), .. } = model.present(&held.images, case.steps).unwrap() else {
                panic!("pixels are numbers")
            };
            let copies = Data::Real(frames::repeat(&frame, case.steps, 1.0));
            let mut signal = Signal { data: copies, frames: Frames::Each(case.steps) };
            let mut saved = Vec::new();
            for layer in model.layers() {
                let (next, kept) = layer.forward(signal, &held.trace.pass).unwrap();
                (signal, _) = (next, saved.push(kept));
            }
            let steps = pool::numbers(&signal.data);
            let what = format!("{} {statistics:?}", case.name());
            assert_relative_l2(&what, &frames::mean(&steps).to_vec(), &wide(&held.logits), CLOSE);
            let trace = Trace { saved, pass: held.trace.pass, steps, frames: signal.frames };
            for (surrogate, _) in CREDITS {
                let backward = |model: &Model, trace: &Trace| {
                    let gradients = model.backward(trace, &held.dlogits, credit_of(surrogate), Want::Params).unwrap();
                    named(model, &gradients)
                };
                for ((name, one), (_, other)) in backward(&held.model, &held.trace).into_iter().zip(backward(&model, &trace)) {
                    let (Some(one), Some(other)) = (one, other) else { continue };
                    if statistics == Statistics::Batch
                        && name.starts_with("features")
                        && case.biases == Biases::Present
                        && zero_bias(&model, &name)
                    {
                        continue; // rounding alone
                    }
                    let other: Vec<f64> = other.into_iter().map(f64::from).collect();
                    assert_relative_l2(&format!("{what} {surrogate:?}: {name}"), &one, &other, CLOSE);
                }
            }
            held.model.absorb(&held.trace);
            model.absorb(&trace);
            for ((name, _, one), (_, _, other)) in checkpoint::state_dict(&held.model).into_iter().zip(checkpoint::state_dict(&model)) {
                let other: Vec<f64> = other.into_iter().map(f64::from).collect();
                assert_relative_l2(&format!("{what}: {name}"), &one, &other, CLOSE);
            }
        }
    }
}

/// Whether `name` is the bias of a convolution: behind it comes a batch norm.
fn zero_bias(model: &Model, name: &str) -> bool {
    model.layers().iter().any(|layer| matches!(layer, Layer::Product(Product { bias: Some(bias), .. }) if bias.name == name))
}

/// The slope of the model's loss along `direction`, by central differences, `move_by` changing the model or the images.
fn slope(step: f32, mut loss_at: impl FnMut(f32) -> f64) -> f64 {
    (loss_at(step) - loss_at(-step)) / (2.0 * f64::from(step))
}

#[test]
fn the_relu_network_s_gradients_are_differences_of_its_own_loss() {
    const STEP: f32 = 1.0 / 4096.0;
    let device = devices::first();
    for case in CASES.into_iter().filter(|case| case.steps == 0) {
        let y = devices::labels(&device, &case.labels());
        for (statistics, _) in MODES {
            let run = run(&device, &case, statistics);
            let what = format!("{} {statistics:?}", case.name());
            let value = |model: &Model, images: &Tensor| {
                let (logits, _) = model.forward(images, &run.trace.pass).unwrap();
                // The mean in f64: a difference wants more digits than an f32 has.
                let values = wide(&caltrop::ops::loss::cross_entropy(&logits, &y).unwrap().values);
                values.iter().sum::<f64>() / values.len() as f64
            };
            let g = run.model.backward(&run.trace, &run.dlogits, Credit::Rate, Want::Both).unwrap();
            // Logits of size 1 carry 1e-7, which the step makes 3e-4; kinks within a step add as much.
            let close = |size: f64| bound(5e-4 + 2e-3 * size, 2e-3);
            let input = wide(g.input.as_ref().unwrap());
            for turn in 0..4 {
                let d = uniform64(&format!("direction{turn}"), input.len(), -1.0, 1.0, 3);
                let d: Vec<f64> = d.iter().map(|v| f64::from((v / norm(&d)) as f32)).collect();
                let difference = slope(STEP, |h| {
                    let moved: Vec<f64> = case.pixels().iter().zip(&d).map(|(x, d)| x + f64::from(h) * d).collect();
                    value(&run.model, &tensor(&device, case.shape(), &moved))
                });
                assert_close(&format!("{what}: pixels"), &[dot(&input, &d)], &[difference], close(norm(&input) / (d.len() as f64).sqrt()));
            }
            for (slot, gradient) in g.params.iter().enumerate() {
                let Some(gradient) = gradient else { continue };
                let gradient = wide(gradient);
                if norm(&gradient) < 1e-6 {
                    continue;
                }
                // Along the gradient itself, and along a random direction.
                let random = uniform64("direction", gradient.len(), -1.0, 1.0, slot as u64);
                for d in [&gradient, &random] {
                    let size = norm(d);
                    let d: Vec<f32> = d.iter().map(|v| (v / size) as f32).collect();
                    let difference = slope(STEP, |h| {
                        let mut model = run.model.clone();
                        let params = &mut model.params_mut();
                        let old = params[slot].value().clone();
                        let moved: Vec<f32> = old.to_vec().iter().zip(&d).map(|(p, d)| p + h * d).collect();
                        params[slot].weight.set(Tensor::from_slice(&device, old.shape(), &moved));
                        value(&model, &run.images)
                    });
                    let along: f64 = gradient.iter().zip(&d).map(|(g, d)| g * f64::from(*d)).sum();
                    if difference == 0.0 && along.abs() < 1e-4 {
                        continue; // less than a difference can tell
                    }
                    assert_close(
                        &format!("{what}: {}", run.model.params()[slot].name),
                        &[along],
                        &[difference],
                        close(norm(&gradient) * 0.3),
                    );
                }
            }
        }
    }
}

#[test]
fn images_of_another_size_and_foreign_traces_are_refused() {
    let device = devices::first();
    let run = run(&device, &CASES[4], Statistics::Running);
    let pass = run.trace.pass;
    let refused = run.model.forward(&Tensor::zeros(&device, [1, 8, 9, 2]), &pass).err().expect("refused").to_string();
    assert_eq!(refused, "model: vgg:5,A,7/9 wants images of 2x9x9, got 2x8x9");
    let other = CASES[8].model(&device);
    assert!(other.backward(&run.trace, &run.dlogits, Credit::Rate, Want::Input).is_err());
    let spikes_only = run.model.forward(&run.images, &Pass { keep: Keep::Spikes, ..pass }).unwrap().1;
    let refused = run.model.backward(&spikes_only, &run.dlogits, Credit::Rate, Want::Input).err().expect("refused").to_string();
    assert!(refused.contains("Keep::ForInput"), "{refused}");
}
