//! Running statistics of a converted network without training it.

use crate::autodiff::{Fire, Keep, Pass, Saved, Statistics};
use crate::base::{Result, ensure, watch};
use crate::nn::Model;
use crate::ops::norm::Moments;
use crate::tensor::Tensor;

/// Set the running statistics of `snn` to those of `batches` (`[n,H,W,C]` each, of one size) at its own T and thresholds.
///
/// A conversion leaves mean 0 and variance 1 (METHOD §4, step 3), which only finetuning replaces; until then eval mode says nothing of
/// weights and thresholds. Here every norm gets the moments of all batches together, (E\[μ\], E\[σ²\] + E\[μ²\] − E\[μ\]²), those before it on
/// the statistics of the batch: no moving average, which after a few batches would still remember 0 and 1. The variance is divided
/// by n.
///
/// Source: Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm" (arXiv 2105.07576), section 3.1, "precise BatchNorm".
///
/// # Errors
/// No batches, batches of several sizes, a network without spikes, an interrupt.
pub fn reestimate(snn: &mut Model, batches: &[Tensor]) -> Result<()> {
    let fire = snn.spec().fire();
    ensure!(fire != Fire::Relu, "convert: T = 0 where spikes are needed; use --steps 1 or more");
    ensure!(!batches.is_empty(), "convert: no batches to estimate statistics on");
    let sizes = batches.iter().all(|batch| batch.shape() == batches[0].shape());
    ensure!(sizes, "convert: batches of several sizes where each counts the same");
    let pass = Pass { statistics: Statistics::Batch, ..Pass::eval(fire, Keep::Spikes) };
    let mut seen: Vec<Vec<Moments>> = vec![Vec::new(); snn.norms().count()];
    for images in batches {
        watch::check()?;
        let (_, trace) = snn.forward(images, &pass)?;
        let moments = trace.saved.iter().flat_map(Saved::leaves).filter_map(|saved| match saved {
            Saved::Neuron { moments: Some(moments), .. } | Saved::Norm { moments, .. } => Some(moments),
            _ => None,
        });
        seen.iter_mut().zip(moments).for_each(|(seen, moments)| seen.push(moments.clone()));
    }
    for (norm, seen) in snn.norms_mut().zip(&seen) {
        norm.running = pooled(seen, batches.len())?;
        norm.batches = batches.len() as u64;
    }
    Ok(())
}

/// The moments of several batches of one size as if they were one.
fn pooled(seen: &[Moments], batches: usize) -> Result<Moments> {
    ensure!(seen.len() == batches, "convert: {} statistics of {batches} batches; the trace belongs to another network", seen.len());
    let share = 1.0 / batches as f64;
    let (device, shape) = (seen[0].mean.device(), seen[0].mean.shape());
    let mut mean = vec![0.0_f64; shape.count()];
    for batch in seen {
        mean.iter_mut().zip(batch.mean.to_vec()).for_each(|(total, mean)| *total += share * f64::from(mean));
    }
    let mut variance = vec![0.0_f64; shape.count()];
    for batch in seen {
        // Around the mean of means, so that nothing large is subtracted from something large.
        for (((total, centre), mean), within) in variance.iter_mut().zip(&mean).zip(batch.mean.to_vec()).zip(batch.variance.to_vec()) {
            *total += share * (f64::from(within) + (f64::from(mean) - centre).powi(2));
        }
    }
    let tensor = |values: Vec<f64>| Tensor::from_slice(device, shape, &values.into_iter().map(|value| value as f32).collect::<Vec<_>>());
    Ok(Moments { mean: tensor(mean), variance: tensor(variance) })
}
