//! Images before and after an attack, and what it changed: one picture file.

use super::figures::{difference, picture};
use super::png::paint;
use super::scene::{Anchor, Ink, Scene, Weight};
use crate::base::Result;
use crate::record::{Gallery, GalleryItem};

/// Columns before another row of three begins.
const COLUMNS: usize = 10;
const SIDE: f32 = 84.0;
const STEP: f32 = 92.0;
const LEFT: f32 = 92.0;
const TOP: f32 = 36.0;
const BLOCK: f32 = 336.0;

/// A PNG file: each image clean, adversarial, and the difference ten times around mid-grey, with the class seen in it.
///
/// # Errors
/// If the pictures do not fit the gallery's size or cannot be encoded.
pub fn grid(title: &str, gallery: &Gallery) -> Result<Vec<u8>> {
    gallery.check()?;
    let blocks = gallery.items.chunks(COLUMNS);
    let mut scene = Scene::new(LEFT + STEP * COLUMNS.min(gallery.items.len()).max(4) as f32, TOP + BLOCK * blocks.len() as f32);
    scene.text((8.0, 20.0), 14.0, Anchor::Start, Weight::Bold, Ink::Text, title);
    for (block, items) in blocks.enumerate() {
        let top = TOP + BLOCK * block as f32;
        for (row, name) in ["clean", "attacked", "change × 10"].into_iter().enumerate() {
            scene.label((8.0, top + 46.0 + 108.0 * row as f32), Anchor::Start, Ink::Muted, name);
        }
        for (at, item) in items.iter().enumerate() {
            let x = LEFT + STEP * at as f32;
            let mut said = |y: f32, said: &str, item: &GalleryItem| {
                let (mark, ink) = if said == item.label_name { ("✓", Ink::Right) } else { ("✗", Ink::Wrong) };
                scene.text((x, y), 11.0, Anchor::Start, Weight::Bold, ink, format!("{mark} {said}"));
            };
            said(top + SIDE + 14.0, &item.predicted_clean, item);
            said(top + 108.0 + SIDE + 14.0, &item.predicted_adversarial, item);
            let rows = [picture(gallery, &item.clean), picture(gallery, &item.adversarial), difference(gallery, item, 10)];
            for (row, shown) in rows.into_iter().enumerate() {
                scene.picture((x, top + 108.0 * row as f32), (SIDE, SIDE), shown);
            }
        }
    }
    paint(&scene)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_its_three_pictures() {
        let item = |adversarial: u8| GalleryItem {
            label: 0,
            label_name: "a".into(),
            clean: vec![100; 16],
            adversarial: vec![adversarial; 16],
            predicted_clean: "a".into(),
            predicted_adversarial: "b".into(),
            track: String::new(),
        };
        let gallery = Gallery { height: 4, width: 4, channels: 1, items: (0..12).map(|_| item(103)).collect() };
        let image = image::load_from_memory(&grid("twelve", &gallery).unwrap()).unwrap().to_rgb8();
        let count = |grey: u8| image.pixels().filter(|pixel| pixel.0 == [grey; 3]).count();
        let area = 12 * (2 * SIDE as usize).pow(2);
        // Letters are smooth, so some of their pixels may share a grey.
        for (grey, what) in [(100, "clean"), (103, "attacked"), (158, "difference")] {
            assert!((area..area + area / 20).contains(&count(grey)), "{what}: {} of {area}", count(grey));
        }
        let wrong = Gallery { items: vec![GalleryItem { clean: vec![0; 3], ..item(1) }], ..gallery };
        assert!(grid("", &wrong).unwrap_err().to_string().contains("3 values"));
    }
}
