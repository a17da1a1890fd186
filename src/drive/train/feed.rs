//! The batches of an epoch on the device. A GPU is sent bytes and augments them itself; the CPU gets numbers that the
//! loader's thread has made, and so does a GPU where the crop is resized, which no kernel knows. The pixels are the same to
//! the bit.

use super::upload;
use crate::base::Result;
use crate::data::{Augment, Crop, Images, Loader, Plan};
use crate::nn::Model;
use crate::ops::augment::augment;
use crate::tensor::{Array, Tensor};
use std::sync::Arc;

/// The loader's threads beside a GPU: the cores have nothing else to do.
const THREADS: usize = 4;

/// A batch on the device.
pub struct Fed {
    /// `[N,H,W,C]` in `[0,1]`.
    pub images: Tensor,
    /// `[N]`.
    pub labels: Array<i32>,
    /// `[N]`, each image's index in its set.
    pub ids: Vec<u64>,
}

/// Where the batches come from.
pub enum Feed {
    /// The loader's thread.
    Numbers(Loader),
    /// The images themselves.
    Bytes(Bytes),
}

/// What a GPU is sent, batch by batch.
pub struct Bytes {
    images: Arc<Images>,
    plan: Plan,
    order: Vec<usize>,
    next: usize,
    mean: Tensor,
}

impl Feed {
    /// One pass over `images` for `model`. Errors: those of [`Loader::new`].
    pub fn new(model: &Model, images: Arc<Images>, plan: Plan) -> Result<Feed> {
        let remote = model.device().is_remote();
        if !remote || plan.augment.crop == Crop::Resized {
            return Ok(Feed::Numbers(Loader::with_threads(images, plan, if remote { THREADS } else { 1 })?));
        }
        plan.check(&images)?;
        let order = plan.order(images.len());
        // Without a cutout nothing reads the colour.
        let mean = if plan.mean.is_empty() { vec![0.0; images.channels] } else { plan.mean.clone() };
        let mean = Tensor::from_slice(model.device(), [mean.len()], &mean);
        let next = plan.skip;
        Ok(Feed::Bytes(Bytes { images, plan, order, next, mean }))
    }

    /// How many batches are left.
    pub fn left(&self) -> usize {
        match self {
            Feed::Numbers(loader) => loader.len(),
            Feed::Bytes(bytes) => bytes.plan.batches(bytes.images.len()).saturating_sub(bytes.next),
        }
    }

    /// The next batch.
    pub fn next(&mut self, model: &Model) -> Option<Result<Fed>> {
        match self {
            Feed::Numbers(loader) => loader.next().map(|batch| {
                let (images, labels) = upload(model, &batch);
                Ok(Fed { images, labels, ids: batch.ids })
            }),
            Feed::Bytes(bytes) => (bytes.next < bytes.plan.batches(bytes.images.len())).then(|| bytes.send(model)),
        }
    }
}

impl Bytes {
    fn send(&mut self, model: &Model) -> Result<Fed> {
        let (device, images, plan) = (model.device(), &self.images, &self.plan);
        let at = self.next * plan.batch;
        let ids = &self.order[at..(at + plan.batch).min(self.order.len())];
        self.next += 1;
        let n = ids.len();
        let pixels: Vec<u8> = ids.iter().flat_map(|&id| images.image(id)).copied().collect();
        let raw = Array::from_slice(device, [n, images.height, images.width, images.channels], &pixels);
        let numbers = Array::from_slice(device, [n], &ids.iter().map(|&id| id as u32).collect::<Vec<_>>());
        let labels: Vec<i32> = ids.iter().map(|&id| i32::from(images.labels[id])).collect();
        Ok(Fed {
            images: augment(&raw, &numbers, plan.augment, Augment::stream(plan.seed, plan.epoch), &self.mean)?,
            labels: Array::from_slice(device, [n], &labels),
            ids: ids.iter().map(|&id| id as u64).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Flip, Last, Order};
    use crate::device::{Device, Flavour};
    use crate::drive::tiny;

    #[test]
    fn a_gpu_is_fed_what_the_loader_feeds() {
        let Ok(gpu) = Device::emulated(Some(1), crate::device::Order::default(), Flavour::default()) else { return };
        let count = 11;
        let pixels = (0..count * 90).map(|i| (i * 37 % 251) as u8).collect();
        let labels = (0..count as u16).map(|i| i % 2).collect();
        let images = Arc::new(Images { channels: 3, height: 6, width: 5, pixels, labels, classes: 2 });
        let augment = Augment { crop: Crop::Padded(2), flip: Flip::Half, cutout: 2 };
        let resized = Augment { crop: Crop::Resized, ..augment };
        let cases = [(augment, Last::Keep, 0), (resized, Last::Keep, 0), (Augment::NONE, Last::Drop, 0), (augment, Last::Keep, 1)];
        for (augment, last, skip) in cases {
            let mean = vec![0.2, 0.4, 0.6];
            let plan = Plan { order: Order::Shuffled, last, augment, mean, seed: 3, epoch: 2, skip, ..Plan::sequential(4) };
            let all = |device: Device| {
                let model = tiny(&device, [3, 6, 5]);
                let mut feed = Feed::new(&model, images.clone(), plan.clone()).unwrap();
                let mut fed = Vec::new();
                while let Some(batch) = feed.next(&model) {
                    let Fed { images, labels, ids } = batch.unwrap();
                    fed.push((images.to_vec(), labels.to_vec(), ids, feed.left()));
                }
                fed
            };
            let (cpu, gpu) = (all(Device::cpu(Some(1)).unwrap()), all(gpu.clone()));
            assert_eq!(cpu.len(), plan.batches(count) - skip);
            assert!(cpu == gpu, "{augment:?} {last:?}");
        }
    }
}
