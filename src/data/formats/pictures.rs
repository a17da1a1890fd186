//! PNG and JPEG files → pixels of one size, decoded in parallel once and kept in a [`cache`] beside them.

use super::cache::{self, Key, Pixels, Unfit};
use super::{foreign, whole};
use crate::base::watch::{self, Watch};
use crate::base::{Error, Kind, Result, ensure, fail};
use crate::data::Images;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use rayon::prelude::*;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// The endings that mark a picture, in lower case.
pub(super) const ENDINGS: [&str; 3] = ["jpeg", "jpg", "png"];
/// Larger pictures are no training data.
const MOST_SIDE: u32 = 4096;
const MOST_FILE: u64 = 1 << 28;
/// Pictures decoded at once.
const CHUNK: usize = 1024;

/// The picture files of a split, relative to the data folder, and the label of each.
#[derive(Default)]
pub(super) struct Split {
    pub(super) files: Vec<PathBuf>,
    pub(super) labels: Vec<u16>,
}

/// What the pictures have to be.
#[derive(Clone, Copy)]
pub(super) struct Demand {
    /// Rows and columns; None: those of the first.
    pub(super) side: Option<[usize; 2]>,
    /// What becomes of grey ones.
    pub(super) grey: Grey,
}

/// What becomes of grey pictures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Grey {
    /// They become red, green and blue.
    Expanded,
    /// They stay one channel unless there are coloured ones too.
    Kept,
}

/// The images of the splits below `root`, from the cache where it fits; else decoded, and the cache written.
///
/// # Errors
/// One line with the file: not a PNG or JPEG picture, corrupt, of another size or colour type than wanted; an interrupt.
pub(super) fn images(root: &Path, splits: [Split; 2], classes: usize, demand: Demand, watch: &dyn Watch) -> Result<[Images; 2]> {
    let files: Vec<&PathBuf> = splits.iter().flat_map(|split| &split.files).collect();
    let marks: Vec<Vec<u8>> = files.par_iter().map(|file| cache::mark(root, file)).collect();
    let key = Key { counts: [splits[0].files.len(), splits[1].files.len()], sources: cache::digest(&marks) };
    let path = root.join(cache::NAME);
    let pixels = match cache::read(&path, key) {
        Ok(pixels) => pixels,
        Err(unfit) => {
            let why = match unfit {
                Unfit::Absent => "",
                Unfit::Stale => " anew, for they changed",
                Unfit::Broken => " anew, for the cache is damaged or from another version",
            };
            let pixels = decoded(root, &files, key.counts[0], demand, watch)?;
            watch.end(&match cache::write(&path, key, &pixels) {
                Ok(()) => format!("decoded {} pictures{why}; kept in {}", files.len(), path.display()),
                Err(error) => format!("decoded {} pictures{why}; next time again, for there is no cache: {error}", files.len()),
            });
            pixels
        }
    };
    let [channels, height, width] = pixels.extents;
    let [train, test] = pixels.splits;
    let [first, second] = splits;
    let split = |pixels, labels| Images { channels, height, width, pixels, labels, classes };
    Ok([split(train, first.labels), split(test, second.labels)])
}

/// The pixels of `files`, the first `train` of which are the training images.
fn decoded(root: &Path, files: &[&PathBuf], train: usize, demand: Demand, watch: &dyn Watch) -> Result<Pixels> {
    watch.begin("decode", files.len() as u64);
    let mut pile = Pile { demand, channels: if demand.grey == Grey::Expanded { 3 } else { 1 }, first: None, pixels: Vec::new() };
    for chunk in files.chunks(CHUNK) {
        let interrupted = |_| Error::new(Kind::Interrupted, "interrupted while decoding images; start the same command again");
        watch::check().map_err(interrupted)?;
        let pictures: Vec<Result<Picture>> = chunk.par_iter().map(|file| picture(&root.join(file))).collect();
        for (file, picture) in chunk.iter().zip(pictures) {
            pile.add(&root.join(file), picture?, files.len())?;
        }
        watch.advance(chunk.len() as u64);
    }
    let [height, width] = pile.side().unwrap_or_default();
    let mut pixels = pile.pixels;
    let test = pixels.split_off(train * pile.channels * height * width);
    pixels.shrink_to_fit();
    Ok(Pixels { extents: [pile.channels, height, width], splits: [pixels, test] })
}

/// A decoded picture: [H, W, C], one or three channels.
struct Picture {
    height: usize,
    width: usize,
    pixels: Vec<u8>,
}

/// Pictures of one size, one behind the other.
struct Pile {
    demand: Demand,
    channels: usize,
    first: Option<(PathBuf, [usize; 2])>,
    pixels: Vec<u8>,
}

impl Pile {
    fn side(&self) -> Option<[usize; 2]> {
        self.demand.side.or(self.first.as_ref().map(|(_, side)| *side))
    }

    /// Adds one of `count` pictures.
    fn add(&mut self, path: &Path, picture: Picture, count: usize) -> Result<()> {
        let (name, side) = (path.display(), [picture.height, picture.width]);
        if let Some([height, width]) = self.demand.side {
            ensure!(side == [height, width], "{name} is {}x{}, images of this set are {height}x{width}; replace it", side[0], side[1]);
        }
        if let Some((first, [height, width])) = &self.first {
            ensure!(
                side == [*height, *width],
                "{name} is {}x{} but {} is {height}x{width}; bring all images to one size",
                side[0],
                side[1],
                first.display()
            );
        } else {
            let bytes = count.saturating_mul(self.channels * picture.height * picture.width);
            self.pixels.try_reserve_exact(bytes).map_err(|_| {
                fail!("{count} images of {}x{} like {name} take {bytes} bytes, more than there is; scale them down", side[0], side[1])
            })?;
            self.first = Some((path.to_path_buf(), side));
        }
        match (self.channels, picture.pixels.len() / (picture.height * picture.width)) {
            (3, 1) => self.pixels.extend(picture.pixels.iter().flat_map(|&grey| [grey; 3])),
            (1, 3) => {
                // The first in colour: what came before is expanded.
                self.channels = 3;
                self.pixels = self.pixels.iter().flat_map(|&grey| [grey; 3]).chain(picture.pixels).collect();
            }
            _ => self.pixels.extend(picture.pixels),
        }
        Ok(())
    }
}

/// Decodes a file.
fn picture(path: &Path) -> Result<Picture> {
    let (name, wanted) = (path.display(), "a PNG or JPEG picture");
    let bytes = whole(path, MOST_FILE, wanted)?;
    ensure!(!bytes.is_empty(), "{name} is empty; download it again");
    let corrupt = |cause: image::ImageError| fail!("{name}: corrupt picture ({cause}); replace it or remove it");
    let mut reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(|cause| Error::io("cannot read", path, &cause))?;
    let Some(format @ (ImageFormat::Png | ImageFormat::Jpeg)) = reader.format() else {
        return Err(foreign(path, &bytes, wanted, || fail!("{name} is no PNG or JPEG picture; replace it or remove it")));
    };
    // The JPEG decoder fills what is missing with grey; the marker of the image's end tells.
    let ends = format != ImageFormat::Jpeg || bytes.windows(2).any(|pair| pair == [0xff, 0xd9]);
    ensure!(ends, "{name}: truncated JPEG picture; half-downloaded? download it again");
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MOST_SIDE), Some(MOST_SIDE));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(corrupt)?;
    let colour = decoder.color_type();
    ensure!(matches!(colour, ColorType::L8 | ColorType::Rgb8), "{name} has pixels of {colour:?}; save it as 8-bit grey or RGB");
    let image = DynamicImage::from_decoder(decoder).map_err(corrupt)?;
    Ok(Picture { height: image.height() as usize, width: image.width() as usize, pixels: image.into_bytes() })
}
