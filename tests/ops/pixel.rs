//! Noise by image id, signed steps, projections.

use super::common::*;
use caltrop::base::rng::{Philox, Purpose};
use caltrop::ops::pixel::{self, Noise};

/// [N, H, W, C].
const CASES: [[usize; 4]; 6] = [[1, 1, 1, 1], [3, 5, 7, 3], [2, 9, 9, 1], [7, 4, 3, 2], [31, 1, 2, 1], [4, 64, 64, 3]];

const LAWS: [Noise; 3] = [Noise::Uniform(8.0 / 255.0), Noise::Normal(0.001), Noise::Sign];

fn stream(id: usize) -> Philox {
    Philox::stream(7, Purpose::Attack, &[id as u64, 3])
}

fn noise(device: &Device, [_, h, w, c]: [usize; 4], law: Noise, ids: &[usize]) -> Vec<f32> {
    let like = Tensor::zeros(device, [ids.len(), h, w, c]);
    let streams: Vec<Philox> = ids.iter().map(|&id| stream(id)).collect();
    twice(device, "noise", || vec![pixel::noise(&like, law, &streams).unwrap()]).remove(0)
}

#[test]
fn the_table_holds_on_every_device() {
    table("pixel");
}

#[test]
fn an_image_s_noise_depends_on_its_id_not_on_its_batch() {
    everywhere(&CASES, |device, &shape| {
        let len = shape[1..].iter().product::<usize>();
        for law in LAWS {
            let together = noise(device, shape, law, &[4, 9, 2]);
            let apart: Vec<f32> = [4, 9, 2].iter().flat_map(|&id| noise(device, shape, law, &[id])).collect();
            same_bits(&format!("{law:?}"), &together, &apart);
            same_bits(&format!("{law:?}"), &noise(device, shape, law, &[2, 4]), &[&together[2 * len..], &together[..len]].concat());
        }
    });
}

#[test]
fn noise_follows_its_law() {
    let device = devices::first();
    let of = |law| noise(&device, [1, 64, 64, 3], law, &[0, 1, 2, 3]).into_iter().map(f64::from).collect::<Vec<_>>();
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let square = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>() / v.len() as f64;
    let n = (4.0f64 * 64.0 * 64.0 * 3.0).sqrt();
    let (uniform, normal, sign) = (of(Noise::Uniform(0.5)), of(Noise::Normal(2.0)), of(Noise::Sign));
    assert!(uniform.iter().all(|v| (-0.5..=0.5).contains(v)));
    assert!(sign.iter().all(|v| v.abs() == 1.0));
    // Four deviations of the mean, and of the mean square (kurtosis 1.8 and 3).
    assert!(mean(&uniform).abs() < 4.0 * (1.0f64 / 12.0).sqrt() / n && (square(&uniform) - 1.0 / 12.0).abs() < 4.0 * 0.0745 / n);
    assert!(mean(&normal).abs() < 4.0 * 2.0 / n && (square(&normal) - 4.0).abs() < 4.0 * 4.0 * 2f64.sqrt() / n);
    assert!(mean(&sign).abs() < 4.0 / n);
}

#[test]
fn the_sign_of_zero_is_zero() {
    let device = devices::first();
    let row = |values: &[f64]| tensor(&device, [1, 1, 1, 4], values);
    let step = pixel::signed_step(&row(&[0.5; 4]), &row(&[0.5; 4]), &row(&[0.0, -0.0, 1e-38, -1e-38]), 0.25, 1.0).unwrap();
    assert_eq!(step.to_vec(), [0.5, 0.5, 0.75, 0.25]);
}

/// SA-PGD's step by hand, as shares of the step size.
#[test]
fn an_adaptive_step_is_the_formula_s() {
    let root = |square: f64| square.sqrt();
    let steps = [
        // mean|g| = 2, mean(g²) = 6: m/√v = ±√6/2, more than 1.
        ([2.0, -2.0, 4.0, 0.0], [1.0, -1.0, 1.0, 0.0]),
        // mean|g| = 1, mean(g²) = 1. The first has changed its mind: m = 0.5·1 − 1, v = 0.8·(2/3) + 1.
        ([-1.0, -1.0, 1.0, 1.0], [-0.5 / root(0.8 * 2.0 / 3.0 + 1.0), -1.0, 1.0, 1.0]),
        // No gradient: the momentum halves, m = −0.25, v = 0.64·(2/3) + 0.8; the last had m = 1, v = 1.
        ([0.0; 4], [-0.25 / root(0.64 * 2.0 / 3.0 + 0.8), f64::NAN, f64::NAN, 0.5 / root(0.8)]),
    ];
    for device in devices::all() {
        let x = tensor(&device, [1, 1, 1, 4], &[0.5; 4]);
        let (mut adv, mut momentum) = (x.clone(), pixel::Momentum::of(&x));
        for (gradient, want) in &steps {
            let next = pixel::adaptive_step(&x, &adv, &tensor(&device, [1, 1, 1, 4], gradient), &mut momentum, 0.125, 1.0).unwrap();
            for (i, (next, adv)) in wide(&next).iter().zip(wide(&adv)).enumerate().filter(|(i, _)| !want[*i].is_nan()) {
                let found = (next - adv) / 0.125;
                assert!((found - want[i]).abs() < 1e-5, "{}: {found} instead of {}", device.describe(), want[i]);
            }
            adv = next;
        }
        // Held by the ball.
        let far = pixel::adaptive_step(&x, &x, &tensor(&device, [1, 1, 1, 4], &steps[0].0), &mut pixel::Momentum::of(&x), 0.25, 0.125);
        assert_eq!(far.unwrap().to_vec(), [0.625, 0.375, 0.625, 0.5]);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = devices::first();
    let (a, b) = (Tensor::zeros(&device, [2, 3, 3, 1]), Tensor::zeros(&device, [1, 3, 3, 1]));
    assert!(pixel::noise(&a, Noise::Sign, &[stream(0)]).is_err());
    assert!(pixel::displace(&a, &b, 1.0).is_err());
    assert!(pixel::signed_step(&a, &a, &b, 1.0, 1.0).is_err());
    assert!(pixel::adaptive_step(&a, &a, &b, &mut pixel::Momentum::of(&a), 1.0, 1.0).is_err());
    assert!(pixel::adaptive_step(&a, &a, &a, &mut pixel::Momentum::of(&b), 1.0, 1.0).is_err());
}
