//! The memory of an ascent: best points, checkpoints, step sizes.

use super::common::*;
use caltrop::ops::ascent::Ascent;
use caltrop::tensor::Array;

#[test]
fn the_table_holds_on_every_device() {
    table("ascent");
}

#[test]
fn a_loss_that_is_nan_is_no_best_and_no_rise() {
    for device in devices::all() {
        let ones = Array::full(&device, [2], 1u32);
        let (mut ascent, _) = Ascent::begin(&tensor(&device, [2], &[1.0, 1.0]), &ones, &ones, 1.0).unwrap();
        let seen = ascent.observe(&tensor(&device, [2], &[f64::NAN, 2.0]), &ones).unwrap();
        assert_eq!(seen.improved.to_vec(), [0, 1], "{}", device.describe());
        assert_eq!(ascent.best().to_vec(), [1.0, 2.0]);
        assert_eq!(ascent.check(1).to_vec(), [1, 0]);
        assert_eq!(ascent.steps().to_vec(), [0.5, 1.0]);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = devices::first();
    let (two, three) = (Tensor::zeros(&device, [2]), Array::full(&device, [3], 1u32));
    let error = Ascent::begin(&two, &three, &three, 1.0).err().expect("refused").to_string();
    assert_eq!(error, "ascent: 3 images, 2 values");
}
