//! An attack of your own against the trait that all attacks know: [`Victim`].
//!
//! ```text
//! cargo run --release --example own_attack
//! ```
//!
//! A victim answers two questions: what are the logits of these images, and what is the gradient, with respect to the images, of a
//! scalar of the logits. The scalar is told by its gradient at the logits, so every objective is one closure. Of a spiking network
//! there are many gradients, one for every way in which blame may return through spikes; a [`Lens`] says which, and it is handed on
//! unopened. Whoever writes an attack this way has it for ReLU networks, spiking ones, transfer (make the images on another victim)
//! and an average over draws (`attack::Expected`), on every device.
//!
//! The attack is MI-FGSM (Dong et al. 2018, "Boosting adversarial attacks with momentum"): PGD's signed steps, but along gradients
//! that were gathered on the way, g ← μ·g + ∇ / ‖∇‖₁.

#[allow(dead_code)] // its network is wanted, not its story
#[path = "own_network.rs"]
mod own_network;

use caltrop::attack::{Noise, Objective, Targets, Victim, Walk, pgd};
use caltrop::autodiff::{Credit, Lens};
use caltrop::base::Result;
use caltrop::data;
use caltrop::device::Device;
use caltrop::drive::{Seen, upload};
use caltrop::loss;
use caltrop::ops::loss::hits;
use caltrop::ops::pixel::{Ball, signed_step};
use caltrop::tensor::{Array, Tensor};

/// Percent of the images that a spiking network still classifies right.
pub struct Row {
    /// The lens of the attacks.
    pub lens: Lens,
    pub pgd: f64,
    pub own: f64,
}

/// What the example finds.
pub struct Found {
    pub clean: f64,
    pub rows: Vec<Row>,
    /// The farthest that the attack moved a pixel, in 1/255.
    pub farthest: f64,
}

fn main() -> Result<()> {
    run().map(|_| ())
}

/// MI-FGSM in the ball of radius `eps` (l-inf, pixels of `[0,1]`), started at the images.
fn momentum(victim: &dyn Victim, targets: &Targets, lens: Lens, eps: f32, iterations: usize) -> Result<Tensor> {
    let (alpha, mu) = (2.5 * eps / iterations as f32, 1.0);
    let mut adversarial = targets.images.clone();
    let mut gathered = vec![0.0; adversarial.shape().count()];
    for _ in 0..iterations {
        // The mean cross-entropy of the batch: its value is not needed, its gradient at the logits is.
        let answers = victim.gradients(&adversarial, &|logits| Ok(loss::cross_entropy(logits, targets.labels)?.dlogits), &[lens])?;
        let gradient = answers[0].gradient.to_vec();
        let size = gradient.len() / targets.ids.len(); // of an image
        for (old, new) in gathered.chunks_mut(size).zip(gradient.chunks(size)) {
            let norm = new.iter().map(|d| d.abs()).sum::<f32>().max(1e-12);
            old.iter_mut().zip(new).for_each(|(g, d)| *g = mu * *g + d / norm);
        }
        let gathered = Tensor::from_slice(adversarial.device(), adversarial.shape(), &gathered);
        // One step of alpha along the sign, drawn back into the ball and into [0,1].
        adversarial = signed_step(targets.images, &adversarial, &gathered, alpha, eps)?;
    }
    Ok(adversarial)
}

/// Percent of `images` that the victim classifies right, in its own eyes (whatever an attack looked through).
fn accuracy(victim: &dyn Victim, images: &Tensor, labels: &Array<i32>) -> Result<f64> {
    let right = hits(&victim.logits(images, Lens::default())?, labels)?.to_vec();
    Ok(100.0 * f64::from(right.iter().sum::<u32>()) / right.len() as f64)
}

pub fn run() -> Result<Found> {
    let device = Device::cpu(None)?;
    let data = data::load("fashion-mnist-7k", None)?;
    let network = own_network::converted(&own_network::trained(&device, &data)?, &data)?;
    let victim = Seen { model: &network };

    let batch = data.test.batch(0..100)?;
    let (images, labels) = upload(&network, &batch);
    let targets = Targets { images: &images, labels: &labels, ids: &batch.ids };
    let (eps, iterations) = ((own_network::EPS / 255.0) as f32, 10);
    let clean = accuracy(&victim, &images, &labels)?;
    println!("clean: {clean:.0} %; l-inf {}/255, {iterations} steps:", own_network::EPS);

    let (mut rows, mut farthest) = (Vec::new(), 0.0_f64);
    for lens in [Lens::default(), Lens::Spiking(Credit::Rate), Lens::Act] {
        // The library's PGD from a random start: noise is a function of the seed and each image's id.
        let ball = Ball::linf(eps);
        let start = Noise::new(7, 0).inside(&targets, ball)?;
        let objective = Objective::CrossEntropy(labels.clone());
        let theirs = pgd(&victim, &targets, lens, &objective, Walk::new(ball, iterations), &start)?;
        let ours = momentum(&victim, &targets, lens, eps, iterations)?;
        let row = Row { lens, pgd: accuracy(&victim, &theirs, &labels)?, own: accuracy(&victim, &ours, &labels)? };
        println!("  seen through {:<8} PGD leaves {:>3.0} % right, MI-FGSM {:>3.0} %", row.lens.to_string(), row.pgd, row.own);
        rows.push(row);
        farthest = farthest.max(255.0 * ball.norm.distance(&ours.to_vec(), &images.to_vec()));
    }
    Ok(Found { clean, rows, farthest })
}
