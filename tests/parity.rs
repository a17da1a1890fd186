//! The parity data, reproduced by the program's own library. `tests/parity/README.md` says what each case holds and
//! how close a float32 path must come; `cargo test --test parity -- --nocapture` prints the margins.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use caltrop::attack::{self, Objective, Targets, Victim, Walk};
use caltrop::autodiff::{Credit, Fire, Keep, Lens, Pass, Statistics, Surrogate, Want};
use caltrop::base::rng::{Philox, Purpose};
use caltrop::checkpoint::{self, Require, TensorFile};
use caltrop::device::{Device, Flavour, Gpu, Order};
use caltrop::drive::Seen;
use caltrop::nn::{Model, Spec};
use caltrop::ops::lif::{self, Down, Dynamics, Reset, Spread, Upstream};
use caltrop::ops::pixel::Ball;
use caltrop::optim::Sgd;
use caltrop::tensor::{Array, Data, Tensor};
use caltrop::{loss, ops, zoo};
use safetensors::tensor::{Dtype, TensorView};

use support::close::share_differing;
use support::naive::{self, channels_first, channels_last};
use support::named;
use support::network as judge;
use support::outcome::{Flips, HEAD, Margins, Outcome, assert_none, head};
use support::parity::{Parity, floors, folder};

const CLASSES: usize = 10;
const LOSS_AND_NEURON: f64 = 2e-5;

fn cpu() -> Device {
    Device::cpu(None).expect("a CPU")
}

/// Every GPU there is (none: nothing to hold), and one emulated.
fn gpus() -> Vec<Device> {
    let emulated = Device::emulated(Some(2), Order::default(), Flavour::default());
    emulated.into_iter().chain(Gpu::cuda(0).map(Device::Gpu)).collect()
}

fn tensor<const R: usize>(device: &Device, shape: [usize; R], values: &[f64]) -> Tensor {
    Tensor::from_slice(device, shape, &values.iter().map(|&x| x as f32).collect::<Vec<_>>())
}

/// The named stream as images [N, H, W, C] of 32x32.
fn images(device: &Device, name: &str, n: usize, (lo, hi): (f64, f64), seed: u64) -> Tensor {
    let values = named::uniform(name, n * 3 * 32 * 32, lo, hi, seed);
    Tensor::from_slice(device, [n, 32, 32, 3], &channels_last(&values, [n, 3, 32, 32]))
}

/// Images in PyTorch's order.
fn torch(images: &Tensor) -> Vec<f32> {
    channels_first(&images.to_vec(), [images.shape()[0], 3, 32, 32])
}

fn labels(device: &Device, name: &str, n: usize, seed: u64) -> Array<i32> {
    Array::from_slice(device, [n], &named::labels(name, n, seed).into_iter().map(|y| y as i32).collect::<Vec<_>>())
}

/// The parity data's network: named weights, poured in as the state dict of PyTorch that they are.
/// `bias` as the data has it: absent in `networks` for a VGG at T = 0.
fn network(device: &Device, arch: &str, steps: usize, bias: bool, seed: u64) -> caltrop::base::Result<Model> {
    let plan = if arch == "vgg5" { "vgg:16,A,32,A,64,A/256" } else { arch };
    let spec = Spec {
        arch: plan.into(),
        classes: CLASSES,
        input: [3, 32, 32],
        mean: vec![0.4914, 0.4822, 0.4465],
        std: vec![0.2023, 0.1994, 0.2010],
        bias,
        steps,
        leak: 1.0,
        reset: Reset::Hard,
        dropout: 0.0,
    };
    let mut model = zoo::build(device, spec, 0)?;
    let dict: Vec<(String, Vec<usize>, Vec<f32>)> = checkpoint::state_dict(&model)
        .into_iter()
        .map(|(name, shape, _)| {
            let values = named::parameter(&name, &shape, seed);
            (name, shape, values)
        })
        .collect();
    let views = dict.iter().map(|(name, shape, values)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values)).expect("values of that shape"))
    });
    let bytes = safetensors::serialize(views, None).expect("a file in memory");
    drop(dict);
    checkpoint::fill(&mut model, &TensorFile::parse(bytes)?, Require::Everything)?;
    Ok(model)
}

#[test]
fn the_neuron() {
    neuron(&cpu());
}

#[test]
fn the_neuron_and_the_losses_on_gpus() {
    gpus().iter().for_each(neuron);
    gpus().iter().for_each(losses);
}

fn neuron(device: &Device) {
    let parity = Parity::open("neuron");
    let (mut cases, mut failures) = (0, Vec::new());
    for case in parity.between("", ".dx") {
        // T8.hard.leak0.9375.EXP-D.g0.5
        let (steps, rest) = case[1..].split_once('.').expect("T");
        let (reset, rest) = rest.split_once(".leak").expect("reset");
        let (rest, gamma) = rest.rsplit_once(".g").expect("gamma");
        let (leak, kind) = rest.rsplit_once('.').expect("leak");
        let steps: usize = steps.parse().expect("T");
        let reset = if reset == "hard" { Reset::Hard } else { Reset::Soft };
        let dynamics = Dynamics { steps, leak: leak.parse().expect("leak"), reset };
        let Lens::Spiking(credit) = lens(kind, gamma) else { panic!("{case}: no neuron") };
        let (x, g) = (parity.data(&format!("T{steps}.x")), parity.data(&format!("T{steps}.g")));
        let mut margins = Margins::new(case);
        // The 256 neurons as one pixel, as single channels, and as something in between: the same numbers.
        for [h, w, c] in [[1, 1, 256], [16, 16, 1], [2, 4, 32]] {
            let inward = |a: &[f64]| tensor(device, [1, h, w, steps, c], &naive::time_inward(a, [h * w, steps, c]));
            let (y, gradient, v_th) = (inward(x), inward(g), Tensor::full(device, [], 0.75));
            let spikes = lif::forward(&y, None, &v_th, dynamics).expect("forward");
            let upstream = Upstream { gradient: &gradient, spread: Spread::Plain };
            let back = lif::backward(&y, None, &v_th, dynamics, upstream, credit, Down::Current).expect("backward");
            let dx: Vec<f64> = back.dx.to_vec().iter().map(|&x| f64::from(x)).collect();
            let dx = naive::time_outward(&dx, [h * w, steps, c]);
            let fired = naive::time_outward(&unpacked(&spikes), [h * w, steps, c]);
            let flips = fired.iter().zip(parity.data(&format!("{case}.spikes"))).filter(|(a, b)| a != b).count();
            margins.hold("spikes flipped", flips as f64, 0.0);
            margins.close("dx", &dx, parity.data(&format!("{case}.dx")), LOSS_AND_NEURON);
            margins.close("dvth", &back.dv_th.to_vec(), parity.data(&format!("{case}.dvth")), LOSS_AND_NEURON);
        }
        failures.extend(margins.finish());
        cases += 1;
    }
    assert_none(&failures);
    assert!(cases >= 80, "{cases} cases");
}

/// Spikes as numbers [rows, T, C].
fn unpacked(spikes: &Data) -> Vec<f64> {
    let Data::Spikes { codes, steps } = spikes else { panic!("a neuron emits spikes") };
    let (planes, channels) = (codes.shape()[3], codes.shape()[4]);
    let codes = codes.to_vec();
    let pixels = codes.chunks_exact(planes * channels);
    pixels
        .flat_map(|pixel| {
            (0..steps * channels).map(move |i| {
                let (t, c) = (i / channels, i % channels);
                f64::from(pixel[t / 8 * channels + c] >> (t % 8) & 1)
            })
        })
        .collect()
}

/// A gradient variant by the parity data's name.
fn lens(kind: &str, gamma: &str) -> Lens {
    match kind {
        "relu" => Lens::Act,
        "bptr" | "BPTR" => Lens::Spiking(Credit::Rate),
        _ => Lens::surrogate(kind, gamma.parse().expect("gamma")).expect("a surrogate"),
    }
}

#[test]
fn the_losses() {
    losses(&cpu());
}

fn losses(device: &Device) {
    let parity = Parity::open("losses");
    let shape = [parity.data("y").len(), CLASSES];
    let (adv, clean) = (tensor(device, shape, parity.data("adv")), tensor(device, shape, parity.data("clean")));
    let y: Vec<i32> = parity.data("y").iter().map(|&y| y as i32).collect();
    let y = Array::from_slice(device, [y.len()], &y);
    // A loss of one set of logits has no gradient at the other: exactly 0.
    let alone = |loss: loss::Single| loss::Paired {
        value: loss.value,
        parts: Vec::new(),
        dadv: loss.dlogits,
        dclean: Tensor::zeros(device, shape),
    };
    let mut failures = Vec::new();
    for (name, found) in [
        ("ce", loss::cross_entropy(&adv, &y).map(alone)),
        ("kl_sum", loss::kl(&adv, &clean)),
        ("trades6", loss::trades(&adv, &clean, &y, 6.0)),
        ("mart4", loss::mart(&adv, &clean, &y, 4.0)),
        ("dlr_sum", loss::dlr(&adv, &y).map(alone)),
    ] {
        let (found, mut margins) = (found.expect(name), Margins::new(name));
        margins.close("value", &found.value.to_vec(), parity.data(&format!("{name}.value")), LOSS_AND_NEURON);
        margins.close("dadv", &found.dadv.to_vec(), parity.data(&format!("{name}.dadv")), LOSS_AND_NEURON);
        margins.close("dclean", &found.dclean.to_vec(), parity.data(&format!("{name}.dclean")), LOSS_AND_NEURON);
        failures.extend(margins.finish());
    }
    assert_none(&failures);
}

fn norm32(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// What the program makes of one pass, as the mean cross-entropy sees it; in train mode `model` absorbs the statistics.
fn outcome(model: &mut Model, images: &Tensor, labels: &Array<i32>, credit: Credit, statistics: Statistics) -> Outcome {
    let train = statistics == Statistics::Batch;
    let pass = Pass { statistics, ..Pass::eval(model.spec().fire(), Keep::All) };
    let (logits, trace) = model.forward(images, &pass).expect("forward");
    let entropy = loss::cross_entropy(&logits, labels).expect("loss");
    let want = if train { Want::Both } else { Want::Input };
    let found = model.backward(&trace, &entropy.dlogits, credit, want).expect("backward");
    let d_images = torch(found.input.as_ref().expect("wanted"));
    let mut outcome = Outcome {
        logits: logits.to_vec().iter().map(|&x| x.into()).collect(),
        d_images: d_images.into_iter().map(f64::from).collect(),
        ..Outcome::default()
    };
    if pass.fire != Fire::Relu {
        outcome.spikes = model.activity(&trace).iter().map(|layer| layer.spikes as f64).collect();
    }
    if train {
        // No gradient is one of exactly 0, of the length that the head would have.
        let lengths: Vec<usize> = model.params().iter().map(|param| param.value().shape().count()).collect();
        let grads = checkpoint::gradients(model, &found.params).expect("slots").into_iter().zip(lengths);
        outcome.grads = grads
            .map(|((name, g), length)| match g {
                Some(g) => (name, (norm32(&g), head(&g))),
                None => (name, (0.0, vec![0.0; length.min(HEAD)])),
            })
            .collect();
        model.absorb(&trace);
        let running = checkpoint::state_dict(model).into_iter().filter(|(name, ..)| name.contains(".running_"));
        outcome.running = running.map(|(name, _, values)| (name, head(&values))).collect();
    }
    outcome
}

/// Names and shapes of the state dict, in its order.
fn layout(model: &Model) -> Vec<(String, Vec<usize>)> {
    checkpoint::state_dict(model).into_iter().map(|(name, shape, _)| (name, shape)).collect()
}

#[test]
fn the_networks() {
    let held = networks(&cpu(), |_| true);
    assert!(["vgg5", "vgg11", "resnet20", "wrn16_4"].iter().all(|arch| held.contains(*arch)), "only {held:?} were held");
}

/// The emulator would take minutes for a large one.
#[test]
fn the_small_network_on_gpus() {
    for device in gpus() {
        assert_eq!(networks(&device, |arch| arch == "vgg5").len(), 1);
    }
}

/// Holds the networks that `wanted` names; returns those held.
fn networks(device: &Device, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let (parity, floors) = (Parity::open("networks"), floors());
    let (n, seed) = (parity.data("label").len(), parity.seed);
    let (x, y) = (images(device, "image", n, (0.0, 1.0), seed), labels(device, "label", n, seed));
    assert_eq!(y.to_vec().iter().map(|&y| f64::from(y)).collect::<Vec<_>>(), parity.data("label"), "the labels of seed {seed}");
    let (mut flips, mut held, mut failures) = (Flips::default(), BTreeSet::new(), Vec::new());
    for case in parity.between("", ".eval.logits") {
        // vgg5.T8.bptt
        let (arch, rest) = case.split_once(".T").expect("arch");
        if !wanted(arch) {
            continue;
        }
        let (steps, mode) = rest.split_once('.').expect("T");
        let steps: usize = steps.parse().expect("T");
        let bias = steps > 0 || !arch.starts_with("vgg");
        let mut model = network(device, arch, steps, bias, seed).unwrap_or_else(|error| panic!("{case}: {error}"));
        let credit = if mode == "bptr" { Credit::Rate } else { Credit::Bptt(Surrogate::default()) };
        for (mode, statistics) in [("eval", Statistics::Running), ("train", Statistics::Batch)] {
            let floor = |quantity: &str| match quantity {
                "grad" => floors[case]["worst param-grad norm"],
                _ => floors[case][&format!("{mode}.{quantity}")],
            };
            let got = outcome(&mut model, &x, &y, credit, statistics);
            let mut margins = Margins::new(format!("{case}.{mode}"));
            flips.hold(&mut margins, &layout(&model), &got, &Outcome::of_file(&parity, case, mode), floor);
            failures.extend(margins.finish());
        }
        held.insert(arch.to_string());
    }
    assert_none(&failures);
    flips.assert_few();
    held
}

/// Nothing hangs on one seed: with others the program agrees with the f64 tape, which agrees with the parity data.
#[test]
fn other_seeds() {
    let (device, layers, mut flips, mut failures) = (cpu(), judge::vgg5(), Flips::default(), Vec::new());
    for (seed, steps, rate) in [(7, 0, false), (7, 8, false), (7, 8, true), (1_000_003, 4, false)] {
        let biases = if steps > 0 { judge::Biases::Present } else { judge::Biases::Absent };
        let mut model = network(&device, "vgg5", steps, steps > 0, seed).expect("vgg5");
        let dict = judge::state_dict(&layers, biases, seed);
        let (x, classes) = (images(&device, "image", 2, (0.0, 1.0), seed), named::labels("label", 2, seed));
        let y = labels(&device, "label", 2, seed);
        let pixels: Vec<f64> = x.to_vec().iter().map(|&x| x.into()).collect();
        let (ours, theirs) = match rate {
            true => (Credit::Rate, judge::Credit::Rate),
            false => (Credit::Bptt(Surrogate::default()), judge::Credit::Bptt(support::neuron::Surrogate::Pcw, 1.0)),
        };
        for (statistics, wanted) in [(Statistics::Running, naive::Statistics::Running), (Statistics::Batch, naive::Statistics::Batch)] {
            let setup = judge::Setup { credit: theirs, ..judge::Setup::new(steps, wanted) };
            let got = outcome(&mut model, &x, &y, ours, statistics);
            let mut margins = Margins::new(format!("seed {seed} T{steps} {statistics:?}"));
            flips.hold(&mut margins, &layout(&model), &got, &Outcome::of_judge(&layers, &dict, &pixels, 2, &classes, &setup), |_| 0.0);
            failures.extend(margins.finish());
        }
    }
    assert_none(&failures);
    flips.assert_few();
}

#[test]
fn the_attacks() {
    attacks(&cpu());
}

#[test]
fn the_attacks_on_gpus() {
    gpus().iter().for_each(attacks);
}

fn attacks(device: &Device) {
    let (parity, floors) = (Parity::open("attacks"), floors());
    let (n, seed, eps) = (parity.data("label").len(), parity.seed, 8.0 / 255.0f32);
    let (x, y) = (images(device, "image", n, (0.0, 1.0), seed), labels(device, "label", n, seed));
    assert_eq!(y.to_vec().iter().map(|&y| f64::from(y)).collect::<Vec<_>>(), parity.data("label"), "the labels of seed {seed}");
    let noise = |name: &str, r: f64| images(device, name, n, (-r, r), seed);
    let (uniform, sign) = (noise("attack.uniform", 8.0 / 255.0), noise("attack.sign", 1.0));
    let half = noise("attack.half", 4.0 / 255.0);
    let ids: Vec<u64> = (0..n as u64).collect();
    let targets = Targets { images: &x, labels: &y, ids: &ids };
    let (mut attacks, mut failures) = (0, Vec::new());
    for case in parity.between("", ".fgsm") {
        // T4.EXP-D.g0.5
        let (steps, rest) = case[1..].split_once('.').expect("T");
        let (kind, gamma) = rest.rsplit_once(".g").expect("gamma");
        let lens = lens(kind, gamma);
        let model = network(device, "vgg5", steps.parse().expect("T"), true, seed).expect("vgg5");
        let victim = Seen { model: &model };
        let entropy = Objective::CrossEntropy(y.clone());
        let divergence = Objective::Divergence(victim.logits(&x, lens).expect("logits"));
        let rfgsm = |objective: &Objective| attack::rfgsm(&victim, &targets, lens, objective, Ball::linf(eps), eps / 2.0, &sign);
        let walk = |iterations: usize| Walk { iterations, ..Walk::new(Ball::linf(eps), 10) };
        let stem = format!("{case}.");
        for name in parity.between(&stem, "").filter(|name| !name.ends_with(".ce")) {
            let adv = match name {
                "fgsm" => attack::fgsm(&victim, &targets, lens, Ball::linf(eps)),
                "rfgsm_ce" => rfgsm(&entropy),
                "rfgsm_kl" => rfgsm(&divergence),
                "pgd10" => attack::pgd(&victim, &targets, lens, &entropy, walk(10), &uniform),
                "tpgd2" => attack::pgd(&victim, &targets, lens, &divergence, walk(2), &half),
                _ => panic!("{case}: no attack {name}"),
            };
            let adv = adv.expect(name);
            let floor = floors[&format!("attack T{steps} {kind} {gamma}")][name];
            let least = if name == "pgd10" { 5e-2 } else { 2e-3 };
            let mut margins = Margins::new(format!("{case}.{name}"));
            let (got, want) = (torch(&adv), parity.data(&format!("{case}.{name}")));
            let tol = f64::from(eps) / 100.0;
            margins.hold("share of pixels", share_differing(&got, want, tol), f64::max(least, 4.0 * floor));
            // The file's losses are those of the spiking network (at T = 0 there is none), held where the images agree.
            let logits = victim.logits(&adv, Lens::default()).expect("logits");
            let entropies = ops::loss::cross_entropy(&logits, &y).expect("entropies").values;
            let pixels = want.len() / n;
            let agree = |image: &usize| {
                let range = image * pixels..(image + 1) * pixels;
                share_differing(&got[range.clone()], &want[range], tol) == 0.0
            };
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for image in (0..n).filter(agree) {
                ours.push(entropies.to_vec()[image]);
                theirs.push(parity.data(&format!("{case}.{name}.ce"))[image]);
            }
            margins.close(&format!("ce of {} images", ours.len()), &ours, &theirs, 2e-3);
            failures.extend(margins.finish());
            attacks += 1;
        }
    }
    assert_none(&failures);
    assert!(attacks >= 45, "{attacks} attacks");
}

#[test]
fn the_training() {
    assert!(training(&cpu(), |_| true) >= 2);
}

#[test]
fn the_training_on_gpus() {
    for device in gpus() {
        assert!(training(&device, |arch| arch == "vgg5") >= 1);
    }
}

/// Trains the networks that `wanted` names; returns their number.
fn training(device: &Device, wanted: impl Fn(&str) -> bool) -> usize {
    let parity = Parity::open("training");
    let (mut held, mut failures) = (0, Vec::new());
    for case in parity.between("", ".losses") {
        let (arch, steps) = case.split_once(".T").expect("arch");
        if !wanted(arch) {
            continue;
        }
        let steps: usize = steps.parse().expect("T");
        let mut model = network(device, arch, steps, true, parity.seed).unwrap_or_else(|error| panic!("{case}: {error}"));
        let mut margins = Margins::new(format!("{case} training"));
        let bound = if steps == 0 { 1e-4 } else { 5e-3 };
        let want = parity.data(&format!("{case}.losses"));
        margins.close("losses", &train(&mut model, want.len(), parity.seed), want, bound);
        let params: BTreeSet<&String> = model.params().into_iter().map(|param| &param.name).collect();
        let dict: Vec<_> = checkpoint::state_dict(&model).into_iter().filter(|(name, ..)| params.contains(name)).collect();
        let names: Vec<String> = parity.between(&format!("{case}."), ".norm").map(String::from).collect();
        margins.same_names("parameters", dict.iter().map(|(name, ..)| name), names.iter());
        for (name, _, values) in &dict {
            margins.close(&format!("{name} head"), &head(values), parity.data(&format!("{case}.{name}.head")), bound);
            margins.close(&format!("{name} norm"), &[norm32(values)], parity.data(&format!("{case}.{name}.norm")), bound);
        }
        failures.extend(margins.finish());
        held += 1;
    }
    assert_none(&failures);
    held
}

/// Robust finetuning: clean train-mode forward, attack in eval mode, adversarial train-mode forward, one step down both.
fn train(model: &mut Model, iterations: usize, seed: u64) -> Vec<f64> {
    let (device, n, eps) = (model.device().clone(), 4, 2.0 / 255.0f32);
    let (lens, credit) = (Lens::default(), Credit::Bptt(Surrogate::default()));
    let mut sgd = Sgd::new(model, 0.9, 1e-3);
    let step = |s: usize| {
        let x = images(&device, &format!("train.image.{s}"), n, (0.0, 1.0), seed);
        let noise = images(&device, &format!("train.noise.{s}"), n, (-1.0, 1.0), seed);
        let y = labels(&device, &format!("train.label.{s}"), n, seed);
        let fire = model.spec().fire();
        let pass = |which: u64| Pass::train(fire, Philox::stream(seed, Purpose::Dropout, &[s as u64, which]));
        let (clean, clean_trace) = model.forward(&x, &pass(0)).expect("clean forward");
        model.absorb(&clean_trace);
        let ids: Vec<u64> = (0..n as u64).collect();
        let adv = {
            let victim = Seen { model };
            let objective = Objective::Divergence(victim.logits(&x, lens).expect("logits"));
            let targets = Targets { images: &x, labels: &y, ids: &ids };
            attack::rfgsm(&victim, &targets, lens, &objective, Ball::linf(eps), eps / 2.0, &noise).expect("attack")
        };
        let (logits, adv_trace) = model.forward(&adv, &pass(1)).expect("adversarial forward");
        model.absorb(&adv_trace);
        let loss = loss::trades(&logits, &clean, &y, 2.0).expect("loss");
        let mut gradients = model.backward_consuming(adv_trace, &loss.dadv, credit, Want::Params).expect("adversarial backward");
        gradients
            .absorb(model.backward_consuming(clean_trace, &loss.dclean, credit, Want::Params).expect("clean backward"))
            .expect("the same network");
        sgd.step(model, &gradients, 0.01).expect("step");
        f64::from(loss.value.to_vec()[0])
    };
    (0..iterations).map(step).collect()
}

/// The variable leads to another folder, whose contents decide.
#[test]
fn the_folder_is_a_variable() {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parity-copy");
    std::fs::create_dir_all(&copy).expect("a folder for the copy");
    let name = "losses.safetensors";
    let mut bytes = std::fs::read(folder().join(name)).expect("the losses");
    let run = || {
        let this = std::env::current_exe().expect("this test's binary");
        let mut command = Command::new(this);
        command.args(["--exact", "the_losses"]).env("CALTROP_PARITY", &copy);
        let output = command.output().expect("this test's binary runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    std::fs::write(copy.join(name), &bytes).expect("the copy");
    let (success, text) = run();
    assert!(success, "a faithful copy must pass: {text}");
    *bytes.last_mut().expect("a file") ^= 0x10;
    std::fs::write(copy.join(name), &bytes).expect("the copy");
    let (success, text) = run();
    assert!(!success && text.contains("the_losses ... FAILED"), "a changed copy must fail: {text}");
    std::fs::remove_dir_all(&copy).expect("the copy goes");
}
