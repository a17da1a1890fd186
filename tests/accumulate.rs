//! Batches whose gradients are averaged for one step are one large batch, where no statistic belongs to the batch.

mod support;

use caltrop::attack::Targets;
use caltrop::device::{Device, Flavour, Order};
use caltrop::drive::{Defense, Place, Recipe, Stage, Stepper};
use caltrop::nn::{Layer, Model, Spec};
use caltrop::ops::lif::Reset;
use caltrop::optim::Sgd;
use caltrop::tensor::{Array, Tensor};
use caltrop::{checkpoint, zoo};
use support::named;

const SIDE: usize = 6;
const CLASSES: usize = 3;
const IMAGES: usize = 18;

/// Without batch norm and dropout: an image's gradient is its own affair.
fn model(device: &Device, steps: usize) -> Model {
    let spec = Spec {
        arch: "vgg:8,A,8/16".into(),
        classes: CLASSES,
        input: [1, SIDE, SIDE],
        mean: vec![0.5],
        std: vec![0.25],
        bias: steps > 0,
        steps,
        leak: 1.0,
        reset: Reset::Hard,
        dropout: 0.0,
    };
    let built = zoo::build(device, spec.clone(), 3).unwrap();
    let mut layers = built.layers().to_vec();
    for layer in &mut layers {
        if let Layer::Neuron(neuron) = layer {
            neuron.norm = None;
            neuron.v_th.weight.set(Tensor::full(device, [], 0.3));
        }
    }
    Model::new(device, spec, layers)
}

/// The weights after these batches of the same images, `accumulate` of them to a step, and their losses.
fn trained(device: &Device, steps: usize, defense: Defense, accumulate: usize, batches: &[usize]) -> Vec<(String, Vec<f32>)> {
    let recipe = Recipe::parse("r", "arch = \"vgg:8,A,8/16\"\ndataset = \"mnist\"\n", &[]).unwrap();
    let stage = if steps == 0 { recipe.ann } else { recipe.snn };
    let stage = Stage { defense, steps, accumulate, eps: 8.0, alpha: 4.0, attack_steps: 2, ..stage };
    let mut model = model(device, steps);
    let (mut optimizer, mut stepper) = (Sgd::new(&model, 0.9, 1e-3), Stepper::default());
    let pixels: Vec<f32> = named::uniform("images", IMAGES * SIDE * SIDE, 0.0, 1.0, 0);
    let mut first = 0;
    for (step, &n) in batches.iter().enumerate() {
        let part = &pixels[first * SIDE * SIDE..(first + n) * SIDE * SIDE];
        let labels: Vec<i32> = (first..first + n).map(|i| (i * 5 % CLASSES) as i32).collect();
        let ids: Vec<u64> = (first as u64..(first + n) as u64).collect();
        let (images, labels) = (Tensor::from_slice(device, [n, SIDE, SIDE, 1], part), Array::from_slice(device, [n], &labels));
        let targets = Targets { images: &images, labels: &labels, ids: &ids };
        let place = Place { seed: 1, stage: u64::from(steps > 0), epoch: 0, step: step as u64 };
        stepper.step(&mut model, &mut optimizer, &stage, &targets, place, 0.05).unwrap();
        assert_eq!(stepper.pending(), (step + 1) % accumulate);
        first += n;
    }
    stepper.finish(&mut model, &mut optimizer, 0.05).unwrap();
    assert_eq!((first, stepper.pending()), (IMAGES, 0));
    checkpoint::state_dict(&model).into_iter().map(|(name, _, values)| (name, values)).collect()
}

/// The largest difference, of numbers that are about 0.1.
fn apart(a: &[(String, Vec<f32>)], b: &[(String, Vec<f32>)]) -> f32 {
    assert_eq!(a.len(), b.len());
    let values = |list: &[(String, Vec<f32>)]| list.iter().flat_map(|(_, values)| values.clone()).collect::<Vec<_>>();
    let apart = |(a, b): (f32, f32)| if a.is_finite() && b.is_finite() { (a - b).abs() } else { f32::INFINITY };
    values(a).into_iter().zip(values(b)).map(apart).fold(0.0, f32::max)
}

#[test]
fn batches_that_share_a_step_are_one_batch() {
    let cpu = Device::cpu(Some(2)).unwrap();
    let emulated = Device::emulated(Some(2), Order::default(), Flavour::default()).ok();
    for (steps, defense) in [(0, Defense::Natural), (0, Defense::Trades), (0, Defense::Mart), (3, Defense::Natural), (3, Defense::Trades)] {
        // Groups of unequal batches, and a short one at the end.
        let small = |device: &Device| trained(device, steps, defense, 2, &[4, 2, 4, 4, 4]);
        let large = trained(&cpu, steps, defense, 1, &[6, 8, 4]);
        let what = format!("T {steps}, {defense:?}");
        let got = small(&cpu);
        assert!(apart(&got, &large) < 1e-6, "{what}: {} apart", apart(&got, &large));
        // Had each batch a step of its own, it would show.
        let separate = trained(&cpu, steps, defense, 1, &[4, 2, 4, 4, 4]);
        assert!(apart(&separate, &large) > 1e-3, "{what}: {} apart", apart(&separate, &large));
        if let Some(emulated) = &emulated {
            let got = small(emulated);
            assert!(apart(&got, &large) < 2e-5, "{what} emulated: {} apart", apart(&got, &large));
        }
    }
}
