//! Convolution and linear layers: forward, the three gradients, what is fused to the product, both precisions.

use crate::base::{Result, ensure, fail};
use crate::device::{Device, Precision};
use crate::ops::conv::{self, Firing, KeepCurrent};
use crate::ops::lif::{self, Dynamics, Reset};
use crate::ops::norm;
use crate::ops::product::Weight;
use crate::ops::relu;
use crate::selftest::data::*;
use crate::selftest::naive::{self, Conv};
use crate::selftest::sheet::Sheet;
use crate::tensor::{Data, Tensor};

/// A convolution of F frames.
struct Case {
    name: &'static str,
    frames: usize,
    conv: Conv,
    form: Form,
}

/// A name, [N, H, W], [C_in, C_out], and [kernel, stride, pad].
const fn case(name: &'static str, form: Form, frames: usize, [n, h, w]: [usize; 3], [c_in, c_out]: [usize; 2], ksp: [usize; 3]) -> Case {
    let [k, s, pad] = ksp;
    Case { name, frames, conv: Conv { n, h, w, c_in, c_out, kernel: (k, k), stride: s, pad }, form }
}

const CASES: [Case; 26] = [
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
    case("a group's first convolution: stride 2", Form::Spikes, 8, [2, 6, 8], [16, 32], [3, 2, 1]),
    case("a shortcut of spikes: 1x1, stride 2", Form::Spikes, 8, [2, 6, 8], [16, 32], [1, 2, 0]),
    case("a shortcut of spikes: 1x1, odd image", Form::Spikes, 4, [1, 5, 7], [32, 64], [1, 2, 0]),
    case("a shortcut of numbers: 1x1, stride 2", Form::Real, 1, [3, 6, 8], [16, 64], [1, 2, 0]),
    case("linear of quarters, two planes", Form::Quarters, 16, [3, 1, 1], [31, 33], [1, 1, 0]),
];

/// Blocks enough for the wide tiles of a GPU.
const LARGE: [Case; 3] = [
    case("large, numbers", Form::Real, 1, [1, 61, 113], [20, 132], [1, 1, 0]),
    case("large, spikes", Form::Spikes, 8, [1, 29, 30], [16, 130], [1, 1, 0]),
    case("large, quarters", Form::Quarters, 13, [1, 31, 17], [4, 132], [1, 1, 0]),
];

/// Shapes for which a CPU transforms its operands.
const TRANSFORMED: [Case; 4] = [
    case("demo's conv2", Form::Real, 1, [2, 14, 14], [16, 32], [3, 1, 1]),
    case("demo's conv3", Form::Real, 1, [3, 7, 7], [32, 64], [3, 1, 1]),
    case("vgg's middle", Form::Real, 1, [1, 8, 8], [256, 128], [3, 1, 1]),
    case("more tiles than go together", Form::Real, 8, [3, 8, 8], [128, 128], [3, 1, 1]),
];

const INTEGERS: [Case; 1] = [case("integers", Form::Spikes, 8, [9, 10, 10], [33, 40], [3, 1, 1])];

const ROUNDED: [Case; 3] = [
    case("large, numbers", Form::Real, 1, [1, 61, 113], [20, 132], [1, 1, 0]),
    case("large, quarters", Form::Quarters, 13, [1, 31, 17], [4, 132], [1, 1, 0]),
    case("small, numbers", Form::Real, 3, [2, 5, 6], [20, 12], [3, 1, 1]),
];

pub fn table(sheet: &mut Sheet) {
    sheet.each("forward", &CASES, Case::name, forward);
    sheet.each("input's gradient", &CASES, Case::name, input_gradient);
    sheet.each("parameters' gradients", &CASES, Case::name, parameter_gradients);
    sheet.each("weight's gradient of integers", &INTEGERS, Case::name, integers);
    sheet.each("input's gradient, larger", &TRANSFORMED, Case::name, transformed);
    sheet.each("wide tiles", &LARGE, Case::name, wide_tiles);
    sheet.each("fused with what follows", &CASES, Case::name, fused);
    sheet.each("with ReLU behind it", &CASES, Case::name, rectified);
    sheet.each("bf16", &ROUNDED, Case::name, bf16);
}

/// A case's numbers, for the oracle and on a device.
struct Numbers {
    x: Vec<f64>,
    w: Vec<f64>,
    dy: Vec<f64>,
    signal: Data,
    weight: Weight,
    upstream: Tensor,
}

impl Case {
    fn name(&self) -> String {
        let Conv { n, h, w, c_in, c_out, kernel: (k, _), stride, pad } = self.conv;
        let frames = self.frames;
        format!("{}: {n}x{h}x{w}x{frames}x{c_in} to {c_out}, {k}x{k}, stride {stride}, pad {pad}, {:?}", self.name, self.form)
    }

    fn input(&self) -> [usize; 5] {
        [self.conv.n, self.conv.h, self.conv.w, self.frames, self.conv.c_in]
    }

    fn output(&self) -> [usize; 5] {
        let (h, w) = self.conv.out();
        [self.conv.n, h, w, self.frames, self.conv.c_out]
    }

    fn weight(&self) -> [usize; 4] {
        [self.conv.c_out, self.conv.kernel.0, self.conv.kernel.1, self.conv.c_in]
    }

    /// The frames as so many more images, as the oracle has them.
    fn unrolled(&self) -> Conv {
        Conv { n: self.conv.n * self.frames, ..self.conv }
    }

    /// x and dy are unrolled for the oracle.
    fn numbers(&self, device: &Device, change: impl Fn(f64) -> f64) -> Numbers {
        let x = self.form.values(&random("x", count(&self.input())));
        let w = random("w", count(&self.weight()));
        let dy: Vec<f64> = random("dy", count(&self.output())).into_iter().map(change).collect();
        Numbers {
            signal: data(device, self.form, self.input(), &x),
            weight: Weight::new(tensor(device, self.weight(), &w)),
            upstream: tensor(device, self.output(), &dy),
            x: outward(&x, self.input()),
            dy: outward(&dy, self.output()),
            w,
        }
    }
}

fn same(v: f64) -> f64 {
    v
}

fn forward(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let (device, conv) = (sheet.device(), case.unrolled());
    let Numbers { x, w, signal, weight, .. } = case.numbers(device, same);
    let b = random("b", conv.c_out);
    let bias = tensor(device, [conv.c_out], &b);
    let size = inward(&naive::conv_forward(conv, &sizes(&x), &sizes(&w), &sizes(&b)), case.output());
    let loss = walk(count(&case.weight()[1..]) + 1);
    for (what, bias, b) in [("y", Some(&bias), &b[..]), ("y without bias", None, &[])] {
        let y = twice(device, || Ok(vec![conv::forward(&signal, &weight, bias, conv.stride, conv.pad)?]))?;
        let want = inward(&naive::conv_forward(conv, &x, &w, b), case.output());
        sheet.within(what, &y[0], &want, |i| loss * size[i]);
    }
    let shape = conv::forward(&signal, &weight, None, conv.stride, conv.pad)?.shape();
    ensure!(shape == case.output().into(), "y has shape {shape}");
    Ok(())
}

fn input_gradient(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let (device, conv) = (sheet.device(), case.unrolled());
    let Numbers { w, dy, weight, upstream, .. } = case.numbers(device, same);
    let dx = twice(device, || Ok(vec![conv::backward_input(&upstream, &weight, case.input().into(), conv.stride, conv.pad)?]))?;
    let want = inward(&naive::conv_backward_input(conv, &w, &dy), case.input());
    let size = inward(&naive::conv_backward_input(conv, &sizes(&w), &sizes(&dy)), case.input());
    let loss = walk(count(&case.weight()[..3]));
    sheet.within("dx", &dx[0], &want, |i| loss * size[i]);
    Ok(())
}

fn parameter_gradients(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let (device, conv) = (sheet.device(), case.unrolled());
    let Numbers { x, dy, signal, upstream, .. } = case.numbers(device, same);
    let found = twice(device, || {
        let dw = conv::backward_weight(&signal, &upstream, case.weight().into(), conv.stride, conv.pad)?;
        Ok(vec![dw, conv::backward_bias(&upstream)])
    })?;
    let size = naive::conv_backward_weight(conv, &sizes(&x), &sizes(&dy));
    let loss = walk(dy.len() / conv.c_out);
    sheet.within("dw", &found[0], &naive::conv_backward_weight(conv, &x, &dy), |i| loss * size[i]);
    // The bias is summed in f64: only its last rounding is lost.
    let (want, size) = (naive::bias_backward(&dy, conv.c_out), naive::bias_backward(&sizes(&dy), conv.c_out));
    sheet.within("db", &found[1], &want, |i| U * want[i].abs() + 1e-15 * size[i]);
    Ok(())
}

/// Every product and sum of integers is exact in f32, in whatever order, so nothing may differ.
fn integers(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let Numbers { x, dy, signal, upstream, .. } = case.numbers(sheet.device(), |v| (3.9 * v).trunc());
    let dw = conv::backward_weight(&signal, &upstream, case.weight().into(), 1, 1)?;
    sheet.equal("dw", &wide(&dw), &naive::conv_backward_weight(case.unrolled(), &x, &dy));
    Ok(())
}

/// Winograd's transforms cost digits; its stated tolerance is 3e-5 of the largest result (a direct sum: 1e-6).
fn transformed(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let Numbers { w, dy, weight, upstream, .. } = case.numbers(sheet.device(), same);
    let dx = conv::backward_input(&upstream, &weight, case.input().into(), 1, 1)?;
    let direct = conv::backward_input_direct(&upstream, &weight, case.input().into(), 1, 1)?;
    let want = inward(&naive::conv_backward_input(case.unrolled(), &w, &dy), case.input());
    let largest = want.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    sheet.within("dx", &dx.to_vec(), &want, |_| 3e-5 * largest);
    sheet.within("dx, directly", &direct.to_vec(), &want, |_| 1e-6 * largest);
    Ok(())
}

fn wide_tiles(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let numbers = case.numbers(sheet.device(), same);
    products(sheet, case, &numbers)
}

/// y and dw of pointwise and other products, against the oracle's of the same numbers.
fn products(sheet: &mut Sheet, case: &Case, Numbers { x, w, dy, signal, weight, upstream }: &Numbers) -> Result<()> {
    let conv = case.unrolled();
    let y = conv::forward(signal, weight, None, conv.stride, conv.pad)?;
    let want = inward(&naive::conv_forward(conv, x, w, &[]), case.output());
    let size = inward(&naive::conv_forward(conv, &sizes(x), &sizes(w), &[]), case.output());
    let loss = walk(count(&case.weight()[1..]));
    sheet.within("y", &y.to_vec(), &want, |i| loss * size[i]);
    let dw = conv::backward_weight(signal, upstream, case.weight().into(), conv.stride, conv.pad)?;
    let size = naive::conv_backward_weight(conv, &sizes(x), &sizes(dy));
    let loss = walk(dy.len() / conv.c_out);
    sheet.within("dw", &dw.to_vec(), &naive::conv_backward_weight(conv, x, dy), |i| loss * size[i]);
    Ok(())
}

/// A product and the moments, or the neuron, behind it: what they give one after the other.
fn fused(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let (device, Conv { c_out, stride, pad, .. }) = (sheet.device(), case.conv);
    let Numbers { signal, weight, .. } = case.numbers(device, same);
    let bias = tensor(device, [c_out], &random("b", c_out));
    let (_, _, affine) = affine(device, c_out);
    let v_th = tensor(device, [], &[0.8]);
    let y = conv::forward(&signal, &weight, Some(&bias), stride, pad)?;
    let (again, moments) = conv::forward_moments(&signal, &weight, Some(&bias), stride, pad)?;
    sheet.same_bits("y with moments", &again.to_vec(), &y.to_vec());
    let want = norm::moments(&y)?;
    let (mean, variance) = (wide(&want.mean), wide(&want.variance));
    sheet.within("mean", &moments.mean.to_vec(), &mean, |i| 1e-6 * (1e-3 + mean[i].abs()));
    sheet.within("variance", &moments.variance.to_vec(), &variance, |i| 1e-6 * (variance[i] + mean[i].powi(2)));
    let codes = |spikes: Data| match spikes {
        Data::Spikes { codes, .. } => Ok(codes.to_vec()),
        _ => Err(fail!("spikes are no codes")),
    };
    for reset in [Reset::Hard, Reset::Soft] {
        let dynamics = Dynamics { steps: if case.frames == 1 { 11 } else { case.frames }, leak: 0.9, reset };
        let want = codes(lif::forward(&y, Some(&affine), &v_th, dynamics)?)?;
        for keep in [KeepCurrent::Yes, KeepCurrent::No] {
            let firing = Firing { affine: Some(&affine), v_th: &v_th, dynamics };
            let (current, spikes) = conv::fire(&signal, &weight, Some(&bias), stride, pad, firing, keep)?;
            sheet.equal(format!("spikes, {reset:?} reset, current kept: {keep:?}"), &codes(spikes)?, &want);
            ensure!(current.is_some() == (keep == KeepCurrent::Yes), "the current was kept, or was not, against the wish");
            if let Some(current) = current {
                sheet.same_bits(format!("y with spikes, {reset:?} reset"), &current.to_vec(), &y.to_vec());
            }
        }
    }
    Ok(())
}

/// ReLU behind a product, and y if it is kept.
fn rectified(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let (device, Conv { c_out, stride, pad, .. }) = (sheet.device(), case.conv);
    let Numbers { signal, weight, .. } = case.numbers(device, same);
    let (_, _, affine) = affine(device, c_out);
    let y = conv::forward(&signal, &weight, None, stride, pad)?;
    for map in [None, Some(&affine)] {
        let want = relu::forward(&y, map).to_vec();
        for keep in [KeepCurrent::Yes, KeepCurrent::No] {
            let (current, z) = conv::rectify(&signal, &weight, None, stride, pad, map, keep)?;
            sheet.same_bits(format!("z, current kept: {keep:?}"), &z.to_vec(), &want);
            if let Some(current) = current {
                sheet.same_bits("y with z", &current.to_vec(), &y.to_vec());
            }
        }
    }
    Ok(())
}

/// Rounded to bf16, to nearest even.
fn rounded(values: &[f64]) -> Vec<f64> {
    let round = |&v: &f64| {
        let bits = (v as f32).to_bits();
        f64::from(f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000))
    };
    values.iter().map(round).collect()
}

/// Products of operands rounded to bf16: exact in f32, so the bounds are those of f32.
fn bf16(sheet: &mut Sheet, case: &Case) -> Result<()> {
    let (device, conv) = (sheet.device().with_precision(Precision::Bf16), case.unrolled());
    let mut numbers = case.numbers(&device, same);
    (numbers.x, numbers.w, numbers.dy) = (rounded(&numbers.x), rounded(&numbers.w), rounded(&numbers.dy));
    products(sheet, case, &numbers)?;
    let Numbers { w, dy, weight, upstream, .. } = &numbers;
    let dx = conv::backward_input(upstream, weight, case.input().into(), conv.stride, conv.pad)?;
    let size = inward(&naive::conv_backward_input(conv, &sizes(w), &sizes(dy)), case.input());
    let want = inward(&naive::conv_backward_input(conv, w, dy), case.input());
    let loss = walk(count(&case.weight()[..3]));
    sheet.within("dx", &dx.to_vec(), &want, |i| loss * size[i]);
    Ok(())
}
