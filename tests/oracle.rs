//! The judges judged: every naive backward against central differences, the tape against both, all in f64.
//! (`oracle_parity.rs` holds them against foreign numbers.)

mod support;

use support::close::{assert_close, assert_gradient, bound, check_close, dot, relative_l2, share_differing};
use support::naive::{self, *};
use support::named::{labels, uniform64};
use support::network::{self, Biases, Credit, Layer, Network, Setup};
use support::tape::Tape;

/// Two f64 computations of the same thing.
const SAME: support::close::Bound = bound(1e-12, 1e-10);
/// A central difference of step 1e-5 against the truth.
const DIFFERENCE: support::close::Bound = bound(1e-8, 1e-6);
const H: f64 = 1e-5;

fn random(name: &str, n: usize) -> Vec<f64> {
    uniform64(name, n, -1.0, 1.0, 11)
}

#[test]
fn closeness_fails_on_nan_on_zero_references_and_on_lengths() {
    let loose = bound(1e9, 1e9);
    assert!(check_close("", &[1.0f32], &[1.0], SAME).is_ok());
    assert!(check_close("", &[f32::NAN], &[1.0], loose).is_err());
    assert!(check_close("", &[1.0f32], &[f64::NAN], loose).is_err());
    assert!(check_close("", &[1e-20f32, 0.0], &[0.0, 0.0], loose).is_err(), "zero everywhere wants zero");
    assert!(check_close("", &[1e-20f32, 1.0], &[0.0, 1.0], SAME).is_ok(), "a zero among others has the absolute bound");
    assert!(check_close("", &[1.0f32], &[1.0, 1.0], loose).is_err());
    let text = check_close("conv", &[1.0f32, 2.5], &[1.0, 2.0], bound(0.1, 0.0)).unwrap_err();
    assert!(["conv", "[1]", "2.5", "2e0", "1e-1"].iter().all(|part| text.contains(part)), "{text}");
    assert_eq!(relative_l2(&[0.0f32], &[0.0]), 0.0);
    assert_eq!(relative_l2(&[1e-9f32], &[0.0]), f64::INFINITY);
    assert_eq!(relative_l2(&[f32::NAN], &[0.0]), f64::INFINITY);
    assert!(relative_l2(&[f32::NAN], &[1.0]).is_nan());
    assert_eq!(share_differing(&[1.0f32, f32::NAN, 2.0, 3.0], &[1.0, 1.0, 2.5, 3.0], 0.1), 0.5);
}

#[test]
fn every_surrogate_is_the_derivative_of_its_primitive() {
    for (surrogate, name) in SURROGATES {
        for gamma in [0.25, 0.5, 1.0, 2.0, 3.0, 4.0] {
            let u = uniform64(&format!("{name}.{gamma}"), 400, -3.5, 3.5, 0);
            // Away from the corners, where no derivative exists.
            let smooth = |u: f64| [0.0, gamma, gamma / 2.0].iter().all(|corner| (u.abs() - corner).abs() > 1e-3);
            let u: Vec<f64> = u.into_iter().filter(|&u| smooth(u)).collect();
            let slopes: Vec<f64> = u.iter().map(|&u| surrogate.slope(u, gamma)).collect();
            let numeric: Vec<f64> =
                u.iter().map(|&u| (surrogate.primitive(u + H, gamma) - surrogate.primitive(u - H, gamma)) / (2.0 * H)).collect();
            assert_close(&format!("{name} γ {gamma}"), &slopes, &numeric, bound(1e-8, 1e-7));
            let jump = [-gamma, -gamma / 2.0, 0.0, gamma / 2.0, gamma]
                .map(|u| (surrogate.primitive(u + 1e-9, gamma) - surrogate.primitive(u - 1e-9, gamma)).abs());
            assert!(jump.iter().all(|j| *j < 1e-7), "{name} γ {gamma}: the primitive jumps: {jump:?}");
        }
    }
}

/// Kernels 1, 3, 2x3, strides 1 to 3, pads 0 to 2, single rows, pixels and channels.
const CONVS: [Conv; 6] = [
    Conv { n: 2, h: 5, w: 4, c_in: 3, c_out: 2, kernel: (3, 3), stride: 1, pad: 1 },
    Conv { n: 1, h: 7, w: 6, c_in: 2, c_out: 5, kernel: (3, 3), stride: 2, pad: 1 },
    Conv { n: 3, h: 5, w: 5, c_in: 4, c_out: 3, kernel: (1, 1), stride: 2, pad: 0 },
    Conv { n: 1, h: 1, w: 1, c_in: 1, c_out: 1, kernel: (3, 3), stride: 1, pad: 1 },
    Conv { n: 2, h: 6, w: 7, c_in: 1, c_out: 2, kernel: (2, 3), stride: 3, pad: 0 },
    Conv { n: 1, h: 3, w: 4, c_in: 2, c_out: 1, kernel: (3, 3), stride: 1, pad: 2 },
];

#[test]
fn a_convolution_by_hand() {
    // One channel, 3x3 of ones, pad 1, on [[1, 2], [3, 4]]: every output sees all four.
    let conv = Conv { n: 1, h: 2, w: 2, c_in: 1, c_out: 1, kernel: (3, 3), stride: 1, pad: 1 };
    assert_eq!(conv_forward(conv, &[1.0, 2.0, 3.0, 4.0], &[1.0; 9], &[0.5]), [10.5; 4]);
    // A kernel that picks its upper left neighbour shifts the image down and right.
    let mut corner = [0.0; 9];
    corner[0] = 1.0;
    assert_eq!(conv_forward(conv, &[1.0, 2.0, 3.0, 4.0], &corner, &[]), [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn convolution_gradients_are_finite_differences() {
    for (i, conv) in CONVS.into_iter().enumerate() {
        let (nx, nw, ny) = conv.counts();
        let (x, w, b, dy) = (random("x", nx), random("w", nw), random("b", conv.c_out), random("dy", ny));
        let value = |x: &[f64], w: &[f64], b: &[f64]| dot(&conv_forward(conv, x, w, b), &dy);
        let what = |g: &str| format!("conv {i} {g}");
        assert_gradient(&what("dx"), &x, &conv_backward_input(conv, &w, &dy), H, 40, DIFFERENCE, |x| value(x, &w, &b));
        assert_gradient(&what("dw"), &w, &conv_backward_weight(conv, &x, &dy), H, 40, DIFFERENCE, |w| value(&x, w, &b));
        assert_gradient(&what("db"), &b, &bias_backward(&dy, conv.c_out), H, 40, DIFFERENCE, |b| value(&x, &w, b));
    }
}

#[test]
fn linear_gradients_are_finite_differences_and_it_is_a_1x1_convolution() {
    for (n, fan_in, out) in [(1, 1, 1), (3, 5, 2), (2, 33, 7)] {
        let (x, w, b, dy) = (random("x", n * fan_in), random("w", out * fan_in), random("b", out), random("dy", n * out));
        let value = |x: &[f64], w: &[f64], b: &[f64]| dot(&linear_forward(x, w, b, n, fan_in, out), &dy);
        assert_gradient("dx", &x, &linear_backward_input(&w, &dy, n, fan_in, out), H, 40, DIFFERENCE, |x| value(x, &w, &b));
        assert_gradient("dw", &w, &linear_backward_weight(&x, &dy, n, fan_in, out), H, 40, DIFFERENCE, |w| value(&x, w, &b));
        assert_gradient("db", &b, &bias_backward(&dy, out), H, 40, DIFFERENCE, |b| value(&x, &w, b));
        let conv = Conv { n, h: 1, w: 1, c_in: fan_in, c_out: out, kernel: (1, 1), stride: 1, pad: 0 };
        assert_close("as conv", &linear_forward(&x, &w, &b, n, fan_in, out), &conv_forward(conv, &x, &w, &b), SAME);
    }
}

#[test]
fn batch_norm_gradients_are_finite_differences() {
    for statistics in [Statistics::Running, Statistics::Batch, Statistics::BatchFrozen] {
        for (rows, c) in [(2, 1), (7, 3), (31, 5)] {
            let (x, dy) = (random("x", rows * c), random("dy", rows * c));
            let (weight, bias) = (uniform64("weight", c, 0.5, 1.5, 0), random("bias", c));
            let (mean, var) = (random("mean", c), uniform64("var", c, 0.5, 1.5, 0));
            let run = |x: &[f64], weight: &[f64], bias: &[f64]| norm_forward(x, weight, bias, &mean, &var, statistics, 1);
            let (dx, dw, db) = norm_backward(&x, &weight, &run(&x, &weight, &bias), &dy, statistics);
            assert_gradient("dx", &x, &dx, H, 60, bound(1e-7, 1e-6), |x| dot(&run(x, &weight, &bias).y, &dy));
            assert_gradient("dweight", &weight, &dw, H, 60, DIFFERENCE, |w| dot(&run(&x, w, &bias).y, &dy));
            assert_gradient("dbias", &bias, &db, H, 60, DIFFERENCE, |b| dot(&run(&x, &weight, b).y, &dy));
        }
    }
}

#[test]
fn held_batch_statistics_are_those_of_explicit_copies() {
    let (rows, c, steps) = (5, 3, 8);
    let x = random("x", rows * c);
    let (one, zero) = (vec![1.0; c], vec![0.0; c]);
    let explicit: Vec<f64> = (0..steps).flat_map(|_| x.clone()).collect();
    let held = norm_forward(&x, &one, &zero, &zero, &one, Statistics::Batch, steps);
    let copies = norm_forward(&explicit, &one, &zero, &zero, &one, Statistics::Batch, 1);
    assert_close("y", &held.y, &copies.y[..rows * c], SAME);
    assert_close("running mean", &held.running_mean, &copies.running_mean, SAME);
    assert_close("running var", &held.running_var, &copies.running_var, SAME);
    let wrong = norm_forward(&x, &one, &zero, &zero, &one, Statistics::Batch, 1);
    assert!(relative_l2(&wrong.running_var, &copies.running_var) > 1e-3, "n counts all frames");
    let frozen = norm_forward(&x, &one, &zero, &zero, &one, Statistics::BatchFrozen, steps);
    assert_eq!((frozen.running_mean, frozen.running_var, frozen.y), (zero, one, held.y));
}

#[test]
fn pooling_relu_and_mixing_gradients_are_finite_differences() {
    for shape in [[2, 4, 6, 3], [1, 5, 3, 2], [1, 2, 2, 1]] {
        let [n, h, w, c] = shape;
        let x = random("x", n * h * w * c);
        let dy = random("dy", n * (h / 2) * (w / 2) * c);
        assert_gradient("pool", &x, &pool_backward(&dy, shape), H, 60, DIFFERENCE, |x| dot(&pool_forward(x, shape), &dy));
        let dy = random("dy", n * c);
        assert_gradient("global", &x, &global_pool_backward(&dy, shape), H, 60, DIFFERENCE, |x| dot(&global_pool_forward(x, shape), &dy));
    }
    let (a, b, dy, comb) = (random("a", 17), random("b", 17), random("dy", 17), [0.3, 0.6]);
    assert_gradient("relu", &a, &relu_backward(&a, &dy), H, 17, DIFFERENCE, |a| dot(&relu_forward(a), &dy));
    let (da, db, dc) = convex_backward(&a, &b, comb, &dy);
    assert_gradient("convex a", &a, &da, H, 17, DIFFERENCE, |a| dot(&convex_forward(a, &b, comb), &dy));
    assert_gradient("convex b", &b, &db, H, 17, DIFFERENCE, |b| dot(&convex_forward(&a, b, comb), &dy));
    assert_gradient("convex c", &comb, &dc, H, 2, DIFFERENCE, |c| dot(&convex_forward(&a, &b, [c[0], c[1]]), &dy));
    assert_eq!(relu_backward(&[0.0, -1.0, 2.0], &[1.0; 3]), [0.0, 0.0, 1.0]);
}

#[test]
fn a_neuron_by_hand() {
    let x = [0.4, 0.4, 0.4, 0.4, 1.5];
    let run = |leak, reset| neuron_forward(&x, [1, 5, 1], Neuron { v_th: 1.0, leak, reset }, Fire::Spike).s;
    assert_eq!(run(1.0, Reset::Hard), [0.0, 0.0, 1.0, 0.0, 1.0]);
    assert_eq!(run(1.0, Reset::Soft), [0.0, 0.0, 1.0, 0.0, 1.0]);
    assert_eq!(run(0.5, Reset::Hard), [0.0, 0.0, 0.0, 0.0, 1.0]);
    let exact = neuron_forward(&[0.5, 0.25], [1, 2, 1], Neuron { v_th: 0.75, leak: 1.0, reset: Reset::Hard }, Fire::Spike);
    assert_eq!(exact.s, [0.0, 1.0], "a membrane at the threshold fires");
}

#[test]
fn neuron_gradients_are_finite_differences_of_the_smooth_twin_and_equal_the_tape() {
    let shape = [2, 4, 3];
    let n = shape.iter().product();
    let (x, dy) = (uniform64("current", n, -0.5, 1.5, 3), random("dy", n));
    for (surrogate, name) in SURROGATES {
        for gamma in [0.5, 1.0, 3.0] {
            for (leak, reset) in [(1.0, Reset::Hard), (0.9, Reset::Hard), (1.0, Reset::Soft), (0.9, Reset::Soft)] {
                let what = format!("{name} γ {gamma} leak {leak} {reset:?}");
                let neuron = Neuron { v_th: 0.7, leak, reset };
                let smooth = Fire::Smooth(surrogate, gamma);
                let fired = neuron_forward(&x, shape, neuron, smooth);
                let (dx, dv_th) = neuron_backward(&fired, &dy, shape, neuron, surrogate, gamma);
                assert_gradient(&what, &x, &dx, 1e-6, n, bound(1e-7, 1e-6), |x| dot(&neuron_forward(x, shape, neuron, smooth).s, &dy));
                assert_gradient(&what, &[0.7], &[dv_th], 1e-6, 1, bound(1e-7, 1e-6), |v| {
                    dot(&neuron_forward(&x, shape, Neuron { v_th: v[0], ..neuron }, smooth).s, &dy)
                });
                for fire in [Fire::Spike, smooth] {
                    let fired = neuron_forward(&x, shape, neuron, fire);
                    let (dx, dv_th) = neuron_backward(&fired, &dy, shape, neuron, surrogate, gamma);
                    let mut tape = Tape::new();
                    let (xs, v_th) = (tape.leaf(time_outward(&x, shape)), tape.leaf([0.7]));
                    let setup = Setup { leak, reset, ..Setup::new(shape[1], Statistics::Running) };
                    let s = network::neuron(&mut tape, xs, v_th, &setup, fire, surrogate, gamma);
                    let grads = tape.backward_from(s, &time_outward(&dy, shape));
                    assert_close(&what, tape.value(s), &time_outward(&fired.s, shape), SAME);
                    assert_close(&what, &time_inward(grads.of(xs), shape), &dx, SAME);
                    assert_close(&what, grads.of(v_th), &[dv_th], SAME);
                }
            }
        }
    }
}

#[test]
fn loss_gradients_are_finite_differences_and_equal_the_tape() {
    let (batch, k) = (5, 6);
    let adv = uniform64("adv", batch * k, -4.0, 4.0, 0);
    let clean = uniform64("clean", batch * k, -4.0, 4.0, 0);
    let y: Vec<usize> = labels("y", batch, 0).into_iter().map(|y| y % k).collect();
    type Naive<'a> = &'a dyn Fn(&[f64], &[f64]) -> Loss;
    let cases: [(&str, Naive); 5] = [
        ("ce", &|a, _| cross_entropy(a, &y, k)),
        ("kl", &|a, c| kl_sum(a, c, k)),
        ("trades", &|a, c| trades(a, c, &y, k, 6.0)),
        ("mart", &|a, c| mart(a, c, &y, k, 4.0)),
        ("dlr", &|a, _| dlr_sum(a, &y, k)),
    ];
    for (name, naive) in cases {
        let loss = naive(&adv, &clean);
        assert_gradient(&format!("{name} adv"), &adv, &loss.d_adv, H, 99, DIFFERENCE, |a| naive(a, &clean).value);
        assert_gradient(&format!("{name} clean"), &clean, &loss.d_clean, H, 99, DIFFERENCE, |c| naive(&adv, c).value);
        let mut tape = Tape::new();
        let (a, c) = (tape.leaf(adv.clone()), tape.leaf(clean.clone()));
        let of = match name {
            "ce" => tape.cross_entropy(a, &y, k),
            "kl" => tape.kl_sum(a, c, k),
            "trades" => tape.trades(a, c, &y, k, 6.0),
            "mart" => tape.mart(a, c, &y, k, 4.0),
            _ => tape.dlr_sum(a, &y, k),
        };
        let grads = tape.backward(of);
        assert_close(name, tape.value(of), &[loss.value], SAME);
        assert_close(name, grads.of(a), &loss.d_adv, SAME);
        assert_close(name, grads.of(c), &loss.d_clean, SAME);
    }
}

#[test]
fn small_things_by_hand() {
    // 99.7 % of 1000 values: 1 + round(0.997·999) = 1 + round(996.003); ties go to the even rank below.
    assert_eq!(percentile_rank(1000, 997, 1000), 997);
    assert_eq!([2, 4, 6].map(|n| percentile_rank(n, 1, 2)), [1, 3, 3]); // 0.5 → 0, 1.5 → 2, 2.5 → 2
    assert_eq!(percentile_rank(400_000_001, 997, 1000), 398_800_001);
    assert_eq!(percentile(&[5.0f32, 1.0, 3.0, 2.0, 4.0], 1, 2), 3.0);
    let adv = naive::signed_step(&[0.5, 0.02, 0.5, 0.99], &[1.0, -3.0, 0.0, 2.0], &[0.5, 0.02, 0.6, 0.99], 0.1, 0.05);
    assert_close("signed step", &adv, &[0.55, 0.0, 0.55, 1.0], SAME);
    let (mut p, mut buffer) = (vec![1.0], None);
    naive::sgd_step(&mut p, &[0.5], &mut buffer, 0.1, 0.9, 0.01); // g = 0.51, b = g, p = 0.949
    naive::sgd_step(&mut p, &[0.5], &mut buffer, 0.1, 0.9, 0.01); // g = 0.50949, b = 0.96849
    assert_close("sgd", &p, &[0.949 - 0.096849], SAME);
    let a: Vec<usize> = (0..2 * 3 * 4 * 5).collect();
    let last = channels_last(&a, [2, 3, 4, 5]);
    assert_eq!((last[1], last[3], last[15]), (20, 1, 5));
    assert_eq!(channels_first(&last, [2, 3, 4, 5]), a);
}

/// conv, norm, neuron, pool, linear: the smallest network with everything in it.
fn tiny() -> (Vec<Layer>, network::StateDict, Vec<f64>, Vec<usize>) {
    let layers = network::vgg(2, 4, &[3, 0, 4], &[5, 3]);
    let dict = network::state_dict(&layers, Biases::Present, 2);
    (layers, dict, uniform64("tiny", 2 * 4 * 4 * 2, 0.0, 1.0, 0), vec![2, 0])
}

fn tiny_setup(steps: usize, statistics: Statistics, credit: Credit) -> Setup {
    Setup { mean: vec![0.4, 0.5], std: vec![0.25, 0.2], credit, ..Setup::new(steps, statistics) }
}

#[test]
fn the_tape_s_network_gradients_are_finite_differences_of_the_smooth_twin() {
    let (layers, dict, images, y) = tiny();
    let residual = |wide| {
        let block = |name: &str, c_in, c_out, stride| match wide {
            true => Layer::Wide { name: name.into(), c_in, c_out, stride },
            false => Layer::Residual { name: name.into(), c_in, c_out, stride },
        };
        let layers = vec![
            block("features.0", 2, 2, 1),
            block("features.1", 2, 3, 2),
            Layer::GlobalPool,
            Layer::Linear { name: "classifier.1".into(), fan_in: 3, out: 3 },
        ];
        (layers.clone(), network::state_dict(&layers, Biases::Linear, 5))
    };
    let networks = [("vgg", (layers, dict)), ("residual", residual(false)), ("wide", residual(true))];
    for (name, (layers, dict)) in &networks {
        for (steps, statistics) in [(3, Statistics::Batch), (3, Statistics::Running), (0, Statistics::Batch)] {
            for (reset, leak, surrogate, gamma) in [(Reset::Hard, 1.0, Surrogate::Pcw, 1.0), (Reset::Soft, 0.9, Surrogate::Exp, 2.0)] {
                let setup = Setup { reset, leak, ..tiny_setup(steps, statistics, Credit::Smooth(surrogate, gamma)) };
                let what = format!("{name} T {steps} {statistics:?} {surrogate:?}");
                let mut tape = Tape::new();
                let mut net = Network::new(&mut tape, layers, dict, 4);
                let x = tape.leaf(images.clone());
                let z = net.forward(&mut tape, x, [2, 4, 4, 2], &setup);
                let loss = tape.cross_entropy(z, &y, 3);
                let grads = tape.backward(loss);
                let value = |images: &[f64], dict: &network::StateDict| {
                    network::judge(layers, dict, images, [2, 4, 4, 2], &setup, |t, z| t.cross_entropy(z, &y, 3)).loss
                };
                let close = bound(2e-7, 1e-5);
                assert_gradient(&format!("{what} images"), &images, grads.of(x), 1e-6, 24, close, |x| value(x, dict));
                for (param, &id) in net.params() {
                    // The state dict is f32 in PyTorch's order: move the leaf on a fresh tape instead.
                    let at = tape.value(id).to_vec();
                    let moved = |p: &[f64]| {
                        let mut tape = Tape::new();
                        let mut net = Network::new(&mut tape, layers, dict, 4);
                        net.replace(&mut tape, param, p);
                        let x = tape.leaf(images.clone());
                        let z = net.forward(&mut tape, x, [2, 4, 4, 2], &setup);
                        let loss = tape.cross_entropy(z, &y, 3);
                        tape.value(loss)[0]
                    };
                    let g = grads.of(id);
                    if g.iter().any(|g| *g != 0.0) {
                        assert_gradient(&format!("{what} {param}"), &at, g, 1e-6, 8, close, moved);
                    } else {
                        assert!(steps == 0 && param.ends_with("v_th"), "{what}: {param} has no gradient");
                    }
                }
            }
        }
    }
}

#[test]
fn the_tape_s_network_is_the_chain_of_the_naive_layers() {
    // One conv, norm, neuron, pool and linear over explicit time copies, by hand.
    let layers = network::vgg(2, 4, &[3, 0], &[5]);
    let dict = network::state_dict(&layers, Biases::Present, 4);
    let (steps, n, y) = (3, 2, vec![4, 1]);
    let images = uniform64("tiny", n * 4 * 4 * 2, 0.0, 1.0, 1);
    let get = |name: &str| -> Vec<f64> { dict[name].1.iter().map(|&v| f64::from(v)).collect() };
    let (w, b) = (channels_last(&get("features.0.weight"), [3, 2, 3, 3]), get("features.0.bias"));
    let (gain, shift) = (get("features.1.weight"), get("features.1.bias"));
    let (lw, lb) = (channels_last(&get("classifier.1.weight"), [5, 3, 2, 2]), get("classifier.1.bias"));
    let conv = Conv { n: steps * n, h: 4, w: 4, c_in: 2, c_out: 3, kernel: (3, 3), stride: 1, pad: 1 };
    let rows = [n * 16, steps, 3]; // the neuron's [rows, T, C]
    for statistics in [Statistics::Running, Statistics::Batch] {
        for credit in [Credit::Bptt(Surrogate::Pcw, 1.0), Credit::Bptt(Surrogate::ExpD, 0.5), Credit::Rate] {
            let setup = tiny_setup(steps, statistics, credit);
            let found = network::judge(&layers, &dict, &images, [n, 4, 4, 2], &setup, |t, z| t.cross_entropy(z, &y, 5));
            let frame: Vec<f64> = images.iter().enumerate().map(|(i, v)| (v - setup.mean[i % 2]) / setup.std[i % 2]).collect();
            let x: Vec<f64> = (0..steps).flat_map(|_| frame.clone()).collect();
            let current = conv_forward(conv, &x, &w, &b);
            let normed =
                norm_forward(&current, &gain, &shift, &get("features.1.running_mean"), &get("features.1.running_var"), statistics, 1);
            let neuron = Neuron { v_th: get("features.2.v_th")[0], leak: 1.0, reset: Reset::Hard };
            let fired = neuron_forward(&time_inward(&normed.y, rows), rows, neuron, Fire::Spike);
            let pooled = pool_forward(&time_outward(&fired.s, rows), [steps * n, 4, 4, 3]);
            let z_t = linear_forward(&pooled, &lw, &lb, steps * n, 12, 5);
            let z: Vec<f64> = (0..n * 5).map(|i| (0..steps).map(|t| z_t[t * n * 5 + i]).sum::<f64>() / steps as f64).collect();
            let what = format!("{statistics:?} {credit:?}");
            assert_close(&format!("{what} logits"), &found.logits, &z, SAME);
            let loss = cross_entropy(&z, &y, 5);
            let dz: Vec<f64> = (0..steps * n * 5).map(|i| loss.d_adv[i % (n * 5)] / steps as f64).collect();
            let dpooled = linear_backward_input(&lw, &dz, steps * n, 12, 5);
            let ds = time_inward(&pool_backward(&dpooled, [steps * n, 4, 4, 3]), rows);
            let (du, dv_th) = match credit {
                Credit::Bptt(surrogate, gamma) => neuron_backward(&fired, &ds, rows, neuron, surrogate, gamma),
                _ => (neuron_backward_rate(&fired, &ds, rows), 0.0),
            };
            let (dc, dgain, dshift) = norm_backward(&current, &gain, &normed, &time_outward(&du, rows), statistics);
            let dx = conv_backward_input(conv, &w, &dc);
            let d_images: Vec<f64> =
                (0..images.len()).map(|i| (0..steps).map(|t| dx[t * images.len() + i]).sum::<f64>() / setup.std[i % 2]).collect();
            assert_close(&format!("{what} d images"), &found.d_images, &d_images, SAME);
            let d = |name: &str| &found.d_params[name][..];
            assert_close(&format!("{what} v_th"), d("features.2.v_th"), &[dv_th], SAME);
            assert_close(&format!("{what} conv"), d("features.0.weight"), &conv_backward_weight(conv, &x, &dc), SAME);
            assert_close(&format!("{what} conv bias"), d("features.0.bias"), &bias_backward(&dc, 3), SAME);
            assert_close(&format!("{what} norm weight"), d("features.1.weight"), &dgain, SAME);
            assert_close(&format!("{what} norm bias"), d("features.1.bias"), &dshift, SAME);
            assert_close(
                &format!("{what} linear"),
                d("classifier.1.weight"),
                &linear_backward_weight(&pooled, &dz, steps * n, 12, 5),
                SAME,
            );
            assert_close(&format!("{what} linear bias"), d("classifier.1.bias"), &bias_backward(&dz, 5), SAME);
            assert_close(&format!("{what} running mean"), &found.running["features.1.running_mean"], &normed.running_mean, SAME);
            assert_close(&format!("{what} running var"), &found.running["features.1.running_var"], &normed.running_var, SAME);
            assert_eq!(found.spikes, [fired.s.iter().sum::<f64>()]);
        }
    }
}
