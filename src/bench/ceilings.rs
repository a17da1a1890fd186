//! What this machine can do at most: a large copy and a large dense product, measured beside everything else.

use super::clock::{Caches, Clock};
use super::data;
use crate::base::Result;
use crate::device::{Buffer, Device, Precision};
use crate::ops::conv;
use crate::ops::product::Weight;
use crate::tensor::Data;
use serde::Serialize;
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

/// Ceilings of one device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ceilings {
    /// Bytes read and written a second by a copy from memory to memory.
    pub copy: f64,
    /// Floating-point operations a second of the fastest dense f32 product of the suite.
    pub f32: f64,
    /// The same with bf16 operands.
    pub bf16: f64,
}

/// Seconds that each measurement takes.
const SECONDS: f64 = 0.3;
/// A size whose run takes so long needs no larger one.
const LONG: f64 = 0.01;
/// Bytes of the copies.
const COPIES: [usize; 4] = [1 << 20, 1 << 24, 1 << 28, 1 << 30];
/// Multiply-accumulates of the products are the cubes of these.
const PRODUCTS: [usize; 5] = [128, 512, 1024, 2048, 4096];

impl Ceilings {
    /// Measure `device`: the largest copy and products that take less than a moment each.
    pub fn measure(device: &Device) -> Result<Ceilings> {
        let product = |precision: Precision| {
            let device = device.with_precision(precision);
            let rate = |n: usize| Ok(linear(&device, n)?.max(convolution(&device, n)?));
            largest(&PRODUCTS, |n| 2.0 * (n as f64).powi(3), rate)
        };
        Ok(Ceilings {
            copy: largest(&COPIES, |bytes| 2.0 * bytes as f64, |bytes| copy(device, bytes))?,
            f32: product(Precision::F32)?,
            bf16: product(Precision::Bf16)?,
        })
    }

    /// The product's ceiling in this precision.
    pub fn product(&self, precision: Precision) -> f64 {
        match precision {
            Precision::F32 => self.f32,
            Precision::Bf16 => self.bf16,
        }
    }
}

/// The rate at the last size: sizes grow until a run of `work(size)` at the rate found takes [`LONG`].
fn largest(sizes: &[usize], work: impl Fn(usize) -> f64, rate: impl Fn(usize) -> Result<f64>) -> Result<f64> {
    let mut found = 0.0;
    for &size in sizes {
        found = rate(size)?;
        if work(size) / found > LONG {
            break;
        }
    }
    Ok(found)
}

/// Bytes a second, every thread of a CPU with buffers of its own.
pub(super) fn copy(device: &Device, bytes: usize) -> Result<f64> {
    let lanes = device.threads();
    let len = bytes / lanes / size_of::<f32>();
    let lane = || {
        let mut from = Buffer::<f32>::unspecified(device, len);
        from.fill(1.0);
        Mutex::new((from, Buffer::<f32>::unspecified(device, len)))
    };
    let buffers: Vec<_> = (0..lanes).map(|_| lane()).collect();
    let timing = Clock::new(device, SECONDS, Caches::AsLeft).time(|| {
        device.map(lanes, |lane| {
            let (from, to) = &mut *buffers[lane].lock().unwrap_or_else(PoisonError::into_inner);
            to.copy_from(0, from, 0, len);
        });
        Ok(())
    })?;
    Ok((2 * lanes * len * size_of::<f32>()) as f64 / timing.seconds)
}

/// n rows by n x n weights, floating-point operations a second.
fn linear(device: &Device, n: usize) -> Result<f64> {
    product(device, [n, 1, 1, 1, n], [n, 1, 1, n])
}

/// A 3x3 convolution of about as many operations, on images of 8x8.
fn convolution(device: &Device, n: usize) -> Result<f64> {
    product(device, [n / 9, 8, 8, 1, n / 8], [n / 8, 3, 3, n / 8])
}

fn product(device: &Device, input: [usize; 5], weight: [usize; 4]) -> Result<f64> {
    let x = Data::Real(data::numbers(device, input, 1));
    let weight = Weight::new(data::numbers(device, weight, 2));
    let pad = weight.value().shape()[1] / 2;
    let macs = conv::Geometry::new(x.shape(), weight.value().shape(), 1, pad)?.macs();
    let timing =
        Clock::new(device, SECONDS, Caches::AsLeft).time(|| conv::forward(&x, &weight, None, 1, pad).map(|y| drop(black_box(y))))?;
    Ok(2.0 * macs as f64 / timing.seconds)
}
