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

/// What is not silent in one image: an entry is `key << 16 | place`, its place that of the input in its row of the image,
/// x·C + c, modulo 2^16. Pixels lie one after the other, plane after plane.
#[derive(Default)]
pub struct Active {
    entries: Vec<u32>,
    /// Where each (plane, pixel) begins, and the end.
    starts: Vec<u32>,
    pixels: usize,
}

impl Active {
    /// Fill with image `image`.
    pub fn find(&mut self, g: &Extents, codes: &Codes, image: usize) {
        let (planes, channels) = (planes(g.frames), g.in_channels);
        self.pixels = g.in_height * g.in_width;
        self.starts.clear();
        self.entries.clear();
        for plane in 0..planes {
            for pixel in 0..self.pixels {
                self.starts.push(self.entries.len() as u32);
                let at = ((image * self.pixels + pixel) * planes + plane) * channels;
                let place = (pixel % g.in_width * channels) as u32;
                match codes {
                    Codes::Spikes(codes) => self.spikes(&codes[at..at + channels], place),
                    Codes::Quarters(codes) => self.quarters(&codes[at..at + channels], place),
                }
            }
        }
        self.starts.push(self.entries.len() as u32);
    }

    /// What lies under the kernel at output pixel (oh, ow).
    pub fn under<'a>(&'a self, g: &'a Extents, plane: usize, oh: usize, ow: usize) -> Under<'a> {
        let column = |at: usize| at.saturating_sub(g.pad).min(g.in_width);
        let columns = [column(ow * g.stride), column(ow * g.stride + g.kernel_width)];
        Under { active: self, g, first: plane * self.pixels, corner: [oh * g.stride, ow * g.stride], columns, kh: 0 }
    }

    fn spikes(&mut self, codes: &[u8], place: u32) {
        let mut end = self.entries.len();
        self.entries.resize(end + codes.len(), 0);
        for (c, &byte) in codes.iter().enumerate() {
            // Written always, kept where it is not silent: no branch to guess wrong.
            self.entries[end] = u32::from(byte) << 16 | (place + c as u32) & 0xffff;
            end += usize::from(byte != 0);
        }
        self.entries.truncate(end);
    }

    fn quarters(&mut self, codes: &[u32], place: u32) {
        let mut end = self.entries.len();
        self.entries.resize(end + 3 * codes.len(), 0);
        for (c, &nibbles) in codes.iter().enumerate() {
            for (bit, kind) in [(0, 1), (1, 2), (2, 0)] {
                let byte = byte_of(nibbles >> bit);
                self.entries[end] = (kind << 8 | byte) << 16 | (place + c as u32) & 0xffff;
                end += usize::from(byte != 0);
            }
        }
        self.entries.truncate(end);
    }
}

/// The rows of a kernel that are inside, each a stretch of entries (it lies over neighbouring pixels) and what takes an entry's
/// place to its row of the packed weights, tap · C_in + channel, modulo 2^16.
#[derive(Clone, Copy)]
pub struct Under<'a> {
    active: &'a Active,
    g: &'a Extents,
    /// First pixel of the plane.
    first: usize,
    /// Upper left corner of the kernel, in the padded image.
    corner: [usize; 2],
    /// Columns of the image under it.
    columns: [usize; 2],
    kh: usize,
}

impl<'a> Iterator for Under<'a> {
    type Item = (&'a [u32], u16);

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
