//! Random crop, horizontal flip and cutout: deterministic by (seed, epoch, image id).

use super::{Images, unit};
use crate::base::rng::{Philox, Purpose};
use crate::base::{Result, suggest, usage};

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
    /// Rows and columns of zero padding on each side before a random crop of the original size; 0 for no crop
    /// (torchvision's RandomCrop with padding).
    pub crop_pad: usize,
    /// Horizontal flip.
    pub flip: Flip,
    /// Side of a square, centred on a random pixel and cut at the border, that is filled with the mean colour;
    /// 0 for none (DeVries & Taylor 2017).
    pub cutout: usize,
}

const WORDS: [&str; 3] = ["crop", "flip", "cutout"];
/// The padding of a plain `crop` and the side of a plain `cutout` (METHOD §3).
const DEFAULT_CROP: usize = 4;
const DEFAULT_CUTOUT: usize = 8;

impl Augment {
    /// Nothing is done.
    pub const NONE: Augment = Augment { crop_pad: 0, flip: Flip::Never, cutout: 0 };

    /// The augmentation a recipe's words say: `crop` or `crop:PAD`, `flip`, `cutout` or `cutout:SIDE`.
    ///
    /// # Errors
    /// A usage error for an unknown word (with the nearest) or a size that is not 1 to 1024.
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
                "crop" => augment.crop_pad = sized(DEFAULT_CROP)?,
                "cutout" => augment.cutout = sized(DEFAULT_CUTOUT)?,
                "flip" if size.is_none() => augment.flip = Flip::Half,
                "flip" => return Err(usage!("augment: \"{word}\": flip takes no size")),
                _ => return Err(usage!("augment: \"{word}\" is unknown{}", suggest(name, WORDS))),
            }
        }
        Ok(augment)
    }

    /// The words that [`Augment::parse`] reads back.
    pub fn words(&self) -> Vec<String> {
        let crop = (self.crop_pad > 0).then(|| format!("crop:{}", self.crop_pad));
        let flip = (self.flip == Flip::Half).then(|| "flip".to_string());
        let cutout = (self.cutout > 0).then(|| format!("cutout:{}", self.cutout));
        [crop, flip, cutout].into_iter().flatten().collect()
    }

    /// Appends image `id` [H, W, C], augmented for (seed, epoch), in [0, 1]. `mean` is the colour [C] of a cutout.
    pub(super) fn append(&self, images: &Images, id: usize, seed: u64, epoch: u64, mean: &[f32], out: &mut Vec<f32>) {
        let extents = [images.height, images.width, images.channels];
        self.place(images.image(id), extents, Augment::stream(seed, epoch), id, mean, out);
    }

    /// The draws of an epoch; image `id` has those from 8·id on.
    pub fn stream(seed: u64, epoch: u64) -> Philox {
        Philox::stream(seed, Purpose::Augment, &[epoch])
    }

    /// Appends the image `raw` of these extents [H, W, C], augmented as image `id` of `stream`, in [0, 1]. `mean` is the
    /// colour [C] of a cutout.
    pub fn place(&self, raw: &[u8], extents: [usize; 3], stream: Philox, id: usize, mean: &[f32], out: &mut Vec<f32>) {
        if *self == Augment::NONE {
            out.extend(raw.iter().map(|&p| unit(p)));
            return;
        }
        let [height, width, channels] = extents;
        // Five draws an image, of eight reserved.
        let draw = |k: u64, n: usize| stream.below(id as u64 * 8 + k, n);
        let (down, right) = (draw(0, 2 * self.crop_pad + 1), draw(1, 2 * self.crop_pad + 1));
        let mirrored = self.flip == Flip::Half && draw(2, 2) == 1;
        let (hole_rows, hole_columns) = (span(draw(3, height), self.cutout, height), span(draw(4, width), self.cutout, width));
        for y in 0..height {
            for x in 0..width {
                if hole_rows.contains(&y) && hole_columns.contains(&x) {
                    out.extend_from_slice(mean);
                    continue;
                }
                let column = if mirrored { width - 1 - x } else { x };
                let from_y = (y + down).checked_sub(self.crop_pad).filter(|&y| y < height);
                let from_x = (column + right).checked_sub(self.crop_pad).filter(|&x| x < width);
                match (from_y, from_x) {
                    (Some(y), Some(x)) => out.extend(raw[(y * width + x) * channels..][..channels].iter().map(|&p| unit(p))),
                    _ => out.extend(std::iter::repeat_n(0.0, channels)),
                }
            }
        }
    }
}

/// `side` places around `centre`, cut to 0..extent.
fn span(centre: usize, side: usize, extent: usize) -> std::ops::Range<usize> {
    let start = centre.saturating_sub(side / 2);
    let end = (centre + side).saturating_sub(side / 2).min(extent);
    if side == 0 { 0..0 } else { start..end }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Image i has pixel (y, x, c) = 1 + 10·y + 2·x + c.
    fn images() -> Images {
        let one = (0..5).flat_map(|y| (0..4).flat_map(move |x| (0..2).map(move |c| 1 + 10 * y + 2 * x + c)));
        Images { channels: 2, height: 5, width: 4, pixels: one.clone().chain(one).collect(), labels: vec![0, 1], classes: 2 }
    }

    fn augmented(augment: Augment, id: usize, epoch: u64) -> Vec<u8> {
        let mut out = Vec::new();
        augment.append(&images(), id, 7, epoch, &[200.0 / 255.0, 201.0 / 255.0], &mut out);
        out.into_iter().map(|v| (v * 255.0).round() as u8).collect()
    }

    #[test]
    fn words_are_read_and_written_back() {
        let words = ["crop:4", "flip", "cutout:16"];
        let augment = Augment::parse(&words).unwrap();
        assert_eq!(augment, Augment { crop_pad: 4, flip: Flip::Half, cutout: 16 });
        assert_eq!(augment.words(), words);
        assert_eq!(Augment::parse::<&str>(&[]).unwrap(), Augment::NONE);
        assert_eq!(Augment::parse(&["flp"]).unwrap_err().to_string(), "augment: \"flp\" is unknown (did you mean \"flip\"?)");
        assert!(Augment::parse(&["crop:0"]).is_err() && Augment::parse(&["flip:2"]).is_err() && Augment::parse(&["cutout:x"]).is_err());
    }

    #[test]
    fn crops_are_shifts_with_zeros_and_every_shift_occurs() {
        let augment = Augment { crop_pad: 2, ..Augment::NONE };
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
        assert_eq!((span(0, 8, 28), span(14, 8, 28), span(27, 8, 28), span(3, 0, 28)), (0..4, 10..18, 23..28, 0..0));
    }

    #[test]
    fn the_draw_depends_on_image_and_epoch_alone() {
        let augment = Augment { crop_pad: 2, flip: Flip::Half, cutout: 2 };
        assert_eq!(augmented(augment, 1, 3), augmented(augment, 1, 3));
        assert!((0..10).any(|epoch| augmented(augment, 0, epoch) != augmented(augment, 1, epoch)));
        assert!((1..10).any(|epoch| augmented(augment, 0, epoch) != augmented(augment, 0, 0)));
    }
}
