//! ReLU behind an affine map.

use super::common::*;
use caltrop::ops::lif::{Down, Spread, Upstream};
use caltrop::ops::relu;

#[test]
fn the_table_holds_on_every_device() {
    table("relu");
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
