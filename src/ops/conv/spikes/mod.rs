//! Products fed by spikes: weight rows whose inputs fired alike are added up first.
//!
//! Eight steps of a neuron are one byte, and a trained network uses few of the 256: of the non-silent inputs under an output
//! pixel (288 to 4,608 for a 3x3 kernel, of which a third to a half are not silent) four to six share each byte that occurs.
//! The current that they make together is
//!
//!   y_t = Σ_bytes [bit t of the byte] · (Σ_{inputs with this byte} w),
//!
//! so an input costs one load and one add whatever it does in its eight steps, and the eight multiply-adds of the steps fall
//! on bytes instead of inputs. A dense product pays eight multiply-adds an input, silent or not. (The trick is the "four
//! Russians" one, over time.)
//!
//! The way there:
//!
//! 1. `active`: per input pixel, the (byte, channel) of everything not silent. Pooled spikes, a nibble 0..=4 a step, are three
//!    bytes worth 1/4, 1/2 and 1: the bits of their nibbles. A *key* is the byte and which of the three it is.
//! 2. `lists`: per output pixel, a counting sort by key of the inputs under the kernel, as rows of the packed weights.
//!    Keys are put in order of how many rows they have beyond whole eights, so that the kernel's loops are of known length.
//! 3. `kernel`: per output pixel and panel of 32 output channels, walk the list: add the rows of a key, then one multiply-add
//!    a step. A panel of weights stays in the second-level cache while all pixels pass.
//!    For one panel alone sorting does not pay: its inputs are taken as they lie, the silent ones left out.
//! 4. `tail`: what becomes of the currents, while they are in the first-level cache: stored, or integrated to spikes at once.
//!
//! `weight` goes the way back to the weights, by what inputs did as they lie; the way back to the inputs is a forward of the
//! gradients that are not 0.
//!
//! Sums are exact to rounding: a key's rows are added in blocks, and an accumulator takes at most 128 sums, or inputs as they lie,
//! before it is put aside, so no chain is longer than in the dense product. Codes are 0, 1/4, 1/2 or 1, hence a multiply-add rounds
//! once, fused or not, and all instruction sets give the same bits (not of gradients, which are any numbers).
//! on other images.

mod active;
mod kernel;
mod lanes;
mod lists;
mod tail;
mod weight;

use super::{Extents, Firing, Geometry};
use crate::device::{Cpu, Disjoint, Isa};
use crate::ops::product::{PANEL, Panels};
use crate::tensor::{Array, Data, Tensor, planes};
use active::{Active, Blame, Codes};
use kernel::{Entry, Source, Weights};
use lists::{Lists, Scratch};
use std::cell::RefCell;
use std::thread::LocalKey;
use tail::{Fire, Store, Tail};

/// Rows of lists (u16) that are held at a time, were every input active: images are taken so many at once.
const HELD: usize = 1 << 22;

/// Gradients that are held at a time, were none of them 0 throughout: images are taken so many at once.
const BLAMED: usize = 1 << 20;

/// Pixels whose currents are handed on together.
const STRIP: usize = 8;

/// Pieces into which the work of a block of images is cut at least, where it can be.
const PIECES: usize = 16;

/// Whether a product of this geometry is computed here. By sizes alone: a single step has nothing to merge, and a row of
/// weights is named by a u16.
pub fn takes(geometry: &Geometry, x: &Data) -> bool {
    geometry.frames > 1 && geometry.patch() <= 1 << 16 && Codes::of(x).is_some()
}

/// y = conv(x, w) + bias `[N,OH,OW,T,C_out]`.
pub fn forward(cpu: &Cpu, geometry: &Geometry, x: &Data, panels: &Panels, bias: Option<&Tensor>) -> Tensor {
    let mut y = Tensor::unspecified(x.device(), geometry.output_shape());
    let tail = Store {
        out: Disjoint::new(y.host_mut()),
        steps: geometry.frames as usize,
        channels: geometry.out_channels as usize,
        bias: bias.map(Tensor::host),
    };
    run(cpu, geometry, x, panels, &tail);
    y
}

/// The spikes of the neuron behind y.
pub fn fire(cpu: &Cpu, geometry: &Geometry, x: &Data, panels: &Panels, bias: Option<&Tensor>, firing: Firing) -> Data {
    let (shape, steps) = (geometry.output_shape(), geometry.frames as usize);
    let mut codes = Array::unspecified(x.device(), [shape[0], shape[1], shape[2], planes(steps), shape[4]]);
    let tail = Fire {
        out: Disjoint::new(codes.host_mut()),
        channels: shape[4],
        bias: bias.map(Tensor::host),
        affine: firing.affine.map(|affine| (affine.scale.host(), affine.shift.host())),
        v_th: firing.v_th.host()[0],
        dynamics: firing.dynamics,
        isa: cpu.isa(),
    };
    run(cpu, geometry, x, panels, &tail);
    Data::Spikes { codes, steps }
}

/// dx `[N,H,W,T,C_in]` of a linear layer or a 1x1 kernel, by panels of depth C_out. Where a neuron's membrane stayed outside of its
/// surrogate, its gradients are 0 at every step, and passed over: half of a trained network's.
pub fn backward_input(cpu: &Cpu, geometry: &Geometry, dy: &Tensor, panels: &Panels) -> Tensor {
    let mut dx = Tensor::unspecified(dy.device(), geometry.input_shape());
    let g = Extents { in_channels: geometry.out_channels as usize, out_channels: geometry.in_channels as usize, ..geometry.extents() };
    let tail = Store { out: Disjoint::new(dx.host_mut()), steps: g.frames, channels: g.out_channels, bias: None };
    let product = Product::new(cpu, g, panels, &tail);
    let g = &product.g;
    let block = BLAMED / (g.in_height * g.in_width * g.in_channels * planes(g.frames)).max(1);
    let find = |active: &mut Active<Blame>, image| active.find_blame(g, dy.host(), image);
    product.by_blocks(cpu, block, &BLAME, find, |active, image, panel| product.as_they_lie(active, image, panel));
    dx
}

/// Whether [`backward_input`] computes this gradient. A single step has no silence to pass over; and 3x3 kernels come here in
/// training alone (attacks take Winograd's way), behind a norm whose batch statistics spread every gradient over all neurons.
pub fn takes_back(geometry: &Geometry) -> bool {
    geometry.frames > 1 && geometry.taps() == 1 && geometry.stride == 1 && geometry.out_channels <= 1 << 16
}

/// dw `[C_out,kh,kw,C_in]`.
pub fn backward_weight(cpu: &Cpu, geometry: &Geometry, x: &Data, dy: &Tensor) -> Tensor {
    let Some(codes) = Codes::of(x) else { unreachable!("`takes` has seen codes") };
    let mut dw = Tensor::unspecified(x.device(), geometry.weight_shape());
    weight::backward_weight(cpu, &geometry.extents(), &codes, dy, &mut dw);
    dw
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    /// Lists that have been used: their memory serves the next product.
    static LISTS: RefCell<Vec<Lists>> = RefCell::default();
    /// Entries of gradients, likewise.
    static BLAME: RefCell<Vec<Active<Blame>>> = RefCell::default();
    static TILES: RefCell<Vec<[f32; PANEL]>> = RefCell::default();
}

fn run(cpu: &Cpu, geometry: &Geometry, x: &Data, panels: &Panels, tail: &impl Tail) {
    let Some(codes) = Codes::of(x) else { unreachable!("`takes` has seen codes") };
    let product = Product::new(cpu, geometry.extents(), panels, tail);
    // A list that serves one panel costs more than it saves.
    if panels.count() <= 1 { product.unsorted(cpu, &codes) } else { product.sorted(cpu, geometry, &codes) }
}

/// Calls `find` for each of so many images with what it is to fill of `held`, which grows to them.
fn fill<F: Default + Send>(cpu: &Cpu, held: &mut Vec<F>, images: usize, find: impl Fn(&mut F, usize) + Sync + Send) {
    held.resize_with(images.max(held.len()), F::default);
    let filled = Disjoint::new(held);
    cpu.each(images, |image| {
        // SAFETY: each image has one of its own.
        let held = unsafe { filled.part(image..image + 1) };
        find(&mut held[0], image);
    });
}

/// What all images share.
struct Product<'a, T> {
    isa: Isa,
    g: Extents,
    panels: &'a Panels,
    tail: &'a T,
}

impl<'a, T: Tail> Product<'a, T> {
    /// Panics (a bug) where the panels have another depth: rows are read without a look.
    fn new(cpu: &Cpu, g: Extents, panels: &'a Panels, tail: &'a T) -> Self {
        assert_eq!(panels.depth(), g.kernel_height * g.kernel_width * g.in_channels, "panels of another depth");
        Product { isa: cpu.isa(), g, panels, tail }
    }

    /// Inputs as they lie, an image a task.
    fn unsorted(&self, cpu: &Cpu, codes: &Codes) {
        cpu.each(self.g.images, |image| {
            SCRATCH.with_borrow_mut(|Scratch { active, .. }| {
                active.find(&self.g, codes, image);
                (0..self.panels.count()).for_each(|panel| self.as_they_lie(active, image, panel));
            });
        });
    }

    /// All lists of a block of images, then every panel by them.
    fn sorted(&self, cpu: &Cpu, geometry: &Geometry, codes: &Codes) {
        let g = &self.g;
        let block = HELD / (g.out_height * g.out_width * geometry.patch() * planes(g.frames)).max(1);
        let sort = |lists: &mut Lists, image| SCRATCH.with_borrow_mut(|scratch| lists.fill(g, codes, image, scratch));
        self.by_blocks(cpu, block, &LISTS, sort, |lists, image, panel| self.image(image, panel, |pixel, plane| lists.at(pixel, plane)));
    }

    /// For `block` images after another: `find` what each holds, then `walk` it once a panel. `kept` has the memory.
    fn by_blocks<F: Default + Send + Sync>(
        &self,
        cpu: &Cpu,
        block: usize,
        kept: &'static LocalKey<RefCell<Vec<F>>>,
        find: impl Fn(&mut F, usize) + Sync + Send,
        walk: impl Fn(&F, usize, usize) + Sync + Send,
    ) {
        let (images, count) = (self.g.images, self.panels.count());
        let block = block.clamp(1, images.max(1));
        let mut found = kept.take();
        for first in (0..images).step_by(block) {
            let images = block.min(images - first);
            fill(cpu, &mut found, images, |found, image| find(found, first + image));
            let shares = (PIECES / count.max(1)).clamp(1, images);
            cpu.each(count * shares, |task| {
                let (panel, share) = (task / shares, task % shares);
                let mine = share * images / shares..(share + 1) * images / shares;
                mine.clone().zip(&found[mine]).for_each(|(image, found)| walk(found, first + image, panel));
            });
        }
        kept.set(found);
    }

    /// One image by one panel, what is not silent as it lies.
    fn as_they_lie<E: Entry + Default>(&self, active: &Active<E>, image: usize, panel: usize) {
        self.image(image, panel, |pixel, plane| active.under(&self.g, plane, pixel / self.g.out_width, pixel % self.g.out_width));
    }

    /// One image by one panel; `source` has the sums of each output pixel and plane.
    fn image<S: Source>(&self, image: usize, panel: usize, source: impl Fn(usize, usize) -> S) {
        let g = &self.g;
        let (planes, pixels) = (planes(g.frames), g.out_height * g.out_width);
        let columns = panel * PANEL..panel * PANEL + self.panels.width(panel);
        let weights = Weights { panel: self.panels.panel(panel), depth: self.panels.depth(), width: columns.len() };
        TILES.with_borrow_mut(|tiles| {
            tiles.resize(STRIP * planes * 8, [0.0; PANEL]);
            for strip in (0..pixels).step_by(STRIP) {
                let strip = strip..(strip + STRIP).min(pixels);
                for (pixel, tile) in strip.clone().zip(tiles.chunks_exact_mut(planes * 8)) {
                    for (plane, tile) in tile.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                        kernel::tile(self.isa, source(pixel, plane), weights, (g.frames - plane * 8).min(8), tile);
                    }
                }
                let first = image * pixels + strip.start;
                // SAFETY: each (pixel, panel) is visited once.
                unsafe { self.tail.take(first..first + strip.len(), columns.clone(), &mut tiles[..strip.len() * planes * 8]) };
            }
        });
    }
}
