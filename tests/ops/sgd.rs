//! Momentum and decay, step by step.

use super::common::*;
use caltrop::ops::sgd::{self, Rates};

const CASES: [(usize, Rates); 6] = [
    (1, Rates { rate: 0.1, momentum: 0.9, decay: 5e-4 }),
    (7, Rates { rate: 0.05, momentum: 0.0, decay: 0.0 }),
    (33, Rates { rate: 1e-3, momentum: 0.9, decay: 1e-3 }),
    (31, Rates { rate: 0.1, momentum: 0.0, decay: 0.1 }),
    (17, Rates { rate: 0.0, momentum: 0.9, decay: 0.0 }),
    (40_001, Rates { rate: 0.1, momentum: 0.9, decay: 5e-4 }),
];

#[test]
fn five_steps_are_the_oracle_s() {
    everywhere(&CASES, |device, &(n, rates)| {
        let start = random("p", n);
        let (mut want, mut buffer) = (start.clone(), None);
        let run = || {
            let (mut p, mut velocity) = (tensor(device, [n], &start), None);
            for step in 0..5 {
                let g = tensor(device, [n], &random(&format!("g{step}"), n));
                sgd::step(&mut p, &g, &mut velocity, rates).unwrap();
            }
            vec![p, velocity.expect("kept after a step")]
        };
        let got = twice(device, "sgd", run);
        for step in 0..5 {
            let Rates { rate, momentum, decay } = rates;
            naive::sgd_step(
                &mut want,
                &random(&format!("g{step}"), n),
                &mut buffer,
                f64::from(rate),
                f64::from(momentum),
                f64::from(decay),
            );
        }
        // Numbers below 4.1 (five gradients) and five updates.
        within("p", &got[0], &want, |_| 5.0 * U * (2.0 + f64::from(rates.rate) * 16.0));
        within("velocity", &got[1], &buffer.clone().unwrap(), |_| 5.0 * U * 8.0);
    });
}

#[test]
fn the_first_step_has_no_memory() {
    let device = devices::first();
    let (mut p, mut velocity) = (tensor(&device, [2], &[1.0, -2.0]), None);
    sgd::step(&mut p, &tensor(&device, [2], &[0.5, 0.0]), &mut velocity, Rates { rate: 0.5, momentum: 0.75, decay: 0.25 }).unwrap();
    assert_eq!((p.to_vec(), velocity.unwrap().to_vec()), (vec![0.625, -1.75], vec![0.75, -0.5]));
}

#[test]
fn a_projection_lifts_what_is_below_and_leaves_the_rest() {
    everywhere(&[1, 7, 33, 40_001], |device, &n| {
        let start = random("p", n);
        let got = twice(device, "floor", || {
            let mut p = tensor(device, [n], &start);
            sgd::at_least(&mut p, 0.03);
            vec![p]
        });
        let want: Vec<f32> = start.iter().map(|&p| if (p as f32) < 0.03 { 0.03 } else { p as f32 }).collect();
        same_bits("floor", &got[0], &want);
    });
    let mut p = tensor(&devices::first(), [3], &[f64::NAN, f64::NEG_INFINITY, f64::INFINITY]);
    sgd::at_least(&mut p, 0.03);
    let p = p.to_vec();
    assert!(p[0].is_nan() && p[1..] == [0.03, f32::INFINITY], "{p:?}");
}

#[test]
fn a_gradient_of_another_shape_is_refused() {
    let device = devices::first();
    let rates = Rates { rate: 0.1, momentum: 0.9, decay: 0.0 };
    let error = sgd::step(&mut Tensor::zeros(&device, [3]), &Tensor::zeros(&device, [4]), &mut None, rates).expect_err("refused");
    assert_eq!(error.to_string(), "sgd: parameter 3, gradient 4");
}
