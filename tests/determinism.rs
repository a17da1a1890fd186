//! The same bits whatever the number of threads and whichever images share a batch.

mod support;

use caltrop::autodiff::{Credit, Fire, Keep, Pass, Statistics, Surrogate, SurrogateKind, Want};
use caltrop::base::rng::{Philox, Purpose};
use caltrop::device::Device;
use caltrop::nn::{Model, Spec};
use caltrop::ops::lif::Reset;
use caltrop::optim::Sgd;
use caltrop::tensor::Tensor;
use caltrop::{checkpoint, loss, zoo};
use support::devices::{self, same_bits, tensor};
use support::named::uniform64;

const SIDE: usize = 13;
const CLASSES: usize = 10;

const VGG: &str = "vgg:16,A,40,A/65";
const RESIDUAL: [&str; 2] = ["resnet8", "wrn10_2"];

/// Enough channels, rows and images that every kernel cuts its work into several tasks.
fn model(device: &Device, arch: &str, steps: usize) -> Model {
    let spec = Spec {
        arch: arch.into(),
        classes: CLASSES,
        input: [3, SIDE, SIDE],
        mean: vec![0.5, 0.4, 0.45],
        std: vec![0.25, 0.2, 0.3],
        bias: steps > 0,
        steps,
        leak: 0.95,
        reset: Reset::Hard,
        dropout: 0.2,
    };
    let mut model = zoo::build(device, spec, 11).unwrap();
    for param in model.params_mut().into_iter().filter(|param| param.name.ends_with(".v_th")) {
        param.weight.set(Tensor::full(device, [], 0.4));
    }
    model
}

fn images(device: &Device, n: usize) -> Tensor {
    tensor(device, [n, SIDE, SIDE, 3], &uniform64("image", n * SIDE * SIDE * 3, 0.0, 1.0, 0))
}

fn labels(n: usize) -> Vec<usize> {
    (0..n).map(|i| i * 7 % CLASSES).collect()
}

fn fire(steps: usize) -> Fire {
    if steps == 0 { Fire::Relu } else { Fire::Spike { steps } }
}

/// Everything that a few training steps compute: logits, gradients of the pixels, and at last the whole state dict.
fn train(device: &Device, arch: &str, steps: usize) -> Vec<(String, Vec<f32>)> {
    const BATCH: usize = 19;
    let mut model = model(device, arch, steps);
    let (images, y) = (images(device, BATCH), devices::labels(device, &labels(BATCH)));
    let mut sgd = Sgd::new(&model, 0.9, 5e-4);
    let mut found = Vec::new();
    for step in 0..3 {
        let draws = Philox::stream(5, Purpose::Dropout, &[step]);
        let (logits, trace) = model.forward(&images, &Pass::train(fire(steps), draws)).unwrap();
        let dlogits = loss::cross_entropy(&logits, &y).unwrap().dlogits;
        let gradients = model.backward(&trace, &dlogits, Credit::Bptt(Surrogate::default()), Want::Both).unwrap();
        model.absorb(&trace);
        sgd.step(&mut model, &gradients, 0.1).unwrap();
        found.push((format!("step {step} logits"), logits.to_vec()));
        found.push((format!("step {step} pixels"), gradients.input.unwrap().to_vec()));
    }
    found.extend(checkpoint::state_dict(&model).into_iter().map(|(name, _, values)| (name, values)));
    found
}

#[test]
fn training_has_the_same_bits_on_any_number_of_threads() {
    for (arch, steps) in [(VGG, 0), (VGG, 8)].into_iter().chain(RESIDUAL.iter().flat_map(|&arch| [(arch, 0), (arch, 4)])) {
        let on = |threads| train(&Device::cpu(Some(threads)).unwrap(), arch, steps);
        let one = on(1);
        assert!(one.iter().all(|(_, values)| values.iter().all(|v| v.is_finite())));
        for threads in [1, 2, 4] {
            for ((name, want), (_, got)) in one.iter().zip(on(threads)) {
                same_bits(&format!("{arch}, T {steps}, {threads} threads: {name}"), &got, want);
            }
        }
    }
}

#[test]
fn an_image_alone_has_the_bits_it_has_in_a_batch() {
    for device in devices::all() {
        [0, 1, 8, 9].into_iter().for_each(|steps| alone_and_together(&device, VGG, steps));
    }
    for (arch, steps) in RESIDUAL.into_iter().flat_map(|arch| [(arch, 0), (arch, 4)]) {
        devices::cpus().iter().for_each(|device| alone_and_together(device, arch, steps));
    }
}

fn alone_and_together(device: &Device, arch: &str, steps: usize) {
    const BATCH: usize = 9;
    let model = model(device, arch, steps);
    let all = images(device, BATCH);
    let pass = Pass::eval(fire(steps), Keep::ForInput);
    let run = |images: &Tensor, labels: &[usize]| {
        let (logits, trace) = model.forward(images, &pass).unwrap();
        // The gradient of each image's own loss: what an attack follows.
        let dlogits = caltrop::ops::loss::cross_entropy(&logits, &devices::labels(device, labels)).unwrap().dlogits;
        let credits = [Credit::Rate, Credit::Bptt(Surrogate::default()), Credit::Bptt(Surrogate::new(SurrogateKind::Exp, 2.0).unwrap())];
        let gradient = |credit| model.backward(&trace, &dlogits, credit, Want::Input).unwrap().input.unwrap().to_vec();
        (logits.to_vec(), trace.steps.to_vec(), credits.map(gradient))
    };
    let (logits, each, gradients) = run(&all, &labels(BATCH));
    let size = SIDE * SIDE * 3;
    let frames = each.len() / (BATCH * CLASSES);
    // One image, and a batch that starts elsewhere.
    for (from, to) in (0..BATCH).map(|i| (i, i + 1)).chain([(2, 7), (1, 9)]) {
        let some = all.slice(from..to);
        let (own_logits, own_each, own_gradients) = run(&some, &labels(BATCH)[from..to]);
        let what = format!("{arch}, T {steps}, images {from}..{to} of {BATCH}, on {}", device.describe());
        same_bits(&format!("{what}: logits"), &own_logits, &logits[from * CLASSES..to * CLASSES]);
        same_bits(&format!("{what}: logits a step"), &own_each, &each[from * frames * CLASSES..to * frames * CLASSES]);
        for (own, gradient) in own_gradients.iter().zip(&gradients) {
            same_bits(&format!("{what}: gradient"), own, &gradient[from * size..to * size]);
        }
    }
}

#[test]
fn a_forward_leaves_the_model_alone() {
    let device = devices::first();
    let model = model(&device, VGG, 8);
    let before = checkpoint::state_dict(&model);
    for statistics in [Statistics::Running, Statistics::Batch] {
        let pass = Pass { statistics, ..Pass::train(fire(8), Philox::stream(0, Purpose::Dropout, &[])) };
        let (logits, trace) = model.forward(&images(&device, 3), &pass).unwrap();
        model.backward(&trace, &logits, Credit::Bptt(Surrogate::default()), Want::Both).unwrap();
        assert!(before == checkpoint::state_dict(&model), "{statistics:?}");
    }
}
