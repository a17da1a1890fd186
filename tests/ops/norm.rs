//! Batch norm: moments, the affine map, its gradients, the running statistics.

use super::common::*;
use caltrop::ops::norm::{self, Moments, Moving};
use naive::{NORM_EPS, Normed, Statistics};

/// A signal of `shape` [N, H, W, F, C] whose channels have means around `centre`.
struct Case {
    shape: [usize; 5],
    centre: f64,
}

const fn case(shape: [usize; 5], centre: f64) -> Case {
    Case { shape, centre }
}

const CASES: [Case; 9] = [
    case([1, 1, 2, 1, 1], 0.0),
    case([1, 1, 7, 1, 31], 0.0),
    case([2, 3, 5, 1, 33], 1.0),
    case([3, 7, 5, 8, 17], -2.0),
    case([1, 9, 9, 9, 7], 0.0),
    case([2, 13, 11, 3, 16], 30.0),
    case([7, 1, 1, 16, 65], 0.5),
    case([4, 16, 16, 1, 5], -100.0),
    case([5, 11, 19, 1, 3], 0.0),
];

struct Numbers {
    c: usize,
    y: Vec<f64>,
    dx: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    mean: Vec<f64>,
    var: Vec<f64>,
}

impl Case {
    fn numbers(&self) -> Numbers {
        let (n, c) = (self.shape.iter().product(), self.shape[4]);
        let spread = between("spread", c, 0.3, 3.0);
        let y = random("y", n)
            .iter()
            .enumerate()
            .map(|(i, y)| f64::from((self.centre + spread[i % c] * y + 0.1 * (i % c) as f64) as f32))
            .collect();
        Numbers {
            c,
            y,
            dx: random("dx", n),
            weight: between("weight", c, 0.5, 1.5),
            bias: random("bias", c),
            mean: between("mean", c, self.centre - 1.0, self.centre + 1.0).iter().map(|&m| f64::from(m as f32)).collect(),
            var: between("var", c, 0.5, 1.5),
        }
    }
}

fn moments(device: &Device, mean: &[f64], var: &[f64]) -> Moments {
    Moments { mean: tensor(device, [mean.len()], mean), variance: tensor(device, [var.len()], var) }
}

fn oracle(k: &Numbers, statistics: Statistics, copies: usize) -> Normed {
    naive::norm_forward(&k.y, &k.weight, &k.bias, &k.mean, &k.var, statistics, copies)
}

#[test]
fn the_moments_are_the_oracle_s_however_far_the_mean() {
    everywhere(&CASES, |device, case| {
        let k = case.numbers();
        let on = tensor(device, case.shape, &k.y);
        let found = twice(device, "moments", || {
            let Moments { mean, variance } = norm::moments(&on).unwrap();
            vec![mean, variance]
        });
        let want = oracle(&k, Statistics::Batch, 1);
        let what = format!("{:?} around {} on {}", case.shape, case.centre, device.describe());
        // Summed in f64 around a pivot: the last rounding alone.
        within(&format!("{what}: mean"), &found[0], &want.mean, |i| 1.01 * U * want.mean[i].abs() + 1e-12);
        within(&format!("{what}: variance"), &found[1], &want.var, |i| 1.01 * U * want.var[i] + 1e-12);
    });
}

#[test]
fn a_channel_of_equal_values_has_no_variance() {
    everywhere(&[0.0, 0.1, 12345.678], |device, &value| {
        let moments = norm::moments(&Tensor::full(device, [2, 5, 7, 3, 4], value as f32)).unwrap();
        assert_eq!(moments.variance.to_vec(), [0.0; 4], "{value}");
        assert_eq!(moments.mean.to_vec(), [value as f32; 4]);
    });
    assert!(norm::moments(&Tensor::zeros(&devices::first(), [0, 2, 2, 1, 3])).is_err(), "no values");
}

#[test]
fn the_normalised_signal_is_the_oracle_s() {
    everywhere(&CASES, |device, case| {
        let k = case.numbers();
        let on = tensor(device, case.shape, &k.y);
        let (weight, bias) = (tensor(device, [k.c], &k.weight), tensor(device, [k.c], &k.bias));
        for statistics in [Statistics::Running, Statistics::Batch] {
            let moments = match statistics {
                Statistics::Running => moments(device, &k.mean, &k.var),
                _ => norm::moments(&on).unwrap(),
            };
            let x = twice(device, "apply", || {
                let map = norm::affine(&moments, &weight, &bias);
                vec![norm::apply(&on, &map).unwrap()]
            });
            let want = oracle(&k, statistics, 1);
            // y·scale + shift with scale, shift, mean and variance rounded once each.
            let bound = |i: usize| {
                let c = i % k.c;
                let scale = k.weight[c] / (want.var[c] + NORM_EPS).sqrt();
                4.0 * U * ((k.y[i].abs() + want.mean[c].abs()) * scale + k.bias[c].abs())
            };
            within(&format!("{:?} {statistics:?} on {}", case.shape, device.describe()), &x[0], &want.y, bound);
        }
    });
}

#[test]
fn the_gradients_are_the_oracle_s() {
    everywhere(&CASES, |device, case| {
        let k = case.numbers();
        let (on, dx) = (tensor(device, case.shape, &k.y), tensor(device, case.shape, &k.dx));
        let weight = tensor(device, [k.c], &k.weight);
        for (moving, statistics) in [(Moving::Constant, Statistics::Running), (Moving::Batch, Statistics::Batch)] {
            let moments = match moving {
                Moving::Constant => moments(device, &k.mean, &k.var),
                Moving::Batch => norm::moments(&on).unwrap(),
            };
            let what = format!("{:?} around {} {moving:?} on {}", case.shape, case.centre, device.describe());
            let found = twice(device, &what, || {
                let norm::Gradients { dy, dweight, dbias } = norm::backward(&dx, &on, &moments, &weight, moving).unwrap();
                vec![dy, dweight, dbias]
            });
            let used = oracle(&k, statistics, 1);
            let (dy, dweight, dbias) = naive::norm_backward(&k.y, &k.weight, &used, &k.dx, statistics);
            let inverse: Vec<f64> = used.var.iter().map(|v| 1.0 / (v + NORM_EPS).sqrt()).collect();
            let rows = (k.y.len() / k.c) as f64;
            // x̂ inherits the rounding of the mean: U·|mean|/σ in each of its values.
            let hat = |i: usize| (k.y[i] - used.mean[i % k.c]).abs() * inverse[i % k.c] + used.mean[i % k.c].abs() * inverse[i % k.c];
            let products = naive::channel_sums(&k.dx.iter().enumerate().map(|(i, d)| d.abs() * hat(i)).collect::<Vec<_>>(), k.c);
            let sums = naive::channel_sums(&sizes(&k.dx), k.c);
            within(&format!("{what}: dbias"), &found[2], &dbias, |c| U * dbias[c].abs() + 1e-14 * sums[c]);
            within(&format!("{what}: dweight"), &found[1], &dweight, |c| 2.0 * U * dweight[c].abs() + 3.0 * U * products[c]);
            let bound = |i: usize| {
                let c = i % k.c;
                let through = if moving == Moving::Batch { (sums[c] + hat(i) * products[c]) / rows } else { 0.0 };
                6.0 * U * k.weight[c] * inverse[c] * (k.dx[i].abs() + through)
            };
            within(&format!("{what}: dy"), &found[0], &dy, bound);
        }
    });
}

#[test]
fn running_statistics_count_every_frame_that_a_held_one_stands_for() {
    everywhere(&CASES, |device, case| {
        let k = case.numbers();
        let batch = norm::moments(&tensor(device, case.shape, &k.y)).unwrap();
        let old = moments(device, &k.mean, &k.var);
        for repeats in [1, 8, 9] {
            let found = twice(device, "running", || {
                let (mean, variance) = norm::running(&old.mean, &old.variance, &batch, k.y.len() / k.c, repeats);
                vec![mean, variance]
            });
            let want = oracle(&k, Statistics::Batch, repeats);
            let size = |old: &[f64], new: &[f64], c: usize| 0.9 * old[c].abs() + 0.2 * new[c].abs();
            within("running mean", &found[0], &want.running_mean, |c| 4.0 * U * size(&k.mean, &want.mean, c));
            within("running variance", &found[1], &want.running_var, |c| 4.0 * U * size(&k.var, &want.var, c));
        }
    });
}
