//! A network of layers of your own: put together, trained, converted into a spiking network, finetuned, attacked.
//!
//! ```text
//! cargo run --release --example own_network
//! ```
//!
//! The architectures that have a name (`zoo::build`) are one way to a network; this is the other. Four things to know:
//!
//! - **A network is a list of layers**, and a [`Maker`] makes layers with their parameters. A layer of neurons stands for ReLU and for
//!   spikes alike: which of them it does is said by the [`Pass`] that runs the network, so `layers` below serves both networks.
//! - **Nothing is hidden in a forward.** It returns the logits and a trace; the backward takes the trace, the logits' gradient, and how
//!   blame returns through spikes. Batch statistics come back in the trace, and `absorb` takes them over.
//! - **The conversion** copies the weights (`transplant_into`), finds for every layer of neurons the threshold that its currents ask for
//!   (`calibrate`), and lowers them all (`scale`). It leaves the running statistics new, so a little finetuning belongs to it.
//! - **An evaluation** is a question (which images, which attacks, how far) with one answer.

use caltrop::attack::{Attack, Targets, fgsm};
use caltrop::autodiff::{Credit, Lens, Pass, Want};
use caltrop::base::Result;
use caltrop::base::rng::{Philox, Purpose};
use caltrop::convert::{Calibration, calibrate, scale, transplant_into};
use caltrop::data::{self, Augment, Dataset, Images, Last, Loader, Order, Plan};
use caltrop::device::Device;
use caltrop::drive::{Member, Question, Seen, Silent, evaluate, upload};
use caltrop::loss;
use caltrop::nn::{Block, Layer, Model, Origin, Spec};
use caltrop::ops::lif::Reset;
use caltrop::ops::percentile::Percentile;
use caltrop::ops::pixel::Ball;
use caltrop::optim::Sgd;
use caltrop::zoo::{self, Maker};
use std::sync::Arc;

/// How far an adversarial image may be from its clean one, in 1/255 of a pixel's range.
pub const EPS: f64 = 8.0;

/// Percent of the test images that are classified right, clean and under attack.
pub struct Accuracy {
    pub clean: f64,
    pub robust: f64,
}

/// What the example finds: of the ReLU network, and of the spiking one that it became.
pub struct Found {
    pub ann: Accuracy,
    pub snn: Accuracy,
}

fn main() -> Result<()> {
    run().map(|_| ())
}

pub fn run() -> Result<Found> {
    let device = Device::cpu(None)?; // Device::named("cuda", None)? is all that a GPU takes
    let data = data::load("fashion-mnist-7k", None)?; // embedded: no file is read
    let ann = trained(&device, &data)?;
    let ann_accuracy = judged(&ann, &data)?;
    println!("ReLU network:        clean {:.1} %, PGD {:.1} %", ann_accuracy.clean, ann_accuracy.robust);
    let snn = converted(&ann, &data)?;
    let snn_accuracy = judged(&snn, &data)?;
    println!("spiking, {} steps:    clean {:.1} %, PGD {:.1} %", snn.spec().steps, snn_accuracy.clean, snn_accuracy.robust);
    println!("firing thresholds:   {:.2?}", snn.thresholds());
    Ok(Found { ann: ann_accuracy, snn: snn_accuracy })
}

/// What a network of this architecture is, apart from its layers. `steps` = 0 is the ReLU network.
fn spec(data: &Dataset, steps: usize) -> Spec {
    Spec {
        arch: "my-network".into(), // a name for messages; the zoo knows none of it
        classes: 10,
        input: [1, 28, 28],
        mean: data.mean.clone(),
        std: data.std.clone(),
        bias: true,
        steps,
        leak: 1.0,
        reset: Reset::Hard,
        dropout: 0.0,
    }
}

/// A convolution of stride 2, a residual block behind it, another convolution of stride 2, and a linear layer.
fn layers(device: &Device, spec: &Spec) -> Vec<Layer> {
    let mut make = Maker::new(device, spec);
    // Names are those of the state dict in a checkpoint; parameters are numbered in the order in which they are made.
    let mut unit = |name: &str, channels: [usize; 2], kernel, stride| {
        let conv = make.conv(&format!("{name}.conv"), channels, kernel, stride);
        let norm = make.norm(&format!("{name}.bn"), channels[1]);
        let v_th = make.threshold(name);
        [conv, make.neuron(Some(norm), v_th)]
    };
    let first = unit("first", [1, 16], 5, 2); // 28x28 becomes 14x14
    let inside = unit("block.0", [16, 16], 3, 1);
    let last = unit("last", [16, 32], 3, 2); // and 7x7
    let out = make.conv("block.1", [16, 16], 3, 1);
    let block = Block {
        stem: Vec::new(),
        branch: inside.into_iter().chain([out]).collect(),
        shortcut: Vec::new(), // the input as it is
        origin: Origin::Input,
        comb: make.pair("block"),
    };
    let head = make.linear("head", [32 * 7 * 7, spec.classes]);
    first.into_iter().chain([Layer::Block(block)]).chain(last).chain([Layer::Flatten, head]).collect()
}

/// The ReLU network, trained on adversarial images for three short epochs.
pub fn trained(device: &Device, data: &Dataset) -> Result<Model> {
    let spec = spec(data, 0);
    let layers = layers(device, &spec);
    let mut ann = Model::new(device, spec, layers);
    zoo::draw(&mut ann, 1);
    let some = Arc::new(data.train.slice(0..3000));
    let mut optimizer = Sgd::new(&ann, 0.9, 5e-4);
    for (epoch, rate) in [0.05, 0.05, 0.01].into_iter().enumerate() {
        train(&mut ann, &mut optimizer, &some, epoch as u64, rate)?;
    }
    Ok(ann)
}

/// The spiking network of `ann`, over four steps, finetuned for one short epoch.
pub fn converted(ann: &Model, data: &Dataset) -> Result<Model> {
    let spec = spec(data, 4);
    let layers = layers(ann.device(), &spec);
    let mut snn = transplant_into(Model::new(ann.device(), spec, layers), ann)?;
    let batches = [0..100, 100..200].map(|range| Ok(upload(ann, &data.train.batch(range)?).0));
    let batches = batches.into_iter().collect::<Result<Vec<_>>>()?;
    let how = Calibration { percentile: Percentile::new(99.7)?, steps: 50 };
    let thresholds = calibrate(&mut snn, &batches, how, |_, _| Ok(()))?;
    scale(&mut snn, &thresholds, 0.3)?;
    let mut optimizer = Sgd::new(&snn, 0.9, 5e-4);
    train(&mut snn, &mut optimizer, &Arc::new(data.train.slice(3000..5000)), 0, 0.01)?;
    Ok(snn)
}

/// One epoch of adversarial training with FGSM; the loss of its last batch. Whether neurons rectify or spike is the model's own `spec`.
fn train(model: &mut Model, optimizer: &mut Sgd, images: &Arc<Images>, epoch: u64, rate: f32) -> Result<f32> {
    let plan =
        Plan { batch: 50, order: Order::Shuffled, last: Last::Drop, augment: Augment::NONE, mean: Vec::new(), seed: 1, epoch, skip: 0 };
    let mut last = f32::NAN;
    for (step, batch) in Loader::new(images.clone(), plan)?.enumerate() {
        let (clean, labels) = upload(model, &batch);
        let targets = Targets { images: &clean, labels: &labels, ids: &batch.ids };
        // An attack borrows the network and cannot change it; `Seen` is the network in eval mode, as attacks see it.
        let adversarial = fgsm(&Seen { model }, &targets, Lens::default(), Ball::linf((EPS / 255.0) as f32))?;
        let dropout = Philox::stream(1, Purpose::Dropout, &[epoch, step as u64]); // (this network has none)
        let (logits, trace) = model.forward(&adversarial, &Pass::train(model.spec().fire(), dropout))?;
        model.absorb(&trace);
        let loss = loss::cross_entropy(&logits, &labels)?;
        let gradients = model.backward_consuming(trace, &loss.dlogits, Credit::default(), Want::Params)?;
        optimizer.step(model, &gradients, rate)?; // thresholds learn too, and stay at least 0.03
        last = loss.value.to_vec()[0];
    }
    Ok(last)
}

/// Its accuracy on the first 200 test images, clean and under PGD-10.
fn judged(model: &Model, data: &Dataset) -> Result<Accuracy> {
    let member = Member { attack: Attack::Pgd { iterations: 10 }, lens: Lens::default() };
    let answer = evaluate(model, &Question::new(&data.test, 200, vec![member], EPS, 0), &Silent)?;
    Ok(Accuracy { clean: answer.clean, robust: answer.robust })
}
