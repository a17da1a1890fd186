//! Attacks through credits whose slopes follow the membranes: each image by itself, and within the ball.

mod support;

use caltrop::attack::{Attack, Noise, Targets, Victim};
use caltrop::autodiff::Lens;
use caltrop::device::Device;
use caltrop::drive::{Remembering, Seen};
use caltrop::nn::Model;
use caltrop::ops::{loss::predictions, pixel::Ball};
use caltrop::tensor::{Array, Tensor};
use std::ops::Range;
use support::devices::{self, same_bits};
use support::named::uniform;
use support::victims::{self, SIDE};

const IMAGES: usize = 7;

fn network(device: &Device) -> Model {
    victims::network(device, 3, 5)
}

fn images(device: &Device, of: Range<usize>) -> Tensor {
    let pixels: Vec<f32> = uniform("pixels", IMAGES * SIDE * SIDE * 2, 0.0, 1.0, 0);
    Tensor::from_slice(device, [IMAGES, SIDE, SIDE, 2], &pixels).slice(of)
}

/// What an attack makes of some of the images, which the network classifies rightly: their labels are its predictions.
fn perturbed(model: &Model, attack: Attack, lens: Lens, of: Range<usize>) -> Vec<f32> {
    let images = images(model.device(), of.clone());
    let clean = predictions(&Seen { model }.logits(&images, Lens::default()).unwrap()).unwrap().to_vec();
    let labels = Array::from_slice(model.device(), [of.len()], &clean.into_iter().map(|class| class as i32).collect::<Vec<_>>());
    let ids: Vec<u64> = of.map(|id| id as u64).collect();
    let targets = Targets { images: &images, labels: &labels, ids: &ids };
    attack.perturb(&Remembering::new(model), &targets, lens, Ball::linf(0.1), &Noise::new(9, 1)).unwrap().to_vec()
}

#[test]
fn an_image_is_attacked_by_itself() {
    let pgd = Attack::Pgd { iterations: 3 };
    let stable = Attack::SaPgd { iterations: 5 };
    for (attack, credit) in [(pgd, "pdsg"), (pgd, "hart"), (pgd, "assg"), (stable, "bptt"), (stable, "assg")] {
        let lens = Lens::credit(credit).unwrap();
        let mut known: Option<Vec<f32>> = None;
        for threads in [1, 3] {
            let device = Device::cpu(Some(threads)).unwrap();
            let model = network(&device);
            for packing in [vec![7], vec![1; 7], vec![2, 5], vec![4, 3]] {
                let mut next = 0;
                let mut all = Vec::new();
                for size in packing {
                    all.extend(perturbed(&model, attack, lens, next..next + size));
                    next += size;
                }
                same_bits(&format!("{attack} through {lens}"), &all, known.get_or_insert_with(|| all.clone()));
            }
            let before = images(&device, 0..IMAGES).to_vec();
            let known = known.as_ref().unwrap();
            assert!(known.iter().zip(&before).any(|(a, b)| a != b), "{attack} through {lens}: no image was touched");
            assert!(known.iter().zip(&before).all(|(a, x)| (0.0..=1.0).contains(a) && (a - x).abs() <= 0.1 + 1e-6), "{attack}: outside");
        }
    }
}

/// ASSG's slopes follow what came before: the second gradient at the same point is another, unless nothing is remembered.
#[test]
fn iterations_are_remembered() {
    let model = network(&Device::cpu(Some(2)).unwrap());
    let (images, lens) = (images(model.device(), 0..IMAGES), Lens::credit("assg").unwrap());
    let gradient =
        |victim: &dyn Victim| victim.gradients(&images, &|logits| Ok(logits.clone()), &[lens]).unwrap().remove(0).gradient.to_vec();
    let (seen, remembering) = (Seen { model: &model }, Remembering::new(&model));
    let first = gradient(&seen);
    assert!(first.iter().any(|&d| d != 0.0));
    assert_eq!(gradient(&seen), first);
    assert_eq!(gradient(&remembering), first);
    assert_ne!(gradient(&remembering), first);
}

/// Through PDSG, HART and ASSG gradients are there, and each its own.
#[test]
fn credits_differ() {
    let model = network(&Device::cpu(Some(2)).unwrap());
    let images = images(model.device(), 0..IMAGES);
    let lenses = ["bptt", "rate", "pdsg", "hart", "assg"].map(|name| Lens::credit(name).unwrap());
    let answers = Seen { model: &model }.gradients(&images, &|logits| Ok(logits.clone()), &lenses).unwrap();
    let gradients: Vec<Vec<f32>> = answers.iter().map(|answer| answer.gradient.to_vec()).collect();
    for (i, gradient) in gradients.iter().enumerate() {
        assert!(gradient.iter().any(|&d| d != 0.0) && gradient.iter().all(|d| d.is_finite()), "{}", lenses[i]);
        assert!(gradients[..i].iter().all(|other| other != gradient), "{} gives another's gradient", lenses[i]);
    }
}

/// A GPU finds what the CPU finds, at the first point and where slopes remember one.
#[test]
fn every_device_gives_the_same_gradients() {
    let lenses = ["pdsg", "hart", "assg"].map(|name| Lens::credit(name).unwrap());
    let answers = |device: &Device| {
        let model = network(device);
        let (images, victim) = (images(device, 0..IMAGES), Remembering::new(&model));
        let answer = |_| victim.gradients(&images, &|logits| Ok(logits.clone()), &lenses).unwrap();
        [0, 1].map(answer).concat().iter().map(|answer| answer.gradient.to_vec()).collect::<Vec<_>>()
    };
    let norm = |values: &[f32]| values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let known = answers(&Device::cpu(Some(2)).unwrap());
    for device in devices::gpus() {
        for (i, (found, want)) in answers(&device).iter().zip(&known).enumerate() {
            let apart: Vec<f32> = found.iter().zip(want).map(|(a, b)| a - b).collect();
            let what = format!("{}, point {}, {}", lenses[i % 3], i / 3, device.describe());
            assert!(found.len() == want.len() && norm(&apart) <= 1e-5 * norm(want), "{what}: {:e} of {:e}", norm(&apart), norm(want));
        }
    }
}
