//! The learnable pair.

use super::common::*;
use caltrop::ops::convex;

#[test]
fn the_table_holds_on_every_device() {
    table("convex");
}

#[test]
fn what_cannot_be_mixed_is_refused() {
    let device = devices::first();
    let zeros = |f: usize, c: usize| Tensor::zeros(&device, [1, 2, 2, f, c]);
    let pair = Tensor::zeros(&device, [2]);
    assert_eq!(
        convex::forward(&zeros(1, 3), &zeros(1, 4), &pair).err().expect("refused").to_string(),
        "convex: cannot mix 1x2x2x1x3 with 1x2x2x1x4"
    );
    assert!(convex::forward(&zeros(2, 3), &zeros(3, 3), &pair).is_err());
    assert!(convex::forward(&zeros(1, 3), &zeros(1, 3), &Tensor::zeros(&device, [3])).is_err());
    assert!(convex::backward(&zeros(1, 3), &zeros(8, 3), &zeros(1, 3), &pair).is_err());
}
