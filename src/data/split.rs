//! Validation images, held out from training and calibration.
//!
//! Which they are is a pure function of how many training images there are, never of a seed: whatever is trained on the
//! set, in any stage, under any seed, has not seen what it or another is validated on. A larger share holds out the same
//! images and more.

use super::{Dataset, Images};
use crate::base::rng::{Philox, Purpose};
use crate::base::{Result, ensure};
use std::sync::Arc;

impl Dataset {
    /// This data set with the share `share` (0 to 0.5, 0: none) of its training images held out, at least one. Both parts
    /// keep the order of the whole; ids count from 0 in each, so augmentation and noise are keyed by the place in a part.
    ///
    /// # Errors
    /// If there are fewer than two training images, or some are held out already.
    pub fn hold_out(self, share: f64) -> Result<Dataset> {
        if share == 0.0 {
            return Ok(self);
        }
        let Dataset { name, train, validation, .. } = &self;
        ensure!(validation.is_none(), "{name}: validation images are held out already");
        ensure!(train.len() > 1, "{name}: {} training images cannot be split; set validation = 0", train.len());
        let held = held(train.len(), share);
        // In place where nobody else holds them: a set may be as large as the memory.
        let (train, validation) = parted(Arc::unwrap_or_clone(self.train), &held);
        Ok(Dataset { train: Arc::new(train), validation: Some(Arc::new(validation)), ..self })
    }
}

/// Which of `images` images the share `share` holds out, in order.
fn held(images: usize, share: f64) -> Vec<usize> {
    let count = ((share * images as f64).round() as usize).clamp(1, images - 1);
    let mut held = Philox::stream(0, Purpose::Split, &[images as u64]).permutation(images);
    held.truncate(count);
    held.sort_unstable();
    held
}

/// The images that are not in `held` (ids, ascending), and those that are.
fn parted(mut images: Images, held: &[usize]) -> (Images, Images) {
    let size = images.size();
    let out = Images {
        pixels: held.iter().flat_map(|&id| images.image(id)).copied().collect(),
        labels: held.iter().map(|&id| images.labels[id]).collect(),
        ..images
    };
    let mut held = held.iter().copied().peekable();
    let mut to = 0;
    for id in 0..images.len() {
        if held.next_if_eq(&id).is_none() {
            images.pixels.copy_within(id * size..(id + 1) * size, to * size);
            images.labels[to] = images.labels[id];
            to += 1;
        }
    }
    images.pixels.truncate(to * size);
    images.labels.truncate(to);
    (images, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` images that differ, each labelled by its number.
    fn set(count: usize) -> Dataset {
        let pixels = (0..count * 4).map(|i| (i / 4 * 7 + i % 4) as u8).collect();
        let images = Images { channels: 1, height: 2, width: 2, pixels, labels: (0..count as u16).collect(), classes: count };
        let train = Arc::new(images);
        Dataset {
            name: "set",
            test: train.clone(),
            train,
            validation: None,
            mean: vec![0.5],
            std: vec![0.5],
            class_names: Vec::new(),
            files: Vec::new(),
        }
    }

    #[test]
    fn the_parts_are_disjoint_complete_and_in_order() {
        for (count, share, held) in [(100, 0.02, 2), (100, 0.5, 50), (3, 0.02, 1), (2, 0.5, 1), (250, 0.1, 25)] {
            let whole = set(count);
            let split = whole.clone().hold_out(share).unwrap();
            let (train, validation) = (split.train, split.validation.unwrap());
            assert_eq!((train.len(), validation.len()), (count - held, held), "{share} of {count}");
            for part in [&train, &validation] {
                assert!(part.labels.is_sorted());
                assert!((0..part.len()).all(|i| part.image(i) == whole.train.image(usize::from(part.labels[i]))), "{share} of {count}");
            }
            let mut all = [train.labels.clone(), validation.labels.clone()].concat();
            all.sort_unstable();
            assert_eq!(all, whole.train.labels, "{share} of {count}");
            assert_eq!(split.test, whole.test);
        }
    }

    #[test]
    fn the_held_out_images_are_fixed_and_a_larger_share_holds_them_too() {
        // Another choice would let networks be validated on what older ones were trained on.
        assert_eq!(held(1000, 0.005), [173, 646, 743, 800, 813]);
        let (few, many) = (held(6000, 0.02), held(6000, 0.05));
        assert_eq!((few.len(), many.len()), (120, 300));
        assert!(few.iter().all(|id| many.contains(id)));
        assert_ne!(held(6000, 0.02), held(6001, 0.02));
    }

    #[test]
    fn a_share_of_nothing_is_the_whole_and_one_image_cannot_be_split() {
        let whole = set(5).hold_out(0.0).unwrap();
        assert_eq!((whole.train.len(), whole.validation.is_none()), (5, true));
        assert!(set(1).hold_out(0.02).unwrap_err().to_string().contains("1 training images cannot be split; set validation = 0"));
        assert!(set(9).hold_out(0.3).unwrap().hold_out(0.3).is_err());
    }
}
