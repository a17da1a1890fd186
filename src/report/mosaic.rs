//! Some images of each class of a data set, a row a class: what a person looks at before believing in labels.

use super::png::{paint, text_width};
use super::scene::{Anchor, Ink, Picture, Scene, Weight};
use crate::base::Result;

/// A class and some of its images.
pub struct Row<'a> {
    /// What the class is called.
    pub name: &'a str,
    /// Images [H, W, C].
    pub images: Vec<&'a [u8]>,
}

/// Rows that stand below each other before another column begins.
const TALL: usize = 50;
/// Points between images, around the sheet, and for a name at most.
const GAP: f32 = 4.0;
const MARGIN: f32 = 20.0;
const MOST_NAME: f32 = 150.0;
const NAME_SIZE: f32 = 11.5;

/// A PNG file of the rows under a title; the images are [height, width, channels] of one or three channels.
///
/// # Errors
/// If the picture cannot be encoded.
pub fn mosaic(title: &str, [height, width, channels]: [usize; 3], rows: &[Row]) -> Result<Vec<u8>> {
    let names: Vec<String> = rows.iter().map(|row| shortened(row.name)).collect();
    let name_width = names.iter().map(|name| text_width(name, NAME_SIZE)).fold(0.0, f32::max);
    let (shown_width, shown_height) = shown(height, width);
    let across = rows.iter().map(|row| row.images.len()).max().unwrap_or(0) as f32;
    let (row_height, column_width) = (shown_height + GAP, name_width + 10.0 + across * (shown_width + GAP) + MARGIN);
    let columns = rows.len().div_ceil(TALL).max(1);
    let tall = rows.len().div_ceil(columns);

    let top = MARGIN + 24.0;
    let wide = (columns as f32 * column_width + MARGIN).max(text_width(title, 16.0) + 2.0 * MARGIN);
    let mut scene = Scene::new(wide, top + tall as f32 * row_height + MARGIN);
    scene.text((MARGIN, MARGIN + 10.0), 14.0, Anchor::Start, Weight::Bold, Ink::Text, title);
    for (at, (row, name)) in rows.iter().zip(&names).enumerate() {
        let (x, y) = (MARGIN + (at / tall) as f32 * column_width, top + (at % tall) as f32 * row_height);
        scene.label((x + name_width, y + shown_height / 2.0 + 4.0), Anchor::End, Ink::Text, name);
        for (i, image) in row.images.iter().enumerate() {
            let rgb = if channels == 1 { image.iter().flat_map(|&grey| [grey; 3]).collect() } else { image.to_vec() };
            let left = x + name_width + 10.0 + i as f32 * (shown_width + GAP);
            scene.picture((left, y), (shown_width, shown_height), Picture { width, height, rgb });
        }
    }
    paint(&scene)
}

/// Width and height in points (two pixels each) of an image on the sheet: small ones enlarged by a whole factor to about 64
/// pixels, large ones reduced to 96.
fn shown(height: usize, width: usize) -> (f32, f32) {
    let longest = height.max(width).max(1);
    let factor = if longest > 96 { 96.0 / longest as f32 } else { (64 / longest).max(1) as f32 };
    (width as f32 * factor / 2.0, height as f32 * factor / 2.0)
}

/// A name that fits into its column.
fn shortened(name: &str) -> String {
    let mut short = name.to_string();
    while text_width(&short, NAME_SIZE) > MOST_NAME {
        short = short.trim_end_matches('…').chars().take(short.chars().count().saturating_sub(2)).collect::<String>() + "…";
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_in_rows_behind_their_names() {
        let (red, blue) = ([[200, 0, 0]; 64].concat(), [[0, 0, 250]; 64].concat());
        let rows = [Row { name: "red ones", images: vec![&red, &red] }, Row { name: "blue ones", images: vec![&blue, &red] }];
        let png = mosaic("two classes", [8, 8, 3], &rows).unwrap();
        let image = image::load_from_memory(&png).unwrap().to_rgb8();
        let count = |colour: [u8; 3]| image.pixels().filter(|pixel| pixel.0 == colour).count();
        assert_eq!((count([200, 0, 0]), count([0, 0, 250])), (3 * 64 * 64, 64 * 64));
        // Every row has dark letters left of its first image.
        let dark = |y: u32| (0..image.width() / 2).any(|x| image.get_pixel(x, y).0.iter().all(|&c| c < 90));
        let top = |row: u32| 88 + row * 72;
        assert!((0..2).all(|row| (top(row)..top(row) + 64).any(dark)));
    }

    #[test]
    fn many_classes_take_several_columns_and_long_names_are_cut() {
        let grey = [7_u8; 28 * 28];
        let names: Vec<String> = (0..120).map(|k| format!("class {k} {}", "with a very long name ".repeat(9))).collect();
        let rows: Vec<Row> = names.iter().map(|name| Row { name, images: vec![&grey] }).collect();
        let image = image::load_from_memory(&mosaic("many", [28, 28, 1], &rows).unwrap()).unwrap().to_rgb8();
        assert_eq!(image.height(), 2 * (20 + 24 + 40 * 32 + 20));
        assert!(image.width() < 3 * 2 * 220, "{}", image.width());
        assert!(shortened("x").len() == 1 && text_width(&shortened(&names[0]), NAME_SIZE) <= MOST_NAME);
    }
}
