//! A model as attacks see it.

use super::watch;
use crate::attack::Victim;
use crate::autodiff::{Credit, Fire, Keep, Lens, Pass, Surrogate, Want};
use crate::base::Result;
use crate::nn::Model;
use crate::tensor::Tensor;

/// A network in eval mode, answering through lenses. Images go through in slices of a few, so that the activations
/// of a slice stay in the cache; eval mode treats every image by itself, so slices change nothing.
pub struct Seen<'a> {
    /// The network.
    pub model: &'a Model,
}

/// Images a slice.
const SLICE: usize = 16;

impl Seen<'_> {
    fn fire(&self, lens: Lens) -> Fire {
        match lens {
            Lens::Act => Fire::Relu,
            Lens::Spiking(_) => self.model.spec().fire(),
        }
    }
}

/// How blame returns under a lens (ReLU networks ask for none of it).
pub fn credit(lens: Lens) -> Credit {
    match lens {
        Lens::Spiking(credit) => credit,
        Lens::Act => Credit::Bptt(Surrogate::default()),
    }
}

impl Victim for Seen<'_> {
    fn logits(&self, images: &Tensor, lens: Lens) -> Result<Tensor> {
        let pass = Pass::eval(self.fire(lens), Keep::Spikes);
        let slices = slices(images).map(|slice| {
            watch::check()?;
            Ok(self.model.forward(&slice, &pass)?.0)
        });
        Ok(joined(&slices.collect::<Result<Vec<_>>>()?))
    }

    fn gradients(&self, images: &Tensor, dlogits_of: &dyn Fn(&Tensor) -> Result<Tensor>, lenses: &[Lens]) -> Result<Vec<Tensor>> {
        // dlogits_of wants the logits of all images, so every network's traces wait for its last slice.
        let mut gradients: Vec<Option<Tensor>> = vec![None; lenses.len()];
        for act in [false, true] {
            let of_this_network: Vec<usize> = (0..lenses.len()).filter(|&i| (lenses[i] == Lens::Act) == act).collect();
            let Some(&first) = of_this_network.first() else { continue };
            let pass = Pass::eval(self.fire(lenses[first]), Keep::ForInput);
            let mut forwards = Vec::new();
            for slice in slices(images) {
                watch::check()?;
                forwards.push(self.model.forward(&slice, &pass)?);
            }
            let logits: Vec<Tensor> = forwards.iter().map(|(logits, _)| logits.clone()).collect();
            let dlogits: Vec<Tensor> = slices(&dlogits_of(&joined(&logits))?).collect();
            for i in of_this_network {
                watch::check()?;
                let back = forwards.iter().zip(&dlogits).map(|((_, trace), dlogits)| {
                    let gradients = self.model.backward(trace, dlogits, credit(lenses[i]), Want::Input)?;
                    gradients.input.ok_or_else(|| crate::base::fail!("model: no input gradient came back"))
                });
                gradients[i] = Some(joined(&back.collect::<Result<Vec<_>>>()?));
            }
        }
        Ok(gradients.into_iter().flatten().collect())
    }
}

/// Rows of the first axis, [`SLICE`] at a time.
fn slices(x: &Tensor) -> impl Iterator<Item = Tensor> + '_ {
    let shape = x.shape();
    let row = shape.count() / shape[0].max(1);
    x.host().chunks(SLICE * row).map(move |part| {
        let mut extents = shape.extents().to_vec();
        extents[0] = part.len() / row;
        Tensor::from_slice(x.device(), crate::base::Shape::new(&extents), part)
    })
}

/// Rows one after the other.
fn joined(parts: &[Tensor]) -> Tensor {
    let first = &parts[0];
    if parts.len() == 1 {
        return first.clone();
    }
    let mut extents = first.shape().extents().to_vec();
    extents[0] = parts.iter().map(|part| part.shape()[0]).sum();
    let values: Vec<f32> = parts.iter().flat_map(|part| part.host()).copied().collect();
    Tensor::from_slice(first.device(), crate::base::Shape::new(&extents), &values)
}
