//! Momentum and decay, step by step.

use super::common::*;
use caltrop::ops::sgd::{self, Rates};

#[test]
fn the_table_holds_on_every_device() {
    table("sgd");
}

#[test]
fn the_first_step_has_no_memory() {
    let device = devices::first();
    let (mut p, mut velocity) = (tensor(&device, [2], &[1.0, -2.0]), None);
    sgd::step(&mut p, &tensor(&device, [2], &[0.5, 0.0]), &mut velocity, Rates { rate: 0.5, momentum: 0.75, decay: 0.25 }).unwrap();
    assert_eq!((p.to_vec(), velocity.unwrap().to_vec()), (vec![0.625, -1.75], vec![0.75, -0.5]));
}

#[test]
fn a_gradient_of_another_shape_is_refused() {
    let device = devices::first();
    let rates = Rates { rate: 0.1, momentum: 0.9, decay: 0.0 };
    let error = sgd::step(&mut Tensor::zeros(&device, [3]), &Tensor::zeros(&device, [4]), &mut None, rates).expect_err("refused");
    assert_eq!(error.to_string(), "sgd: parameter 3, gradient 4");
}
