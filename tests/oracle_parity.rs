//! The judges held against foreign numbers: the parity data, made in float64 and stored as float32.

mod support;

use support::close::{Bound, assert_close, assert_relative_l2, bound, norm, relative_l2, share_differing};
use support::naive::{self, *};
use support::named::{labels, uniform64};
use support::network::{self, Biases, Credit, Layer, Network, Setup, StateDict};
use support::parity::{Parity, floors};
use support::tape::{Id, Tape};

/// Only the storage as float32 lies between.
const STORED: Bound = bound(1e-7, 1e-6);
const STORED_L2: f64 = 1e-5;

#[test]
fn the_neuron_is_the_published_one() {
    let parity = Parity::open("neuron");
    let mut cases = 0;
    for case in parity.between("", ".dx") {
        // T8.hard.leak0.937.EXP-D.g0.5
        let (steps, rest) = case[1..].split_once('.').expect("T");
        let (reset, rest) = rest.split_once(".leak").expect("reset");
        let (rest, gamma) = rest.rsplit_once(".g").expect("gamma");
        let (leak, kind) = rest.rsplit_once('.').expect("leak");
        let steps: usize = steps.parse().expect("T");
        let reset = if reset == "hard" { Reset::Hard } else { Reset::Soft };
        let neuron = Neuron { v_th: 0.75, leak: leak.parse().expect("leak"), reset };
        let shape = [1, steps, 256];
        let (x, g) = (parity.data(&format!("T{steps}.x")), parity.data(&format!("T{steps}.g")));
        let fired = neuron_forward(x, shape, neuron, Fire::Spike);
        assert_eq!(fired.s, parity.data(&format!("{case}.spikes")), "{case} spikes");
        let (dx, dv_th) = match Surrogate::named(kind) {
            Some(surrogate) => neuron_backward(&fired, g, shape, neuron, surrogate, gamma.parse().expect("gamma")),
            None => (neuron_backward_rate(&fired, g, shape), 0.0),
        };
        assert_close(&format!("{case} dx"), &dx, parity.data(&format!("{case}.dx")), STORED);
        assert_close(&format!("{case} dvth"), &[dv_th], parity.data(&format!("{case}.dvth")), bound(1e-6, 1e-6));
        cases += 1;
    }
    assert!(cases >= 80, "{cases} cases");
}

#[test]
fn the_losses_are_the_published_ones() {
    let parity = Parity::open("losses");
    let (adv, clean) = (parity.data("adv"), parity.data("clean"));
    let y: Vec<usize> = parity.data("y").iter().map(|&y| y as usize).collect();
    for (name, loss) in [
        ("ce", cross_entropy(adv, &y, 10)),
        ("kl_sum", kl_sum(adv, clean, 10)),
        ("trades6", trades(adv, clean, &y, 10, 6.0)),
        ("mart4", mart(adv, clean, &y, 10, 4.0)),
        ("dlr_sum", dlr_sum(adv, &y, 10)),
    ] {
        assert_close(&format!("{name} value"), &[loss.value], parity.data(&format!("{name}.value")), STORED);
        assert_close(&format!("{name} dadv"), &loss.d_adv, parity.data(&format!("{name}.dadv")), STORED);
        assert_close(&format!("{name} dclean"), &loss.d_clean, parity.data(&format!("{name}.dclean")), STORED);
    }
}

#[test]
fn the_floors_of_float32_are_read() {
    assert!(floors()["vgg5.T8.bptt"]["eval.logits"] < 1e-6);
}

fn images(name: &str, n: usize, seed: u64) -> Vec<f64> {
    channels_last(&uniform64(name, n * 3072, 0.0, 1.0, seed), [n, 3, 32, 32])
}

/// One case of `networks`: eval and train mode, everything that the file holds.
fn hold_network(case: &str, layers: &[Layer], biases: Biases) {
    let parity = Parity::open("networks");
    let dict = network::state_dict(layers, biases, parity.seed);
    let (x, y) = (images("image", 2, parity.seed), labels("label", 2, parity.seed));
    assert_eq!(y.iter().map(|&y| y as f64).collect::<Vec<_>>(), parity.data("label"));
    let steps: usize = case.split(".T").nth(1).and_then(|t| t.split('.').next()).and_then(|t| t.parse().ok()).expect("T");
    let credit = if case.ends_with("bptr") { Credit::Rate } else { Credit::Bptt(Surrogate::Pcw, 1.0) };
    for (mode, statistics) in [("eval", Statistics::Running), ("train", Statistics::Batch)] {
        let setup = Setup { credit, ..Setup::new(steps, statistics) };
        let found = network::judge(layers, &dict, &x, [2, 32, 32, 3], &setup, |t, z| t.cross_entropy(z, &y, 10));
        let what = |leaf: &str| format!("{case}.{mode}.{leaf}");
        if steps > 0 {
            assert_eq!(found.spikes, parity.data(&what("spikes")), "{}", what("spikes"));
        }
        assert_relative_l2(&what("logits"), &found.logits, parity.data(&what("logits")), STORED_L2);
        let d_images = channels_first(&found.d_images, [2, 3, 32, 32]);
        assert_relative_l2(&what("dimage"), &d_images, parity.data(&what("dimage")), STORED_L2);
        if mode == "eval" {
            continue;
        }
        for (name, g) in &found.d_params {
            let g = in_torch_order(layers, name, &dict[name].0, g);
            let (want, head) = (parity.data(&what(&format!("grad.{name}.norm")))[0], parity.data(&what(&format!("grad.{name}.head"))));
            let weight = name.strip_suffix(".bias").map(|layer| norm(&found.d_params[&format!("{layer}.weight")]));
            if let Some(weight) = weight.filter(|weight| want < 1e-9 * weight) {
                assert!(norm(&g) <= 1e-9 * weight, "{name}: a bias before a norm has no gradient, got {:e}", norm(&g));
                continue;
            }
            assert_close(&what(name), &[norm(&g)], &[want], bound(0.0, STORED_L2));
            assert_relative_l2(&what(name), &g[..head.len()], head, STORED_L2);
        }
        for (name, values) in &found.running {
            let head = parity.data(&what(&format!("buffer.{name}.head")));
            assert_relative_l2(&what(name), &values[..head.len()], head, STORED_L2);
        }
    }
}

/// A gradient in channels-last order as PyTorch has it.
fn in_torch_order(layers: &[Layer], name: &str, shape: &[usize], g: &[f64]) -> Vec<f64> {
    match *shape {
        [o, i, kh, kw] => channels_first(g, [o, i, kh, kw]),
        [o, fan_in] if name == "classifier.1.weight" => {
            let [c, h, w] = network::flat_extents(layers, 32).map_or([fan_in, 1, 1], |(_, extents)| extents);
            channels_first(g, [o, c, h, w])
        }
        _ => g.to_vec(),
    }
}

#[test]
fn vgg5_as_a_relu_network() {
    hold_network("vgg5.T0.bptt", &network::vgg5(), Biases::Absent);
}

#[test]
fn vgg5_over_eight_steps() {
    hold_network("vgg5.T8.bptt", &network::vgg5(), Biases::Present);
}

#[test]
fn vgg5_by_rates() {
    hold_network("vgg5.T8.bptr", &network::vgg5(), Biases::Present);
}

#[test]
fn resnet20_as_a_relu_network() {
    hold_network("resnet20.T0.bptt", &network::resnet(3), Biases::Linear);
}

#[test]
fn resnet20_over_four_steps() {
    hold_network("resnet20.T4.bptt", &network::resnet(3), Biases::Linear);
}

#[test]
fn wide_resnet_16_4_as_a_relu_network() {
    hold_network("wrn16_4.T0.bptt", &network::wide_resnet(16, 4), Biases::Linear);
}

const EPS: f64 = 8.0 / 255.0;

/// vgg5 under attack: what a loss's gradient at the pixels is.
struct Victim {
    dict: StateDict,
    layers: Vec<Layer>,
    setup: Setup,
    n: usize,
}

impl Victim {
    fn logits(&self, x: &[f64]) -> Vec<f64> {
        let mut tape = Tape::new();
        let mut net = Network::new(&mut tape, &self.layers, &self.dict, 32);
        let x = tape.leaf(x);
        let z = net.forward(&mut tape, x, [self.n, 32, 32, 3], &self.setup);
        tape.value(z).to_vec()
    }

    fn gradient(&self, x: &[f64], loss: impl FnOnce(&mut Tape, Id) -> Id) -> Vec<f64> {
        network::judge(&self.layers, &self.dict, x, [self.n, 32, 32, 3], &self.setup, loss).d_images
    }

    /// clip(x + alpha·sign(noise)), then (eps - alpha)·sign of the KL's or the CE's gradient.
    fn rfgsm(&self, x: &[f64], noise: &[f64], alpha: f64, eps: f64, y: Option<&[usize]>) -> Vec<f64> {
        let start: Vec<f64> = x.iter().zip(noise).map(|(x, n)| (x + alpha * naive::sign(*n)).clamp(0.0, 1.0)).collect();
        let g = match y {
            Some(y) => self.gradient(&start, |t, z| t.cross_entropy(z, y, 10)),
            None => self.kl_gradient(&start, &self.logits(x)),
        };
        naive::signed_step(&start, &g, x, eps - alpha, eps)
    }

    fn kl_gradient(&self, at: &[f64], clean: &[f64]) -> Vec<f64> {
        self.gradient(at, |t, z| {
            let clean = t.leaf(clean);
            t.kl_sum(z, clean, 10)
        })
    }
}

fn hold_attacks(case: &str, steps: usize, credit: Credit) {
    let parity = Parity::open("attacks");
    let (layers, n, seed) = (network::vgg5(), 4, parity.seed);
    let dict = network::state_dict(&layers, Biases::Present, seed);
    // Gradients of the `relu` lens come from the ReLU network; the final images are judged on the spiking one.
    let gradient_steps = if case.contains(".relu.") { 0 } else { steps };
    let setup = Setup { credit, ..Setup::new(gradient_steps, Statistics::Running) };
    let victim = Victim { dict: dict.clone(), layers: layers.clone(), setup, n };
    let (x, y) = (images("image", n, seed), labels("label", n, seed));
    let noise = |name: &str, r: f64| channels_last(&uniform64(name, n * 3072, -r, r, seed), [n, 3, 32, 32]);
    let alpha = 2.5 * EPS / 10.0;
    let ce = |x: &[f64]| victim.gradient(x, |t, z| t.cross_entropy(z, &y, 10));
    let start = |noise: Vec<f64>| -> Vec<f64> { x.iter().zip(&noise).map(|(x, n)| (x + n).clamp(0.0, 1.0)).collect() };
    let iterate = |from: Vec<f64>, times: usize, g: &dyn Fn(&[f64]) -> Vec<f64>| {
        (0..times).fold(from, |adv, _| naive::signed_step(&adv, &g(&adv), &x, alpha, EPS))
    };
    let clean = victim.logits(&x);
    let sign = noise("attack.sign", 1.0);
    let judged = Victim { setup: Setup::new(steps, Statistics::Running), dict, layers, n };
    for (attack, adv) in [
        ("fgsm", naive::signed_step(&x, &ce(&x), &x, EPS, EPS)),
        ("rfgsm_ce", victim.rfgsm(&x, &sign, EPS / 2.0, EPS, Some(&y))),
        ("rfgsm_kl", victim.rfgsm(&x, &sign, EPS / 2.0, EPS, None)),
        ("pgd10", iterate(start(noise("attack.uniform", EPS)), 10, &ce)),
        ("tpgd2", iterate(start(noise("attack.half", EPS / 2.0)), 2, &|adv| victim.kl_gradient(adv, &clean))),
    ] {
        let key = format!("{case}.{attack}");
        let share = share_differing(&channels_first(&adv, [n, 3, 32, 32]), parity.data(&key), EPS / 100.0);
        assert!(share <= 5e-4, "{key}: {share} of the pixels differ");
        let each = cross_entropy_each(&judged.logits(&adv), &y, 10);
        let error = relative_l2(&each, parity.data(&format!("{key}.ce")));
        assert!(share > 0.0 || error < 1e-4, "{key}: the losses differ by {error:e}");
    }
}

#[test]
fn attacks_on_the_relu_network() {
    hold_attacks("T0.relu.g1.0", 0, Credit::Rate);
}

#[test]
fn attacks_through_time() {
    hold_attacks("T4.PCW.g1.0", 4, Credit::Bptt(Surrogate::Pcw, 1.0));
    hold_attacks("T4.RECT.g4.0", 4, Credit::Bptt(Surrogate::Rect, 4.0));
}

#[test]
fn attacks_by_rates_and_by_relu() {
    hold_attacks("T4.bptr.g1.0", 4, Credit::Rate);
    hold_attacks("T4.relu.g1.0", 4, Credit::Rate);
}

/// Three steps of robust finetuning: clean train-mode forward, attack in eval mode, adversarial train-mode forward, one backward.
fn hold_training(case: &str, layers: Vec<Layer>, biases: Biases, steps: usize) {
    let parity = Parity::open("training");
    let (n, seed, eps) = (4, parity.seed, 2.0 / 255.0);
    let dict = network::state_dict(&layers, biases, seed);
    let setup = Setup::new(steps, Statistics::Batch);
    let mut state: Option<(network::Values, network::Values)> = None; // parameters and running statistics
    let mut buffers = std::collections::BTreeMap::new();
    let mut losses = Vec::new();
    for step in 0..3 {
        let x = images(&format!("train.image.{step}"), n, seed);
        let noise = channels_last(&uniform64(&format!("train.noise.{step}"), n * 3072, -1.0, 1.0, seed), [n, 3, 32, 32]);
        let y = labels(&format!("train.label.{step}"), n, seed);
        let shape = [n, 32, 32, 3];
        let mut tape = Tape::new();
        let mut net = Network::new(&mut tape, &layers, &dict, 32);
        if let Some((params, running)) = &state {
            params.iter().for_each(|(name, values)| net.replace(&mut tape, name, values));
            net.running = running.clone();
        }
        let clean = tape.leaf(x.clone());
        let clean = net.forward(&mut tape, clean, shape, &setup);
        // The attack: the same parameters, running statistics as just moved, a tape of its own.
        let attack = |at: &[f64], target: Option<&[f64]>| -> (Vec<f64>, Vec<f64>) {
            let mut other = Tape::new();
            let mut copy = Network::new(&mut other, &layers, &dict, 32);
            net.params().iter().for_each(|(name, &id)| copy.replace(&mut other, name, tape.value(id)));
            copy.running = net.running.clone();
            let x = other.leaf(at);
            let z = copy.forward(&mut other, x, shape, &Setup::new(steps, Statistics::Running));
            let logits = other.value(z).to_vec();
            let Some(target) = target else { return (logits, Vec::new()) };
            let target = other.leaf(target);
            let kl = other.kl_sum(z, target, 10);
            (logits, other.backward(kl).of(x).to_vec())
        };
        let (target, _) = attack(&x, None);
        let start: Vec<f64> = x.iter().zip(&noise).map(|(x, n)| (x + eps / 2.0 * naive::sign(*n)).clamp(0.0, 1.0)).collect();
        let (_, g) = attack(&start, Some(&target));
        let adv = naive::signed_step(&start, &g, &x, eps / 2.0, eps);
        let adv = tape.leaf(adv);
        let adv = net.forward(&mut tape, adv, shape, &setup);
        let loss = tape.trades(adv, clean, &y, 10, 2.0);
        losses.push(tape.value(loss)[0]);
        let grads = tape.backward(loss);
        let mut params = network::Values::new();
        for (name, &id) in net.params() {
            let mut p = tape.value(id).to_vec();
            if steps == 0 && name.ends_with("v_th") {
                params.insert(name.clone(), p); // no gradient, so no decay either
                continue;
            }
            naive::sgd_step(&mut p, grads.of(id), buffers.entry(name.clone()).or_insert(None), 0.01, 0.9, 1e-3);
            params.insert(name.clone(), p);
        }
        state = Some((params, net.running));
    }
    assert_close(&format!("{case}.losses"), &losses, parity.data(&format!("{case}.losses")), bound(0.0, STORED_L2));
    let (params, _) = state.expect("three steps were made");
    for (name, p) in &params {
        let p = in_torch_order(&layers, name, &dict[name].0, p);
        let head = parity.data(&format!("{case}.{name}.head"));
        assert_relative_l2(&format!("{case}.{name}"), &p[..head.len()], head, STORED_L2);
        assert_close(&format!("{case}.{name}.norm"), &[norm(&p)], parity.data(&format!("{case}.{name}.norm")), bound(0.0, STORED_L2));
    }
}

#[test]
fn training_the_relu_network() {
    hold_training("vgg5.T0", network::vgg5(), Biases::Present, 0);
}

#[test]
fn training_over_four_steps() {
    hold_training("vgg5.T4", network::vgg5(), Biases::Present, 4);
}
