//! The images that are looked at, and what attacks them.

use crate::attack::{Attack, Noise, Targets};
use crate::autodiff::Lens;
use crate::base::Result;
use crate::drive::{Radius, victim};
use crate::nn::Model;
use crate::tensor::{Array, Tensor};
use std::ops::Range;

/// Images that are looked at, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// Height, width, channels.
    pub extent: [usize; 3],
    /// `[N,H,W,C]` in `[0,1]`.
    pub images: Vec<f32>,
    /// `[N]`, the true classes (None: nobody knows them).
    pub labels: Option<Vec<i32>>,
    /// `[N]`, each image's index in its set: the key of its noise.
    pub ids: Vec<u64>,
}

impl Samples {
    /// N.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The pixels `[H,W,C]` of one.
    pub fn image(&self, at: usize) -> &[f32] {
        let size = self.extent.iter().product::<usize>();
        &self.images[at * size..(at + 1) * size]
    }

    /// The one at this place alone (None: there are fewer).
    pub fn one(&self, at: usize) -> Option<Samples> {
        let id = *self.ids.get(at)?;
        let labels = self.labels.as_ref().map(|labels| vec![labels[at]]);
        Some(Samples { extent: self.extent, images: self.image(at).to_vec(), labels, ids: vec![id] })
    }

    /// Those in `range` `[n,H,W,C]`, on the device of `model`.
    pub fn batch(&self, model: &Model, range: Range<usize>) -> Tensor {
        let [height, width, channels] = self.extent;
        let size = height * width * channels;
        Tensor::from_slice(model.device(), [range.len(), height, width, channels], &self.images[range.start * size..range.end * size])
    }
}

/// An attack on samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Onslaught {
    /// The algorithm.
    pub attack: Attack,
    /// What its gradients are seen through.
    pub lens: Lens,
    /// How far it may go.
    pub radius: Radius,
    /// Seed of its noise.
    pub seed: u64,
}

impl Onslaught {
    /// In words, on `model`: the gradients' kind only where there is a choice.
    pub fn words(&self, model: &Model) -> String {
        let through = self.attack.is_white_box() && model.spec().steps > 0;
        let lens = if through { format!(" through {}", self.lens) } else { String::new() };
        format!("{} at {}{lens}", self.attack, self.radius)
    }

    /// The adversarial images `[n,H,W,C]` of the samples in `range` against `model`. Where no labels are known, the attack leads away
    /// from the classes that the network sees in the clean images.
    ///
    /// # Errors
    /// Images of another size than the network's, an interrupt.
    pub fn perturb(&self, model: &Model, samples: &Samples, range: Range<usize>) -> Result<Tensor> {
        let images = samples.batch(model, range.clone());
        let victim = victim(model, self.lens);
        let labels = match &samples.labels {
            Some(labels) => labels[range.clone()].to_vec(),
            None => crate::drive::classes(&victim.logits(&images, Lens::default())?)?,
        };
        let labels = Array::from_slice(model.device(), [range.len()], &labels);
        let targets = Targets { images: &images, labels: &labels, ids: &samples.ids[range] };
        self.attack.perturb(&*victim, &targets, self.lens, self.radius.ball(), &Noise::new(self.seed, 0))
    }
}
