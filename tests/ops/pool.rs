//! Average pooling of numbers and of spike codes.

use super::common::*;
use caltrop::ops::pool;

#[test]
fn the_table_holds_on_every_device() {
    table("pool");
}

#[test]
fn a_pool_that_does_not_fit_is_refused() {
    let x = Data::Real(Tensor::zeros(&devices::first(), [1, 1, 4, 1, 3]));
    assert_eq!(pool::average(&x).err().expect("refused").to_string(), "pool: a 2x2 pool does not fit an image of 1x4");
}
