//! What a GPU records and replays is what it would have done call by call, to the bit.

mod support;

use caltrop::attack::{Attack, Goal, Noise, Targets, Victim, ensemble};
use caltrop::autodiff::Lens;
use caltrop::data::Images;
use caltrop::device::{Device, Flavour, Gpu, Order};
use caltrop::drive::{
    Defense, Member, Members, Place, Question, Radius, Recipe, Remembering, Seen, Silent, Stage, Stepper, evaluate, start, step,
};
use caltrop::nn::{Fired, Model, Spec};
use caltrop::ops::{lif::Reset, loss::predictions};
use caltrop::optim::{Accumulator, Sgd};
use caltrop::tensor::{Array, Tensor};
use caltrop::{checkpoint, zoo};
use support::devices::same_bits;
use support::named;

const SIDE: usize = 6;
const CLASSES: usize = 3;
const VGG: &str = "vgg:16,A,16/16";

/// One emulated GPU, and a real one if there is one.
fn gpus() -> Vec<Device> {
    let emulated = Device::emulated(Some(2), Order::default(), Flavour::default());
    emulated.into_iter().chain(Gpu::cuda(0).map(Device::Gpu)).collect()
}

/// Wide enough for the tensor-core kernels; dropout draws anew in every step.
fn model(device: &Device, arch: &str, steps: usize) -> Model {
    let spec = Spec {
        arch: arch.into(),
        classes: CLASSES,
        input: [1, SIDE, SIDE],
        mean: vec![0.5],
        std: vec![0.25],
        bias: steps > 0,
        steps,
        leak: 1.0,
        reset: Reset::Hard,
        dropout: 0.3,
    };
    let mut model = zoo::build(device, spec, 3).unwrap();
    for param in model.params_mut().into_iter().filter(|param| param.name.ends_with(".v_th")) {
        param.weight.set(Tensor::full(device, [], 0.3));
    }
    model
}

fn stage(steps: usize, defense: Defense) -> Stage {
    let recipe = Recipe::parse("replay", "arch = \"vgg:16,A,16/16\"\ndataset = \"mnist\"\n", &[]).unwrap();
    let stage = if steps == 0 { recipe.ann } else { recipe.snn };
    Stage { defense, steps, eps: 8.0, alpha: 4.0, attack_steps: 2, momentum: 0.9, ..stage }
}

fn batch(device: &Device, name: &str, n: usize) -> (Tensor, Array<i32>) {
    let pixels: Vec<f32> = named::uniform(name, n * SIDE * SIDE, 0.0, 1.0, 0);
    let labels: Vec<i32> = (0..n as i32).map(|i| (i * 5 + name.len() as i32) % CLASSES as i32).collect();
    (Tensor::from_slice(device, [n, SIDE, SIDE, 1], &pixels), Array::from_slice(device, [n], &labels))
}

#[test]
fn recorded_training_steps_are_the_steps_themselves() {
    for device in gpus() {
        for (steps, defense, accumulate) in [
            (0, Defense::At, 1),
            (0, Defense::Mart, 1),
            (0, Defense::Mart, 3),
            (3, Defense::Trades, 1),
            (3, Defense::Trades, 2),
            (3, Defense::Natural, 1),
        ] {
            // Full batches, a short one twice in between.
            training_steps(&device, VGG, &Stage { accumulate, ..stage(steps, defense) }, &[4, 4, 4, 2, 4, 2, 4]);
        }
    }
}

/// Running statistics and pairs inside blocks are changed in place like all others.
#[test]
fn recorded_training_steps_of_residual_networks_are_the_steps_themselves() {
    for device in gpus() {
        training_steps(&device, "resnet8", &stage(2, Defense::Natural), &[2, 2, 2, 1, 2]);
        training_steps(&device, "wrn10_1", &stage(2, Defense::Trades), &[2, 2, 2, 2]);
    }
}

fn training_steps(device: &Device, arch: &str, stage: &Stage, batches: &[usize]) {
    let (mut once, mut again) = (model(device, arch, stage.steps), model(device, arch, stage.steps));
    let (mut by_call, mut by_replay) = (Sgd::new(&once, 0.9, 1e-3), Sgd::new(&again, 0.9, 1e-3));
    let (mut stepper, mut sum) = (Stepper::default(), Accumulator::default());
    let of = format!("{arch}, T {}, {:?}, {} batches a step", stage.steps, stage.defense, stage.accumulate);
    for (index, &n) in batches.iter().enumerate() {
        let what = format!("{of}, batch {index}");
        let (images, labels) = batch(device, &format!("batch {index}"), n);
        let ids: Vec<u64> = (0..n as u64).map(|id| id + 10 * index as u64).collect();
        let targets = Targets { images: &images, labels: &labels, ids: &ids };
        let place = Place { seed: 1, stage: u64::from(stage.steps > 0), epoch: 0, step: index as u64 };
        // Another learning rate from the fourth step on.
        let rate = if index < 3 { 0.05 } else { 0.02 };
        let noise = start(&once, stage, &targets, place).unwrap();
        let (want, gradients) = step(&mut once, stage, &targets, noise.as_ref(), place).unwrap();
        sum.add(&gradients, n).unwrap();
        let got = stepper.step(&mut again, &mut by_replay, stage, &targets, place, rate).unwrap();
        let last = index + 1 == batches.len();
        if sum.batches() == stage.accumulate || last {
            by_call.step(&mut once, &sum.take().unwrap(), rate).unwrap();
        }
        if last {
            stepper.finish(&mut again, &mut by_replay, rate).unwrap();
        }
        assert_eq!(stepper.pending(), sum.batches(), "{what}");
        same_bits(&what, &got.loss.to_vec(), &want.loss.to_vec());
        assert_eq!(got.parts.len(), if matches!(stage.defense, Defense::Trades | Defense::Mart) { 2 } else { 0 }, "{what}");
        for (got, want) in got.parts.iter().zip(&want.parts) {
            same_bits(&what, &got.to_vec(), &want.to_vec());
        }
        let count = |fired: &[Fired]| fired.iter().map(|fired| (fired.spikes.to_vec(), fired.most)).collect::<Vec<_>>();
        let layers = if stage.steps > 0 { once.thresholds().len() } else { 0 };
        assert_eq!((count(&got.firing), got.firing.len()), (count(&want.firing), layers), "{what}");
        assert_eq!(got.clean.map(|hits| hits.to_vec()), want.clean.map(|hits| hits.to_vec()), "{what}");
        assert_eq!(got.adversarial.map(|hits| hits.to_vec()), want.adversarial.map(|hits| hits.to_vec()), "{what}");
        for ((name, _, want), (_, _, got)) in checkpoint::state_dict(&once).iter().zip(&checkpoint::state_dict(&again)) {
            same_bits(&format!("{what}: {name}"), got, want);
        }
        assert_eq!(once.batches(), again.batches(), "{what}");
    }
    // All but the first, and the short ones.
    let wanted = batches.iter().filter(|&&n| n == batches[0]).count() - 1;
    assert!(stepper.replays() == wanted, "{of}: {} replays", stepper.replays());
}

#[test]
fn recorded_attacks_are_the_attacks_themselves() {
    gpus().iter().for_each(attacks);
}

fn attacks(device: &Device) {
    let model = model(device, VGG, 3);
    // Two batches of evaluation and a half: the first by call, the second recorded, the last too short for it.
    let count = 2 * 128 + 20;
    let pixels: Vec<u8> = named::uniform("images", count * SIDE * SIDE, 0.0, 255.0, 0).into_iter().map(|x: f32| x as u8).collect();
    let mut images = Images { channels: 1, height: SIDE, width: SIDE, pixels, labels: vec![0; count], classes: CLASSES };
    // What the network says is right, so that there is something to break.
    let everything = caltrop::drive::upload(&model, &images.batch(0..count).unwrap()).0;
    let said = predictions(&Seen { model: &model }.logits(&everything, Lens::default()).unwrap()).unwrap();
    images.labels = said.to_vec().into_iter().map(|class| class as u16).collect();
    let apgd = Attack::Apgd { goal: Goal::Dlr, iterations: 5 };
    let (pgd, sa_pgd, usual) = (Attack::Pgd { iterations: 2 }, Attack::SaPgd { iterations: 3 }, Lens::default());
    let (linf, l2) = (Radius::linf(8.0), Radius::l2(0.3));
    for (attack, members, lens, radius) in [
        (Attack::Fgsm, Members::Ensemble(Attack::Fgsm), usual, linf),
        (pgd, Members::One(pgd), usual, linf),
        (pgd, Members::One(pgd), usual, l2),
        // What it remembers of one batch is not the next one's.
        (pgd, Members::One(pgd), Lens::credit("assg").unwrap(), linf),
        (apgd, Members::One(apgd), usual, linf),
        (sa_pgd, Members::One(sa_pgd), usual, linf),
        (Attack::Identity, Members::One(Attack::Identity), usual, linf),
    ] {
        let (all, alone) = (Member::all(members, lens), members == Members::One(attack));
        let question = Question { radius, ..Question::new(&images, count, all, 8.0, 4) };
        let answer = evaluate(&model, &question, &Silent).unwrap();
        let lenses = if alone { vec![lens] } else { ensemble().to_vec() };
        // The last member's images, made by calls, of the images that nobody broke; of all where it is the only one.
        let batch = images.batch(128..256).unwrap();
        let (x, y) = caltrop::drive::upload(&model, &batch);
        let targets = Targets { images: &x, labels: &y, ids: &batch.ids };
        let noise = Noise { member: lenses.len() as u64 - 1, ..Noise::new(4, 0) };
        let last = lenses[lenses.len() - 1];
        let want = attack.perturb(&Remembering::new(&model), &targets, last, radius.ball(), &noise).unwrap().to_vec();
        let size = SIDE * SIDE;
        let unbroken: Vec<usize> = (128..256).filter(|&i| answer.survived[i]).collect();
        assert!(unbroken.len() > 5, "{attack}: {} of 128 survive", unbroken.len());
        if attack == apgd {
            assert!(unbroken.len() < 123, "{attack}: {} of 128 survive, and those come back clean", unbroken.len());
        }
        for i in if alone { (128..256).collect() } else { unbroken } {
            let at = (i - 128) * size;
            same_bits(&format!("{attack} through {lens}, image {i}"), &answer.adversarial[i * size..(i + 1) * size], &want[at..at + size]);
        }
    }
}
