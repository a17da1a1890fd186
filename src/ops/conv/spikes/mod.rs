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
//! 4. `tail`: what becomes of the currents, while they are in the first-level cache: stored, or integrated to spikes at once.
//!
//! Sums are exact to rounding: a key's rows are added in blocks, and an accumulator takes at most 128 sums before it is put
//! aside, so no chain is longer than in the dense product. Codes are 0, 1/4, 1/2 or 1, hence a multiply-add rounds once, fused
//! or not, and all instruction sets give the same bits. A sum depends on its own pixel and panel alone: neither on threads nor
//! on other images.

mod active;
mod kernel;
mod lists;
mod tail;

use super::{Extents, Firing, Geometry};
use crate::device::{Cpu, Disjoint};
use crate::ops::product::{PANEL, Panels};
use crate::tensor::{Array, Data, Tensor, planes};
use active::Codes;
use lists::Lists;
use std::cell::RefCell;
use tail::{Fire, Store, Tail};

/// Rows of lists (u16) that are held at a time, were every input active: images are taken so many at once.
const HELD: usize = 1 << 22;

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

thread_local! {
    static SCRATCH: RefCell<lists::Scratch> = RefCell::default();
    static TILES: RefCell<Vec<[f32; PANEL]>> = RefCell::default();
}

fn run(cpu: &Cpu, geometry: &Geometry, x: &Data, panels: &Panels, tail: &impl Tail) {
    let Some(codes) = Codes::of(x) else { unreachable!("`takes` has seen codes") };
    let g = geometry.extents();
    let pixels = g.out_height * g.out_width;
    let block = (HELD / (pixels * geometry.patch() * planes(g.frames)).max(1)).clamp(1, g.images.max(1));
    for first in (0..g.images).step_by(block) {
        let images = block.min(g.images - first);
        let lists = cpu.map(images, |image| SCRATCH.with_borrow_mut(|scratch| Lists::of(&g, &codes, first + image, scratch)));
        let shares = (PIECES / panels.count().max(1)).clamp(1, images);
        cpu.each(panels.count() * shares, |task| {
            let (panel, share) = (task / shares, task % shares);
            for image in share * images / shares..(share + 1) * images / shares {
                TILES.with_borrow_mut(|tiles| one(cpu, &g, &lists[image], panels, panel, (first + image) * pixels, tail, tiles));
            }
        });
    }
}

/// One image by one panel.
#[allow(clippy::too_many_arguments)] // the operands of the product, and where it goes
fn one(
    cpu: &Cpu,
    g: &Extents,
    lists: &Lists,
    panels: &Panels,
    panel: usize,
    first: usize,
    tail: &impl Tail,
    tiles: &mut Vec<[f32; PANEL]>,
) {
    let (planes, pixels) = (planes(g.frames), g.out_height * g.out_width);
    let columns = panel * PANEL..panel * PANEL + panels.width(panel);
    tiles.resize(STRIP * planes * 8, [0.0; PANEL]);
    for strip in (0..pixels).step_by(STRIP) {
        let strip = strip..(strip + STRIP).min(pixels);
        for (pixel, tile) in strip.clone().zip(tiles.chunks_exact_mut(planes * 8)) {
            for (plane, tile) in tile.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let steps = (g.frames - plane * 8).min(8);
                kernel::tile(cpu.isa(), lists.at(pixel, plane), panels.panel(panel), columns.len(), steps, tile);
            }
        }
        // SAFETY: each (pixel, panel) is visited once.
        unsafe { tail.take(first + strip.start..first + strip.end, columns.clone(), &mut tiles[..strip.len() * planes * 8]) };
    }
}
