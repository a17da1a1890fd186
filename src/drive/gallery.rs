//! Images before and after an attack, as records show them.

use crate::data::Dataset;
use crate::record::{Gallery, GalleryItem};

/// The test images at `places` before and after an attack on `track`: `adversarial` are `[N,H,W,C]` of the first N test images,
/// `predicted` `[N]` the classes seen in those clean and attacked.
pub fn gallery(data: &Dataset, places: impl Iterator<Item = usize>, adversarial: &[f32], predicted: [&[i32]; 2], track: &str) -> Gallery {
    let images = &data.test;
    let item = |place: usize| {
        let label = usize::from(images.labels[place]);
        let seen = |predicted: &[i32]| data.class_name(usize::try_from(predicted[place]).unwrap_or(usize::MAX));
        let pixels = &adversarial[place * images.size()..(place + 1) * images.size()];
        GalleryItem {
            label,
            label_name: data.class_name(label),
            clean: images.image(place).to_vec(),
            adversarial: pixels.iter().map(|x| (x * 255.0).round() as u8).collect(),
            predicted_clean: seen(predicted[0]),
            predicted_adversarial: seen(predicted[1]),
            track: track.into(),
        }
    };
    Gallery { height: images.height, width: images.width, channels: images.channels, items: places.map(item).collect() }
}
