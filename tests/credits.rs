//! Attacks through credits whose slopes follow the membranes: each image by itself, and within the ball; and slopes that are given.

mod support;

use caltrop::attack::{Attack, Noise, Targets, Victim};
use caltrop::autodiff::{Credit, Gradients, Keep, Lens, Pass, Statistics, Surrogate, SurrogateKind, Trace, Want};
use caltrop::base::rng::{Philox, Purpose};
use caltrop::device::Device;
use caltrop::drive::{Remembering, Seen};
use caltrop::nn::{Model, Param, Role};
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

/// A surrogate of one's own that is a built-in one gives its gradients: of images and parameters, with running and batch
/// statistics, over one window of a kernel and over two.
#[test]
fn a_surrogate_of_ones_own_that_is_built_in_is_the_built_in_one() {
    let norm = |values: &[f32]| values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let surrogates = [(SurrogateKind::Pcw, 1.0), (SurrogateKind::Rect, 0.5), (SurrogateKind::Exp, 2.0)];
    for device in devices::all() {
        for steps in [3, 9] {
            let model = victims::network(&device, steps, 5);
            let images = images(&device, 0..IMAGES);
            let dropout = Philox::stream(1, Purpose::Test, &[]);
            for (pass, want) in [
                (Pass::eval(model.spec().fire(), Keep::ForInput), Want::Input),
                (Pass::eval(model.spec().fire(), Keep::All), Want::Both),
                (Pass::train(model.spec().fire(), dropout), Want::Both),
            ] {
                let (logits, mut trace) = model.forward(&images, &pass).unwrap();
                for (kind, gamma) in surrogates {
                    let surrogate = Surrogate::new(kind, gamma).unwrap();
                    model.slope(&mut trace, |u, v_th| surrogate.slope(u - v_th)).unwrap();
                    let gradients = |credit| {
                        let Gradients { params, input } = model.backward(&trace, &logits, credit, want).unwrap();
                        params.into_iter().chain([input]).map(|gradient| gradient.map(|g| g.to_vec())).collect::<Vec<_>>()
                    };
                    let (known, own) = (gradients(Credit::Bptt(surrogate)), gradients(Credit::Given));
                    // The batch's mean takes a convolution's bias away again: its gradient is 0, and what is computed is rounding.
                    let is_idle = |param: &Param| {
                        let of_convolution = param.role == Role::Bias && param.name.starts_with("features");
                        pass.statistics == Statistics::Batch && of_convolution
                    };
                    let names = model.params().into_iter().map(|param| (param.name.as_str(), is_idle(param))).chain([("images", false)]);
                    for (((name, _), known), own) in names.zip(&known).zip(&own).filter(|(((_, idle), _), _)| !idle) {
                        let what = format!("{name} through {surrogate}, T = {steps}, {want:?}, {}", device.describe());
                        assert_eq!(known.is_some(), own.is_some(), "{what}");
                        let (Some(known), Some(own)) = (known, own) else { continue };
                        let apart: Vec<f32> = known.iter().zip(own).map(|(a, b)| a - b).collect();
                        assert!(known.len() == own.len() && norm(known) > 0.0, "{what}");
                        assert!(norm(&apart) <= 1e-5 * norm(known), "{what}: {:e} of {:e}", norm(&apart), norm(known));
                    }
                }
            }
        }
    }
}

/// Another function is another gradient, and slopes that no trace has are asked for in one line.
#[test]
fn slopes_are_the_callers() {
    let model = network(&Device::cpu(Some(1)).unwrap());
    let images = images(model.device(), 0..IMAGES);
    let (logits, mut trace) = model.forward(&images, &Pass::eval(model.spec().fire(), Keep::ForInput)).unwrap();
    let refused = |trace: &Trace| model.backward(trace, &logits, Credit::Given, Want::Input).err().unwrap().to_string();
    assert!(refused(&trace).contains("Model::slope"), "{}", refused(&trace));
    let mut gradient = |height: f32| {
        model.slope(&mut trace, |u, v_th| height * (1.0 - (u - v_th).abs()).max(0.0)).unwrap();
        model.backward(&trace, &logits, Credit::Given, Want::Input).unwrap().input.unwrap().to_vec()
    };
    let (one, other) = (gradient(1.0), gradient(0.5));
    assert!(one.iter().any(|&d| d != 0.0) && one != other);
    assert!(gradient(0.0).iter().all(|&d| d == 0.0), "nothing returns through slopes of 0");

    let broken = model.slope(&mut trace, |u, _| if u > 0.1 { f32::NAN } else { 1.0 }).unwrap_err().to_string();
    assert!(broken.contains("a slope of NaN at u = ") && !broken.contains('\n'), "{broken}");
    let (_, mut spikes) = model.forward(&images, &Pass::eval(model.spec().fire(), Keep::Spikes)).unwrap();
    let kept = model.slope(&mut spikes, |_, _| 1.0).unwrap_err().to_string();
    assert!(kept.contains("Keep::ForInput"), "{kept}");
}
