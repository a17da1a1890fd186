//! Winograd's F(4x4, 3x3) for the input gradients of 3x3 convolutions of stride 1 (Lavin & Gray 2016): 36 products for 16
//! outputs of a channel pair instead of 144.
//!
//! Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A on tiles of 6x6 inputs that overlap by two. Tiles that reach beyond the image see
//! zeros and drop their outputs. The points are 0, ±3/4, ±3/2 and infinity: their sums cancel less than those of the usual
//! 0, ±1, ±2, which rounds to half the error. Blocks of images go through together (lay out, transform, 36 products, transform
//! back), as many as make reading the weights, four times as many as before the transform, worth while. Its tolerance is 3e-5 of the largest result (tests/ops/conv.rs), so it serves
//! gradients alone: in a forward, a current that near to a threshold or to ReLU's kink would fall on the other side
//! (docs/bugs.md).

use super::Geometry;
use super::patches::{Patches, grow};
use crate::device::{Cpu, Disjoint};
use crate::ops::product::{PANEL, Panels, Run, Segments, TILE_ROWS, tile};
use crate::ops::vector::{LANES, lanes, simd};
use crate::ops::wide::{Wide, wide};
use crate::tensor::Tensor;
use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;
use std::slice;

/// Outputs of a tile along an axis.
const OUT: usize = 4;
/// Inputs of a tile along an axis.
const IN: usize = OUT + 2;
/// Points of a tile.
const POINTS: usize = IN * IN;

/// The points ±a and ±b along an axis, and their squares (all exact in f32).
const A: f64 = 0.75;
const B: f64 = 1.5;
const A2: f64 = A * A;
const B2: f64 = B * B;

/// Whether this convolution from `inputs` to `outputs` channels gains: enough channels that the products outweigh the
/// transforms, and no more than half of the tiles' outputs dropped. A function of the geometry alone.
pub fn gains(geometry: &Geometry, height: usize, width: usize, inputs: usize, outputs: usize) -> bool {
    let used = (height * width) as f64 / (height.next_multiple_of(OUT) * width.next_multiple_of(OUT)) as f64;
    (geometry.kernel_height, geometry.kernel_width, geometry.stride) == (3, 3, 1) && inputs >= LANES && outputs >= LANES && used >= 0.5
}

/// The weight `[C_out,3,3,C_in]` of a forward, turned round, transformed and packed for its input gradient: depth
/// (point, C_out), columns C_in.
pub fn pack(cpu: &Cpu, weight: &Tensor) -> Panels {
    let (inputs, outputs) = (weight.shape()[0], weight.shape()[3]);
    Panels::filled(weight.device(), POINTS * inputs, outputs, |columns, panel| {
        transform_weight(cpu.isa(), weight.host(), inputs, outputs, columns, panel);
    })
}

/// G, a row a point p: [1, p, p²] / Π (p − q) over the other points q; infinity's is [0, 0, 1].
const G: [[f64; 3]; IN] = {
    const fn of(p: f64, over: f64) -> [f64; 3] {
        [1.0 / over, p / over, p * p / over]
    }
    let (near, far) = (2.0 * A2 * (A2 - B2), 2.0 * B2 * (B2 - A2));
    [of(0.0, A2 * B2), of(A, near), of(-A, near), of(B, far), of(-B, far), [0.0, 0.0, 1.0]]
};

simd! {
    // G g Gᵀ in f64, for every input and the columns of one panel.
    fn transform_weight(weight: &[f32], inputs: usize, outputs: usize, columns: Range<usize>, panel: &mut [f32]) {
        for input in 0..inputs {
            let mut g = [[[0.0f64; PANEL]; 3]; 3];
            for (tap, g) in g.as_flattened_mut().iter_mut().enumerate() {
                let from = (input * 9 + 8 - tap) * outputs;
                g.iter_mut().zip(&weight[from + columns.start..from + columns.end]).for_each(|(g, &w)| *g = f64::from(w));
            }
            for (i, [a, b, c]) in G.iter().enumerate() {
                let row: [[f64; PANEL]; 3] =
                    std::array::from_fn(|j| std::array::from_fn(|lane| a * g[0][j][lane] + b * g[1][j][lane] + c * g[2][j][lane]));
                for (j, [a, b, c]) in G.iter().enumerate() {
                    let to = &mut panel[((i * IN + j) * inputs + input) * PANEL..][..PANEL];
                    for (lane, to) in to.iter_mut().enumerate() {
                        *to = (a * row[0][lane] + b * row[1][lane] + c * row[2][lane]) as f32;
                    }
                }
            }
        }
    }
}

/// Memory that the points and products of one group may take: they share the last-level cache with the weights.
const GROUP_BYTES: usize = 1 << 24;
/// Groups no larger than this are shared out among threads; larger ones one after the other, each by all threads (unless they
/// are single blocks, and many).
const SMALL_BYTES: usize = 1 << 20;

/// What a group of blocks holds.
#[derive(Default)]
struct Scratch {
    /// Block after block `[point][row][input]`.
    points: Vec<f32>,
    /// `[point][panel][row / 8]` tiles of 8 rows by 32 outputs.
    products: Vec<[[f32; PANEL]; TILE_ROWS]>,
}

impl Scratch {
    /// Room for so many rows.
    fn grow(&mut self, job: &Job, rows: usize) {
        grow(&mut self.points, rows * POINTS * job.inputs);
        grow(&mut self.products, POINTS * job.panels.count() * rows.div_ceil(TILE_ROWS));
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    static IMAGE: RefCell<Vec<f32>> = RefCell::default();
}

/// The convolution of `patches` (laid out in whole tiles) with transformed weights, written to `out` `[N,H,W,F,C]`.
pub fn convolve(cpu: &Cpu, patches: &Patches, panels: &Panels, out: &mut Tensor) {
    let shape = out.shape();
    let [height, width, frames, outputs] = [shape[1], shape[2], shape[3], shape[4]];
    let (inputs, blocks) = (patches.channels(), patches.image_blocks());
    let rows = |block: usize| patches.place(block).1.len() / OUT * width.div_ceil(OUT) * frames;
    let job = Job { patches, panels, out: Disjoint::new(out.host_mut()), height, width, frames, inputs, outputs };
    // As many rows (tile, frame) as take the memory that the weights take.
    let row_bytes = POINTS * (inputs + outputs) * size_of::<f32>();
    let most = (inputs * outputs / (inputs + outputs)).clamp(16, (GROUP_BYTES / row_bytes).max(16));
    let mut groups: Vec<Group> = Vec::new();
    for block in 0..blocks {
        match groups.last_mut() {
            Some(group) if group.rows + rows(block) <= most => {
                group.starts.push(group.rows);
                group.rows += rows(block);
            }
            _ => groups.push(Group { first: block, starts: vec![0], rows: rows(block) }),
        }
    }
    let run = |group: &Group| {
        SCRATCH.with_borrow_mut(|scratch| match group.starts.len() {
            1 => job.alone(cpu, group.first, (most / frames.max(1)).max(1), scratch),
            _ => job.together(cpu, group, scratch),
        });
    };
    let many_alone = groups.len() >= 16 && groups.iter().all(|group| group.starts.len() == 1);
    if most * row_bytes <= SMALL_BYTES || many_alone {
        cpu.each(groups.len(), |index| run(&groups[index]));
    } else {
        groups.iter().for_each(run);
    }
}

/// Blocks that go through together.
struct Group {
    first: usize,
    /// The first row (tile, frame) of each block.
    starts: Vec<usize>,
    rows: usize,
}

impl Group {
    /// The rows of block `index` of the group.
    fn rows(&self, index: usize) -> Range<usize> {
        self.starts[index]..self.starts.get(index + 1).copied().unwrap_or(self.rows)
    }
}

/// What all groups share.
struct Job<'a> {
    patches: &'a Patches<'a>,
    panels: &'a Panels,
    out: Disjoint<'a, f32>,
    height: usize,
    width: usize,
    frames: usize,
    inputs: usize,
    outputs: usize,
}

impl Job<'_> {
    /// Several blocks: all of them laid out and transformed, then multiplied, then transformed back.
    fn together(&self, cpu: &Cpu, group: &Group, scratch: &mut Scratch) {
        let size = POINTS * self.inputs;
        scratch.grow(self, group.rows);
        let points = Disjoint::new(&mut scratch.points);
        cpu.each(group.starts.len(), |index| {
            let rows = group.rows(index);
            // SAFETY: each block has rows of its own.
            let points = unsafe { points.part(rows.start * size..rows.end * size) };
            IMAGE.with_borrow_mut(|image| {
                let (_, lines) = self.patches.lay(cpu.isa(), group.first + index, image);
                let block = self.block(&lines);
                transform_in(cpu.isa(), image, &block, block.all(), points);
            });
        });
        let rows: Vec<Range<usize>> = (0..group.starts.len()).map(|index| group.rows(index)).collect();
        self.multiply(cpu, &rows, scratch);
        cpu.each(group.starts.len(), |index| {
            let (n, lines) = self.patches.place(group.first + index);
            let block = self.block(&lines);
            // SAFETY: blocks are other rows of the image.
            let out = unsafe { self.rows_of(n, &lines, &block) };
            self.transform_out(cpu, scratch, group.rows, group.starts[index], &block, block.all(), out);
        });
    }

    /// One block, `most` tiles at a time.
    fn alone(&self, cpu: &Cpu, block: usize, most: usize, scratch: &mut Scratch) {
        IMAGE.with_borrow_mut(|image| {
            let (n, lines) = self.patches.lay(cpu.isa(), block, image);
            let block = self.block(&lines);
            // SAFETY: blocks are other rows of the image.
            let out = unsafe { self.rows_of(n, &lines, &block) };
            for first in block.all().step_by(most) {
                let tiles = first..(first + most).min(block.all().end);
                let rows = tiles.len() * self.frames;
                scratch.grow(self, rows);
                transform_in(cpu.isa(), image, &block, tiles.clone(), &mut scratch.points[..rows * POINTS * self.inputs]);
                self.multiply(cpu, slice::from_ref(&(0..rows)), scratch);
                self.transform_out(cpu, scratch, rows, 0, &block, tiles, out);
            }
        });
    }

    /// The 36 products of blocks with these rows.
    fn multiply(&self, cpu: &Cpu, blocks: &[Range<usize>], scratch: &mut Scratch) {
        let (inputs, count) = (self.inputs, self.panels.count());
        let rows: usize = blocks.iter().map(Range::len).sum();
        let chunks = rows.div_ceil(TILE_ROWS);
        let of_block = |rows: &Range<usize>, point: usize| {
            let first = (rows.start * POINTS + point * rows.len()) * inputs;
            (0..rows.len()).map(move |row| first + row * inputs)
        };
        let starts = |point: usize| -> Vec<usize> { blocks.iter().flat_map(|rows| of_block(rows, point)).collect() };
        let (points, whole, origin) = (&scratch.points, Segments::of(&[Run { offset: 0, len: inputs }]), starts(0));
        let products = Disjoint::new(&mut scratch.products);
        cpu.each(POINTS * count, |task| {
            let (point, panel) = (task / count, task % count);
            // Of one block all rows lie equally far from those of the first point.
            let (numbers, starts) = match blocks {
                [_] => (&points[point * rows * inputs..], Cow::Borrowed(&origin)),
                _ => (&points[..], Cow::Owned(starts(point))),
            };
            let weights = &self.panels.panel(panel)[point * inputs * PANEL..(point + 1) * inputs * PANEL];
            // SAFETY: each point and panel has products of its own.
            let products = unsafe { products.part(task * chunks..(task + 1) * chunks) };
            for (starts, product) in starts.chunks(TILE_ROWS).zip(products) {
                tile(cpu.isa(), numbers, starts, &whole, weights, self.panels.width(panel), product);
            }
        });
    }

    /// Some tiles of a block, whose products begin at row `first` of `rows`, to `out`.
    #[allow(clippy::too_many_arguments)] // what, whence, whither
    fn transform_out(&self, cpu: &Cpu, scratch: &Scratch, rows: usize, first: usize, block: &Block, tiles: Range<usize>, out: &mut [f32]) {
        let (count, chunks) = (self.panels.count(), rows.div_ceil(TILE_ROWS));
        for panel in 0..count {
            let columns = panel * PANEL..panel * PANEL + self.panels.width(panel);
            transform_out(cpu.isa(), &scratch.products[panel * chunks..], count * chunks, first, block, tiles.clone(), columns, out);
        }
    }

    /// Where the rows `lines` of image `n` go.
    ///
    /// # Safety
    /// As [`Disjoint::part`].
    #[allow(clippy::mut_from_ref)] // as there
    unsafe fn rows_of(&self, n: usize, lines: &Range<usize>, block: &Block) -> &mut [f32] {
        let line = self.width * self.frames * self.outputs;
        let first = (n * self.height + lines.start.min(self.height)) * line;
        // SAFETY: the caller's promise.
        unsafe { self.out.part(first..first + block.height * line) }
    }

    fn block(&self, lines: &Range<usize>) -> Block {
        Block {
            frames: self.frames,
            inputs: self.inputs,
            outputs: self.outputs,
            tiles: [lines.len() / OUT, self.width.div_ceil(OUT)],
            height: lines.end.min(self.height) - lines.start.min(self.height),
            width: self.width,
        }
    }
}

/// A block: some rows of an image, in whole tiles.
struct Block {
    frames: usize,
    inputs: usize,
    outputs: usize,
    tiles: [usize; 2],
    /// Rows inside the image.
    height: usize,
    width: usize,
}

impl Block {
    /// Its tiles.
    fn all(&self) -> Range<usize> {
        0..self.tiles[0] * self.tiles[1]
    }
}

wide! {
    // Bᵀ d B of every tile, frame and sixteen channels: `points[point][row][channel]`.
    fn transform_in(image: &[f32], block: &Block, tiles: Range<usize>, points: &mut [f32]) {
        let (inputs, frames) = (block.inputs, block.frames);
        let (line, stride) = ((block.tiles[1] * OUT + 2) * frames * inputs, points.len() / POINTS);
        for (index, at) in tiles.enumerate() {
            let corner = at / block.tiles[1] * OUT * line + at % block.tiles[1] * OUT * frames * inputs;
            for frame in 0..frames {
                for c in lanes(inputs) {
                    let d: [[V; IN]; IN] = std::array::from_fn(|i| {
                        bt(std::array::from_fn(|j| {
                            let from = corner + i * line + (j * frames + frame) * inputs;
                            V::load(&image[from + c.start..from + c.end])
                        }))
                    });
                    for (j, column) in (0..IN).map(|j| bt(std::array::from_fn(|i| d[i][j]))).enumerate() {
                        for (i, value) in column.into_iter().enumerate() {
                            let to = (i * IN + j) * stride + (index * frames + frame) * inputs;
                            value.store(&mut points[to + c.start..to + c.end]);
                        }
                    }
                }
            }
        }
    }
}

wide! {
    // Aᵀ m A of every tile and frame, clipped to the image; its products begin at row `first`, those of a point lie `stride` apart.
    fn transform_out(
        products: &[[[f32; PANEL]; TILE_ROWS]],
        stride: usize,
        first: usize,
        block: &Block,
        tiles: Range<usize>,
        columns: Range<usize>,
        out: &mut [f32]
    ) {
        let (frames, outputs) = (block.frames, block.outputs);
        for (index, at) in tiles.enumerate() {
            let (top, left) = (at / block.tiles[1] * OUT, at % block.tiles[1] * OUT);
            for frame in 0..frames {
                let row = first + index * frames + frame;
                for c in lanes(columns.len()) {
                    let m: [[V; OUT]; IN] = std::array::from_fn(|i| {
                        at_rows(std::array::from_fn(|j| {
                            let product = &products[(i * IN + j) * stride + row / TILE_ROWS];
                            V::load(&product[row % TILE_ROWS][c.start..c.end])
                        }))
                    });
                    let inside = 0..OUT.min(block.width - left);
                    for (j, column) in inside.map(|j| at_rows(std::array::from_fn(|i| m[i][j]))).enumerate() {
                        for (i, value) in column.into_iter().enumerate().take(block.height.saturating_sub(top)) {
                            let to = (((top + i) * block.width + left + j) * frames + frame) * outputs + columns.start;
                            value.store(&mut out[to + c.start..to + c.end]);
                        }
                    }
                }
            }
        }
    }
}

/// Bᵀ times a column: for each point p, the coefficients of x(x² − a²)(x² − b²) / (x − p).
#[inline(always)]
fn bt<V: Wide>(d: [V; IN]) -> [V; IN] {
    let [a, b, a2, b2] = [A, B, A2, B2].map(|x| V::splat(x as f32));
    let (both, product) = (V::splat((A2 + B2) as f32), V::splat((A2 * B2) as f32));
    let [d0, d1, d2, d3, d4, d5] = d;
    let (even, odd) = (d4.sub(d2.mul(b2)), d3.sub(d1.mul(b2)).mul(a));
    let (even2, odd2) = (d4.sub(d2.mul(a2)), d3.sub(d1.mul(a2)).mul(b));
    [
        d0.mul(product).sub(d2.mul(both)).add(d4),
        even.add(odd),
        even.sub(odd),
        even2.add(odd2),
        even2.sub(odd2),
        d1.mul(product).sub(d3.mul(both)).add(d5),
    ]
}

/// Aᵀ times a column: row i holds the points' i-th powers.
#[inline(always)]
fn at_rows<V: Wide>(m: [V; IN]) -> [V; OUT] {
    let [m0, m1, m2, m3, m4, m5] = m;
    let (sum, difference) = (m1.add(m2), m1.sub(m2));
    let (sum2, difference2) = (m3.add(m4), m3.sub(m4));
    let row = |x: V, y: V, power: i32| x.mul(V::splat(A.powi(power) as f32)).add(y.mul(V::splat(B.powi(power) as f32)));
    [m0.add(sum).add(sum2), row(difference, difference2, 1), row(sum, sum2, 2), row(difference, difference2, 3).add(m5)]
}
