//! A prefetching loader: batches are assembled on a background thread, two ahead, or on several that take turns.
//!
//! Order and content are a pure function of (seed, epoch), whatever the number of threads; the threads end with the last
//! batch or when the loader is dropped, and dropping waits for them.
//!
//! One thread is enough beside anything that trains on the CPU: 50,000 images of 32x32x3 a second with crop, flip and cutout
//! take an eighth of a core (`caltrop bench loader`, bench/record/2026-11-25-loader.md).

use super::{Augment, Images};
use crate::base::rng::{Philox, Purpose};
use crate::base::{Result, ensure, fail};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// How many batches of a thread wait, assembled.
const AHEAD: usize = 2;

/// Images as a network takes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// [n, H, W, C] in [0, 1].
    pub images: Vec<f32>,
    /// `[n]`.
    pub labels: Vec<i32>,
    /// `[n]`, each image's index in its set.
    pub ids: Vec<u64>,
}

impl Batch {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image (never true of a loaded batch).
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// The order of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As stored, for evaluation.
    Sequential,
    /// A permutation drawn from (seed, epoch), for training.
    Shuffled,
}

/// What happens to a last batch that is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// It is delivered, short.
    Keep,
    /// It is left out.
    Drop,
}

/// How one pass over a set of images goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Images a batch, at least 1.
    pub batch: usize,
    /// Their order.
    pub order: Order,
    /// The short last batch.
    pub last: Last,
    /// What is done to each image.
    pub augment: Augment,
    /// The colour `[C]` of a cutout: the mean of the data set. May be empty without cutout.
    pub mean: Vec<f32>,
    /// The seed of order and augmentation.
    pub seed: u64,
    /// The epoch, the other coordinate of order and augmentation.
    pub epoch: u64,
    /// Batches at its beginning that are left out: a pass that was broken off goes on behind them.
    pub skip: usize,
}

impl Plan {
    /// Every image as it is and in its place, `batch` at a time.
    pub fn sequential(batch: usize) -> Plan {
        Plan { batch, order: Order::Sequential, last: Last::Keep, augment: Augment::NONE, mean: Vec::new(), seed: 0, epoch: 0, skip: 0 }
    }

    /// The number of batches that `images` images make, left out or not.
    pub fn batches(&self, images: usize) -> usize {
        match self.last {
            Last::Keep => images.div_ceil(self.batch),
            Last::Drop => images / self.batch,
        }
    }

    /// The indices of `images` images in the order of this pass.
    pub fn order(&self, images: usize) -> Vec<usize> {
        match self.order {
            Order::Sequential => (0..images).collect(),
            Order::Shuffled => Philox::stream(self.seed, Purpose::Shuffle, &[self.epoch]).permutation(images),
        }
    }

    /// Whether it can be done with `images`.
    ///
    /// # Errors
    /// If the batch size is 0, no batch would come, or a cutout lacks its colour.
    pub fn check(&self, images: &Images) -> Result<()> {
        ensure!(self.batch > 0, "loader: batch size 0; at least 1 is needed");
        ensure!(self.batches(images.len()) > 0, "loader: {} images make no batch of {}; use a smaller batch", images.len(), self.batch);
        ensure!(
            self.augment.cutout == 0 || self.mean.len() == images.channels,
            "loader: the mean colour has {} values, the images have {} channels",
            self.mean.len(),
            images.channels
        );
        Ok(())
    }
}

/// An iterator of [`Batch`]es.
#[derive(Debug)]
pub struct Loader {
    // A worker's receiver is dropped before it is joined: a worker that waits to send then gives up.
    workers: Vec<(Receiver<Batch>, JoinHandle<()>)>,
    /// Batches delivered, and all.
    at: usize,
    batches: usize,
}

impl Loader {
    /// Starts one pass over `images` with one thread.
    ///
    /// # Errors
    /// Those of [`Plan::check`], or no thread can be started.
    pub fn new(images: Arc<Images>, plan: Plan) -> Result<Loader> {
        Loader::with_threads(images, plan, 1)
    }

    /// Starts one pass over `images` with so many threads (at least one), for a machine whose cores are free.
    ///
    /// # Errors
    /// Those of [`Plan::check`], or no thread can be started.
    pub fn with_threads(images: Arc<Images>, plan: Plan, threads: usize) -> Result<Loader> {
        plan.check(&images)?;
        let (whole, skip) = (plan.batches(images.len()), plan.skip);
        let batches = whole.saturating_sub(skip);
        let (order, plan) = (Arc::new(plan.order(images.len())), Arc::new(plan));
        let threads = threads.clamp(1, batches.max(1));
        let mut loader = Loader { workers: Vec::new(), at: 0, batches };
        for first in 0..threads {
            let (sender, receiver) = sync_channel(AHEAD);
            let (images, plan, order) = (images.clone(), plan.clone(), order.clone());
            let work = move || {
                for ids in order.chunks(plan.batch).take(whole).skip(skip + first).step_by(threads) {
                    if sender.send(assemble(&images, ids, &plan)).is_err() {
                        return;
                    }
                }
            };
            let spawned = std::thread::Builder::new().name("loader".into()).spawn(work);
            loader.workers.push((receiver, spawned.map_err(|cause| fail!("loader: cannot start a thread: {cause}"))?));
        }
        Ok(loader)
    }

    /// Waits for the workers; a panic of one (a bug) goes on here.
    fn finish(&mut self) {
        let (receivers, workers): (Vec<_>, Vec<_>) = self.workers.drain(..).unzip();
        drop(receivers);
        for worker in workers {
            if let Err(panic) = worker.join()
                && !std::thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn assemble(images: &Images, ids: &[usize], plan: &Plan) -> Batch {
    let (extents, stream) = ([images.height, images.width, images.channels], Augment::stream(plan.seed, plan.epoch));
    let mut pixels = vec![0.0; ids.len() * images.size()];
    for (&id, out) in ids.iter().zip(pixels.chunks_exact_mut(images.size())) {
        plan.augment.place(images.image(id), extents, stream, id, &plan.mean, out);
    }
    Batch {
        images: pixels,
        labels: ids.iter().map(|&id| i32::from(images.labels[id])).collect(),
        ids: ids.iter().map(|&id| id as u64).collect(),
    }
}

impl Iterator for Loader {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        // Whose turn it is; after the last batch, or a panic, there is nothing to receive.
        let turn = self.at % self.workers.len().max(1);
        let batch = self.workers.get(turn).and_then(|(batches, _)| batches.recv().ok());
        match batch {
            Some(_) => self.at += 1,
            None => self.finish(),
        }
        batch
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batches - self.at;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Loader {}

impl Drop for Loader {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Crop, Flip};

    fn images(n: u16) -> Arc<Images> {
        let pixels = (0..n).flat_map(|i| [i as u8, (i * 2) as u8, 7, 8]).collect();
        Arc::new(Images { channels: 1, height: 2, width: 2, pixels, labels: (0..n).map(|i| i % 10).collect(), classes: 10 })
    }

    fn training(epoch: u64) -> Plan {
        let augment = Augment { crop: Crop::Padded(1), flip: Flip::Half, cutout: 1 };
        Plan { order: Order::Shuffled, last: Last::Drop, augment, mean: vec![0.5], seed: 1, epoch, ..Plan::sequential(8) }
    }

    #[test]
    fn a_sequential_pass_gives_every_image_in_order_and_the_short_batch() {
        let loader = Loader::new(images(21), Plan::sequential(8)).unwrap();
        assert_eq!(loader.len(), 3);
        let batches: Vec<Batch> = loader.collect();
        assert_eq!(batches.iter().map(Batch::len).collect::<Vec<_>>(), [8, 8, 5]);
        assert!(batches.iter().flat_map(|b| b.ids.clone()).eq(0..21));
        assert_eq!(batches[2].images[..4], [16.0 / 255.0, 32.0 / 255.0, 7.0 / 255.0, 8.0 / 255.0]);
        assert_eq!(batches[2].labels, [6, 7, 8, 9, 0]);
        assert_eq!(batches[1], images(21).batch(8..16).unwrap());
    }

    #[test]
    fn a_training_pass_is_a_function_of_seed_and_epoch() {
        let pass = |plan| Loader::new(images(21), plan).unwrap().collect::<Vec<Batch>>();
        let first = pass(training(0));
        assert_eq!(first.iter().map(Batch::len).collect::<Vec<_>>(), [8, 8]);
        assert_eq!(first, pass(training(0)));
        assert_ne!(first, pass(training(1)));
        assert_ne!(first, pass(Plan { seed: 2, ..training(0) }));
        let mut ids: Vec<u64> = first.iter().flat_map(|b| b.ids.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 16);
    }

    #[test]
    fn any_number_of_threads_delivers_the_same() {
        for plan in [training(0), Plan::sequential(8), Plan::sequential(100)] {
            let one: Vec<Batch> = Loader::new(images(90), plan.clone()).unwrap().collect();
            for threads in [0, 2, 3, 50] {
                let loader = Loader::with_threads(images(90), plan.clone(), threads).unwrap();
                assert_eq!(loader.len(), one.len());
                assert!(loader.eq(one.iter().cloned()), "{threads} threads");
            }
        }
    }

    #[test]
    fn a_pass_that_skips_gives_the_rest_of_the_whole() {
        for plan in [training(3), Plan { last: Last::Keep, ..training(3) }] {
            let whole: Vec<Batch> = Loader::new(images(21), plan.clone()).unwrap().collect();
            for (skip, threads) in (0..=whole.len() + 1).flat_map(|skip| [(skip, 1), (skip, 2)]) {
                let rest = Loader::with_threads(images(21), Plan { skip, ..plan.clone() }, threads).unwrap();
                assert_eq!(rest.len(), whole.len().saturating_sub(skip));
                assert_eq!(rest.collect::<Vec<_>>(), whole[skip.min(whole.len())..], "{skip} of {}, {threads} threads", whole.len());
            }
        }
    }

    #[test]
    fn dropping_a_loader_early_ends_its_threads() {
        for threads in [1, 3] {
            let set = images(200);
            let mut loader = Loader::with_threads(set.clone(), Plan::sequential(1), threads).unwrap();
            loader.next();
            drop(loader);
            assert_eq!(Arc::strong_count(&set), 1, "a worker still holds the images");
        }
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_worker_s_panic_is_the_reader_s() {
        let broken = Images { pixels: vec![0; 2], labels: vec![0; 3], channels: 1, height: 1, width: 1, classes: 1 };
        Loader::with_threads(Arc::new(broken), Plan::sequential(1), 2).unwrap().for_each(drop);
    }

    #[test]
    fn impossible_plans_are_refused() {
        assert!(Loader::new(images(4), Plan::sequential(0)).is_err());
        assert!(Loader::new(images(4), training(0)).unwrap_err().to_string().contains("4 images make no batch of 8"));
        assert!(Loader::new(images(9), Plan { mean: vec![], ..training(0) }).is_err());
    }
}
