//! Dropout in a network: which signals it takes, and that it masks both ways alike.

use crate::CLOSE;
use crate::support::close::assert_relative_l2;
use crate::support::devices::{self, tensor, wide};
use crate::support::naive;
use crate::support::named::{uniform, uniform64};
use caltrop::autodiff::{Credit, Fire, Keep, Pass, Surrogate, Want};
use caltrop::base::rng::{Philox, Purpose};
use caltrop::device::Device;
use caltrop::nn::{Dropout, Layer, Model, Neuron, Param, Product, Role, Spec};
use caltrop::ops::lif::Reset;
use caltrop::tensor::Tensor;

/// Flatten, linear, neuron, dropout, linear over images of 2x2x1: small enough to follow by hand.
fn with_dropout(device: &Device, steps: usize, p: f32) -> Model {
    let param = |name: &str, role, shape: &[usize]| {
        let values = uniform(name, shape.iter().product(), -0.9, 1.0, 4);
        Param::new(name.into(), role, Tensor::from_slice(device, caltrop::base::Shape::new(shape), &values))
    };
    let product = |name: &str, out: usize, inputs: usize| {
        Layer::Product(Product {
            weight: param(&format!("{name}.weight"), Role::Matrix, &[out, 1, 1, inputs]),
            bias: None,
            stride: 1,
            pad: 0,
        })
    };
    let v_th = Param::new("neuron.v_th".into(), Role::Threshold, Tensor::full(device, [], 0.4));
    let layers = vec![
        Layer::Flatten,
        product("first", 33, 4),
        Layer::Neuron(Neuron { norm: None, v_th, leak: 1.0, reset: Reset::Hard }),
        Layer::Dropout(Dropout { p, index: 0 }),
        product("last", 3, 33),
    ];
    let spec = Spec {
        arch: "by hand".into(),
        classes: 3,
        input: [1, 2, 2],
        mean: vec![0.0],
        std: vec![1.0],
        bias: false,
        steps,
        leak: 1.0,
        reset: Reset::Hard,
        dropout: p,
    };
    Model::new(device, spec, layers)
}

#[test]
fn dropout_refuses_a_frame_that_stands_for_several_steps() {
    let device = devices::first();
    let model = {
        let model = with_dropout(&device, 4, 0.5);
        let layers = [0, 3, 1].map(|i| model.layers()[i].clone()); // dropout before any neuron: the signal is still held
        Model::new(&device, model.spec().clone(), layers.to_vec())
    };
    let images = Tensor::full(&device, [2, 2, 2, 1], 0.5);
    let draws = Philox::stream(0, Purpose::Dropout, &[]);
    let refused = model.forward(&images, &Pass::train(Fire::Spike { steps: 4 }, draws)).err().expect("refused").to_string();
    assert!(refused.starts_with("dropout: a held signal"), "{refused}");
    for pass in
        [Pass::train(Fire::Relu, draws), Pass::train(Fire::Spike { steps: 1 }, draws), Pass::eval(Fire::Spike { steps: 4 }, Keep::All)]
    {
        assert!(model.forward(&images, &pass).is_ok(), "{pass:?}");
    }
}

#[test]
fn dropout_masks_each_step_forward_and_backward_alike() {
    let (n, steps, p, width) = (3, 5, 0.5f32, 33);
    let rows = [n, steps, width];
    for device in devices::all() {
        let model = with_dropout(&device, steps, p);
        let images = tensor(&device, [n, 2, 2, 1], &uniform64("pixels", n * 4, 0.0, 1.0, 0));
        let draws = Philox::stream(3, Purpose::Dropout, &[7]);
        let (logits, trace) = model.forward(&images, &Pass::train(Fire::Spike { steps }, draws)).unwrap();
        // By hand: current, spikes, mask, mean of the last layer over steps.
        let (first, last) = (wide(model.params()[0].value()), wide(model.params()[2].value()));
        let current = naive::linear_forward(&wide(&images), &first, &[], n, 4, width);
        let x: Vec<f64> = current.chunks(width).flat_map(|row| row.repeat(steps)).collect();
        let neuron = naive::Neuron { v_th: f64::from(0.4f32), leak: 1.0, reset: naive::Reset::Hard };
        let fired = naive::neuron_forward(&x, rows, neuron, naive::Fire::Spike);
        assert!(naive::neuron_margins(&fired, rows, neuron).iter().all(|&margin| margin > 1e-5));
        let stream = draws.fork(Purpose::Dropout, 0);
        let mask: Vec<f64> = (0..x.len() as u64).map(|i| if stream.uniform(i) >= p { 2.0 } else { 0.0 }).collect();
        let masked: Vec<f64> = fired.s.iter().zip(&mask).map(|(s, m)| s * m).collect();
        let z = naive::linear_forward(&masked, &last, &[], n * steps, width, 3);
        let mean: Vec<f64> =
            (0..n * 3).map(|i| (0..steps).map(|t| z[(i / 3 * steps + t) * 3 + i % 3]).sum::<f64>() / steps as f64).collect();
        assert_relative_l2("logits", &logits.to_vec(), &mean, CLOSE);
        let dlogits = uniform64("dlogits", n * 3, -1.0, 1.0, 0);
        let on = tensor(&device, [n, 3], &dlogits);
        let dz: Vec<f64> = (0..n * steps * 3).map(|i| dlogits[i / (3 * steps) * 3 + i % 3] / steps as f64).collect();
        let dmasked = naive::linear_backward_input(&last, &dz, n * steps, width, 3);
        let ds: Vec<f64> = dmasked.iter().zip(&mask).map(|(d, m)| d * m).collect();
        for credit in [Credit::Bptt(Surrogate::default()), Credit::Rate] {
            let (dx, dv_th) = match credit {
                Credit::Bptt(_) => naive::neuron_backward(&fired, &ds, rows, neuron, naive::Surrogate::Pcw, 1.0),
                _ => (naive::neuron_backward_rate(&fired, &ds, rows), 0.0),
            };
            let held: Vec<f64> =
                (0..n * width).map(|i| (0..steps).map(|t| dx[(i / width * steps + t) * width + i % width]).sum()).collect();
            let g = model.backward(&trace, &on, credit, Want::Both).unwrap();
            let what = format!("{credit:?} on {}", device.describe());
            let close = |part: &str, got: &Option<Tensor>, want: &[f64]| {
                assert_relative_l2(&format!("{what}: {part}"), &got.as_ref().expect("wanted").to_vec(), want, CLOSE);
            };
            close("last", &g.params[2], &naive::linear_backward_weight(&masked, &dz, n * steps, width, 3));
            close("first", &g.params[0], &naive::linear_backward_weight(&wide(&images), &held, n, 4, width));
            close("input", &g.input, &naive::linear_backward_input(&first, &held, n, 4, width));
            match credit {
                Credit::Bptt(_) => close("v_th", &g.params[1], &[dv_th]),
                _ => assert!(g.params[1].is_none(), "{what}"),
            }
        }
    }
}
