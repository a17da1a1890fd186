//! ReLU behind an affine map.

use super::by;
use crate::base::Result;
use crate::ops::lif::{Down, Spread, Upstream};
use crate::ops::norm::{self, Moving, Normalised};
use crate::ops::relu;
use crate::selftest::data::*;
use crate::selftest::naive;
use crate::selftest::sheet::Sheet;
use crate::tensor::Tensor;

/// [N, H, W, F, C].
const CASES: [[usize; 5]; 6] = [[1, 2, 2, 1, 1], [2, 5, 7, 1, 17], [3, 4, 6, 1, 33], [1, 3, 2, 3, 7], [7, 2, 3, 1, 31], [1, 28, 28, 1, 16]];

/// Of ReLU and normalisation in one pass.
const FUSED: [[usize; 5]; 4] = [[2, 5, 7, 1, 17], [3, 4, 6, 1, 36], [1, 3, 2, 3, 7], [2, 9, 9, 2, 16]];

pub fn table(sheet: &mut Sheet) {
    sheet.each("forward", &CASES, by, forward);
    sheet.each("gradient", &CASES, by, gradient);
    sheet.each("with norm in one pass", &FUSED, by, fused);
}

fn forward(sheet: &mut Sheet, &shape: &[usize; 5]) -> Result<()> {
    let (device, y, c) = (sheet.device(), random("y", count(&shape)), shape[4]);
    let on = tensor(device, shape, &y);
    let z = twice(device, || Ok(vec![relu::forward(&on, None)]))?;
    sheet.within("z", &z[0], &naive::relu_forward(&y), |_| 0.0);
    let (scale, shift, map) = affine(device, c);
    let z = twice(device, || Ok(vec![relu::forward(&on, Some(&map))]))?;
    let want = naive::relu_forward(&mapped(&y, &scale, &shift));
    sheet.within("z of an affine map", &z[0], &want, |i| U * (2.0 * y[i].abs() * scale[i % c] + shift[i % c].abs()));
    Ok(())
}

/// A gradient's shape above, the gradient, and what each element of `shape` gets of it.
fn upstream(spread: Spread, shape: [usize; 5]) -> ([usize; 5], Vec<f64>, Vec<f64>) {
    let [n, h, w, f, c] = shape;
    let above = if spread == Spread::Plain { shape } else { [n, h / 2, w / 2, f, c] };
    let dz = random("dz", count(&above));
    let full = match spread {
        Spread::Plain => dz.clone(),
        Spread::Quarters => inward(&naive::pool_backward(&outward(&dz, above), [n * f, h, w, c]), shape),
    };
    (above, dz, full)
}

fn gradient(sheet: &mut Sheet, &shape: &[usize; 5]) -> Result<()> {
    let (device, c) = (sheet.device(), shape[4]);
    let (scale, shift, map) = affine(device, c);
    // Currents far enough from 0 that float32 opens the same gates.
    let far = |(i, y): (usize, f64)| if (y * scale[i % c] + shift[i % c]).abs() < 1e-4 { 1.0 } else { y };
    let y: Vec<f64> = random("y", count(&shape)).into_iter().enumerate().map(far).collect();
    let on = tensor(device, shape, &y);
    for spread in [Spread::Plain, Spread::Quarters] {
        let (above, dz, full) = upstream(spread, shape);
        let gradient = tensor(device, above, &dz);
        for (map, scale, x) in [(Some(&map), &scale, mapped(&y, &scale, &shift)), (None, &vec![1.0; c], y.clone())] {
            for down in [Down::Current, Down::Scaled] {
                let upstream = Upstream { gradient: &gradient, spread };
                let dy = twice(device, || Ok(vec![relu::backward(&on, map, upstream, down)?]))?;
                let mut want = naive::relu_backward(&x, &full);
                if down == Down::Scaled {
                    want.iter_mut().enumerate().for_each(|(i, d)| *d *= scale[i % c]);
                }
                let what = format!("dy, {spread:?}, {down:?}, {}", if map.is_some() { "affine" } else { "no affine" });
                sheet.within(what, &dy[0], &want, |i| 2.0 * U * want[i].abs());
            }
        }
    }
    Ok(())
}

/// What the two give one after the other, which have tables of their own.
fn fused(sheet: &mut Sheet, &shape: &[usize; 5]) -> Result<()> {
    let (device, c) = (sheet.device(), shape[4]);
    let y = tensor(device, shape, &random("y", count(&shape)));
    let vector = |name, low, high| tensor(device, [c], &between(name, c, low, high));
    let (weight, bias) = (vector("weight", 0.5, 1.5), vector("bias", -0.5, 0.5));
    for (moving, spread) in [(Moving::Batch, Spread::Plain), (Moving::Batch, Spread::Quarters), (Moving::Constant, Spread::Quarters)] {
        let moments = norm::moments(&y)?;
        let map = norm::affine(&moments, &weight, &bias);
        let (above, dz, _) = upstream(spread, shape);
        let gradient = tensor(device, above, &dz);
        let upstream = Upstream { gradient: &gradient, spread };
        let dx = relu::backward(&y, Some(&map), upstream, Down::Current)?;
        let want = norm::backward(&dx, &y, &moments, &weight, moving)?;
        let normalised = Normalised { affine: &map, moments: &moments, weight: &weight, moving };
        let found = twice(device, || {
            let norm::Gradients { dy, dweight, dbias } = relu::backward_norm(&y, normalised, upstream)?;
            Ok(vec![dy, dweight, dbias])
        })?;
        // The same numbers are added in f64, in another order; the scale of dy is rounded twice in one, once in the other.
        let mut close = |which: &str, found: &[f32], want: &Tensor, roundings: f64, lost: f64| {
            let want = wide(want);
            sheet.within(format!("{which}, {moving:?}, {spread:?}"), found, &want, |i| roundings * U * want[i].abs() + lost);
        };
        let small = 1e-12 * wide(&dx).len() as f64;
        close("dbias", &found[2], &want.dbias, 2.0, small);
        close("dweight", &found[1], &want.dweight, 2.0, small);
        close("dy", &found[0], &want.dy, 5.0, if moving == Moving::Batch { 16.0 * U } else { 0.0 });
    }
    Ok(())
}
