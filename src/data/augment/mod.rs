//! Random crop, horizontal flip and cutout: deterministic by (seed, epoch, image id).

mod crop;

use super::unit;
use crate::base::rng::{Philox, Purpose};
use crate::base::{Result, suggest, usage};

/// Which part of an image is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Crop {
    /// All of it.
    #[default]
    Whole,
    /// A random window of the image's size, after so many rows and columns of zeros are put on each side (torchvision's
    /// RandomCrop with padding).
    Padded(usize),
    /// A random window of 8 to 100 % of the area and a ratio of 3/4 to 4/3, brought to the image's size by bilinear
    /// interpolation (torchvision's RandomResizedCrop).
    Resized,
}

/// Whether images are mirrored left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flip {
    /// Never.
    #[default]
    Never,
    /// Each image with probability one half.
    Half,
}

/// What is done to a training image, in this order: crop, flip, cutout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Augment {
    /// The part that is taken.
    pub crop: Crop,
    /// Horizontal flip.
    pub flip: Flip,
    /// Side of a square, centred on a random pixel and cut at the border, that is filled with the mean colour;
    /// 0 for none (DeVries & Taylor 2017).
    pub cutout: usize,
}

const WORDS: [&str; 4] = ["crop", "resized", "flip", "cutout"];
/// The padding of a plain `crop` and the side of a plain `cutout` (METHOD §3).
const DEFAULT_CROP: usize = 4;
const DEFAULT_CUTOUT: usize = 8;

impl Augment {
    /// Nothing is done.
    pub const NONE: Augment = Augment { crop: Crop::Whole, flip: Flip::Never, cutout: 0 };

    /// The augmentation a recipe's words say: `crop`, `crop:PAD` or `resized`, `flip`, `cutout` or `cutout:SIDE`.
    ///
    /// # Errors
    /// A usage error for an unknown word (with the nearest), a size that is not 1 to 1024, two crops.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Augment> {
        let mut augment = Augment::NONE;
        for word in words.iter().map(AsRef::as_ref) {
            let (name, size) = word.split_once(':').map_or((word, None), |(name, size)| (name, Some(size)));
            let sized = |default| match size.map(str::parse) {
                None => Ok(default),
                Some(Ok(size @ 1..=1024)) => Ok(size),
                Some(_) => Err(usage!("augment: \"{word}\" wants a size from 1 to 1024, such as {name}:{default}")),
            };
            match name {
                "flip" | "resized" if size.is_some() => return Err(usage!("augment: \"{word}\": {name} takes no size")),
                "crop" | "resized" if augment.crop != Crop::Whole => {
                    return Err(usage!("augment: \"{word}\": an image is cropped once; take crop or resized"));
                }
                "crop" => augment.crop = Crop::Padded(sized(DEFAULT_CROP)?),
                "resized" => augment.crop = Crop::Resized,
                "flip" => augment.flip = Flip::Half,
                "cutout" => augment.cutout = sized(DEFAULT_CUTOUT)?,
                _ => return Err(usage!("augment: \"{word}\" is unknown{}", suggest(name, WORDS))),
            }
        }
        Ok(augment)
    }

    /// The words that [`Augment::parse`] reads back.
    pub fn words(&self) -> Vec<String> {
        let crop = match self.crop {
            Crop::Whole => None,
            Crop::Padded(pad) => Some(format!("crop:{pad}")),
            Crop::Resized => Some("resized".to_string()),
        };
        let flip = (self.flip == Flip::Half).then(|| "flip".to_string());
        let cutout = (self.cutout > 0).then(|| format!("cutout:{}", self.cutout));
        [crop, flip, cutout].into_iter().flatten().collect()
    }

    /// The draws of an epoch; image `id` has those from 8·id on, and a fork of its own.
    pub fn stream(seed: u64, epoch: u64) -> Philox {
        Philox::stream(seed, Purpose::Augment, &[epoch])
    }

    /// Writes the image `raw` of these extents [H, W, C], augmented as image `id` of `stream`, to `out` [H, W, C], in
    /// [0, 1]. `mean` is the colour `[C]` of a cutout.
    pub fn place(&self, raw: &[u8], extents: [usize; 3], stream: Philox, id: usize, mean: &[f32], out: &mut [f32]) {
        let [height, width, channels] = extents;
        // Five draws an image, of eight reserved.
        let draw = |k: u64, n: usize| stream.below(id as u64 * 8 + k, n);
        match self.crop {
            Crop::Whole => units(raw, out),
            Crop::Padded(pad) => crop::padded(raw, extents, pad, [draw(0, 2 * pad + 1), draw(1, 2 * pad + 1)], out),
            Crop::Resized => crop::resized(raw, extents, stream.fork(Purpose::Augment, id as u64), out),
        }
        if self.flip == Flip::Half && draw(2, 2) == 1 {
            out.chunks_exact_mut(width * channels).for_each(|row| mirror(row, channels));
        }
        if self.cutout > 0 {
            let (rows, columns) = (span(draw(3, height), self.cutout, height), span(draw(4, width), self.cutout, width));
            for row in out.chunks_exact_mut(width * channels).take(rows.end).skip(rows.start) {
                row[columns.start * channels..columns.end * channels].chunks_exact_mut(channels).for_each(|p| p.copy_from_slice(mean));
            }
        }
    }
}

/// Raw pixels as numbers in [0, 1]. Plain loops over slices: these are vectorised, which `extend` is not.
#[inline]
fn units(raw: &[u8], out: &mut [f32]) {
    for (out, &pixel) in out.iter_mut().zip(raw) {
        *out = unit(pixel);
    }
}

/// The pixels of a row in the other order. Of a size that is known, they are swapped in registers.
fn mirror(row: &mut [f32], channels: usize) {
    match channels {
        1 => row.reverse(),
        3 => row.as_chunks_mut::<3>().0.reverse(),
        _ => {
            row.reverse();
            row.chunks_exact_mut(channels).for_each(<[f32]>::reverse);
        }
    }
}

/// `side` places around `centre`, cut to 0..extent.
fn span(centre: usize, side: usize, extent: usize) -> std::ops::Range<usize> {
    centre.saturating_sub(side / 2)..(centre + side).saturating_sub(side / 2).min(extent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;

    /// Image i has pixel (y, x, c) = 1 + 10·y + 2·x + c.
    fn images() -> Images {
        let one = (0..5).flat_map(|y| (0..4).flat_map(move |x| (0..2).map(move |c| 1 + 10 * y + 2 * x + c)));
        Images { channels: 2, height: 5, width: 4, pixels: one.clone().chain(one).collect(), labels: vec![0, 1], classes: 2 }
    }

    fn augmented(augment: Augment, id: usize, epoch: u64) -> Vec<u8> {
        let mut out = vec![f32::NAN; 40];
        augment.place(images().image(id), [5, 4, 2], Augment::stream(7, epoch), id, &[200.0 / 255.0, 201.0 / 255.0], &mut out);
        out.into_iter().map(|v| (v * 255.0).round() as u8).collect()
    }

    #[test]
    fn words_are_read_and_written_back() {
        let words = ["crop:4", "flip", "cutout:16"];
        let augment = Augment::parse(&words).unwrap();
        assert_eq!(augment, Augment { crop: Crop::Padded(4), flip: Flip::Half, cutout: 16 });
        assert_eq!(augment.words(), words);
        assert_eq!(Augment::parse::<&str>(&[]).unwrap(), Augment::NONE);
        assert_eq!(Augment::parse(&["flp"]).unwrap_err().to_string(), "augment: \"flp\" is unknown (did you mean \"flip\"?)");
        assert_eq!(Augment::parse(&["flip", "resized"]).unwrap().words(), ["resized", "flip"]);
        for two in [["crop", "resized"], ["resized", "crop:2"], ["crop:2", "crop:3"]] {
            assert!(Augment::parse(&two).unwrap_err().to_string().contains("cropped once"), "{two:?}");
        }
        assert!(Augment::parse(&["resized:2"]).is_err());
        assert!(Augment::parse(&["crop:0"]).is_err() && Augment::parse(&["flip:2"]).is_err() && Augment::parse(&["cutout:x"]).is_err());
    }

    /// Pixel by pixel: every pixel asks where it comes from.
    fn naive(augment: Augment, raw: &[u8], [height, width, channels]: [usize; 3], stream: Philox, id: usize, mean: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        let draw = |k: u64, n: usize| stream.below(id as u64 * 8 + k, n);
        let pad = if let Crop::Padded(pad) = augment.crop { pad } else { 0 };
        let (down, right) = (draw(0, 2 * pad + 1), draw(1, 2 * pad + 1));
        let mirrored = augment.flip == Flip::Half && draw(2, 2) == 1;
        let (centre_y, centre_x, side) = (draw(3, height), draw(4, width), augment.cutout);
        let cut = |at: usize, centre: usize| at + side / 2 >= centre && at + side / 2 < centre + side;
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let column = if mirrored { width - 1 - x } else { x };
            let from_y = (y + down).checked_sub(pad).filter(|&y| y < height);
            let from_x = (column + right).checked_sub(pad).filter(|&x| x < width);
            match (from_y, from_x) {
                _ if cut(y, centre_y) && cut(x, centre_x) => out.extend_from_slice(mean),
                (Some(y), Some(x)) => out.extend(raw[(y * width + x) * channels..][..channels].iter().map(|&p| f32::from(p) / 255.0)),
                _ => out.extend(std::iter::repeat_n(0.0, channels)),
            }
        }
        out
    }

    #[test]
    fn rows_have_the_bits_of_single_pixels() {
        let draws = Philox::stream(3, Purpose::Test, &[]);
        for extents @ [height, width, channels] in [[1, 1, 1], [5, 4, 2], [7, 9, 3], [28, 28, 1], [32, 32, 3], [3, 5, 4]] {
            let raw: Vec<u8> = (0..height * width * channels).map(|i| draws.below(i as u64, 256) as u8).collect();
            for crop in [Crop::Whole, Crop::Padded(1), Crop::Padded(4), Crop::Padded(40)] {
                for (flip, cutout) in [(Flip::Never, 0), (Flip::Half, 0), (Flip::Never, 3), (Flip::Half, 8), (Flip::Half, 64)] {
                    let augment = Augment { crop, flip, cutout };
                    for id in 0..40 {
                        let (stream, mean) = (Augment::stream(7, 1), &[0.25, 0.5, 0.75, 1.0][..channels]);
                        let mut out = vec![f32::NAN; raw.len()];
                        augment.place(&raw, extents, stream, id, mean, &mut out);
                        let want = naive(augment, &raw, extents, stream, id, mean);
                        assert!(out.iter().zip(&want).all(|(a, b)| a.to_bits() == b.to_bits()), "{extents:?} {augment:?} image {id}");
                    }
                }
            }
        }
    }

    #[test]
    fn crops_are_shifts_with_zeros_and_every_shift_occurs() {
        let augment = Augment { crop: Crop::Padded(2), ..Augment::NONE };
        let plain = images();
        let mut seen = std::collections::HashSet::new();
        for epoch in 0..400 {
            let out = augmented(augment, 0, epoch);
            let shifted = |dy: i32, dx: i32| -> Vec<u8> {
                let mut want = Vec::new();
                for (y, x) in (0..5).flat_map(|y| (0..4).map(move |x| (y + dy, x + dx))) {
                    let inside = (0..5).contains(&y) && (0..4).contains(&x);
                    want.extend((0..2).map(|c| if inside { plain.pixels[((y * 4 + x) * 2 + c) as usize] } else { 0 }));
                }
                want
            };
            let shift = (-2..=2).flat_map(|dy| (-2..=2).map(move |dx| (dy, dx))).find(|&(dy, dx)| shifted(dy, dx) == out);
            seen.insert(shift.expect("a crop must be a shift by at most the padding"));
        }
        assert_eq!(seen.len(), 25);
    }

    #[test]
    fn half_of_the_images_are_mirrored() {
        let augment = Augment { flip: Flip::Half, ..Augment::NONE };
        let plain = images().image(0).to_vec();
        let mirror: Vec<u8> = (0..5)
            .flat_map(|y| (0..4).rev().flat_map(move |x| (0..2).map(move |c| (y * 4 + x) * 2 + c)))
            .map(|i: usize| plain[i])
            .collect();
        let mirrored = (0..1000).filter(|&epoch| augmented(augment, 0, epoch) == mirror).count();
        let same = (0..1000).filter(|&epoch| augmented(augment, 0, epoch) == plain).count();
        assert_eq!(mirrored + same, 1000);
        assert!((420..580).contains(&mirrored), "{mirrored} of 1000 mirrored");
    }

    #[test]
    fn cutout_fills_a_square_cut_at_the_border_with_the_mean_colour() {
        let augment = Augment { cutout: 2, ..Augment::NONE };
        for epoch in 0..100 {
            let out = augmented(augment, 1, epoch);
            let holes = out.chunks(2).filter(|pixel| *pixel == [200, 201]).count();
            assert!([1, 2, 4].contains(&holes), "{holes} pixels cut");
            assert!(out.chunks(2).zip(images().image(1).chunks(2)).all(|(a, b)| a == b || a == [200, 201]));
        }
        assert_eq!((span(0, 8, 28), span(14, 8, 28), span(27, 8, 28)), (0..4, 10..18, 23..28));
    }

    #[test]
    fn the_draw_depends_on_image_and_epoch_alone() {
        let augment = Augment { crop: Crop::Padded(2), flip: Flip::Half, cutout: 2 };
        assert_eq!(augmented(augment, 1, 3), augmented(augment, 1, 3));
        assert!((0..10).any(|epoch| augmented(augment, 0, epoch) != augmented(augment, 1, epoch)));
        assert!((1..10).any(|epoch| augmented(augment, 0, epoch) != augmented(augment, 0, 0)));
    }
}
