//! Batch norm: moments, the affine map, its gradients, the running statistics.

use super::common::*;
use caltrop::ops::norm::{self};

#[test]
fn the_table_holds_on_every_device() {
    table("norm");
}

#[test]
fn a_channel_of_equal_values_has_no_variance() {
    everywhere(&[0.0, 0.1, 12345.678], |device, &value| {
        let moments = norm::moments(&Tensor::full(device, [2, 5, 7, 3, 4], value as f32)).unwrap();
        assert_eq!(moments.variance.to_vec(), [0.0; 4], "{value}");
        assert_eq!(moments.mean.to_vec(), [value as f32; 4]);
    });
    assert!(norm::moments(&Tensor::zeros(&devices::first(), [0, 2, 2, 1, 3])).is_err(), "no values");
}
