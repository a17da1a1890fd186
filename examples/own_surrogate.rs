//! A surrogate gradient of your own, and what it changes for an attack.
//!
//! ```text
//! cargo run --release --example own_surrogate
//! ```
//!
//! A spike is a step of the membrane u at the threshold v_th, whose derivative is useless: 0 everywhere, and infinite in one point. A
//! surrogate replaces it on the way back. The library has five shapes (`autodiff::Surrogate`) compiled into its loops and kernels; any
//! other is a function (u, v_th) ↦ slope, given to a trace with [`Model::slope`] between forward and backward:
//!
//! ```text
//! let (logits, mut trace) = model.forward(&images, &pass)?;
//! model.slope(&mut trace, |u, v_th| ...)?;
//! let gradients = model.backward(&trace, &dlogits, Credit::Given, Want::Input)?;
//! ```
//!
//! One trace serves any number of surrogates, for attacks and (with `Want::Params`) for training, on every device; the built-in
//! shapes are faster, since they need no membranes outside of the loops.
//!
//! The surrogate here is a bell whose width is a share of the threshold, so that it is as wide for a layer of small currents as for one
//! of large ones. An attack that sees nothing through a surrogate says nothing about the network: the table shows how much the width
//! alone decides.

#[allow(dead_code)] // its network is wanted, not its story
#[path = "own_network.rs"]
mod own_network;

use caltrop::attack::{Attack, Noise, Response, Targets, Victim};
use caltrop::autodiff::{Credit, Keep, Lens, Pass, Want};
use caltrop::base::{Result, fail};
use caltrop::data;
use caltrop::device::Device;
use caltrop::drive::{Seen, upload};
use caltrop::nn::Model;
use caltrop::ops::loss::hits;
use caltrop::ops::pixel::Ball;
use caltrop::tensor::Tensor;

/// A spiking network seen through a surrogate of one's own: a [`Victim`], so every attack of the library runs on it.
struct Through<'a, S> {
    model: &'a Model,
    surrogate: S,
}

impl<S: Fn(f32, f32) -> f32> Victim for Through<'_, S> {
    fn logits(&self, images: &Tensor, lens: Lens) -> Result<Tensor> {
        Seen { model: self.model }.logits(images, lens)
    }

    fn gradients(
        &self,
        images: &Tensor,
        dlogits_of: &(dyn Fn(&Tensor) -> Result<Tensor> + Sync),
        lenses: &[Lens],
    ) -> Result<Vec<Response>> {
        // Running statistics, no dropout; what a gradient of the images needs is kept.
        let pass = Pass::eval(self.model.spec().fire(), Keep::ForInput);
        let (logits, mut trace) = self.model.forward(images, &pass)?;
        self.model.slope(&mut trace, &self.surrogate)?;
        let gradients = self.model.backward(&trace, &dlogits_of(&logits)?, Credit::Given, Want::Input)?;
        let gradient = gradients.input.ok_or_else(|| fail!("own surrogate: no input gradient came back"))?;
        Ok(vec![Response { logits, gradient }; lenses.len()]) // whatever the lens, this is what is seen
    }
}

/// A normal distribution around the threshold, its standard deviation `width` thresholds; 1 in the middle, as PCW of γ = 1 is.
fn bell(width: f32) -> impl Fn(f32, f32) -> f32 {
    move |u, v_th| {
        let x = (u - v_th) / (width * v_th);
        (-0.5 * x * x).exp()
    }
}

/// Percent of the images that are still classified right.
pub struct Found {
    pub clean: f64,
    /// Behind PGD through PCW, γ = 1.
    pub built_in: f64,
    /// Behind PGD through bells: (width, percent).
    pub bells: Vec<(f32, f64)>,
}

fn main() -> Result<()> {
    run().map(|_| ())
}

pub fn run() -> Result<Found> {
    let device = Device::cpu(None)?;
    let data = data::load("fashion-mnist-7k", None)?;
    let network = own_network::converted(&own_network::trained(&device, &data)?, &data)?;
    let batch = data.test.batch(0..100)?;
    let (images, labels) = upload(&network, &batch);
    let targets = Targets { images: &images, labels: &labels, ids: &batch.ids };
    let (attack, ball) = (Attack::Pgd { iterations: 10 }, Ball::linf((own_network::EPS / 255.0) as f32));
    let survivors = |images: &Tensor| -> Result<f64> {
        let right = hits(&Seen { model: &network }.logits(images, Lens::default())?, &labels)?.to_vec();
        Ok(100.0 * f64::from(right.iter().sum::<u32>()) / right.len() as f64)
    };
    let behind = |victim: &dyn Victim| survivors(&attack.perturb(victim, &targets, Lens::default(), ball, &Noise::new(7, 0))?);

    let found = Found {
        clean: survivors(&images)?,
        built_in: behind(&Seen { model: &network })?,
        bells: [0.01, 0.1, 0.5, 1.0, 4.0]
            .into_iter()
            .map(|width| Ok((width, behind(&Through { model: &network, surrogate: bell(width) })?)))
            .collect::<Result<_>>()?,
    };
    println!("clean: {:.0} %; left by {attack} at l-inf {}/255", found.clean, own_network::EPS);
    println!("  through PCW, γ = 1:          {:>3.0} %", found.built_in);
    for (width, percent) in &found.bells {
        println!("  through a bell of {width:>4} v_th:  {percent:>3.0} %");
    }
    Ok(found)
}
