//! What tells one data set from another: a checksum of its images.

use super::{Dataset, Images};
use md5::{Digest, Md5};
use rayon::prelude::*;

/// Bytes that are summed up by one core at a time.
const BLOCK: usize = 1 << 20;

impl Dataset {
    /// A checksum of the training, held-out and test images, their order, sizes and labels, as 32 hexadecimal digits: equal
    /// where all of them are. It finds folders that were mixed up or changed, and is no defence against forgery (MD5).
    pub fn fingerprint(&self) -> String {
        let mut sum = Md5::new();
        for part in [Some(&self.train), self.validation.as_ref(), Some(&self.test)] {
            sum.update(part.map_or_else(|| Md5::new().finalize(), |images| images.checksum()));
        }
        hex(&sum.finalize())
    }
}

impl Images {
    /// As [`Dataset::fingerprint`], of these images alone.
    pub fn fingerprint(&self) -> String {
        hex(&self.checksum())
    }

    fn checksum(&self) -> md5::digest::Output<Md5> {
        let Images { channels, height, width, pixels, labels, classes } = self;
        let mut sum = Md5::new();
        for extent in [labels.len(), *channels, *height, *width, *classes] {
            sum.update((extent as u64).to_le_bytes());
        }
        let blocks: Vec<_> = pixels.par_chunks(BLOCK).map(Md5::digest).collect();
        blocks.iter().for_each(|block| sum.update(block));
        labels.iter().for_each(|label| sum.update(label.to_le_bytes()));
        sum.finalize()
    }
}

/// The sum in hexadecimal.
pub fn hex(sum: &md5::digest::Output<Md5>) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Three images for training and two for testing, larger than a block together.
    fn set() -> Dataset {
        let images = |count: usize| {
            let pixels = (0..count * 800_000).map(|i| (i % 251) as u8).collect();
            Images { channels: 2, height: 400, width: 1000, pixels, labels: (0..count as u16).collect(), classes: 4 }
        };
        Dataset {
            name: "set",
            train: Arc::new(images(3)),
            validation: None,
            test: Arc::new(images(2)),
            mean: vec![0.5; 2],
            std: vec![0.5; 2],
            class_names: Vec::new(),
            files: Vec::new(),
        }
    }

    #[test]
    fn any_change_of_an_image_or_a_label_is_another_fingerprint() {
        let whole = set().fingerprint();
        assert!(whole.len() == 32 && whole == set().fingerprint());
        let changed = |change: &dyn Fn(&mut Dataset)| {
            let mut data = set();
            change(&mut data);
            data.fingerprint()
        };
        let edited = |change: &dyn Fn(&mut Images)| changed(&|data| change(Arc::make_mut(&mut data.train)));
        let mut all = vec![
            whole,
            edited(&|train| train.pixels[0] ^= 1),
            edited(&|train| *train.pixels.last_mut().unwrap() ^= 128),
            edited(&|train| train.labels[2] = 0),
            edited(&|train| train.labels.swap(0, 1)),
            edited(&|train| (train.height, train.width) = (train.width, train.height)),
            edited(&|train| train.classes = 5),
            edited(&|train| *train = train.slice(0..2)),
            changed(&|data| Arc::make_mut(&mut data.test).pixels[7] ^= 1),
            changed(&|data| std::mem::swap(&mut data.train, &mut data.test)),
            changed(&|data| data.validation = Some(data.test.clone())),
        ];
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "two of these are taken for one");
    }
}
