//! Products fed by spikes on the CPU: whatever the density, what the dense product of the same numbers gives.

use super::common::*;
use caltrop::ops::conv::{self, Firing, KeepCurrent};
use caltrop::ops::lif::{self, Dynamics, Reset};
use caltrop::ops::norm::Affine;
use caltrop::ops::product::Weight;
use caltrop::selftest::data::unit;
use proptest::prelude::*;

/// A convolution fed by codes, `density` of whose spikes are there.
#[derive(Debug, Clone, Copy)]
struct Case {
    form: Form,
    density: f64,
    input: [usize; 5],
    weight: [usize; 4],
    stride: usize,
    pad: usize,
}

/// Sides, steps, channels, kernels and strides at random, one panel of outputs or several.
fn cases() -> impl Strategy<Value = Case> {
    let image = (1..4usize, 1..8usize, 1..8usize, 1..18usize, 1..80usize);
    let kernel = (1..100usize, 1..4usize, 1..4usize, 1..3usize, 0..3usize);
    let density = prop::sample::select(vec![0.0, 0.02, 0.1, 0.3, 0.6, 0.95, 1.0]);
    let form = prop::sample::select(vec![Form::Spikes, Form::Quarters]);
    (image, kernel, density, form).prop_filter_map("the kernel fits", |((n, h, w, f, c), (out, kh, kw, stride, pad), density, form)| {
        let fits = pad < kh && pad < kw && h + 2 * pad >= kh && w + 2 * pad >= kw;
        fits.then_some(Case { form, density, input: [n, h, w, f, c], weight: [out, kh, kw, c], stride, pad })
    })
}

/// The numbers of `count` codes.
fn values(form: Form, count: usize, density: f64) -> Vec<f64> {
    match form {
        Form::Quarters => {
            unit("spikes", 4 * count, 3).chunks_exact(4).map(|four| four.iter().filter(|&&u| u < density).count() as f64 / 4.0).collect()
        }
        _ => unit("spikes", count, 3).iter().map(|&u| f64::from(u8::from(u < density))).collect(),
    }
}

impl Case {
    fn x(&self) -> Vec<f64> {
        values(self.form, self.input.iter().product(), self.density)
    }

    fn weight(&self, device: &Device) -> Weight {
        Weight::new(tensor(device, self.weight, &random("w", self.weight.iter().product())))
    }

    /// A gradient of what [`Case::run`] makes.
    fn dy(&self) -> Vec<f64> {
        let [n, h, w, f, _] = self.input;
        let [out, kh, kw, _] = self.weight;
        let side = |side: usize, kernel: usize| (side + 2 * self.pad - kernel) / self.stride + 1;
        random("dy", n * side(h, kh) * side(w, kw) * f * out)
    }

    /// The weight's gradient at `x` and `dy`.
    fn back(&self, device: &Device, x: &Data, dy: &[f64]) -> Vec<f32> {
        let shape = conv::forward(x, &self.weight(device), None, self.stride, self.pad).unwrap().shape();
        let dy: Vec<f32> = dy.iter().map(|&dy| dy as f32).collect();
        conv::backward_weight(x, &Tensor::from_slice(device, shape, &dy), self.weight.into(), self.stride, self.pad).unwrap().to_vec()
    }

    fn run(&self, x: &Data, weight: &Weight) -> Tensor {
        conv::forward(x, weight, None, self.stride, self.pad).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spikes_give_what_their_numbers_give_and_all_instruction_sets_the_same_bits(case in cases()) {
        let x = case.x();
        let mut first: Option<Vec<f32>> = None;
        for device in devices::cpus() {
            let weight = case.weight(&device);
            let (codes, numbers) = (data(&device, case.form, case.input, &x), Data::Real(tensor(&device, case.input, &x)));
            let y = twice(&device, "forward", || vec![case.run(&codes, &weight)]).remove(0);
            let sizes = Weight::new(tensor(&device, case.weight, &sizes(&wide(weight.value()))));
            let size = wide(&case.run(&numbers, &sizes));
            let terms = walk(case.weight[1..].iter().product());
            within("forward", &y, &wide(&case.run(&numbers, &weight)), |i| terms * size[i]);
            // A single step is left to the dense product, which fuses its multiply-adds where it can.
            if case.input[3] > 1 {
                same_bits("another device", &y, first.get_or_insert_with(|| y.clone()));
            }
        }
    }

    #[test]
    fn weight_gradients_of_spikes_are_those_of_their_numbers_and_all_instruction_sets_give_the_same_bits(case in cases()) {
        let (x, dy) = (case.x(), case.dy());
        let mut first: Option<Vec<f32>> = None;
        for device in devices::cpus() {
            let (codes, numbers) = (data(&device, case.form, case.input, &x), Data::Real(tensor(&device, case.input, &x)));
            let dw = twice(&device, "backward weight", || vec![Tensor::from_slice(&device, case.weight, &case.back(&device, &codes, &dy))]).remove(0);
            let size: Vec<f64> = case.back(&device, &numbers, &sizes(&dy)).into_iter().map(f64::from).collect();
            let want: Vec<f64> = case.back(&device, &numbers, &dy).into_iter().map(f64::from).collect();
            let terms = walk(dy.len() / case.weight[0]);
            within("dw", &dw, &want, |i| terms * size[i]);
            if case.input[3] > 1 {
                same_bits("another device", &dw, first.get_or_insert_with(|| dw.clone()));
            }
        }
    }

    #[test]
    fn an_image_alone_has_the_bits_it_has_in_a_batch(case in cases()) {
        let device = devices::first();
        let weight = case.weight(&device);
        let x = case.x();
        let all = case.run(&data(&device, case.form, case.input, &x), &weight).to_vec();
        let (images, one) = (case.input[0], [1, case.input[1], case.input[2], case.input[3], case.input[4]]);
        for (x, y) in x.chunks_exact(x.len() / images).zip(all.chunks_exact(all.len() / images)) {
            same_bits("alone", &case.run(&data(&device, case.form, one, x), &weight).to_vec(), y);
        }
    }

    #[test]
    fn firing_in_the_cache_is_firing_from_memory(case in cases(), soft in any::<bool>(), biased in any::<bool>()) {
        let Case { input, stride, pad, .. } = case;
        let outputs = case.weight[0];
        for device in devices::cpus() {
            let (weight, x) = (case.weight(&device), data(&device, case.form, input, &case.x()));
            let bias = biased.then(|| tensor(&device, [outputs], &random("bias", outputs)));
            let affine = Affine {
                scale: tensor(&device, [outputs], &between("scale", outputs, 0.2, 0.8)),
                shift: tensor(&device, [outputs], &random("shift", outputs)),
            };
            let v_th = tensor(&device, [], &[0.7]);
            let dynamics = Dynamics { steps: input[3], leak: 0.9, reset: if soft { Reset::Soft } else { Reset::Hard } };
            let firing = Firing { affine: Some(&affine), v_th: &v_th, dynamics };
            let fire = |keep| conv::fire(&x, &weight, bias.as_ref(), stride, pad, firing, keep).unwrap();
            let ((y, stored), (none, fired)) = (fire(KeepCurrent::Yes), fire(KeepCurrent::No));
            let y = y.expect("it was kept");
            prop_assert!(none.is_none());
            same_bits("y", &y.to_vec(), &conv::forward(&x, &weight, bias.as_ref(), stride, pad).unwrap().to_vec());
            let apart = decoded(&lif::forward(&y, Some(&affine), &v_th, dynamics).unwrap());
            prop_assert_eq!(&decoded(&stored), &apart);
            prop_assert_eq!(&decoded(&fired), &apart);
        }
    }
}

/// A single step goes through the dense product; all together pass over neurons whose gradients are 0 at every step.
#[test]
fn input_gradients_of_all_steps_are_those_of_each_on_all_instruction_sets() {
    for (density, input, weight) in [
        (0.0, [2, 1, 1, 8, 40], [70, 1, 1, 40]),
        (0.5, [3, 1, 1, 8, 300], [513, 1, 1, 300]),
        (0.3, [2, 4, 5, 9, 33], [17, 1, 1, 33]),
        (0.7, [1, 3, 3, 17, 16], [40, 1, 1, 16]),
        (1.0, [2, 1, 1, 2, 7], [1000, 1, 1, 7]),
        (0.5, [1, 1, 1, 4, 2], [65536, 1, 1, 2]),
    ] {
        let case = Case { form: Form::Spikes, density, input, weight, stride: 1, pad: 0 };
        let (frames, outputs, mut dy) = (input[3], weight[0], case.dy());
        for (neuron, draw) in unit("silent", dy.len() / frames, 7).into_iter().enumerate() {
            let at = neuron / outputs * frames * outputs + neuron % outputs;
            (0..frames).filter(|_| draw >= density).for_each(|t| dy[at + t * outputs] = 0.0);
        }
        let step = |values: &[f64], t: usize, channels: usize| -> Vec<f64> {
            values.chunks_exact(frames * channels).flat_map(|pixel| pixel[t * channels..(t + 1) * channels].to_vec()).collect()
        };
        for device in devices::cpus() {
            let back = |dy: &[f64], weight: &Weight, frames: usize| {
                let [n, h, w, _, c] = input;
                let dy = tensor(&device, [n, h, w, frames, outputs], dy);
                wide(&conv::backward_input_direct(&dy, weight, [n, h, w, frames, c].into(), 1, 0).unwrap())
            };
            let (signed, size) =
                (case.weight(&device), Weight::new(tensor(&device, weight, &sizes(&random("w", weight.iter().product())))));
            let all = back(&dy, &signed, frames);
            for t in 0..frames {
                let (dy, got) = (step(&dy, t, outputs), step(&all, t, input[4]));
                let got: Vec<f32> = got.into_iter().map(|dx| dx as f32).collect();
                let size = back(&sizes(&dy), &size, 1);
                within("dx", &got, &back(&dy, &signed, 1), |i| walk(outputs) * size[i]);
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for (form, input, weight) in [
        (Form::Spikes, [5, 6, 7, 8, 40], [70, 3, 3, 40]),
        (Form::Quarters, [3, 4, 4, 11, 33], [129, 3, 3, 33]),
        (Form::Spikes, [9, 9, 8, 8, 16], [16, 3, 3, 16]),
        (Form::Spikes, [7, 1, 1, 8, 500], [300, 1, 1, 500]),
    ] {
        let case = Case { form, density: 0.2, input, weight, stride: 1, pad: weight[1] / 2 };
        let run = |threads: usize| {
            let device = Device::cpu(Some(threads)).unwrap();
            let x = data(&device, form, input, &case.x());
            [case.run(&x, &case.weight(&device)).to_vec(), case.back(&device, &x, &case.dy())].concat()
        };
        let one = run(1);
        for threads in [2, 3, 4] {
            same_bits(&format!("{form:?} {input:?}, {threads} threads"), &run(threads), &one);
        }
    }
}

/// A single accumulator would lose about √8192 · U/4, seven times this bound.
#[test]
fn sums_of_8192_weights_of_one_sign_are_off_by_3_roundings_at_most() {
    const DEPTH: usize = 8192;
    for outputs in [20, 40] {
        for (form, density) in [(Form::Spikes, 0.3), (Form::Spikes, 1.0), (Form::Quarters, 0.4)] {
            let (x, w) = (values(form, 8 * DEPTH, density), between("w", outputs * DEPTH, 0.0, 1.0));
            for device in devices::cpus() {
                let weight = Weight::new(tensor(&device, [outputs, 1, 1, DEPTH], &w));
                let y = wide(&conv::forward(&data(&device, form, [1, 1, 1, 8, DEPTH], &x), &weight, None, 1, 0).unwrap());
                let off = y.iter().enumerate().map(|(i, y)| {
                    let (x, w) = (&x[i / outputs * DEPTH..][..DEPTH], &w[i % outputs * DEPTH..][..DEPTH]);
                    let want: f64 = x.iter().zip(w).map(|(x, w)| x * w).sum();
                    ((y - want) / want / U).powi(2)
                });
                let off = (off.sum::<f64>() / y.len() as f64).sqrt();
                assert!(
                    off <= 3.0,
                    "{form:?}, {density}, {outputs} outputs on {}: {off} roundings at the root mean square",
                    device.describe()
                );
            }
        }
    }
}

/// A single accumulator of 16,384 pixels would be off by ten times the bound (they are one image's: images may be summed apart).
#[test]
fn weight_gradients_of_16384_pixels_of_one_sign_are_off_by_3_roundings_at_most() {
    let (input, outputs) = ([1, 128, 128, 8, 1], 16);
    let pixels = 128 * 128 * 8;
    for (form, density) in [(Form::Spikes, 0.3), (Form::Spikes, 1.0), (Form::Quarters, 0.4)] {
        let (x, dy) = (values(form, pixels, density), between("dy", outputs * pixels, 0.0, 1.0));
        let case = Case { form, density, input, weight: [outputs, 1, 1, 1], stride: 1, pad: 0 };
        for device in devices::cpus() {
            let dw = case.back(&device, &data(&device, form, input, &x), &dy);
            let off = dw.iter().enumerate().map(|(output, &dw)| {
                let want: f64 = x.iter().zip(dy[output..].iter().step_by(outputs)).map(|(x, dy)| x * dy).sum();
                ((f64::from(dw) - want) / want / U).powi(2)
            });
            let off = (off.sum::<f64>() / outputs as f64).sqrt();
            assert!(off <= 3.0, "{form:?}, {density} on {}: {off} roundings at the root mean square", device.describe());
        }
    }
}
