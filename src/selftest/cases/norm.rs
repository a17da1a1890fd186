//! Batch norm: moments, the affine map, its gradients, the running statistics.

use crate::base::Result;
use crate::device::Device;
use crate::ops::norm::{self, Moments, Moving};
use crate::selftest::data::*;
use crate::selftest::naive::{self, NORM_EPS, Normed, Statistics};
use crate::selftest::sheet::Sheet;

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

pub fn table(sheet: &mut Sheet) {
    sheet.each("moments", &CASES, Case::name, found_moments);
    sheet.each("forward", &CASES, Case::name, forward);
    sheet.each("gradients", &CASES, Case::name, gradients);
    sheet.each("running statistics", &CASES, Case::name, running);
}

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
    fn name(&self) -> String {
        format!("{} around {}", super::by(&self.shape), self.centre)
    }

    fn numbers(&self) -> Numbers {
        let (n, c) = (count(&self.shape), self.shape[4]);
        let spread = between("spread", c, 0.3, 3.0);
        let placed = |(i, y): (usize, &f64)| f64::from((self.centre + spread[i % c] * y + 0.1 * (i % c) as f64) as f32);
        Numbers {
            c,
            y: random("y", n).iter().enumerate().map(placed).collect(),
            dx: random("dx", n),
            weight: between("weight", c, 0.5, 1.5),
            bias: random("bias", c),
            mean: between("mean", c, self.centre - 1.0, self.centre + 1.0),
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

/// However far the mean: summed in f64 around a pivot, so the last rounding alone.
fn found_moments(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let (device, k) = (sheet.device(), case.numbers());
    let on = tensor(device, case.shape, &k.y);
    let found = twice(device, || {
        let Moments { mean, variance } = norm::moments(&on)?;
        Ok(vec![mean, variance])
    })?;
    let want = oracle(&k, Statistics::Batch, 1);
    sheet.within("mean", &found[0], &want.mean, |i| 1.01 * U * want.mean[i].abs() + 1e-12);
    sheet.within("variance", &found[1], &want.var, |i| 1.01 * U * want.var[i] + 1e-12);
    Ok(())
}

fn forward(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let (device, k) = (sheet.device(), case.numbers());
    let on = tensor(device, case.shape, &k.y);
    let (weight, bias) = (tensor(device, [k.c], &k.weight), tensor(device, [k.c], &k.bias));
    for statistics in [Statistics::Running, Statistics::Batch] {
        let moments = match statistics {
            Statistics::Running => moments(device, &k.mean, &k.var),
            _ => norm::moments(&on)?,
        };
        let x = twice(device, || Ok(vec![norm::apply(&on, &norm::affine(&moments, &weight, &bias))?]))?;
        let want = oracle(&k, statistics, 1);
        // y·scale + shift with scale, shift, mean and variance rounded once each.
        let bound = |i: usize| {
            let c = i % k.c;
            let scale = k.weight[c] / (want.var[c] + NORM_EPS).sqrt();
            4.0 * U * ((k.y[i].abs() + want.mean[c].abs()) * scale + k.bias[c].abs())
        };
        sheet.within(format!("x, {statistics:?} statistics"), &x[0], &want.y, bound);
    }
    Ok(())
}

fn gradients(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let (device, k) = (sheet.device(), case.numbers());
    let (on, dx) = (tensor(device, case.shape, &k.y), tensor(device, case.shape, &k.dx));
    let weight = tensor(device, [k.c], &k.weight);
    for (moving, statistics) in [(Moving::Constant, Statistics::Running), (Moving::Batch, Statistics::Batch)] {
        let moments = match moving {
            Moving::Constant => moments(device, &k.mean, &k.var),
            Moving::Batch => norm::moments(&on)?,
        };
        let found = twice(device, || {
            let norm::Gradients { dy, dweight, dbias } = norm::backward(&dx, &on, &moments, &weight, moving)?;
            Ok(vec![dy, dweight, dbias])
        })?;
        let used = oracle(&k, statistics, 1);
        let (dy, dweight, dbias) = naive::norm_backward(&k.y, &k.weight, &used, &k.dx, statistics);
        let inverse: Vec<f64> = used.var.iter().map(|v| 1.0 / (v + NORM_EPS).sqrt()).collect();
        let rows = (k.y.len() / k.c) as f64;
        // x̂ inherits the rounding of the mean: U·|mean|/σ in each of its values.
        let hat = |i: usize| (k.y[i] - used.mean[i % k.c]).abs() * inverse[i % k.c] + used.mean[i % k.c].abs() * inverse[i % k.c];
        let products = naive::channel_sums(&k.dx.iter().enumerate().map(|(i, d)| d.abs() * hat(i)).collect::<Vec<_>>(), k.c);
        let sums = naive::channel_sums(&sizes(&k.dx), k.c);
        sheet.within(format!("dbias, {moving:?}"), &found[2], &dbias, |c| U * dbias[c].abs() + 1e-14 * sums[c]);
        sheet.within(format!("dweight, {moving:?}"), &found[1], &dweight, |c| 2.0 * U * dweight[c].abs() + 3.0 * U * products[c]);
        let bound = |i: usize| {
            let c = i % k.c;
            let through = if moving == Moving::Batch { (sums[c] + hat(i) * products[c]) / rows } else { 0.0 };
            6.0 * U * k.weight[c] * inverse[c] * (k.dx[i].abs() + through)
        };
        sheet.within(format!("dy, {moving:?}"), &found[0], &dy, bound);
    }
    Ok(())
}

/// Every frame counts that a held one stands for.
fn running(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let (device, k) = (sheet.device(), case.numbers());
    let batch = norm::moments(&tensor(device, case.shape, &k.y))?;
    let old = moments(device, &k.mean, &k.var);
    for repeats in [1, 8, 9] {
        let found = twice(device, || {
            let (mean, variance) = norm::running(&old.mean, &old.variance, &batch, k.y.len() / k.c, repeats);
            Ok(vec![mean, variance])
        })?;
        let want = oracle(&k, Statistics::Batch, repeats);
        let size = |old: &[f64], new: &[f64], c: usize| 0.9 * old[c].abs() + 0.2 * new[c].abs();
        sheet.within(format!("mean, {repeats} copies"), &found[0], &want.running_mean, |c| 4.0 * U * size(&k.mean, &want.mean, c));
        sheet.within(format!("variance, {repeats} copies"), &found[1], &want.running_var, |c| 4.0 * U * size(&k.var, &want.var, c));
    }
    Ok(())
}
