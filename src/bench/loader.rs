//! The loader alone: images a second, the processor time that one takes, and what writing its numbers would take at least.

use super::ceilings;
use super::clock::{Caches, Clock};
use super::facts::Facts;
use crate::base::rng::{Philox, Purpose};
use crate::base::{Result, usage};
use crate::data::{Augment, Images, Last, Loader, Order, Plan};
use crate::device::Device;
use serde::Serialize;
use std::sync::Arc;

/// Images of the set that is loaded again and again: as CIFAR's, too many for the caches.
const IMAGES: usize = 16_384;
/// What the loader is held to (images a second).
pub const WANTED: f64 = 50_000.0;

/// What is loaded, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Height, width, channels.
    pub size: [usize; 3],
    /// What is done to each image.
    pub augment: Augment,
    /// Images a batch.
    pub batch: usize,
    /// The loader's threads.
    pub threads: usize,
    /// Seconds of measuring.
    pub seconds: f64,
}

/// How fast it went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loaded {
    /// Circumstances.
    #[serde(flatten)]
    pub facts: Facts,
    /// Height, width, channels.
    pub size: [usize; 3],
    /// The recipe's words.
    pub augment: Vec<String>,
    /// Images a batch.
    pub batch: usize,
    /// The loader's threads.
    pub threads: usize,
    /// Images a second, by the wall clock (median of the passes).
    pub images_per_s: f64,
    /// The same at the upper quartile of the time.
    pub images_per_s_low: f64,
    /// The same at the lower quartile of the time.
    pub images_per_s_high: f64,
    /// Processor time of an image, loader and reader together, in microseconds (absent where the system does not tell).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_image: Option<f64>,
    /// Images that one core loads in a second of its own time, whatever else runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_per_core_s: Option<f64>,
    /// Share of one core that 50,000 images a second take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_at_50k: Option<f64>,
    /// Bytes an image that are read and written once.
    pub bytes: usize,
    /// Microseconds that one core's copy takes to read and write so many: the floor.
    pub floor_us: f64,
}

impl Load {
    /// Errors (usage): numbers out of range.
    pub fn check(&self) -> Result<()> {
        if !(1..=65_536).contains(&self.batch) {
            return Err(usage!("--batch {}: must be between 1 and 65536", self.batch));
        }
        if !(1..=64).contains(&self.threads) {
            return Err(usage!("--threads {}: the loader takes 1 to 64", self.threads));
        }
        let [height, width, channels] = self.size;
        if !(1..=1024).contains(&height) || !(1..=1024).contains(&width) || !(1..=16).contains(&channels) {
            return Err(usage!("--size {height}x{width}x{channels}: sides of 1 to 1024 and 1 to 16 channels are measured"));
        }
        Ok(())
    }

    /// Random images of the size, as many as fit 256 MB but at least a batch.
    fn images(&self) -> Images {
        let [height, width, channels] = self.size;
        let size = height * width * channels;
        let count = IMAGES.min((256 << 20) / size).next_multiple_of(self.batch);
        let draws = Philox::stream(0, Purpose::Test, &[]);
        let pixels = (0..(count * size).div_ceil(16) as u64).flat_map(|block| draws.words(block).map(u32::to_le_bytes)).flatten();
        Images { channels, height, width, pixels: pixels.take(count * size).collect(), labels: vec![0; count], classes: 1 }
    }
}

/// Pass after pass over random images, each batch read and dropped. Errors: those of [`Load::check`], no thread can be
/// started, an interrupt.
pub fn load(load: &Load) -> Result<Loaded> {
    load.check()?;
    let device = Device::cpu(Some(1))?;
    let images = Arc::new(load.images());
    let mean = vec![0.5; images.channels];
    let (mut epoch, mut passes) = (0, 0);
    let clock = Clock::new(&device, load.seconds, Caches::AsLeft);
    let copy = ceilings::copy(&device, 1 << 26)?;
    let before = processor_seconds();
    let time = clock.time(|| {
        let plan = Plan {
            order: Order::Shuffled,
            last: Last::Drop,
            augment: load.augment,
            mean: mean.clone(),
            epoch,
            ..Plan::sequential(load.batch)
        };
        let count: usize = Loader::with_threads(images.clone(), plan, load.threads)?.map(|batch| batch.len()).sum();
        debug_assert_eq!(count, images.len());
        (epoch, passes) = (epoch + 1, passes + 1);
        Ok(())
    })?;
    let count = images.len() as f64;
    let cpu = before.zip(processor_seconds()).map(|(before, after)| (after - before) / (f64::from(passes) * count));
    let bytes = images.size() * (1 + size_of::<f32>());
    Ok(Loaded {
        facts: Facts::of(&device),
        size: load.size,
        augment: load.augment.words(),
        batch: load.batch,
        threads: load.threads,
        images_per_s: count / time.seconds,
        images_per_s_low: count / time.high,
        images_per_s_high: count / time.low,
        cpu_us_per_image: cpu.map(|seconds| 1e6 * seconds),
        images_per_core_s: cpu.map(|seconds| 1.0 / seconds),
        core_at_50k: cpu.map(|seconds| WANTED * seconds),
        bytes,
        floor_us: 1e6 * bytes as f64 / copy,
    })
}

impl Loaded {
    /// The result in words.
    pub fn table(&self) -> String {
        let [height, width, channels] = self.size;
        let how = if self.augment.is_empty() { "as they are".into() } else { self.augment.join(" ") };
        let threads = if self.threads == 1 { "1 thread".into() } else { format!("{} threads", self.threads) };
        let mut text = format!(
            "{height}x{width}x{channels} {how}, batches of {}, {threads}: {:.0} images/s ({:.0} to {:.0})\n",
            self.batch, self.images_per_s, self.images_per_s_low, self.images_per_s_high
        );
        if let (Some(us), Some(rate), Some(share)) = (self.cpu_us_per_image, self.images_per_core_s, self.core_at_50k) {
            text += &format!("{us:.2} us of processor time an image: {rate:.0} images/s a core, {:.0} % of one for 50000\n", 100.0 * share);
        }
        text + &format!("{:.2} us is what one core's copy takes for the {} bytes of an image\n", self.floor_us, self.bytes)
    }
}

/// Processor time of this process so far, all threads, those that ended too.
#[cfg(unix)]
fn processor_seconds() -> Option<f64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: getrusage fills the struct that it is given where it returns 0.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) != 0 {
            return None;
        }
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    Some(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

#[cfg(not(unix))]
fn processor_seconds() -> Option<f64> {
    None
}
