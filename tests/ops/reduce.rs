//! Weighted totals, and whether everything is finite.

use super::common::*;
use caltrop::ops::reduce;

/// Lengths of the two tensors.
const CASES: [(usize, usize); 6] = [(1, 1), (7, 3), (16, 16), (33, 128), (128, 1), (5000, 4097)];

#[test]
fn a_total_is_the_sum_in_f64_rounded_once() {
    everywhere(&CASES, |device, &(n, m)| {
        let (a, b) = (random("a", n), random("b", m));
        let (on_a, on_b) = (tensor(device, [n], &a), tensor(device, [m], &b));
        let total = |values: &[f64]| values.iter().sum::<f64>();
        for (p, q) in [(1.0, 1.0), (-1.0, 0.0), (1.0 / 3.0, 6.0 / 7.0)] {
            let got = twice(device, "sum", || vec![reduce::sum(&[(&on_a, p)]).unwrap(), reduce::sum(&[(&on_a, p), (&on_b, q)]).unwrap()]);
            // Any order of a sum in f64; then one rounding.
            let close = |got: &[f32], want: f64, size: f64| within("sum", got, &[want], |_| 1.01 * U * want.abs() + 1e-12 * size);
            let (size_a, size_b) = (p.abs() * total(&sizes(&a)), q * total(&sizes(&b)));
            close(&got[0], p * total(&a), size_a);
            close(&got[1], p * total(&a) + q * total(&b), size_a + size_b);
        }
    });
}

#[test]
fn squares_are_summed_in_f64() {
    everywhere(&CASES, |device, &(n, _)| {
        let x = random("x", n);
        let on = tensor(device, [n], &x);
        let want: f64 = x.iter().map(|x| x * x).sum();
        let got = twice(device, "squares", || vec![reduce::squares(&on)]);
        within("squares", &got[0], &[want], |_| 1.01 * U * want);
    });
}

#[test]
fn a_total_is_a_scalar_and_nan_passes_through() {
    let device = devices::first();
    let x = tensor(&device, [2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let sum = reduce::sum(&[(&x, 0.5)]).unwrap();
    assert_eq!((sum.shape().rank(), sum.to_vec()), (0, vec![5.0]));
    assert!(reduce::sum(&[(&tensor(&device, [2], &[1.0, f64::NAN]), 1.0)]).unwrap().to_vec()[0].is_nan());
    assert!(reduce::sum(&[]).is_err() && reduce::sum(&[(&x, 1.0); 3]).is_err());
}

#[test]
fn one_number_that_is_not_finite_is_found_wherever_it_is() {
    everywhere(&CASES, |device, &(n, m)| {
        let (a, b) = (random("a", n), random("b", m));
        let good = [tensor(device, [n], &a), Tensor::zeros(device, []), tensor(device, [m], &b)];
        let flags = |tensors: &[Tensor]| reduce::finite(&tensors.iter().collect::<Vec<_>>()).unwrap().to_vec();
        assert_eq!(flags(&good), [1, 1, 1]);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for at in [0, m / 2, m - 1] {
                let mut broken = b.clone();
                broken[at] = bad;
                assert_eq!(flags(&[good[0].clone(), good[1].clone(), tensor(device, [m], &broken)]), [1, 1, 0], "{bad} at {at} of {m}");
            }
            assert_eq!(flags(&[good[2].clone(), tensor(device, [], &[bad])]), [1, 0]);
        }
    });
    assert!(reduce::finite(&[]).is_err());
}
