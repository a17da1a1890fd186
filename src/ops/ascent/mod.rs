//! The memory of an ascent whose images have step sizes of their own: APGD's best losses and checkpoints (Croce & Hein 2020,
//! section 3), image by image and without a decision of the host, so that a GPU can record it.
//!
//! Contract: [`Ascent::observe`] and [`Ascent::check`] update (`+=`) the memory and write (`=`) the masks that they return, 1
//! where a row of images is to be replaced (`pixel::replace`). NaN is no rise and no best.

mod cpu;
mod gpu;

use crate::base::{Result, ensure};
use crate::device::Device;
use crate::tensor::{Array, Tensor};

/// What is remembered of N images. Everything is `[N]`.
pub struct Ascent {
    /// 1 where an image was right when the ascent began.
    open: Array<u32>,
    /// 1 where an image was right then and at every point since.
    alive: Array<u32>,
    /// The largest value.
    best: Tensor,
    /// The value of the last point.
    last: Tensor,
    /// The largest value at the last checkpoint.
    at_check: Tensor,
    /// How often the value rose since then.
    rises: Array<u32>,
    /// 1 where the step was halved then.
    halved: Array<u32>,
    /// The step sizes.
    steps: Tensor,
}

/// What a point was.
pub struct Seen {
    /// 1 where its value is the largest yet.
    pub improved: Array<u32>,
    /// 1 where it is wrong of an image that was right when the ascent began.
    pub broken: Array<u32>,
}

impl Ascent {
    /// At its first point: the `values` there, and which images are `right`; of interest are those that are `open` (1).
    pub fn begin(values: &Tensor, right: &Array<u32>, open: &Array<u32>, step: f32) -> Result<(Ascent, Seen)> {
        let (device, shape) = (values.device(), values.shape());
        let mut ascent = Ascent {
            open: open.clone(),
            alive: open.copied(),
            best: Tensor::full(device, shape, f32::NEG_INFINITY),
            last: Tensor::full(device, shape, f32::INFINITY),
            at_check: Tensor::zeros(device, shape),
            rises: Array::zeros(device, shape),
            // No step counts as settled before the first checkpoint.
            halved: Array::full(device, shape, 1),
            steps: Tensor::full(device, shape, step),
        };
        let seen = ascent.observe(values, right)?;
        ascent.at_check.assign(&ascent.best);
        // The published code counts the first step as a rise where its value is above 0, not above the start's.
        ascent.last = Tensor::zeros(device, shape);
        Ok((ascent, seen))
    }

    /// The next point: its `values` `[N]`, and which images are `right` (1) there. Errors: other numbers of images.
    pub fn observe(&mut self, values: &Tensor, right: &Array<u32>) -> Result<Seen> {
        let images = self.open.shape().count();
        for count in [values.shape().count(), right.shape().count()] {
            ensure!(count == images, "ascent: {images} images, {count} values");
        }
        match values.device() {
            Device::Gpu(gpu) => Ok(gpu::observe(gpu, self, values, right)),
            Device::Cpu(_) => Ok(cpu::observe(self, values, right)),
        }
    }

    /// A checkpoint after `window` points: where at most three in four of them rose, or where the last checkpoint left the
    /// step alone and nothing was gained since, the step is halved. Returns the mask of those.
    pub fn check(&mut self, window: usize) -> &Array<u32> {
        let few = (window * 3 / 4) as u32;
        match self.best.device().clone() {
            Device::Gpu(gpu) => gpu::check(&gpu, self, few),
            Device::Cpu(_) => cpu::check(self, few),
        }
        &self.halved
    }

    /// The step sizes, `[N]`.
    pub fn steps(&self) -> &Tensor {
        &self.steps
    }

    /// The largest values, `[N]`.
    pub fn best(&self) -> &Tensor {
        &self.best
    }

    /// 1 for each image that was open and right at every point, `[N]`.
    pub fn alive(&self) -> &Array<u32> {
        &self.alive
    }
}
