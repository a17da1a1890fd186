//! Which inputs are not silent, and what they did.

use super::super::Extents;
use crate::tensor::{Data, planes};

/// Codes of an activation `[N,H,W,ceil(T/8),C]`.
pub enum Codes<'a> {
    /// A bit a step.
    Spikes(&'a [u8]),
    /// A nibble a step.
    Quarters(&'a [u32]),
}

/// A byte of eight steps and, in the upper bits, what its spikes are worth: [`worth`].
pub type Key = u16;

/// The number of keys.
pub const KEYS: usize = 3 * 256;

/// What a spike of `key` is worth: 1, and 1/4 or 1/2 for the lower bits of a pooled nibble.
pub const fn worth(key: usize) -> f32 {
    [1.0, 0.25, 0.5][key >> 8]
}

impl<'a> Codes<'a> {
    /// The codes of `x`; None of numbers.
    pub fn of(x: &'a Data) -> Option<Codes<'a>> {
        match x {
            Data::Real(_) => None,
            Data::Spikes { codes, .. } => Some(Codes::Spikes(codes.host())),
            Data::Quarters { codes, .. } => Some(Codes::Quarters(codes.host())),
        }
    }
}

/// What is not silent in one image, its place that of the input in its row of the image, x·C + c, modulo 2^16. Pixels lie one
/// after the other, plane after plane. An entry `E` is
///
/// - u32: `key << 16 | place`, of a pooled input one for each kind of key;
/// - u64: `code << 32 | place`, of every input one: the code as it is stored, of pooled ones the nibbles of every two steps as
///   one byte first + 5 · second;
/// - [`Blame`]: numbers, those of a gradient.
pub struct Active<E> {
    entries: Vec<E>,
    /// Where each (plane, pixel) begins, and the end.
    starts: Vec<u32>,
    pixels: usize,
}

/// A gradient that is not 0 at each of eight steps, and its place.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Blame {
    /// At the eight steps.
    pub values: [f32; 8],
    /// As in [`Active`].
    pub place: u16,
}

impl<E> Default for Active<E> {
    fn default() -> Self {
        Active { entries: Vec::new(), starts: Vec::new(), pixels: 0 }
    }
}

impl Active<u32> {
    /// Fill with the keys of image `image`.
    pub fn find(&mut self, g: &Extents, codes: &Codes, image: usize) {
        match codes {
            Codes::Spikes(codes) => self.fill(g, codes, image, 1, |entries, byte, place| {
                entries[0] = u32::from(byte) << 16 | place;
                usize::from(byte != 0)
            }),
            Codes::Quarters(codes) => self.fill(g, codes, image, 3, |entries, nibbles, place| {
                let mut end = 0;
                for (bit, kind) in [(0, 1), (1, 2), (2, 0)] {
                    let byte = byte_of(nibbles >> bit);
                    entries[end] = (kind << 8 | byte) << 16 | place;
                    end += usize::from(byte != 0);
                }
                end
            }),
        }
    }
}

impl Active<u64> {
    /// Fill with the codes of image `image`.
    pub fn find_codes(&mut self, g: &Extents, codes: &Codes, image: usize) {
        let write = |entries: &mut [u64], code: u32, place: u32| {
            entries[0] = u64::from(code) << 32 | u64::from(place);
            usize::from(code != 0)
        };
        match codes {
            Codes::Spikes(codes) => self.fill(g, codes, image, 1, |entries, byte, place| write(entries, byte.into(), place)),
            Codes::Quarters(codes) => self.fill(g, codes, image, 1, |entries, nibbles, place| {
                write(entries, (nibbles & 0x0f0f_0f0f) + 5 * (nibbles >> 4 & 0x0f0f_0f0f), place)
            }),
        }
    }
}

impl Active<Blame> {
    /// Fill with what is not 0 in image `image` of numbers `[N,H,W,F,C]`.
    pub fn find_blame(&mut self, g: &Extents, numbers: &[f32], image: usize) {
        let (pixels, channels) = (g.in_height * g.in_width, g.in_channels);
        self.each(g, channels, |entries, plane, pixel| {
            let frames = plane * 8..(plane * 8 + 8).min(g.frames);
            let at = ((image * pixels + pixel) * g.frames + frames.start) * channels;
            let rows = &numbers[at..at + frames.len() * channels];
            let mut end = 0;
            for c in 0..channels {
                let mut blame = Blame { values: [0.0; 8], place: (pixel % g.in_width * channels + c) as u16 };
                blame.values.iter_mut().zip(rows[c..].iter().step_by(channels)).for_each(|(to, &from)| *to = from);
                entries[end] = blame;
                end += usize::from(blame.values != [0.0; 8]);
            }
            end
        });
    }
}

impl<E: Copy + Default> Active<E> {
    /// `write` puts the entries of one input, `most` at most, at the front and returns how many: written always, kept where
    /// they are not silent, so that no branch can be guessed wrong.
    fn fill<C: Copy>(&mut self, g: &Extents, codes: &[C], image: usize, most: usize, write: impl Fn(&mut [E], C, u32) -> usize) {
        let (planes, pixels, channels) = (planes(g.frames), g.in_height * g.in_width, g.in_channels);
        self.each(g, most * channels, |entries, plane, pixel| {
            let at = ((image * pixels + pixel) * planes + plane) * channels;
            let mut end = 0;
            for (place, &code) in (pixel % g.in_width * channels..).zip(&codes[at..at + channels]) {
                end += write(&mut entries[end..], code, place as u32 & 0xffff);
            }
            end
        });
    }

    /// `write` puts the entries of a plane and pixel, `most` at most, at the front and returns how many.
    fn each(&mut self, g: &Extents, most: usize, write: impl Fn(&mut [E], usize, usize) -> usize) {
        self.pixels = g.in_height * g.in_width;
        self.starts.clear();
        self.entries.clear();
        for plane in 0..planes(g.frames) {
            for pixel in 0..self.pixels {
                let start = self.entries.len();
                self.starts.push(start as u32);
                self.entries.resize(start + most, E::default());
                let count = write(&mut self.entries[start..], plane, pixel);
                self.entries.truncate(start + count);
            }
        }
        self.starts.push(self.entries.len() as u32);
    }

    /// What lies under the kernel at output pixel (oh, ow).
    pub fn under<'a>(&'a self, g: &'a Extents, plane: usize, oh: usize, ow: usize) -> Under<'a, E> {
        let column = |at: usize| at.saturating_sub(g.pad).min(g.in_width);
        let columns = [column(ow * g.stride), column(ow * g.stride + g.kernel_width)];
        Under { active: self, g, first: plane * self.pixels, corner: [oh * g.stride, ow * g.stride], columns, kh: 0 }
    }
}

/// The rows of a kernel that are inside, each a stretch of entries (it lies over neighbouring pixels) and what takes an entry's
/// place to its row of the packed weights, tap · C_in + channel, modulo 2^16.
pub struct Under<'a, E> {
    active: &'a Active<E>,
    g: &'a Extents,
    /// First pixel of the plane.
    first: usize,
    /// Upper left corner of the kernel, in the padded image.
    corner: [usize; 2],
    /// Columns of the image under it.
    columns: [usize; 2],
    kh: usize,
}

impl<E> Clone for Under<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Under<'_, E> {}

impl<'a, E> Iterator for Under<'a, E> {
    type Item = (&'a [E], u16);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let Under { active, g, first, corner: [line, column], columns: [left, right], .. } = *self;
        while self.kh < g.kernel_height {
            let kh = self.kh;
            self.kh += 1;
            if let Some(h) = (line + kh).checked_sub(g.pad).filter(|&h| h < g.in_height) {
                let first = first + h * g.in_width;
                let stretch = &active.entries[active.starts[first + left] as usize..active.starts[first + right] as usize];
                let shift = (kh * g.kernel_width + g.pad) * g.in_channels;
                return Some((stretch, shift.wrapping_sub(column * g.in_channels) as u16));
            }
        }
        None
    }
}

/// The lowest bits of eight nibbles.
#[inline(always)]
fn byte_of(nibbles: u32) -> u32 {
    let pairs = nibbles & 0x1111_1111;
    let pairs = (pairs | pairs >> 3) & 0x0303_0303;
    let fours = (pairs | pairs >> 6) & 0x000f_000f;
    (fours | fours >> 12) & 0xff
}
