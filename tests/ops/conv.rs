//! Convolution and linear layers: forward and the three gradients.

use super::common::*;
use caltrop::base::Shape;
use caltrop::device::Precision;
use caltrop::ops::conv::{self, Firing, KeepCurrent};
use caltrop::ops::lif::{self, Dynamics, Reset};
use caltrop::ops::norm;
use caltrop::ops::product::Weight;
use naive::{Conv, time_inward, time_outward};

/// A convolution of F frames.
pub struct Case {
    pub name: &'static str,
    pub frames: usize,
    pub conv: Conv,
    pub form: Form,
}

/// A name, [N, H, W], [C_in, C_out], and [kernel, stride, pad].
const fn case(name: &'static str, form: Form, frames: usize, [n, h, w]: [usize; 3], [c_in, c_out]: [usize; 2], ksp: [usize; 3]) -> Case {
    let [k, s, pad] = ksp;
    Case { name, frames, conv: Conv { n, h, w, c_in, c_out, kernel: (k, k), stride: s, pad }, form }
}

pub const CASES: [Case; 22] = [
    case("one number", Form::Real, 1, [1, 1, 1], [1, 1], [1, 1, 0]),
    case("one pixel under 3x3", Form::Real, 1, [1, 1, 1], [1, 1], [3, 1, 1]),
    case("an image's first layer", Form::Real, 1, [3, 9, 11], [3, 17], [3, 1, 1]),
    case("grey image", Form::Real, 1, [2, 7, 5], [1, 31], [3, 1, 1]),
    case("pad 0", Form::Real, 1, [2, 5, 6], [7, 33], [3, 1, 0]),
    case("pad 2", Form::Real, 3, [1, 4, 3], [5, 7], [3, 1, 2]),
    case("pad 2, stride 2", Form::Quarters, 1, [2, 3, 6], [4, 5], [3, 2, 2]),
    case("stride 2", Form::Real, 3, [2, 7, 9], [17, 31], [3, 2, 1]),
    case("stride 2, even image", Form::Real, 1, [2, 8, 6], [33, 7], [3, 2, 1]),
    case("a shortcut: 1x1, stride 2", Form::Real, 8, [2, 7, 8], [17, 33], [1, 2, 0]),
    case("stride 3 skips pixels", Form::Real, 1, [1, 10, 8], [12, 5], [2, 3, 0]),
    case("wide", Form::Real, 1, [1, 4, 4], [64, 96], [3, 1, 1]),
    case("many rows", Form::Real, 8, [3, 9, 9], [9, 16], [3, 1, 1]),
    case("linear", Form::Real, 9, [7, 1, 1], [33, 31], [1, 1, 0]),
    case("linear to one", Form::Real, 1, [5, 1, 1], [257, 1], [1, 1, 0]),
    case("spikes", Form::Spikes, 8, [2, 5, 7], [17, 33], [3, 1, 1]),
    case("one step of spikes", Form::Spikes, 1, [3, 3, 3], [7, 1], [3, 1, 1]),
    case("two planes of spikes, stride 2", Form::Spikes, 9, [1, 7, 5], [31, 17], [3, 2, 1]),
    case("linear of spikes", Form::Spikes, 16, [7, 1, 1], [65, 10], [1, 1, 0]),
    case("quarters", Form::Quarters, 8, [2, 4, 5], [33, 31], [3, 1, 1]),
    case("quarters, three steps, pad 0", Form::Quarters, 3, [1, 5, 5], [16, 7], [3, 1, 0]),
    case("linear of quarters, two planes", Form::Quarters, 16, [3, 1, 1], [31, 33], [1, 1, 0]),
];

impl Case {
    pub fn input(&self) -> [usize; 5] {
        [self.conv.n, self.conv.h, self.conv.w, self.frames, self.conv.c_in]
    }

    pub fn output(&self) -> [usize; 5] {
        let (h, w) = self.conv.out();
        [self.conv.n, h, w, self.frames, self.conv.c_out]
    }

    pub fn weight(&self) -> [usize; 4] {
        [self.conv.c_out, self.conv.kernel.0, self.conv.kernel.1, self.conv.c_in]
    }

    /// The frames as so many more images, as the oracle has them.
    pub fn unrolled(&self) -> Conv {
        Conv { n: self.conv.n * self.frames, ..self.conv }
    }
}

/// [N, H, W, F, C] as [F·N, H, W, C].
pub fn outward(a: &[f64], [n, h, w, frames, c]: [usize; 5]) -> Vec<f64> {
    time_outward(a, [n * h * w, frames, c])
}

/// [F·N, H, W, C] as [N, H, W, F, C].
pub fn inward(a: &[f64], [n, h, w, frames, c]: [usize; 5]) -> Vec<f64> {
    time_inward(a, [n * h * w, frames, c])
}

fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

#[test]
fn the_forward_is_the_oracle_s() {
    everywhere(&CASES, |device, case| {
        let (conv, what) = (case.unrolled(), format!("{} on {}", case.name, device.describe()));
        let x = case.form.values(&random("x", count(&case.input())));
        let (w, b) = (random("w", count(&case.weight())), random("b", case.conv.c_out));
        let signal = data(device, case.form, case.input(), &x);
        let (weight, bias) = (Weight::new(tensor(device, case.weight(), &w)), tensor(device, [case.conv.c_out], &b));
        let x = outward(&x, case.input());
        let size = inward(&naive::conv_forward(conv, &sizes(&x), &sizes(&w), &sizes(&b)), case.output());
        let loss = walk(count(&case.weight()[1..]) + 1);
        for (bias, b) in [(Some(&bias), &b[..]), (None, &[])] {
            let y = twice(device, &what, || vec![conv::forward(&signal, &weight, bias, conv.stride, conv.pad).unwrap()]);
            let want = inward(&naive::conv_forward(conv, &x, &w, b), case.output());
            within(&what, &y[0], &want, |i| loss * size[i]);
        }
        let y = conv::forward(&signal, &weight, None, conv.stride, conv.pad).unwrap();
        assert_eq!(y.shape(), Shape::from(case.output()), "{what}");
    });
}

#[test]
fn the_input_gradient_is_the_oracle_s() {
    everywhere(&CASES, |device, case| {
        let (conv, what) = (case.unrolled(), format!("{} on {}", case.name, device.describe()));
        let (w, dy) = (random("w", count(&case.weight())), random("dy", count(&case.output())));
        let (weight, upstream) = (Weight::new(tensor(device, case.weight(), &w)), tensor(device, case.output(), &dy));
        let dx =
            twice(device, &what, || vec![conv::backward_input(&upstream, &weight, case.input().into(), conv.stride, conv.pad).unwrap()]);
        let dy = outward(&dy, case.output());
        let want = inward(&naive::conv_backward_input(conv, &w, &dy), case.input());
        let size = inward(&naive::conv_backward_input(conv, &sizes(&w), &sizes(&dy)), case.input());
        let loss = walk(count(&case.weight()[..3]));
        within(&what, &dx[0], &want, |i| loss * size[i]);
    });
}

#[test]
fn the_parameter_gradients_are_the_oracle_s() {
    everywhere(&CASES, |device, case| {
        let (conv, what) = (case.unrolled(), format!("{} on {}", case.name, device.describe()));
        let x = case.form.values(&random("x", count(&case.input())));
        let dy = random("dy", count(&case.output()));
        let (signal, upstream) = (data(device, case.form, case.input(), &x), tensor(device, case.output(), &dy));
        let shape = Shape::from(case.weight());
        let found = twice(device, &what, || {
            vec![conv::backward_weight(&signal, &upstream, shape, conv.stride, conv.pad).unwrap(), conv::backward_bias(&upstream)]
        });
        let (x, dy) = (outward(&x, case.input()), outward(&dy, case.output()));
        let size = naive::conv_backward_weight(conv, &sizes(&x), &sizes(&dy));
        let loss = walk(dy.len() / conv.c_out);
        within(&format!("{what}: dw"), &found[0], &naive::conv_backward_weight(conv, &x, &dy), |i| loss * size[i]);
        // The bias is summed in f64: only its last rounding is lost.
        let (want, size) = (naive::bias_backward(&dy, conv.c_out), naive::bias_backward(&sizes(&dy), conv.c_out));
        within(&format!("{what}: db"), &found[1], &want, |i| U * want[i].abs() + 1e-15 * size[i]);
    });
}

#[test]
fn a_weight_gradient_of_many_rows_is_summed_without_loss() {
    // Integers: every product and sum is exact in f32, in whatever order, so nothing may differ.
    let case = case("integers", Form::Spikes, 8, [9, 10, 10], [33, 40], [3, 1, 1]);
    everywhere(&[case], |device, case| {
        let x = case.form.values(&random("x", count(&case.input())));
        let dy: Vec<f64> = random("dy", count(&case.output())).iter().map(|v| (3.9 * v).trunc()).collect();
        let (signal, upstream) = (data(device, case.form, case.input(), &x), tensor(device, case.output(), &dy));
        let dw = conv::backward_weight(&signal, &upstream, case.weight().into(), 1, 1).unwrap();
        let want = naive::conv_backward_weight(case.unrolled(), &outward(&x, case.input()), &outward(&dy, case.output()));
        assert_eq!(wide(&dw), want, "{}", device.describe());
    });
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

/// Winograd's transforms cost digits; its stated tolerance is 3e-5 of the largest result (a direct sum: 1e-6).
#[test]
fn transformed_products_stay_within_their_stated_tolerance() {
    let shapes = [("demo's conv2", [2, 14, 14], [16, 32]), ("demo's conv3", [3, 7, 7], [32, 64]), ("vgg's middle", [1, 8, 8], [256, 128])];
    let cases = shapes.map(|(name, size, channels)| case(name, Form::Real, 1, size, channels, [3, 1, 1]));
    everywhere(&cases, |device, case| {
        let (conv, what) = (case.unrolled(), format!("{} on {}", case.name, device.describe()));
        let (w, dy) = (random("w", count(&case.weight())), random("dy", count(&case.output())));
        let weight = Weight::new(tensor(device, case.weight(), &w));
        let dx = conv::backward_input(&tensor(device, case.output(), &dy), &weight, case.input().into(), 1, 1).unwrap();
        let want = naive::conv_backward_input(conv, &w, &dy);
        let largest = want.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        within(&what, &dx.to_vec(), &want, |_| 3e-5 * largest);
    });
}

/// Blocks enough for the wide tiles of a GPU.
const LARGE: [Case; 3] = [
    case("large, numbers", Form::Real, 1, [1, 61, 113], [20, 132], [1, 1, 0]),
    case("large, spikes", Form::Spikes, 8, [1, 29, 30], [16, 130], [1, 1, 0]),
    case("large, quarters", Form::Quarters, 13, [1, 31, 17], [4, 132], [1, 1, 0]),
];

#[test]
fn large_products_are_the_oracle_s() {
    everywhere(&LARGE, |device, case| {
        let (conv, what) = (case.unrolled(), format!("{} on {}", case.name, device.describe()));
        let x = case.form.values(&random("x", count(&case.input())));
        let (w, dy) = (random("w", count(&case.weight())), random("dy", count(&case.output())));
        let (signal, upstream) = (data(device, case.form, case.input(), &x), tensor(device, case.output(), &dy));
        let weight = Weight::new(tensor(device, case.weight(), &w));
        let (x, dy) = (outward(&x, case.input()), outward(&dy, case.output()));
        let y = conv::forward(&signal, &weight, None, conv.stride, conv.pad).unwrap();
        let bias = vec![0.0; conv.c_out];
        let want = inward(&naive::conv_forward(conv, &x, &w, &bias), case.output());
        let size = inward(&naive::conv_forward(conv, &sizes(&x), &sizes(&w), &bias), case.output());
        within(&what, &y.to_vec(), &want, |i| walk(conv.c_in) * size[i]);
        let dw = conv::backward_weight(&signal, &upstream, case.weight().into(), conv.stride, conv.pad).unwrap();
        let size = naive::conv_backward_weight(conv, &sizes(&x), &sizes(&dy));
        let want = naive::conv_backward_weight(conv, &x, &dy);
        within(&what, &dw.to_vec(), &want, |i| walk(dy.len() / conv.c_out) * size[i]);
    });
}

#[test]
fn a_fused_product_is_the_product_and_what_follows_it() {
    everywhere(&CASES, |device, case| {
        let (conv, what) = (&case.conv, format!("{} on {}", case.name, device.describe()));
        let x = data(device, case.form, case.input(), &case.form.values(&random("x", count(&case.input()))));
        let weight = Weight::new(tensor(device, case.weight(), &random("w", count(&case.weight()))));
        let bias = tensor(device, [conv.c_out], &random("b", conv.c_out));
        let (_, _, affine) = affine(device, conv.c_out);
        let v_th = tensor(device, [], &[0.8]);
        // By one thread each: the same sums, rounded to f32 once.
        let y = conv::forward(&x, &weight, Some(&bias), conv.stride, conv.pad).unwrap();
        let (again, moments) = conv::forward_moments(&x, &weight, Some(&bias), conv.stride, conv.pad).unwrap();
        assert_eq!(again.to_vec(), y.to_vec(), "{what}");
        let want = norm::moments(&y).unwrap();
        within(&format!("{what}: mean"), &moments.mean.to_vec(), &wide(&want.mean), |i| 1e-6 * (1e-3 + wide(&want.mean)[i].abs()));
        let spread = |i: usize| 1e-6 * (wide(&want.variance)[i] + wide(&want.mean)[i].powi(2));
        within(&format!("{what}: variance"), &moments.variance.to_vec(), &wide(&want.variance), spread);
        let held = if case.frames == 1 { 11 } else { case.frames };
        for reset in [Reset::Hard, Reset::Soft] {
            let dynamics = Dynamics { steps: held, leak: 0.9, reset };
            let Data::Spikes { codes, .. } = lif::forward(&y, Some(&affine), &v_th, dynamics).unwrap() else { unreachable!() };
            for keep in [KeepCurrent::Yes, KeepCurrent::No] {
                let firing = Firing { affine: Some(&affine), v_th: &v_th, dynamics };
                let (current, spikes) = conv::fire(&x, &weight, Some(&bias), conv.stride, conv.pad, firing, keep).unwrap();
                let Data::Spikes { codes: fused, .. } = spikes else { unreachable!() };
                assert_eq!(fused.to_vec(), codes.to_vec(), "{what}, {reset:?}");
                assert_eq!(current.map(|current| current.to_vec()), (keep == KeepCurrent::Yes).then(|| y.to_vec()), "{what}");
            }
        }
    });
}

/// Rounded to bf16, to nearest even.
fn rounded(values: &[f64]) -> Vec<f64> {
    let round = |&v: &f64| {
        let bits = (v as f32).to_bits();
        f64::from(f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000))
    };
    values.iter().map(round).collect()
}

#[test]
fn bf16_products_are_those_of_rounded_operands() {
    let small = case("small, numbers", Form::Real, 3, [2, 5, 6], [20, 12], [3, 1, 1]);
    for device in devices::gpus().iter().map(|device| device.with_precision(Precision::Bf16)) {
        for case in LARGE.iter().filter(|case| case.conv.c_out % 4 == 0).chain([&small]) {
            let (conv, what) = (case.unrolled(), format!("{} on {}", case.name, device.describe()));
            let x = case.form.values(&random("x", count(&case.input())));
            let (w, dy) = (random("w", count(&case.weight())), random("dy", count(&case.output())));
            let (signal, upstream) = (data(&device, case.form, case.input(), &x), tensor(&device, case.output(), &dy));
            let weight = Weight::new(tensor(&device, case.weight(), &w));
            let (x, w, dy) = (rounded(&outward(&x, case.input())), rounded(&w), rounded(&outward(&dy, case.output())));
            let bias = vec![0.0; conv.c_out];
            let y = conv::forward(&signal, &weight, None, conv.stride, conv.pad).unwrap();
            let size = inward(&naive::conv_forward(conv, &sizes(&x), &sizes(&w), &bias), case.output());
            let want = inward(&naive::conv_forward(conv, &x, &w, &bias), case.output());
            within(&what, &y.to_vec(), &want, |i| walk(count(&case.weight()[1..])) * size[i]);
            let dx = conv::backward_input(&upstream, &weight, case.input().into(), conv.stride, conv.pad).unwrap();
            let size = inward(&naive::conv_backward_input(conv, &sizes(&w), &sizes(&dy)), case.input());
            let want = inward(&naive::conv_backward_input(conv, &w, &dy), case.input());
            within(&what, &dx.to_vec(), &want, |i| walk(count(&case.weight()[..3])) * size[i]);
            let dw = conv::backward_weight(&signal, &upstream, case.weight().into(), conv.stride, conv.pad).unwrap();
            let size = naive::conv_backward_weight(conv, &sizes(&x), &sizes(&dy));
            let want = naive::conv_backward_weight(conv, &x, &dy);
            within(&what, &dw.to_vec(), &want, |i| walk(dy.len() / conv.c_out) * size[i]);
        }
    }
}
