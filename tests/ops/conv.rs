//! Convolution and linear layers: forward and the three gradients.

use super::common::*;
use caltrop::ops::conv::{self};
use caltrop::ops::product::Weight;

#[test]
fn the_table_holds_on_every_device() {
    table("conv");
}

#[test]
fn a_changed_weight_is_packed_again() {
    everywhere(&[()], |device, ()| {
        let x = Data::Real(tensor(device, [1, 1, 1, 1, 2], &[1.0, 10.0]));
        let dy = tensor(device, [1, 1, 1, 1, 1], &[1.0]);
        let mut weight = Weight::new(tensor(device, [1, 1, 1, 2], &[1.0, 2.0]));
        let run = |weight: &Weight| {
            let dx = conv::backward_input(&dy, weight, x.shape(), 1, 0).unwrap();
            (conv::forward(&x, weight, None, 1, 0).unwrap().to_vec(), dx.to_vec())
        };
        assert_eq!(run(&weight), (vec![21.0], vec![1.0, 2.0]));
        *weight.value_mut() = tensor(device, [1, 1, 1, 2], &[3.0, 2.0]);
        assert_eq!(run(&weight), (vec![23.0], vec![3.0, 2.0]));
        weight.set(tensor(device, [1, 1, 1, 2], &[5.0, 0.0]));
        assert_eq!(run(&weight), (vec![5.0], vec![5.0, 0.0]));
    });
}

#[test]
fn what_does_not_fit_is_refused_with_the_values() {
    let device = devices::first();
    let x = Data::Real(Tensor::zeros(&device, [1, 4, 4, 1, 3]));
    let weight = |shape: [usize; 4]| Weight::new(Tensor::zeros(&device, shape));
    let refusal = |w: [usize; 4], bias: usize, stride: usize, pad: usize| {
        conv::forward(&x, &weight(w), Some(&Tensor::zeros(&device, [bias])), stride, pad).err().expect("refused").to_string()
    };
    assert_eq!(refusal([2, 3, 3, 5], 2, 1, 1), "conv: weight wants 5 input channels, signal has 3");
    assert_eq!(refusal([2, 7, 7, 3], 2, 1, 1), "conv: kernel 7x7 does not fit an image of 4x4 padded by 1");
    assert_eq!(refusal([2, 1, 1, 3], 2, 1, 1), "conv: padding 1 wants a kernel larger than 1x1");
    assert!(refusal([2, 3, 3, 3], 2, 0, 1).contains("stride 0"));
    assert_eq!(refusal([2, 3, 3, 3], 4, 1, 1), "conv: bias wants 2 numbers, got 4");
    let dy = Tensor::zeros(&device, [1, 3, 4, 1, 2]);
    let error = conv::backward_input(&dy, &weight([2, 3, 3, 3]), x.shape(), 1, 1).err().expect("refused").to_string();
    assert_eq!(error, "conv: the gradient wants 1x4x4x1x2, got 1x3x4x1x2");
    let error = conv::backward_weight(&x, &dy, [2, 3, 3, 3].into(), 1, 1).err().expect("refused").to_string();
    assert_eq!(error, "conv: the gradient wants 1x4x4x1x2, got 1x3x4x1x2");
}
