//! Weighted sums of one tensor and of two.

use super::common::*;
use caltrop::ops::blend::blend;

#[test]
fn the_table_holds_on_every_device() {
    table("blend");
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
