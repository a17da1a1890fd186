//! ReLU behind an affine map.

use super::common::*;
use super::conv::{inward, outward};
use caltrop::ops::lif::{Down, Spread, Upstream};
use caltrop::ops::norm::{self, Moving, Normalised};
use caltrop::ops::relu;

/// [N, H, W, F, C].
pub const CASES: [[usize; 5]; 6] =
    [[1, 2, 2, 1, 1], [2, 5, 7, 1, 17], [3, 4, 6, 1, 33], [1, 3, 2, 3, 7], [7, 2, 3, 1, 31], [1, 28, 28, 1, 16]];

#[test]
fn the_forward_is_the_oracle_s() {
    everywhere(&CASES, |device, &shape| {
        let (y, c) = (random("y", shape.iter().product()), shape[4]);
        let on = tensor(device, shape, &y);
        let z = twice(device, "relu", || vec![relu::forward(&on, None)]);
        assert_eq!(z[0].iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), naive::relu_forward(&y));
        let (scale, shift, map) = affine(device, c);
        let z = twice(device, "relu", || vec![relu::forward(&on, Some(&map))]);
        let want = naive::relu_forward(&mapped(&y, &scale, &shift));
        within("relu of an affine map", &z[0], &want, |i| U * (2.0 * y[i].abs() * scale[i % c] + shift[i % c].abs()));
    });
}

#[test]
fn the_gradient_is_the_oracle_s() {
    everywhere(&CASES, |device, &shape| {
        let [n, h, w, f, c] = shape;
        let (scale, shift, map) = affine(device, c);
        // Currents far enough from 0 that float32 opens the same gates.
        let y: Vec<f64> = random("y", shape.iter().product());
        let y: Vec<f64> =
            y.iter().enumerate().map(|(i, &y)| if (y * scale[i % c] + shift[i % c]).abs() < 1e-4 { 1.0 } else { y }).collect();
        let on = tensor(device, shape, &y);
        for spread in [Spread::Plain, Spread::Quarters] {
            let above = if spread == Spread::Plain { shape } else { [n, h / 2, w / 2, f, c] };
            let dz = random("dz", above.iter().product());
            let gradient = tensor(device, above, &dz);
            let full = match spread {
                Spread::Plain => dz.clone(),
                Spread::Quarters => inward(&naive::pool_backward(&outward(&dz, above), [n * f, h, w, c]), shape),
            };
            for (map, scale, x) in [(Some(&map), &scale, mapped(&y, &scale, &shift)), (None, &vec![1.0; c], y.clone())] {
                for down in [Down::Current, Down::Scaled] {
                    let what = format!("{shape:?} {spread:?} {down:?} affine {} on {}", map.is_some(), device.describe());
                    let upstream = Upstream { gradient: &gradient, spread };
                    let dy = twice(device, &what, || vec![relu::backward(&on, map, upstream, down).unwrap()]);
                    let mut want = naive::relu_backward(&x, &full);
                    if down == Down::Scaled {
                        want.iter_mut().enumerate().for_each(|(i, d)| *d *= scale[i % c]);
                    }
                    within(&what, &dy[0], &want, |i| 2.0 * U * want[i].abs());
                }
            }
        }
    });
}

/// ReLU and normalisation in one pass: what the two give one after the other, which have tables of their own.
#[test]
fn relu_and_norm_in_one_pass_are_the_two() {
    let table = [[2, 5, 7, 1, 17], [3, 4, 6, 1, 36], [1, 3, 2, 3, 7], [2, 9, 9, 2, 16]];
    everywhere(&table, |device, &shape| {
        let [n, h, w, f, c] = shape;
        let y = tensor(device, shape, &random("y", shape.iter().product()));
        let vector = |name, low, high| tensor(device, [c], &between(name, c, low, high));
        let (weight, bias) = (vector("weight", 0.5, 1.5), vector("bias", -0.5, 0.5));
        for (moving, spread) in [(Moving::Batch, Spread::Plain), (Moving::Batch, Spread::Quarters), (Moving::Constant, Spread::Quarters)] {
            let what = format!("{shape:?} {moving:?} {spread:?} on {}", device.describe());
            let moments = norm::moments(&y).unwrap();
            let map = norm::affine(&moments, &weight, &bias);
            let above = if spread == Spread::Plain { shape } else { [n, h / 2, w / 2, f, c] };
            let gradient = tensor(device, above, &random("dz", above.iter().product()));
            let upstream = Upstream { gradient: &gradient, spread };
            let dx = relu::backward(&y, Some(&map), upstream, Down::Current).unwrap();
            let want = norm::backward(&dx, &y, &moments, &weight, moving).unwrap();
            let normalised = Normalised { affine: &map, moments: &moments, weight: &weight, moving };
            let found = twice(device, &what, || {
                let norm::Gradients { dy, dweight, dbias } = relu::backward_norm(&y, normalised, upstream).unwrap();
                vec![dy, dweight, dbias]
            });
            // The same numbers are added in f64, in another order; the scale of dy is rounded twice in one, once in the other.
            let close = |which: &str, found: &[f32], want: &Tensor, roundings: f64, lost: f64| {
                let size_of_want = sizes(&wide(want));
                within(&format!("{what}: {which}"), found, &wide(want), |i| roundings * U * size_of_want[i] + lost);
            };
            let small = 1e-12 * wide(&dx).len() as f64;
            close("dbias", &found[2], &want.dbias, 2.0, small);
            close("dweight", &found[1], &want.dweight, 2.0, small);
            close("dy", &found[0], &want.dy, 5.0, if moving == Moving::Batch { 16.0 * U } else { 0.0 });
        }
    });
}

#[test]
fn a_current_of_zero_passes_nothing() {
    let device = devices::first();
    let (y, dz) = (tensor(&device, [1, 1, 1, 1, 3], &[0.0, -0.0, 1e-30]), tensor(&device, [1, 1, 1, 1, 3], &[1.0; 3]));
    let upstream = Upstream { gradient: &dz, spread: Spread::Plain };
    assert_eq!(relu::backward(&y, None, upstream, Down::Current).unwrap().to_vec(), [0.0, 0.0, 1.0]);
}

#[test]
fn a_gradient_of_another_shape_is_refused() {
    let device = devices::first();
    let y = Tensor::zeros(&device, [1, 4, 4, 3, 2]);
    for (shape, spread) in [
        ([1, 4, 4, 3, 1], Spread::Plain),
        ([1, 2, 2, 3, 2], Spread::Plain),
        ([1, 4, 4, 3, 2], Spread::Quarters),
        ([1, 4, 4, 1, 2], Spread::Plain),
    ] {
        let gradient = Tensor::zeros(&device, shape);
        assert!(relu::backward(&y, None, Upstream { gradient: &gradient, spread }, Down::Current).is_err(), "{shape:?} {spread:?}");
    }
}
