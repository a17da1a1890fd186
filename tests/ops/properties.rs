//! Properties over random shapes.

use super::common::{sizes as absolute, *};
use crate::support::close::dot;
use caltrop::base::Shape;
use caltrop::ops::product::Weight;
use caltrop::ops::{conv, flatten, lif, pool};
use proptest::prelude::*;

/// A convolution whose kernel fits.
#[derive(Debug, Clone)]
struct Sizes {
    input: [usize; 5],
    weight: [usize; 4],
    stride: usize,
    pad: usize,
}

fn sizes_of() -> impl Strategy<Value = Sizes> {
    let image = (1..4usize, 1..8usize, 1..8usize, prop::sample::select(vec![1usize, 3, 8, 9, 16]), 1..40usize);
    (image, 1..40usize, prop::sample::select(vec![1usize, 3]), 1..3usize, 0..3usize).prop_filter_map(
        "the kernel fits",
        |((n, h, w, f, c), out, k, stride, pad)| {
            let fits = pad < k && h + 2 * pad >= k && w + 2 * pad >= k;
            fits.then_some(Sizes { input: [n, h, w, f, c], weight: [out, k, k, c], stride, pad })
        },
    )
}

fn settings(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn five(shape: Shape) -> [usize; 5] {
    [0, 1, 2, 3, 4].map(|axis| shape[axis])
}

fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

proptest! {
    #![proptest_config(settings(24))]

    #[test]
    fn forward_and_gradients_of_a_convolution_are_adjoint(sizes in sizes_of()) {
        for device in devices::all() {
            let Sizes { input, weight, stride, pad } = sizes;
            let (x, w) = (random("x", count(&input)), random("w", count(&weight)));
            let run = |x: &[f64], w: &[f64]| {
                let (signal, weight) = (Data::Real(tensor(&device, input, x)), Weight::new(tensor(&device, weight, w)));
                let y = conv::forward(&signal, &weight, None, stride, pad).unwrap();
                (signal, weight, y)
            };
            let (signal, on_weight, y) = run(&x, &w);
            let dy = random("dy", y.shape().count());
            let upstream = tensor(&device, five(y.shape()), &dy);
            let dx = conv::backward_input(&upstream, &on_weight, input.into(), stride, pad).unwrap();
            let dw = conv::backward_weight(&signal, &upstream, weight.into(), stride, pad).unwrap();
            let forward = dot(&dy, &wide(&y));
            let size = dot(&absolute(&dy), &wide(&run(&absolute(&x), &absolute(&w)).2));
            let bound = walk(count(&weight) / weight[0]) * size;
            prop_assert!((forward - dot(&wide(&dx), &x)).abs() <= bound, "dx: {forward} and {}, bound {bound:e}", dot(&wide(&dx), &x));
            prop_assert!((forward - dot(&wide(&dw), &w)).abs() <= bound, "dw: {forward} and {}, bound {bound:e}", dot(&wide(&dw), &w));
        }
    }

    #[test]
    fn codes_equal_the_numbers_they_stand_for(sizes in sizes_of()) {
        for device in devices::all() {
            let Sizes { input, weight, stride, pad } = sizes;
            let w = random("w", count(&weight));
            let on = |values: &[f64]| Weight::new(tensor(&device, weight, values));
            let (on_weight, sizes_of_weight) = (on(&w), on(&absolute(&w)));
            for form in [Form::Spikes, Form::Quarters] {
                let x = form.values(&random("x", count(&input)));
                let (codes, numbers) = (data(&device, form, input, &x), Data::Real(tensor(&device, input, &x)));
                let forward = |x: &Data| conv::forward(x, &on_weight, None, stride, pad).unwrap();
                let y = forward(&codes);
                // Products of codes sum in another order.
                let size = wide(&conv::forward(&numbers, &sizes_of_weight, None, stride, pad).unwrap());
                within("forward", &y.to_vec(), &wide(&forward(&numbers)), |i| walk(count(&weight[1..])) * size[i]);
                // Sums over rows: the same but for the order, which follows the memory that a form takes.
                let gradient = |x: &Data, dy: &Tensor| wide(&conv::backward_weight(x, dy, weight.into(), stride, pad).unwrap());
                let positive = tensor(&device, five(y.shape()), &absolute(&wide(&y)));
                let size = gradient(&numbers, &positive);
                let (one, other) = (gradient(&codes, &y), gradient(&numbers, &y));
                let bound = walk(y.shape().count() / weight[0]);
                for i in 0..size.len() {
                    prop_assert!((one[i] - other[i]).abs() <= bound * size[i], "dw [{i}]: {} and {}", one[i], other[i]);
                }
                same_bits("numbers", &pool::numbers(&codes).to_vec(), &pool::numbers(&numbers).to_vec());
                prop_assert_eq!(decoded(&flatten::forward(codes.clone())), decoded(&flatten::forward(numbers.clone())));
                same_bits("global", &pool::global(&codes).to_vec(), &pool::global(&numbers).to_vec());
                if input[1] >= 2 && input[2] >= 2 {
                    prop_assert_eq!(decoded(&pool::average(&codes).unwrap()), decoded(&pool::average(&numbers).unwrap()));
                }
            }
        }
    }

    #[test]
    fn flattening_there_and_back_changes_nothing(sizes in sizes_of()) {
        for device in devices::all() {
            let x = random("x", count(&sizes.input));
            let Data::Real(y) = flatten::forward(Data::Real(tensor(&device, sizes.input, &x))) else { panic!("numbers stay numbers") };
            prop_assert_eq!(wide(&flatten::backward(y, sizes.input.into())), x);
        }
    }

    #[test]
    fn a_pool_and_its_gradient_are_adjoint(sizes in sizes_of()) {
        for device in devices::all() {
            let shape = sizes.input;
            if shape[1] < 2 || shape[2] < 2 {
                continue;
            }
            let x = random("x", count(&shape));
            let y = pool::average(&Data::Real(tensor(&device, shape, &x))).unwrap();
            let dy = random("dy", y.shape().count());
            let above = [shape[0], shape[1] / 2, shape[2] / 2, shape[3], shape[4]];
            let dx = pool::spread(&tensor(&device, above, &dy), shape.into());
            let (one, other) = (dot(&decoded(&y), &dy), dot(&wide(&dx), &x));
            prop_assert!((one - other).abs() <= 4.0 * U * dy.len() as f64, "{one} and {other}");
        }
    }

    #[test]
    fn a_neuron_fires_the_same_whichever_neighbours_it_has(sizes in sizes_of()) {
        for device in devices::all() {
            let [n, h, w, steps, c] = sizes.input;
            let y = between("y", count(&sizes.input), -0.5, 1.4);
            let dynamics = lif::Dynamics { steps, leak: 0.9, reset: lif::Reset::Soft };
            let v_th = Tensor::full(&device, [], 0.7);
            let spikes = |shape: [usize; 5], y: &[f64]| decoded(&lif::forward(&tensor(&device, shape, y), None, &v_th, dynamics).unwrap());
            let all = spikes(sizes.input, &y);
            // The last pixel alone, and its last channel alone.
            let from = y.len() - steps * c;
            prop_assert_eq!(&spikes([1, 1, 1, steps, c], &y[from..])[..], &all[from..]);
            let lane: Vec<f64> = y[from..].iter().skip(c - 1).step_by(c).copied().collect();
            let want: Vec<f64> = all[from..].iter().skip(c - 1).step_by(c).copied().collect();
            prop_assert_eq!(spikes([1, 1, 1, steps, 1], &lane), want);
            prop_assert_eq!(all.len(), n * h * w * steps * c);
        }
    }
}
