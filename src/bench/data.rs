//! Random inputs of the measurements: numbers, spikes that repeat as a trained network's do, currents that make them.

use super::rates::Sample;
use crate::base::rng::{Philox, Purpose};
use crate::base::{Result, Shape};
use crate::device::Device;
use crate::ops::lif::{Dynamics, Reset};
use crate::tensor::{Array, Data, Tensor, planes};

/// Draws are repeated after so many: odd, so that no two channels or images are the same.
const PERIOD: usize = (1 << 16) + 1;

/// Densities and the share of neurons that fire at all within 8 steps, as in the trained demo (31, 21, 13, 8 % of spikes,
/// 55, 59, 68, 89 % of the neurons silent), with what must hold at the ends.
const FIRING: [(f64, f64); 6] = [(0.0, 0.0), (0.08, 0.11), (0.13, 0.32), (0.21, 0.41), (0.31, 0.45), (1.0, 1.0)];

/// Uniform in ±1.
pub fn numbers(device: &Device, shape: impl Into<Shape>, stream: u64) -> Tensor {
    let shape = shape.into();
    let draws = draws(stream);
    let block: Vec<f32> = (0..PERIOD.min(shape.count()) as u64).map(|i| 2.0 * draws.uniform(i) - 1.0).collect();
    let values: Vec<f32> = block.iter().copied().cycle().take(shape.count()).collect();
    Tensor::from_slice(device, shape, &values)
}

/// Uniform in `[0,1]`: pixels.
pub fn pixels(device: &Device, shape: impl Into<Shape>, stream: u64) -> Tensor {
    let shape = shape.into();
    let draws = draws(stream);
    let values: Vec<f32> = (0..shape.count() as u64).map(|i| draws.uniform(i)).collect();
    Tensor::from_slice(device, shape, &values)
}

/// `[N]` classes below `classes`.
pub fn labels(device: &Device, count: usize, classes: usize) -> Array<i32> {
    let labels: Vec<i32> = (0..count as u64).map(|i| draws(0).below(i, classes) as i32).collect();
    Array::from_slice(device, [count], &labels)
}

fn draws(stream: u64) -> Philox {
    Philox::stream(0, Purpose::Test, &[stream])
}

/// The share of neurons that fire at all where `density` of all spikes are there.
fn firing(density: f64) -> f64 {
    let above = FIRING.iter().position(|(d, _)| *d >= density).unwrap_or(FIRING.len() - 1).max(1);
    let ((d0, a0), (d1, a1)) = (FIRING[above - 1], FIRING[above]);
    a0 + (a1 - a0) * (density - d0) / (d1 - d0)
}

/// The spikes of one neuron, eight steps a byte: silent with the odds of [`firing`], else a coin a step.
fn train(draws: Philox, neuron: u64, steps: usize, density: f64) -> Vec<u8> {
    let mut bytes = vec![0; planes(steps)];
    let (own, share) = (draws.fork(Purpose::Test, neuron), firing(density));
    if f64::from(own.uniform(0)) < share {
        let odds = density / share;
        let fired = (0..steps).filter(|&t| f64::from(own.uniform(1 + t as u64)) < odds);
        fired.for_each(|t| bytes[t / 8] |= 1 << (t % 8));
    }
    bytes
}

/// A code for every neuron and plane of `[N,H,W,planes,C]`, from one for every (neuron, plane) of a period.
fn laid_out<T: Copy>(shape: [usize; 5], codes: &[T], planes: usize) -> Vec<T> {
    let [n, h, w, _, c] = shape;
    let period = codes.len() / planes;
    let pixel =
        |pixel: usize| (0..planes).flat_map(move |plane| (0..c).map(move |channel| (pixel * c + channel) % period * planes + plane));
    (0..n * h * w).flat_map(pixel).map(|at| codes[at]).collect()
}

/// Spikes `[N,H,W,T,C]`, `density` of them there.
pub fn spikes(device: &Device, shape: [usize; 5], density: f64, stream: u64) -> Data {
    let (steps, planes) = (shape[3], planes(shape[3]));
    let codes: Vec<u8> = (0..PERIOD as u64).flat_map(|neuron| train(draws(stream), neuron, steps, density)).collect();
    let all = laid_out(shape, &codes, planes);
    Data::Spikes { codes: Array::from_slice(device, [shape[0], shape[1], shape[2], planes, shape[4]], &all), steps }
}

/// Means `[N,H,W,T,C]` of four neurons each, `density` of whose spikes are there.
pub fn quarters(device: &Device, shape: [usize; 5], density: f64, stream: u64) -> Data {
    let (steps, planes) = (shape[3], planes(shape[3]));
    let four = |square: u64| {
        let trains: Vec<Vec<u8>> = (0..4).map(|i| train(draws(stream), 4 * square + i, steps, density)).collect();
        let nibble = |plane: usize, t: usize| trains.iter().map(|bytes| u32::from(bytes[plane] >> t & 1)).sum::<u32>() << (4 * t);
        (0..planes).map(|plane| (0..8).map(|t| nibble(plane, t)).sum::<u32>()).collect::<Vec<u32>>()
    };
    let codes: Vec<u32> = (0..PERIOD as u64).flat_map(four).collect();
    let all = laid_out(shape, &codes, planes);
    Data::Quarters { codes: Array::from_slice(device, [shape[0], shape[1], shape[2], planes, shape[4]], &all), steps }
}

/// The dynamics of all neurons here.
pub fn dynamics(steps: usize) -> Dynamics {
    Dynamics { steps, leak: 1.0, reset: Reset::Hard }
}

/// A current `[N,H,W,F,C]` that a neuron feels again and again, with some noise a step; and the threshold, a scalar, at which
/// `density` of the spikes over `steps` steps are there.
pub fn currents(device: &Device, shape: [usize; 5], steps: usize, density: f64, stream: u64) -> Result<(Tensor, Tensor)> {
    let [n, h, w, frames, c] = shape;
    let (base, noise) = (draws(stream), draws(stream + 1));
    let steady: Vec<f32> = (0..PERIOD as u64).map(|i| base.normal(i)).collect();
    let moving: Vec<f32> = (0..PERIOD as u64).map(|i| 0.5 * noise.normal(i)).collect();
    let value = |pixel: usize, frame: usize, channel: usize| {
        steady[(pixel * c + channel) % PERIOD] + moving[((pixel * frames + frame) * c + channel) % PERIOD]
    };
    let pixel = |pixel: usize| (0..frames).flat_map(move |frame| (0..c).map(move |channel| (pixel, frame, channel)));
    let values: Vec<f32> = (0..n * h * w).flat_map(pixel).map(|(pixel, frame, channel)| value(pixel, frame, channel)).collect();
    let threshold = Sample::of(&values, shape, dynamics(steps)).threshold(0.0, density);
    Ok((Tensor::from_slice(device, shape, &values), Tensor::full(device, [], threshold)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{lif, pool};

    #[test]
    fn spikes_have_the_density_that_was_asked_for() {
        let device = Device::cpu(Some(1)).unwrap();
        for density in [0.05, 0.1, 0.31, 1.0] {
            for steps in [1, 8, 11] {
                let shape = [1, 16, 16, steps, 64];
                let count = (16 * 16 * 64) as f64;
                let made = spikes(&device, shape, density, 1);
                assert_eq!(made.shape(), shape.into());
                let share = lif::count(&made) as f64 / (count * steps as f64);
                assert!((share - density).abs() < 0.02, "{share} of {density} over {steps} steps");
                let mean =
                    pool::numbers(&quarters(&device, shape, density, 2)).to_vec().iter().sum::<f32>() as f64 / (count * steps as f64);
                assert!((mean - density).abs() < 0.02, "{mean} of {density} over {steps} steps, pooled");
            }
        }
    }

    #[test]
    fn currents_fire_at_the_rate_that_was_asked_for() {
        let device = Device::cpu(Some(1)).unwrap();
        for frames in [1, 8] {
            let (y, v_th) = currents(&device, [2, 8, 8, frames, 32], 8, 0.1, 3).unwrap();
            let fired = lif::forward(&y, None, &v_th, dynamics(8)).unwrap();
            let share = lif::count(&fired) as f64 / (2 * 8 * 8 * 8 * 32) as f64;
            assert!((share - 0.1).abs() < 0.02, "{share} with {frames} frames");
        }
    }
}
