//! Crop, mirror and cutout where the bytes lie: the loader's bits.

use super::common::*;
use caltrop::data::Augment;
use caltrop::ops::augment::augment;
use caltrop::tensor::Array;

#[test]
fn the_table_holds_on_every_device() {
    table("augment");
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = devices::first();
    let images = Array::<u8>::zeros(&device, [2, 3, 3, 1]);
    let (two, three, grey) = (Array::zeros(&device, [2]), Array::zeros(&device, [3]), Tensor::zeros(&device, [1]));
    let text = |ids: &Array<u32>, mean: &Tensor| {
        augment(&images, ids, Augment::NONE, Augment::stream(0, 0), mean).err().expect("refused").to_string()
    };
    assert_eq!(text(&three, &grey), "augment: 2 images, 3 ids");
    assert_eq!(text(&two, &Tensor::zeros(&device, [3])), "augment: 1 channels, a mean colour of 3");
}
