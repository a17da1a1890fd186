//! Weighted sums of one tensor and of two.

use super::common::*;
use caltrop::ops::blend::blend;

const CASES: [usize; 6] = [1, 7, 16, 33, 16_384, 40_001];

#[test]
fn a_blend_is_the_sum_in_f64_rounded_once() {
    everywhere(&CASES, |device, &n| {
        let (a, b) = (random("a", n), random("b", n));
        let (on_a, on_b) = (tensor(device, [n], &a), tensor(device, [n], &b));
        for (p, q) in [(1.0, 1.0), (-1.0, 0.0), (1.0 / 3.0, -2.0 / 7.0), (1e-9, 1e9)] {
            let got = twice(device, "blend", || vec![blend(&[(&on_a, p)]).unwrap(), blend(&[(&on_a, p), (&on_b, q)]).unwrap()]);
            let one: Vec<f32> = a.iter().map(|a| (0.0 + p * a) as f32).collect();
            let two: Vec<f32> = a.iter().zip(&b).map(|(a, b)| (0.0 + p * a + q * b) as f32).collect();
            same_bits(&format!("{p}·a of {n}"), &got[0], &one);
            same_bits(&format!("{p}·a + {q}·b of {n}"), &got[1], &two);
        }
        // What a sum in f32 would give.
        let sum: Vec<f32> = on_a.to_vec().iter().zip(on_b.to_vec()).map(|(a, b)| a + b).collect();
        same_bits("a + b", &blend(&[(&on_a, 1.0), (&on_b, 1.0)]).unwrap().to_vec(), &sum);
    });
}

#[test]
fn nan_passes_through() {
    let device = devices::first();
    let x = tensor(&device, [3], &[f64::NAN, f64::INFINITY, 1.0]);
    let got = blend(&[(&x, 0.5), (&x, 0.5)]).unwrap().to_vec();
    assert!(got[0].is_nan() && got[1..] == [f32::INFINITY, 1.0], "{got:?}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = devices::first();
    let (a, b) = (Tensor::zeros(&device, [2, 3]), Tensor::zeros(&device, [3, 2]));
    let text = |parts: &[(&Tensor, f64)]| blend(parts).err().expect("refused").to_string();
    assert_eq!(text(&[]), "blend: 0 tensors; 1 to 2 can be blended");
    assert_eq!(text(&[(&a, 1.0); 3]), "blend: 3 tensors; 1 to 2 can be blended");
    assert_eq!(text(&[(&a, 1.0), (&b, 1.0)]), "blend: a tensor of 3x2 among those of 2x3");
}
