//! What a recording reads, in memory of its own: laid there before each replay.

use crate::attack::Targets;
use crate::tensor::{Array, Tensor};

/// The inputs of a recorded step or attack.
pub struct Inputs {
    images: Tensor,
    labels: Array<i32>,
    start: Option<Tensor>,
}

impl Inputs {
    /// Copies of these images and labels, and of the noise that an attack on them starts from.
    pub fn of(targets: &Targets, start: Option<&Tensor>) -> Inputs {
        Inputs { images: targets.images.copied(), labels: targets.labels.copied(), start: start.map(Tensor::copied) }
    }

    /// The number of images.
    pub fn batch(&self) -> usize {
        self.images.shape()[0]
    }

    /// The images as targets; `ids` are for draws, which a recording has behind it.
    pub fn targets<'a>(&'a self, ids: &'a [u64]) -> Targets<'a> {
        Targets { images: &self.images, labels: &self.labels, ids }
    }

    /// The noise.
    pub fn start(&self) -> Option<&Tensor> {
        self.start.as_ref()
    }

    /// Lay as many other images, their labels and their noise in the same place.
    pub fn overwrite(&mut self, targets: &Targets, start: Option<&Tensor>) {
        self.images.overwrite_with(targets.images);
        self.labels.overwrite_with(targets.labels);
        if let (Some(to), Some(from)) = (&mut self.start, start) {
            to.overwrite_with(from);
        }
    }
}
