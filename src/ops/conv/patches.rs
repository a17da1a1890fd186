//! Patches of an image as rows of a product.

use super::Geometry;
use super::strided::Along;
use crate::device::Isa;
use crate::ops::product::{Rows, Run};
use crate::ops::vector::{lanes, load, simd, store};
use crate::tensor::{Data, Tensor, planes};
use std::ops::Range;

/// The activation from which patches are read.
enum Source<'a> {
    Real(&'a [f32]),
    Spikes(&'a [u8]),
    Quarters(&'a [u32]),
}

/// Patches as rows: row ((n·OH + oh)·OW + ow)·F + f holds, for every tap, the channels under it (0 outside). A block
/// is a band of output rows of one image; the input rows under it are laid out in the cache with their zero border
/// (and, for the gradient of a strided convolution, with zeros between), codes become numbers on the way.
pub struct Patches<'a> {
    source: Source<'a>,
    runs: Vec<Run>,
    /// Height and width of the image read; channels.
    from: [usize; 3],
    frames: usize,
    /// Images; height and width of the image of rows.
    to: [usize; 3],
    kernel: [usize; 2],
    /// Between rows of patches: 1, or the stride of a forward convolution.
    stride: usize,
    /// Between the pixels read, as laid out: 1, or the stride whose gradient this is.
    spacing: usize,
    /// Zero border above and to the left.
    border: [usize; 2],
    /// Output rows a block.
    band: usize,
}

/// Numbers that a block's layout may take: it shares the second-level cache with a panel of weights.
const LAYOUT: usize = 1 << 16;

impl<'a> Patches<'a> {
    /// The patches of x under a convolution.
    pub fn of(geometry: &Geometry, x: &'a Data) -> Self {
        let g = geometry.extents();
        let source = match x {
            Data::Real(x) => Source::Real(x.host()),
            Data::Spikes { codes, .. } => Source::Spikes(codes.host()),
            Data::Quarters { codes, .. } => Source::Quarters(codes.host()),
        };
        let patches = Patches {
            source,
            runs: Vec::new(),
            from: [g.in_height, g.in_width, g.in_channels],
            frames: g.frames,
            to: [g.images, g.out_height, g.out_width],
            kernel: [g.kernel_height, g.kernel_width],
            stride: g.stride,
            spacing: 1,
            border: [g.pad; 2],
            band: 0,
        };
        patches.planned()
    }

    /// The patches of dy under the input gradient: pixel ih reads oh = (ih + p − kh) / s where that divides, the taps
    /// counted backwards.
    pub fn reflected(geometry: &Geometry, dy: &'a Tensor) -> Self {
        let g = geometry.extents();
        let patches = Patches {
            source: Source::Real(dy.host()),
            runs: Vec::new(),
            from: [g.out_height, g.out_width, g.out_channels],
            frames: g.frames,
            to: [g.images, g.in_height, g.in_width],
            kernel: [g.kernel_height, g.kernel_width],
            stride: 1,
            spacing: g.stride,
            // A padding beyond the kernel would want a negative border; `Geometry::new` refuses it.
            border: [g.kernel_height - 1 - g.pad, g.kernel_width - 1 - g.pad],
            band: 0,
        };
        patches.planned()
    }

    /// The patches of dy under one phase of the input gradient of a strided convolution: all lie side by side.
    pub fn phase(geometry: &Geometry, dy: &'a Tensor, row: Along, column: Along) -> Self {
        let g = geometry.extents();
        let patches = Patches {
            source: Source::Real(dy.host()),
            runs: Vec::new(),
            from: [g.out_height, g.out_width, g.out_channels],
            frames: g.frames,
            to: [g.images, row.pixels, column.pixels],
            kernel: [row.taps, column.taps],
            stride: 1,
            spacing: 1,
            border: [row.border, column.border],
            band: 0,
        };
        patches.planned()
    }

    /// The same patches for an image of rows rounded up to whole tiles of `tile` by `tile`; blocks are bands of tiles.
    pub fn in_tiles(mut self, tile: usize) -> Self {
        self.to = [self.to[0], self.to[1].next_multiple_of(tile), self.to[2].next_multiple_of(tile)];
        self = self.planned();
        self.band = self.band.next_multiple_of(tile);
        self
    }

    /// The channels read.
    pub fn channels(&self) -> usize {
        self.from[2]
    }

    /// The number of (image, band) blocks.
    pub fn image_blocks(&self) -> usize {
        self.to[0] * self.bands()
    }

    /// Lay block `block` out at the front of `scratch`; returns its image and its rows.
    pub fn lay(&self, isa: Isa, block: usize, scratch: &mut Vec<f32>) -> (usize, Range<usize>) {
        let (n, rows) = self.place(block);
        let lines = (rows.len() - 1) * self.stride + self.kernel[0];
        let len = lines * self.laid_width() * self.frames * self.from[2];
        grow(scratch, len);
        self.lay_out(isa, n, &rows, &mut scratch[..len]);
        (n, rows)
    }

    fn planned(mut self) -> Self {
        let pixel = self.frames * self.from[2];
        let line = self.laid_width() * pixel;
        let [images, height, _] = self.to;
        // As many rows as the layout may hold, but enough blocks to share out.
        let most = (LAYOUT / line.max(1)).saturating_sub(self.kernel[0]) / self.stride;
        let wanted = height.div_ceil((16 / images.max(1)).max(1));
        self.band = most.min(wanted).clamp(1, height.max(1));
        let channels = self.from[2];
        self.runs = if self.frames == 1 {
            // Pixels of one frame lie side by side: a row of the kernel is one run.
            (0..self.kernel[0]).map(|kh| Run { offset: kh * line, len: self.kernel[1] * channels }).collect()
        } else {
            let taps = (0..self.kernel[0]).flat_map(|kh| (0..self.kernel[1]).map(move |kw| (kh, kw)));
            taps.map(|(kh, kw)| Run { offset: kh * line + kw * pixel, len: channels }).collect()
        };
        // One pixel, no border: the whole row is one run where it lies.
        if self.is_plain() {
            self.runs = vec![Run { offset: 0, len: channels }];
        }
        self
    }

    /// Whether rows can be read where x lies: a 1x1 kernel on numbers, no border, stride or spacing, every pixel.
    fn is_plain(&self) -> bool {
        let whole = self.border == [0, 0] && self.from[..2] == self.to[1..];
        matches!(self.source, Source::Real(_)) && self.kernel == [1, 1] && self.stride == 1 && self.spacing == 1 && whole
    }

    fn laid_width(&self) -> usize {
        (self.to[2] - 1) * self.stride + self.kernel[1]
    }

    fn bands(&self) -> usize {
        self.to[1].div_ceil(self.band)
    }

    /// Rows of a plain block (images of one pixel go many to a block).
    fn plain_rows(&self) -> usize {
        ((LAYOUT / self.from[2].max(1)) / 8 * 8).clamp(32, 64)
    }

    fn total(&self) -> usize {
        self.to.iter().product::<usize>() * self.frames
    }

    /// Image and output rows of a block.
    pub fn place(&self, block: usize) -> (usize, Range<usize>) {
        let (n, band) = (block / self.bands(), block % self.bands());
        (n, band * self.band..((band + 1) * self.band).min(self.to[1]))
    }

    /// Lay out the pixels under output rows `rows` of image n: `[line][column][F][C]`.
    fn lay_out(&self, isa: Isa, n: usize, rows: &Range<usize>, out: &mut [f32]) {
        let (pixel, width) = (self.frames * self.from[2], self.laid_width());
        let first = rows.start * self.stride;
        for (line, out) in out.chunks_exact_mut(width * pixel).enumerate() {
            let Some(h) = self.under(0, first + line) else {
                out.fill(0.0);
                continue;
            };
            if self.spacing == 1 {
                // The image's row in one piece, zeros around it.
                let copied = self.from[1].min(width.saturating_sub(self.border[1]));
                let (left, rest) = out.split_at_mut((self.border[1] * pixel).min(out.len()));
                let (middle, right) = rest.split_at_mut(copied * pixel);
                left.fill(0.0);
                right.fill(0.0);
                self.read(isa, (n * self.from[0] + h) * self.from[1], copied, middle);
                continue;
            }
            for (column, out) in out.chunks_exact_mut(pixel).enumerate() {
                match self.under(1, column) {
                    Some(w) => self.read(isa, (n * self.from[0] + h) * self.from[1] + w, 1, out),
                    None => out.fill(0.0),
                }
            }
        }
    }

    /// The source coordinate at a laid-out one, along axis 0 or 1.
    fn under(&self, axis: usize, at: usize) -> Option<usize> {
        let at = at.checked_sub(self.border[axis])?;
        (at.is_multiple_of(self.spacing) && at / self.spacing < self.from[axis]).then_some(at / self.spacing)
    }

    /// `count` pixels from `pixel` on, as numbers `[pixel][F][C]`.
    fn read(&self, isa: Isa, pixel: usize, count: usize, out: &mut [f32]) {
        let channels = self.from[2];
        let coded = pixel * planes(self.frames) * channels..(pixel + count) * planes(self.frames) * channels;
        match self.source {
            Source::Real(values) => out.copy_from_slice(&values[pixel * self.frames * channels..][..count * self.frames * channels]),
            Source::Spikes(codes) => decode_spikes(isa, &codes[coded], channels, self.frames, out),
            Source::Quarters(codes) => decode_quarters(isa, &codes[coded], channels, self.frames, out),
        }
    }
}

impl Rows for Patches<'_> {
    fn runs(&self) -> &[Run] {
        &self.runs
    }

    fn blocks(&self) -> usize {
        if self.is_plain() { self.total().div_ceil(self.plain_rows()) } else { self.image_blocks() }
    }

    fn rows(&self, block: usize) -> Range<usize> {
        if self.is_plain() {
            let rows = self.plain_rows();
            return block * rows..((block + 1) * rows).min(self.total());
        }
        let (n, rows) = self.place(block);
        let line = self.to[2] * self.frames;
        (n * self.to[1] + rows.start) * line..(n * self.to[1] + rows.end) * line
    }

    fn load<'b>(&'b self, isa: Isa, block: usize, scratch: &'b mut Vec<f32>, starts: &mut Vec<usize>) -> &'b [f32] {
        let channels = self.from[2];
        starts.clear();
        if let (true, Source::Real(values)) = (self.is_plain(), &self.source) {
            let rows = self.rows(block);
            starts.extend((0..rows.len()).map(|row| row * channels));
            return &values[rows.start * channels..rows.end * channels];
        }
        let (_, rows) = self.lay(isa, block, scratch);
        let (pixel, width) = (self.frames * channels, self.laid_width());
        for row in 0..rows.len() {
            for column in 0..self.to[2] {
                let start = (row * width + column) * self.stride * pixel;
                starts.extend((0..self.frames).map(|frame| start + frame * channels));
            }
        }
        scratch
    }
}

/// Make `scratch` hold at least `len` elements; what it holds already is not cleared.
pub fn grow<T: Copy + Default>(scratch: &mut Vec<T>, len: usize) {
    if scratch.len() < len {
        scratch.resize(len, T::default());
    }
}

simd! {
    fn decode_spikes(codes: &[u8], channels: usize, frames: usize, out: &mut [f32]) {
        for (codes, out) in codes.chunks_exact(planes(frames) * channels).zip(out.chunks_exact_mut(frames * channels)) {
            for c in lanes(channels) {
                for t in 0..frames {
                    let plane = t / 8 * channels;
                    let bits = load(&codes[plane + c.start..plane + c.end]);
                    store(&mut out[t * channels + c.start..t * channels + c.end], &bits.map(|bits| (bits >> (t % 8) & 1) as f32));
                }
            }
        }
    }
}

simd! {
    fn decode_quarters(codes: &[u32], channels: usize, frames: usize, out: &mut [f32]) {
        for (codes, out) in codes.chunks_exact(planes(frames) * channels).zip(out.chunks_exact_mut(frames * channels)) {
            for c in lanes(channels) {
                for t in 0..frames {
                    let plane = t / 8 * channels;
                    let counts = load(&codes[plane + c.start..plane + c.end]);
                    let numbers = counts.map(|counts| (counts >> (t % 8 * 4) & 15) as i32 as f32 * 0.25);
                    store(&mut out[t * channels + c.start..t * channels + c.end], &numbers);
                }
            }
        }
    }
}
