//! A model as attacks see it.

use super::watch;
use crate::attack::{Response, Victim};
use crate::autodiff::{Credit, Fire, Keep, Lens, Pass, Want};
use crate::base::Result;
use crate::nn::Model;
use crate::ops::lif::Sharpness;
use crate::tensor::Tensor;
use std::sync::{Arc, Mutex, PoisonError};

/// A network in eval mode, answering through lenses. On the CPU images go through in slices of a few, each on one thread
/// from pixels to logits, so that its activations stay in that thread's cache; eval mode treats every image by itself, so
/// slices change nothing.
pub struct Seen<'a> {
    /// The network.
    pub model: &'a Model,
}

/// Images a slice of an ANN; of one whose weights no cache holds, since every slice reads them all.
const SLICE: [usize; 2] = [8, 32];
/// Images a slice of a spiking network, likewise.
const SPIKING_SLICE: [usize; 2] = [4, 8];
/// Numbers that no cache holds.
const BEYOND_CACHES: usize = 1 << 23;

impl Seen<'_> {
    /// [`Victim::gradients`], with what each slice of the images remembers.
    fn gradients_remembering(
        &self,
        images: &Tensor,
        dlogits_of: &(dyn Fn(&Tensor) -> Result<Tensor> + Sync),
        lenses: &[Lens],
        memory: &(dyn Fn(usize) -> Memory + Sync),
    ) -> Result<Vec<Response>> {
        let mut responses: Vec<Option<Response>> = vec![None; lenses.len()];
        let (slices, device) = (self.slices(images), self.model.device());
        let adaptive = lenses.contains(&Lens::Spiking(Credit::Assg));
        for act in [false, true] {
            let of_this_network: Vec<usize> = (0..lenses.len()).filter(|&i| (lenses[i] == Lens::Act) == act).collect();
            let Some(&first) = of_this_network.first() else { continue };
            let pass = Pass::eval(self.fire(lenses[first]), Keep::ForInput);
            // The objective wants the logits of all images, so the traces of all slices wait for the last forward.
            let forwards = device.map(slices.len(), |i| {
                watch::check()?;
                let (logits, mut trace) = self.model.forward(&slices[i], &pass)?;
                if adaptive && !act {
                    self.model.sharpen(&mut trace, &mut memory(i).lock().unwrap_or_else(PoisonError::into_inner))?;
                }
                Ok((logits, trace))
            });
            let forwards = forwards.into_iter().collect::<Result<Vec<_>>>()?;
            let logits = Tensor::joined(&forwards.iter().map(|(logits, _)| logits.clone()).collect::<Vec<_>>());
            let dlogits = self.slices(&dlogits_of(&logits)?);
            let back = device.map(slices.len(), |i| {
                let one = |&member: &usize| {
                    watch::check()?;
                    let gradients = self.model.backward(&forwards[i].1, &dlogits[i], credit(lenses[member]), Want::Input)?;
                    gradients.input.ok_or_else(|| crate::base::fail!("model: no input gradient came back"))
                };
                of_this_network.iter().map(one).collect::<Result<Vec<_>>>()
            });
            let back = back.into_iter().collect::<Result<Vec<_>>>()?;
            for (place, &member) in of_this_network.iter().enumerate() {
                let gradient = Tensor::joined(&back.iter().map(|slice| slice[place].clone()).collect::<Vec<_>>());
                responses[member] = Some(Response { logits: logits.clone(), gradient });
            }
        }
        Ok(responses.into_iter().flatten().collect())
    }

    /// Images (or their logits) cut into slices.
    fn slices(&self, x: &Tensor) -> Vec<Tensor> {
        let weights: usize = self.model.params().iter().map(|param| param.value().shape().count()).sum();
        let sizes = if self.model.spec().steps == 0 { SLICE } else { SPIKING_SLICE };
        let images = x.shape()[0];
        let size = self.model.device().slice_of(sizes[usize::from(weights > BEYOND_CACHES)], images);
        (0..images).step_by(size).map(|start| x.slice(start..(start + size).min(images))).collect()
    }

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
        Lens::Act => Credit::default(),
    }
}

/// `model` as an attack through `lens` sees it on one batch: one that remembers where the lens asks for that.
pub fn victim(model: &Model, lens: Lens) -> Box<dyn Victim + '_> {
    match lens {
        Lens::Spiking(Credit::Assg) => Box::new(Remembering::new(model)),
        _ => Box::new(Seen { model }),
    }
}

/// What the slices of a batch remember of an attack's iterations, a layer each.
type Memory = Arc<Mutex<Vec<Sharpness>>>;

/// A network as [`Seen`], which remembers under [`Credit::Assg`] the membranes that it had: for one attack on one batch, whose
/// images are the same in every call. (`Seen` itself begins anew with every call.)
pub struct Remembering<'a> {
    seen: Seen<'a>,
    slices: Mutex<Vec<Memory>>,
}

impl<'a> Remembering<'a> {
    /// Of no iteration yet.
    pub fn new(model: &'a Model) -> Remembering<'a> {
        Remembering { seen: Seen { model }, slices: Mutex::default() }
    }

    fn of(&self, slice: usize) -> Memory {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = slices.len().max(slice + 1);
        slices.resize_with(grown, Memory::default);
        slices[slice].clone()
    }
}

impl Victim for Remembering<'_> {
    fn logits(&self, images: &Tensor, lens: Lens) -> Result<Tensor> {
        self.seen.logits(images, lens)
    }

    fn gradients(
        &self,
        images: &Tensor,
        dlogits_of: &(dyn Fn(&Tensor) -> Result<Tensor> + Sync),
        lenses: &[Lens],
    ) -> Result<Vec<Response>> {
        self.seen.gradients_remembering(images, dlogits_of, lenses, &|slice| self.of(slice))
    }
}

impl Victim for Seen<'_> {
    fn logits(&self, images: &Tensor, lens: Lens) -> Result<Tensor> {
        let pass = Pass::eval(self.fire(lens), Keep::Spikes);
        let slices: Vec<Tensor> = self.slices(images);
        let logits = self.model.device().map(slices.len(), |i| {
            watch::check()?;
            Ok(self.model.forward(&slices[i], &pass)?.0)
        });
        Ok(Tensor::joined(&logits.into_iter().collect::<Result<Vec<_>>>()?))
    }

    fn gradients(
        &self,
        images: &Tensor,
        dlogits_of: &(dyn Fn(&Tensor) -> Result<Tensor> + Sync),
        lenses: &[Lens],
    ) -> Result<Vec<Response>> {
        self.gradients_remembering(images, dlogits_of, lenses, &|_| Memory::default())
    }
}
