//! Weighted totals, and whether everything is finite.

use super::common::*;
use caltrop::ops::reduce;

#[test]
fn the_table_holds_on_every_device() {
    table("reduce");
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
