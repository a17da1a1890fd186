//! Gradients of several batches, for one step of the optimiser.

use crate::autodiff::Gradients;
use crate::base::Result;
use crate::ops::blend::blend;

/// The mean gradient of batches so far, each weighted by its images, so that the loss's mean is over all images alike.
///
/// Kept as a running mean, m ← m·(M/(M+n)) + g·(n/(M+n)), factors in f64, rounded to f32 once a batch: it takes the memory of the
/// parameters once more, and is a gradient to step along whenever the batches end.
#[derive(Default)]
pub struct Accumulator {
    mean: Option<Gradients>,
    images: usize,
    batches: usize,
}

impl Accumulator {
    /// Batches since the last [`Accumulator::take`].
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// Add the mean gradient of a batch of `images` images. Nothing of `gradients` is kept: a recording may overwrite them.
    ///
    /// Errors: gradients of another network.
    pub fn add(&mut self, gradients: &Gradients, images: usize) -> Result<()> {
        let all = (self.images + images) as f64;
        let (before, now) = (self.images as f64 / all, images as f64 / all);
        match &mut self.mean {
            None => {
                let params = gradients.params.iter().map(|gradient| gradient.as_ref().map(|gradient| gradient.copied()));
                self.mean = Some(Gradients { params: params.collect(), input: None });
            }
            Some(mean) => {
                for (mean, gradient) in mean.params.iter_mut().zip(&gradients.params) {
                    if let (Some(mean), Some(gradient)) = (mean, gradient) {
                        *mean = blend(&[(mean, before), (gradient, now)])?;
                    }
                }
            }
        }
        self.images += images;
        self.batches += 1;
        Ok(())
    }

    /// The mean gradient (None without a batch); the next batch begins another.
    pub fn take(&mut self) -> Option<Gradients> {
        std::mem::take(self).mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::tensor::Tensor;

    #[test]
    fn every_image_weighs_the_same_and_what_has_no_gradient_stays_without() {
        let device = Device::cpu(Some(1)).unwrap();
        let gradients =
            |value: f32| Gradients { params: vec![Some(Tensor::from_slice(&device, [2], &[value, -2.0 * value])), None], input: None };
        let mut sum = Accumulator::default();
        assert!(sum.take().is_none());
        let batches = [(0.3f32, 64), (-1.7, 64), (2.9, 17)];
        for (at, (value, images)) in batches.into_iter().enumerate() {
            assert_eq!(sum.batches(), at);
            sum.add(&gradients(value), images).unwrap();
        }
        let mean = batches.iter().map(|(value, images)| f64::from(*value) * *images as f64).sum::<f64>() / 145.0;
        let taken = sum.take().unwrap();
        let got = taken.params[0].as_ref().unwrap().to_vec();
        for (got, want) in got.into_iter().zip([mean, -2.0 * mean]) {
            assert!((f64::from(got) - want).abs() <= 2e-7 * want.abs(), "{got}, wanted {want}");
        }
        assert!(taken.params[1].is_none() && sum.batches() == 0 && sum.take().is_none());
        sum.add(&gradients(5.0), 3).unwrap();
        assert_eq!(sum.take().unwrap().params[0].as_ref().unwrap().to_vec(), [5.0, -10.0]);
    }
}
