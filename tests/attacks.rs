//! Attacks on victims that are known in closed form.

mod support;

use caltrop::attack::{Apgd, Attack, Goal, Noise, Objective, Targets, Walk, pgd};
use caltrop::autodiff::Lens;
use caltrop::base::Kind;
use caltrop::device::Device;
use caltrop::ops::pixel::{Ball, Norm};
use caltrop::tensor::{Array, Tensor};
use support::victims::Known;
use support::{devices, named};

const SIDE: usize = 4;
const PIXELS: usize = SIDE * SIDE;

fn linear(name: &str, classes: usize) -> Known {
    Known::drawn(name, classes, PIXELS)
}

fn curved(name: &str, classes: usize) -> Known {
    linear(name, classes).curved()
}

/// Images away from black and white, the victim's own classes as labels.
struct Scene {
    pixels: Vec<f32>,
    labels: Vec<i32>,
    ids: Vec<u64>,
}

impl Scene {
    fn of(victim: &Known, count: usize) -> Scene {
        let pixels: Vec<f32> = named::uniform("images", count * PIXELS, 0.3, 0.7, 0);
        let labels = pixels.chunks(PIXELS).map(|image| victim.class_of(image) as i32).collect();
        Scene { pixels, labels, ids: (0..count as u64).collect() }
    }

    fn image(&self, n: usize) -> &[f32] {
        &self.pixels[n * PIXELS..(n + 1) * PIXELS]
    }

    fn count(&self) -> usize {
        self.labels.len()
    }

    fn attacked(&self, device: &Device, victim: &Known, apgd: &Apgd, noise: Noise) -> Vec<f32> {
        let images = Tensor::from_slice(device, [self.count(), SIDE, SIDE, 1], &self.pixels);
        let labels = Array::from_slice(device, [self.count()], &self.labels);
        let targets = Targets { images: &images, labels: &labels, ids: &self.ids };
        let runs = (0..apgd.most_runs()).map(|run| noise.of_run(run, apgd.most_runs()).draw(&targets, apgd.law()).unwrap());
        let start = Tensor::joined(&runs.collect::<Vec<_>>());
        apgd.perturb(victim, &targets, Lens::default(), &start).unwrap().to_vec()
    }
}

fn linf(goal: Goal, eps: f32, iterations: usize) -> Apgd {
    Apgd { goal, ball: Ball::linf(eps), iterations }
}

fn size(norm: Norm, values: impl Iterator<Item = f32>) -> f32 {
    match norm {
        Norm::Linf => values.fold(0.0, |most, v| most.max(v.abs())),
        Norm::L2 => values.map(|v| v * v).sum::<f32>().sqrt(),
    }
}

/// On a linear victim of two classes the least radius that reaches the boundary is the margin over the dual norm of w_other −
/// w_y: an image is broken above it, and left as it was below.
#[test]
fn apgd_reaches_a_plane_exactly_where_it_is() {
    let victim = linear("planes", 2);
    let scene = Scene::of(&victim, 40);
    for norm in [Norm::Linf, Norm::L2] {
        let radius = |n: usize| {
            let (y, logits) = (scene.labels[n] as usize, victim.logits_of(scene.image(n)));
            let away = victim.row(1 - y).iter().zip(victim.row(y)).map(|(a, b)| a - b);
            let dual = match norm {
                Norm::Linf => away.map(f32::abs).sum(),
                Norm::L2 => size(Norm::L2, away),
            };
            (logits[y] - logits[1 - y]) / dual
        };
        let mut radii: Vec<f32> = (0..scene.count()).map(radius).collect();
        radii.sort_by(f32::total_cmp);
        let eps = radii[scene.count() / 2];
        assert!(eps < 0.25, "{norm:?}: the ball of {eps} would be cut by black and white");
        let apgd = Apgd { ball: Ball { norm, eps }, ..linf(Goal::CrossEntropy, eps, 20) };
        let found = scene.attacked(&devices::first(), &victim, &apgd, Noise::new(3, 0));
        let (mut broken, mut held) = (0, 0);
        for n in 0..scene.count() {
            let (was, is, least) = (scene.image(n), &found[n * PIXELS..(n + 1) * PIXELS], radius(n));
            let far = size(norm, was.iter().zip(is).map(|(a, b)| a - b));
            assert!(far <= eps * 1.00001, "{norm:?}, image {n}: {far} from where it was, radius {eps}");
            if least < 0.98 * eps {
                assert_ne!(victim.class_of(is), scene.labels[n] as usize, "{norm:?}, image {n}: breaks at {least}, radius {eps}");
                broken += 1;
            } else if least > 1.02 * eps {
                assert_eq!(is, was, "{norm:?}, image {n}: needs {least}, radius {eps}");
                held += 1;
            }
        }
        assert!(broken > 10 && held > 10, "{norm:?}: {broken} broken, {held} held");
    }
}

/// Classes that are unlikely at first may be nearest: the targeted attack tries each.
#[test]
fn the_targeted_attack_finds_the_class_whose_plane_is_nearest() {
    let mut victim = linear("targets", 5);
    // The runner-up follows the likeliest class wherever it goes; the third is far in logits, and steep.
    let base = victim.row(0).to_vec();
    victim.weights[1] = base.clone();
    victim.weights[2].iter_mut().zip(&base).for_each(|(w, b)| *w = b - 3.0 * b.signum());
    let scene = Scene { labels: vec![0; 6], ..Scene::of(&victim, 6) };
    let leads = (0..6).map(|n| 3.0 * scene.image(n).iter().zip(&base).map(|(x, b)| x * b.signum()).sum::<f32>());
    let head_start = 3.0 - leads.fold(f32::INFINITY, f32::min);
    victim.bias = vec![head_start, head_start - 0.1, 0.0, -30.0, -30.0];
    let gap = |n: usize| {
        let logits = victim.logits_of(scene.image(n));
        (logits[0] - logits[2]) / (3.0 * PIXELS as f32)
    };
    let eps = (0..6).map(gap).fold(0.0, f32::max) * 1.1;
    assert!((0..6).all(|n| victim.class_of(scene.image(n)) == 0 && gap(n) > 0.0) && eps < 0.3, "the scene is as it should be: {eps}");
    let found = scene.attacked(&devices::first(), &victim, &linf(Goal::Targeted, eps, 20), Noise::new(1, 0));
    assert!(found.chunks(PIXELS).all(|image| victim.class_of(image) == 2));
}

/// What is wrong when clean is left alone; nothing leaves [0,1].
#[test]
fn images_that_are_wrong_when_clean_stay() {
    let victim = curved("curves", 5);
    let mut scene = Scene::of(&victim, 30);
    (0..6).for_each(|n| scene.labels[n * 5] = (scene.labels[n * 5] + 1) % 5);
    let broken = |apgd: &Apgd| -> Vec<bool> {
        let found = scene.attacked(&devices::first(), &victim, apgd, Noise::new(9, 0));
        assert!(found.iter().all(|x| (0.0..=1.0).contains(x)));
        (0..6).for_each(|n| assert_eq!(&found[n * 5 * PIXELS..][..PIXELS], scene.image(n * 5), "image {}", n * 5));
        (0..30).map(|n| victim.class_of(&found[n * PIXELS..][..PIXELS]) != scene.labels[n] as usize).collect()
    };
    for goal in [Goal::CrossEntropy, Goal::Dlr, Goal::Targeted] {
        let apgd = linf(goal, 0.012, 5);
        let count = broken(&apgd).iter().filter(|&&broken| broken).count();
        assert!((7..30).contains(&count), "{goal:?}: {count} of 30 broken");
    }
}

/// A run of N steps differentiates N times and looks once more at its end; the clean image is looked at once.
#[test]
fn no_forward_is_made_twice() {
    let victim = linear("steady", 4);
    let scene = Scene::of(&victim, 4);
    scene.attacked(&devices::first(), &victim, &linf(Goal::Targeted, 1e-6, 7), Noise::new(0, 0));
    assert_eq!(victim.counts(), (1 + 3 * (7 + 1), 3 * 7));
}

/// On a GPU all images go on, masked; on the CPU survivors alone. What comes out is the same.
#[test]
fn masks_and_survivors_are_the_same_attack() {
    let victim = curved("curves", 5);
    let scene = Scene::of(&victim, 12);
    for gpu in devices::gpus() {
        for (norm, eps) in [(Norm::Linf, 0.012), (Norm::L2, 0.05)] {
            for goal in [Goal::CrossEntropy, Goal::Dlr, Goal::Targeted] {
                let apgd = Apgd { ball: Ball { norm, eps }, ..linf(goal, eps, 6) };
                // Uniform noise has equal bits everywhere; normal noise is equal to rounding.
                let [here, there] = [&devices::first(), &gpu].map(|device| scene.attacked(device, &victim, &apgd, Noise::new(2, 0)));
                for (i, (here, there)) in here.iter().zip(&there).enumerate() {
                    assert!((here - there).abs() <= 1e-5, "{norm:?} {goal:?} on {}: [{i}] {here}, {there}", gpu.describe());
                }
                assert!(
                    here.chunks(PIXELS).zip(scene.pixels.chunks(PIXELS)).any(|(is, was)| is != was),
                    "{norm:?} {goal:?}: nothing broke"
                );
            }
        }
    }
}

/// Where the gradient is the same everywhere, the best point of an l2 ball is the one farthest along it, x + eps · w/‖w‖ with w =
/// w_other − w_y. One step from x ends there, many from anywhere come as near as one likes; the steps of the suite's PGD, 2.5 · eps
/// together, come near.
#[test]
fn steps_in_l2_go_to_the_farthest_point_of_the_ball() {
    const EPS: f32 = 0.2;
    let victim = linear("slopes", 2);
    let scene = Scene::of(&victim, 12);
    let ball = Ball::l2(EPS);
    let lens = Lens::default();
    for device in devices::all() {
        let images = Tensor::from_slice(&device, [12, SIDE, SIDE, 1], &scene.pixels);
        let labels = Array::from_slice(&device, [12], &scene.labels);
        let targets = Targets { images: &images, labels: &labels, ids: &scene.ids };
        let noise = Noise::new(3, 0);
        let suite = |word: &str| Attack::parse(word, None).unwrap().perturb(&victim, &targets, lens, ball, &noise).unwrap();
        let long = |walk: Walk| {
            let (objective, start) = (Objective::CrossEntropy(labels.clone()), noise.inside(&targets, ball).unwrap());
            pgd(&victim, &targets, lens, &objective, walk, &start).unwrap()
        };
        for (what, made, tolerance) in [
            ("fgsm", suite("fgsm"), 1e-6),
            ("pgd of 60 steps of eps/2", long(Walk { ball, alpha: EPS / 2.0, iterations: 60 }), 1e-5),
            ("pgd20", suite("pgd20"), 0.08),
            ("pgd-targeted20", suite("pgd-targeted20"), 0.08),
            // Half of eps goes astray, at a right angle in the mean.
            ("rfgsm", suite("rfgsm"), 0.9 * EPS),
        ] {
            for (n, is) in made.to_vec().chunks(PIXELS).enumerate() {
                let (y, was) = (scene.labels[n] as usize, scene.image(n));
                let away: Vec<f32> = victim.row(1 - y).iter().zip(victim.row(y)).map(|(a, b)| a - b).collect();
                let length = size(Norm::L2, away.iter().copied());
                let off = size(Norm::L2, is.iter().zip(was).zip(&away).map(|((is, was), w)| is - was - EPS * w / length));
                let moved = size(Norm::L2, is.iter().zip(was).map(|(is, was)| is - was));
                assert!(moved >= 0.5 * EPS, "{what} on {}: image {n} is moved by {moved}", device.describe());
                assert!(off <= tolerance, "{what} on {}: image {n} is {off} from the farthest point", device.describe());
            }
        }
    }
}

/// PGD's start in l2 has any length up to the radius, TPGD's has the same law as in l-inf, and restarts begin elsewhere.
#[test]
fn starts_in_l2_lie_in_the_ball() {
    let device = devices::first();
    let images = Tensor::full(&device, [400, SIDE, SIDE, 1], 0.5);
    let ids: Vec<u64> = (0..400).collect();
    let targets = Targets { images: &images, labels: &Array::zeros(&device, [400]), ids: &ids };
    let start = |restart| {
        let noise = Noise { restart, ..Noise::new(1, 0) };
        Attack::Pgd { iterations: 1 }.start(&targets, Ball::l2(2.0), &noise).unwrap().unwrap().to_vec()
    };
    let lengths: Vec<f32> = start(0).chunks(PIXELS).map(|image| size(Norm::L2, image.iter().copied())).collect();
    assert!(lengths.iter().all(|&length| length <= 2.0 + 1e-6));
    for quarter in 0..4 {
        let (from, to) = (0.5 * quarter as f32, 0.5 * (quarter + 1) as f32);
        let share = lengths.iter().filter(|&&length| (from..to).contains(&length)).count();
        assert!((60..140).contains(&share), "{share} of 400 between {from} and {to}");
    }
    let mean: f32 = start(0).iter().sum::<f32>() / (400 * PIXELS) as f32;
    assert!(mean.abs() < 0.03, "the directions lean to {mean}");
    assert!(start(0).iter().zip(start(1)).filter(|(a, b)| **a == *b).count() < 10, "a restart begins where the first run did");
}

#[test]
fn too_few_classes_are_a_usage_error() {
    let (victim, device) = (linear("narrow", 2), devices::first());
    let images = Tensor::from_slice(&device, [1, SIDE, SIDE, 1], &[0.5; PIXELS]);
    let targets = Targets { images: &images, labels: &Array::zeros(&device, [1]), ids: &[0] };
    for name in ["apgd-dlr", "apgd-t"] {
        let attack = Attack::parse(name, None).unwrap();
        let error = attack.perturb(&victim, &targets, Lens::default(), Ball::linf(0.1), &Noise::new(0, 0)).err().expect("refused");
        assert_eq!(error.kind(), Kind::Usage, "{error}");
        assert!(error.to_string().starts_with(&format!("{name}: 2 classes;")), "{error}");
    }
}

/// The published loop, transcribed without a thought for speed: all losses kept, one image at a time, numbers as f32 as the program
/// keeps them. `unit` is the start's direction.
fn published(victim: &Known, x: &[f32], y: usize, eps: f32, iterations: usize, unit: &[f32]) -> Vec<f32> {
    let n = iterations as f64;
    let [first, least, shrink] = [0.22, 0.06, 0.03].map(|share| ((share * n) as usize).max(1));
    let loss = |image: &[f32]| {
        let z: Vec<f64> = victim.logits_of(image).into_iter().map(f64::from).collect();
        let p = support::naive::losses::softmax(&z, z.len());
        let dlogits: Vec<f32> = p.iter().enumerate().map(|(k, p)| (p - f64::from(u8::from(k == y))) as f32).collect();
        ((-p[y].ln()) as f32, victim.gradient_of(image, &dlogits))
    };
    let project = |z: f32, i: usize| (x[i] + (z - x[i]).clamp(-eps, eps)).clamp(0.0, 1.0);
    let sign = |g: f32| {
        if g > 0.0 {
            1.0
        } else if g < 0.0 {
            -1.0
        } else {
            0.0
        }
    };
    let mut adv: Vec<f32> = x.iter().zip(unit).map(|(x, u)| (x + eps * u).clamp(0.0, 1.0)).collect();
    let mut old = adv.clone();
    let (mut best_loss, mut grad) = loss(&adv);
    let (mut best, mut best_grad) = (adv.clone(), grad.clone());
    let mut found = if victim.class_of(&adv) == y { x.to_vec() } else { adv.clone() };
    let (mut losses, mut step) = (vec![0.0f32; iterations], 2.0 * eps);
    let (mut reduced, mut best_then, mut window, mut since) = (true, best_loss, first, 0);
    for i in 0..iterations {
        let share = if i == 0 { 1.0 } else { 0.75 };
        let next: Vec<f32> = (0..x.len())
            .map(|j| {
                let z = project(adv[j] + step * sign(grad[j]), j);
                project(adv[j] + share * (z - adv[j]) + (1.0 - share) * (adv[j] - old[j]), j)
            })
            .collect();
        old = std::mem::replace(&mut adv, next);
        (losses[i], grad) = loss(&adv);
        if victim.class_of(&adv) != y {
            found = adv.clone();
        }
        if losses[i] > best_loss {
            (best_loss, best, best_grad) = (losses[i], adv.clone(), grad.clone());
        }
        since += 1;
        if since == window {
            // Behind the first loss lies, as in Python, the last of the list, still 0.
            let rises = (0..window).filter(|back| losses[i - back] > losses[(i + iterations - back - 1) % iterations]).count();
            let oscillates = rises as f32 <= 0.75 * window as f32 || (!reduced && best_then >= best_loss);
            (reduced, best_then) = (oscillates, best_loss);
            if oscillates {
                step /= 2.0;
                (adv, grad) = (best.clone(), best_grad.clone());
            }
            (window, since) = (window.saturating_sub(shrink).max(least), 0);
        }
    }
    found
}

#[test]
fn apgd_is_the_published_loop() {
    let victim = curved("curves", 5);
    let scene = Scene::of(&victim, 30);
    let (eps, noise, device) = (0.02, Noise::new(5, 0), devices::first());
    for iterations in [1, 2, 10, 37, 100] {
        let apgd = linf(Goal::CrossEntropy, eps, iterations);
        let got = scene.attacked(&device, &victim, &apgd, noise);
        let images = Tensor::from_slice(&device, [scene.count(), SIDE, SIDE, 1], &scene.pixels);
        let labels = Array::from_slice(&device, [scene.count()], &scene.labels);
        let noise = noise.draw(&Targets { images: &images, labels: &labels, ids: &scene.ids }, apgd.law()).unwrap().to_vec();
        let mut broken = 0;
        for n in 0..scene.count() {
            let start = &noise[n * PIXELS..(n + 1) * PIXELS];
            let most = size(Norm::Linf, start.iter().copied());
            let unit: Vec<f32> = start.iter().map(|t| t / most).collect();
            let want = published(&victim, scene.image(n), scene.labels[n] as usize, eps, iterations, &unit);
            let is = &got[n * PIXELS..(n + 1) * PIXELS];
            let far = size(Norm::Linf, is.iter().zip(&want).map(|(a, b)| a - b));
            assert!(far <= 1e-6, "{iterations} steps, image {n}: {far} from the published loop's");
            broken += usize::from(is != scene.image(n));
        }
        assert!((8..30).contains(&broken), "{iterations} steps: {broken} of 30 broken");
    }
}
