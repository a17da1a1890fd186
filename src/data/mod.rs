//! Floor 1: image files in, host arrays out. Never heard of a device.
//!
//! `formats` has a file for each way in which a data set is stored. [`load`] finds a data set by name in the table of [`Spec`]s, checks everything a file can get wrong, and
//! returns a [`Dataset`]; [`Loader`] turns its images into batches of floats, augmented, on a background thread.

mod augment;
mod classes;
pub mod fetch;
mod fingerprint;
mod formats;
mod loader;
mod sets;
mod split;

pub use augment::{Augment, Crop, Flip};
pub(crate) use fingerprint::hex;
pub use formats::commas;
pub use loader::{Batch, Last, Loader, Order, Plan};
pub use sets::{Spec, load, load_watched, names, recognise, spec};

use crate::base::{Result, ensure};
use std::ops::Range;
use std::sync::Arc;

/// Labelled images of one size; image `i` is known everywhere by its index, the image id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Colour channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// [N, H, W, C], 0 to 255.
    pub pixels: Vec<u8>,
    /// `[N]`, each below `classes`.
    pub labels: Vec<u16>,
    /// How many classes there are.
    pub classes: usize,
}

impl Images {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image (never true of a loaded set).
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// H·W·C, the values of one image.
    pub fn size(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// The raw pixels [H, W, C] of image `id` (an id below `len`, else a bug).
    pub fn image(&self, id: usize) -> &[u8] {
        &self.pixels[id * self.size()..(id + 1) * self.size()]
    }

    /// A copy of the images in `range`, cut to those that exist; their ids start again at 0.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Images {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        Images { pixels: self.pixels[start * self.size()..end * self.size()].to_vec(), labels: self.labels[start..end].to_vec(), ..*self }
    }

    /// The number of images of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        self.labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        counts
    }

    /// Mean and standard deviation of each channel, over all pixels of all images, in [0, 1].
    pub fn statistics(&self) -> Vec<(f32, f32)> {
        let mut histograms = vec![[0_u64; 256]; self.channels];
        for pixel in self.pixels.chunks_exact(self.channels) {
            pixel.iter().zip(&mut histograms).for_each(|(&value, histogram)| histogram[usize::from(value)] += 1);
        }
        let moments = |histogram: &[u64; 256]| {
            let count = histogram.iter().sum::<u64>().max(1) as f64;
            let mean_of = |f: &dyn Fn(f64) -> f64| {
                histogram.iter().enumerate().map(|(value, &n)| n as f64 * f(value as f64 / 255.0)).sum::<f64>() / count
            };
            let mean = mean_of(&|value| value);
            (mean as f32, mean_of(&|value| (value - mean).powi(2)).sqrt() as f32)
        };
        histograms.iter().map(moments).collect()
    }

    /// The images in `range` as one batch, sequential and unaugmented.
    ///
    /// # Errors
    /// If the range is empty or reaches beyond the last image.
    pub fn batch(&self, range: Range<usize>) -> Result<Batch> {
        ensure!(!range.is_empty(), "data: a batch needs at least one image, range {}..{} has none", range.start, range.end);
        ensure!(range.end <= self.len(), "data: images {}..{} wanted, there are only {}", range.start, range.end, self.len());
        self.gather(&range.collect::<Vec<_>>())
    }

    /// The images with these ids as a batch, in this order.
    ///
    /// # Errors
    /// If there is no such image.
    pub fn gather(&self, ids: &[usize]) -> Result<Batch> {
        for &id in ids {
            ensure!(id < self.len(), "data: image {id} wanted, there are only {}", self.len());
        }
        Ok(Batch {
            images: ids.iter().flat_map(|&id| self.image(id)).map(|&p| unit(p)).collect(),
            labels: ids.iter().map(|&id| i32::from(self.labels[id])).collect(),
            ids: ids.iter().map(|&id| id as u64).collect(),
        })
    }
}

/// A data set: training and test images of one size, and what normalises them.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The name it was loaded by.
    pub name: &'static str,
    /// Training images.
    pub train: Arc<Images>,
    /// Images held out from training (None before [`Dataset::hold_out`]).
    pub validation: Option<Arc<Images>>,
    /// Test images.
    pub test: Arc<Images>,
    /// Mean of each channel, of pixels in [0, 1].
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, of pixels in [0, 1].
    pub std: Vec<f32>,
    /// The name of each class.
    pub class_names: Vec<String>,
    /// What it was read from, for people: a line a file or folder.
    pub files: Vec<String>,
}

impl Dataset {
    /// What class `k` is called: its number where the data set has no names.
    pub fn class_name(&self, k: usize) -> String {
        self.class_names.get(k).map_or_else(|| k.to_string(), |name| name.to_string())
    }
}

/// A raw pixel in [0, 1].
#[inline]
fn unit(pixel: u8) -> f32 {
    f32::from(pixel) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_statistics_are_those_of_the_pixels() {
        let pixels = vec![0, 255, 51, 255, 102, 255, 153, 255];
        let images = Images { channels: 2, height: 1, width: 2, pixels, labels: vec![2, 2], classes: 4 };
        assert_eq!(images.counts(), [0, 0, 2, 0]);
        // 0, 0.2, 0.4, 0.6: mean 0.3, variance (0.09 + 0.01 + 0.01 + 0.09) / 4.
        let [(mean, std), white] = images.statistics()[..] else { panic!("two channels") };
        assert!((mean - 0.3).abs() < 1e-6 && (std - 0.05_f32.sqrt()).abs() < 1e-6, "{mean} {std}");
        assert_eq!(white, (1.0, 0.0));
    }
}
