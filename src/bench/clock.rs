//! The stopwatch: warm-up, then the quartiles of repeated runs.

use crate::base::Result;
use crate::device::{Buffer, Device};
use crate::drive::watch;
use serde::Serialize;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Fewest runs that a median is taken of.
const LEAST: usize = 3;
/// Most runs: more say nothing new.
const MOST: usize = 1000;
/// Bytes that are overwritten to empty the caches: twice the largest that are known (32 MB on CPUs, 128 MB on GPUs).
const CPU_CACHE: usize = 64 << 20;
const GPU_CACHE: usize = 256 << 20;

/// Seconds of one run, over many.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Timing {
    /// The median.
    pub seconds: f64,
    /// The lower quartile.
    pub low: f64,
    /// The upper quartile.
    pub high: f64,
    /// Runs.
    pub runs: usize,
}

impl Timing {
    fn of(mut samples: Vec<f64>) -> Timing {
        samples.sort_by(f64::total_cmp);
        let last = samples.len() - 1;
        let middle = (samples[last / 2] + samples[samples.len() / 2]) / 2.0;
        Timing { seconds: middle, low: samples[last / 4], high: samples[last - last / 4], runs: samples.len() }
    }
}

/// What a run finds in the caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caches {
    /// Nothing of its own: between runs as much memory is overwritten as the caches hold twice.
    Cold,
    /// What the run before it left.
    AsLeft,
}

/// Times work on one device: by the wall clock on the CPU, by stamps in the order of the work on a GPU.
pub struct Clock {
    device: Device,
    seconds: f64,
    scratch: Vec<Mutex<Buffer<f32>>>,
}

impl Clock {
    /// A clock that repeats a piece of work for about `seconds` (at least three times).
    pub fn new(device: &Device, seconds: f64, caches: Caches) -> Clock {
        let (lanes, bytes) = match device {
            Device::Cpu(_) => (device.threads(), CPU_CACHE),
            Device::Gpu(_) => (1, GPU_CACHE),
        };
        let lane = || Mutex::new(Buffer::unspecified(device, bytes / size_of::<f32>() / lanes));
        let scratch = if caches == Caches::Cold { (0..lanes).map(|_| lane()).collect() } else { Vec::new() };
        Clock { device: device.clone(), seconds, scratch }
    }

    /// Time `work`. Its first run packs weights and fills pools, on a GPU its second may record it for the others; neither
    /// counts. Errors: those of `work`, an interrupt.
    pub fn time(&self, mut work: impl FnMut() -> Result<()>) -> Result<Timing> {
        let warm_up = if let Device::Gpu(_) = self.device { 2 } else { 1 };
        (0..warm_up).try_for_each(|_| self.run(&mut work).map(drop))?;
        let (begin, mut samples) = (Instant::now(), Vec::new());
        while samples.len() < LEAST || (begin.elapsed().as_secs_f64() < self.seconds && samples.len() < MOST) {
            watch::check()?;
            self.cool();
            samples.push(self.run(&mut work)?);
        }
        Ok(Timing::of(samples))
    }

    fn run(&self, work: &mut impl FnMut() -> Result<()>) -> Result<f64> {
        match &self.device {
            Device::Cpu(_) => {
                let begin = Instant::now();
                work()?;
                Ok(begin.elapsed().as_secs_f64())
            }
            Device::Gpu(gpu) => {
                let before = gpu.launcher().stamp()?;
                work()?;
                gpu.launcher().stamp()?.since(&*before)
            }
        }
    }

    /// Empty the caches. On a GPU this is still running when the work is launched, which hides the launch from the stamps.
    fn cool(&self) {
        self.device.map(self.scratch.len(), |lane| self.scratch[lane].lock().unwrap_or_else(PoisonError::into_inner).fill(1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timing_is_the_quartiles_of_its_samples() {
        let timing = Timing::of(vec![5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!((timing.low, timing.seconds, timing.high, timing.runs), (2.0, 3.0, 4.0, 5));
        assert_eq!(Timing::of(vec![1.0, 3.0]).seconds, 2.0);
    }

    #[test]
    fn work_runs_at_least_three_times_beside_the_warm_up() {
        let mut runs = 0;
        let clock = Clock::new(&Device::cpu(Some(1)).unwrap(), 0.0, Caches::AsLeft);
        let timing = clock.time(|| {
            runs += 1;
            Ok(())
        });
        assert_eq!((timing.unwrap().runs, runs), (3, 4));
    }
}
