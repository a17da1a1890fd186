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

    /// The entries of `count` pixels of a plane from `pixel` on.
    pub fn pixels(&self, plane: usize, pixel: usize, count: usize) -> &[u32] {
        let first = plane * self.pixels + pixel;
        &self.entries[self.starts[first] as usize..self.starts[first + count] as usize]
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

/// The lowest bits of eight nibbles.
#[inline(always)]
fn byte_of(nibbles: u32) -> u32 {
    let pairs = nibbles & 0x1111_1111;
    let pairs = (pairs | pairs >> 3) & 0x0303_0303;
    let fours = (pairs | pairs >> 6) & 0x000f_000f;
    (fours | fours >> 12) & 0xff
}
