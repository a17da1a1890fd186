//! The weight gradient of a product fed by spikes.
//!
//!   `dw[row] = Σ_pixels Σ_t code_t(row) · dy_t`
//!
//! What the steps of an input make of a pixel's gradients depends on its byte alone. So, per output pixel, plane and panel of 32
//! output channels, the sums of the two halves of all bytes are made once (sixteen each, of pooled spikes those of every two
//! steps), and an input costs two looked-up rows (of pooled spikes four) and one sum in memory, whatever it did. Inputs are taken
//! as they lie: sorting would gain nothing, since every row is read and written once either way.
//!
//! A panel of gradients stays in the second-level cache while the pixels of some images pass. No more than [`CHAIN`] pixels are
//! added up before the sum is put to the others', so no chain is long.

use super::super::Extents;
use super::active::{Active, Codes, Under};
use super::fill;
use super::lanes::Lanes;
use crate::device::{Buffer, Cpu, Disjoint, Isa};
use crate::ops::product::{PANEL, Turned, reduce};
use crate::tensor::{Tensor, planes};
use std::cell::RefCell;
use std::ops::Range;

/// Output pixels and planes that one sum takes before it is put to the others'.
const CHAIN: usize = 512;

/// A gradient in the 32 channels of a panel, at eight steps.
type Steps = [[f32; PANEL]; 8];

/// What pieces of a code are worth, piece after piece: the two nibbles of a byte, or the four bytes (two steps each) of a
/// pooled input's code. Close together: the first-level cache holds them all.
type Worth = [[f32; PANEL]; 4 * PAIRS];

/// A power of two above 24, the highest code of two pooled steps.
const PAIRS: usize = 32;

#[derive(Default)]
struct Scratch {
    /// `[depth][32]`, of the pixels at hand.
    sums: Vec<[f32; PANEL]>,
    /// The same of those before.
    total: Vec<[f32; PANEL]>,
    worth: Vec<[f32; PANEL]>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    /// Entries of a batch that have been used: their memory serves the next product.
    static ENTRIES: RefCell<Vec<Active<u64>>> = RefCell::default();
}

/// dw `[C_out][depth]`. The images are cut into parts by the sizes alone, added in order: the same bits on any number of threads.
pub fn backward_weight(cpu: &Cpu, g: &Extents, codes: &Codes, dy: &Tensor, dw: &mut Tensor) {
    let (panels, depth) = (g.out_channels.div_ceil(PANEL), g.kernel_height * g.kernel_width * g.in_channels);
    let size = panels * depth * PANEL;
    let mut entries = ENTRIES.take();
    fill(cpu, &mut entries, g.images, |active: &mut Active<u64>, image| active.find_codes(g, codes, image));
    let product = Product { isa: cpu.isa(), g, codes, entries: &entries, dy: dy.host(), depth };
    // Small results: partial sums of some images each.
    let parts = ((1 << 20) / size.max(1)).clamp(1, 16).min(g.images.max(1));
    if parts == 1 {
        let dw = Turned::new(dw, depth, g.out_channels);
        cpu.each(panels, |panel| {
            product.sum(panel, 0..g.images, |sum| {
                // SAFETY: each panel is written once.
                unsafe { dw.put(panel, sum.as_flattened()) }
            })
        });
    } else {
        let mut partial = Buffer::unspecified(dy.device(), parts * size);
        let out = Disjoint::new(partial.host_mut());
        cpu.each(parts * panels, |task| {
            let (part, panel) = (task / panels, task % panels);
            let images = part * g.images / parts..(part + 1) * g.images / parts;
            // SAFETY: each (part, panel) is another piece.
            let out = unsafe { out.part(task * depth * PANEL..(task + 1) * depth * PANEL) };
            product.sum(panel, images, |sum| out.copy_from_slice(sum.as_flattened()));
        });
        Turned::new(dw, depth, g.out_channels).put_all(cpu, reduce(cpu, partial, parts, size).host());
    }
    ENTRIES.set(entries);
}

/// What all panels share.
struct Product<'a> {
    isa: Isa,
    g: &'a Extents,
    codes: &'a Codes<'a>,
    entries: &'a [Active<u64>],
    dy: &'a [f32],
    depth: usize,
}

impl Product<'_> {
    /// The sum of one panel `[depth][32]` over some images, handed to `take`.
    fn sum(&self, panel: usize, images: Range<usize>, take: impl FnOnce(&[[f32; PANEL]])) {
        let Product { g, depth, .. } = *self;
        let columns = panel * PANEL..((panel + 1) * PANEL).min(g.out_channels);
        SCRATCH.with_borrow_mut(|Scratch { sums, total, worth }| {
            worth.resize(4 * PAIRS, [0.0; PANEL]);
            let Some(worth) = worth.first_chunk_mut() else { unreachable!("just resized") };
            let mut taken = 0;
            let pixels = g.out_height * g.out_width;
            sums.clear();
            sums.resize(depth, [0.0; PANEL]);
            total.clear();
            for (image, pixel) in images.flat_map(|image| (0..pixels).map(move |pixel| (image, pixel))) {
                for plane in 0..planes(g.frames) {
                    if taken == CHAIN {
                        put(sums, total);
                        sums.fill([0.0; PANEL]);
                        taken = 0;
                    }
                    let gradient = self.gradient(image * pixels + pixel, plane, columns.clone());
                    let under = self.entries[image].under(g, plane, pixel / g.out_width, pixel % g.out_width);
                    self.add(under, &gradient, columns.len(), worth, sums);
                    taken += 1;
                }
            }
            if total.is_empty() {
                return take(sums);
            }
            put(sums, total);
            take(total);
        });
    }

    /// The gradients of a pixel at the steps of a plane, zeros beyond.
    fn gradient(&self, pixel: usize, plane: usize, columns: Range<usize>) -> Steps {
        let Extents { frames, out_channels, .. } = *self.g;
        let mut gradient = [[0.0; PANEL]; 8];
        for (row, t) in gradient.iter_mut().zip(plane * 8..(plane * 8 + 8).min(frames)) {
            let at = (pixel * frames + t) * out_channels;
            row[..columns.len()].copy_from_slice(&self.dy[at + columns.start..at + columns.end]);
        }
        gradient
    }

    /// Adds what lies under one pixel.
    fn add(&self, under: Under<'_, u64>, gradient: &Steps, width: usize, worth: &mut Worth, sums: &mut [[f32; PANEL]]) {
        let pooled = matches!(self.codes, Codes::Quarters(_));
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the instructions were found on this machine.
            Isa::Avx512 => unsafe { x86::add512(pooled, under, gradient, width, worth, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx2 => unsafe { x86::add256(pooled, under, gradient, width, worth, sums) },
            // SAFETY: everyone has these.
            _ => unsafe { in_columns::<[f32; 4], 8, 4>(pooled, under, gradient, width, worth, sums) },
        }
    }
}

/// Puts `sums` to the `total` of those before; none is empty.
fn put(sums: &[[f32; PANEL]], total: &mut Vec<[f32; PANEL]>) {
    match total.is_empty() {
        true => total.extend_from_slice(sums),
        false => total.as_flattened_mut().iter_mut().zip(sums.as_flattened()).for_each(|(total, sum)| *total += sum),
    }
}

/// In `WHOLE` registers of every row, or in `HALF` where sixteen columns or fewer are in use.
///
/// # Safety
/// The machine has the instructions of `S`; `WHOLE` registers are 32 numbers, `HALF` sixteen.
#[inline(always)]
unsafe fn in_columns<S: Lanes, const WHOLE: usize, const HALF: usize>(
    pooled: bool,
    under: Under<'_, u64>,
    gradient: &Steps,
    width: usize,
    worth: &mut Worth,
    sums: &mut [[f32; PANEL]],
) {
    // SAFETY: the caller's promise.
    unsafe {
        match width {
            17.. => add::<S, WHOLE>(pooled, under, gradient, worth, sums),
            _ => add::<S, HALF>(pooled, under, gradient, worth, sums),
        }
    }
}

/// In the first `V` registers of every row.
///
/// # Safety
/// The machine has the instructions of `S`; `V` registers are no more than 32 numbers.
#[inline(always)]
unsafe fn add<S: Lanes, const V: usize>(
    pooled: bool,
    under: Under<'_, u64>,
    gradient: &Steps,
    worth: &mut Worth,
    sums: &mut [[f32; PANEL]],
) {
    // SAFETY: the caller's promise.
    unsafe {
        if pooled {
            pairs::<S, V>(gradient, worth);
            gather::<S, V, 4, 8, PAIRS>(under, worth, sums);
        } else {
            nibbles::<S, V>(gradient, worth);
            gather::<S, V, 2, 4, 16>(under, worth, sums);
        }
    }
}

/// The sums of all sixteen nibbles, of the first four steps, then of the last.
///
/// # Safety
/// That of [`add`].
#[inline(always)]
unsafe fn nibbles<S: Lanes, const V: usize>(gradient: &Steps, worth: &mut Worth) {
    for half in 0..2 {
        worth[half * 16] = [0.0; PANEL];
        for nibble in 1..16usize {
            // One step more than a nibble that is already there.
            let (t, rest) = (nibble.trailing_zeros() as usize, nibble & (nibble - 1));
            for v in 0..V {
                // SAFETY: the caller's promise; all indices are inside.
                unsafe {
                    let at = |row: &[f32; PANEL]| S::load(row.as_ptr().add(v * S::LANES));
                    let sum = at(&gradient[half * 4 + t]).add(at(&worth[half * 16 + rest]));
                    sum.store(worth[half * 16 + nibble].as_mut_ptr().add(v * S::LANES));
                }
            }
        }
    }
}

/// The sums of all pairs of pooled steps, 0/4 to 4/4 each.
///
/// # Safety
/// That of [`add`].
#[inline(always)]
unsafe fn pairs<S: Lanes, const V: usize>(gradient: &Steps, worth: &mut Worth) {
    const QUARTERS: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
    for pair in 0..4 {
        for (second, of_second) in QUARTERS.iter().enumerate() {
            for (first, of_first) in QUARTERS.iter().enumerate() {
                for v in 0..V {
                    // SAFETY: as in `nibbles`.
                    unsafe {
                        let at = |row: &[f32; PANEL]| S::load(row.as_ptr().add(v * S::LANES));
                        // Products first: fused, three quarters would round otherwise than on a machine that cannot.
                        let left = at(&gradient[pair * 2]).fan(of_first, S::zero());
                        let sum = left.add(at(&gradient[pair * 2 + 1]).fan(of_second, S::zero()));
                        sum.store(worth[pair * PAIRS + 5 * second + first].as_mut_ptr().add(v * S::LANES));
                    }
                }
            }
        }
    }
}

/// Adds to the row of every entry what its code is worth: `P` pieces of `BITS` bits, `SIZE` rows each.
///
/// # Safety
/// That of [`add`].
#[inline(always)]
unsafe fn gather<S: Lanes, const V: usize, const P: usize, const BITS: usize, const SIZE: usize>(
    under: Under<'_, u64>,
    worth: &Worth,
    sums: &mut [[f32; PANEL]],
) {
    for (entries, shift) in under {
        for &entry in entries {
            let sum = &mut sums[usize::from((entry as u16).wrapping_add(shift))];
            let code = (entry >> 32) as usize;
            let pieces: [&[f32; PANEL]; P] = std::array::from_fn(|piece| &worth[piece * SIZE + (code >> (piece * BITS)) % SIZE]);
            for v in 0..V {
                // SAFETY: the caller's promise.
                unsafe {
                    let at = |row: &[f32; PANEL]| S::load(row.as_ptr().add(v * S::LANES));
                    let mut more = at(pieces[0]);
                    for piece in &pieces[1..] {
                        more = more.add(at(piece));
                    }
                    at(sum).add(more).store(sum.as_mut_ptr().add(v * S::LANES));
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{PANEL, Steps, Under, Worth, in_columns};
    use std::arch::x86_64::*;

    /// # Safety
    /// The machine has AVX-512.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn add512(
        pooled: bool,
        under: Under<'_, u64>,
        gradient: &Steps,
        width: usize,
        worth: &mut Worth,
        sums: &mut [[f32; PANEL]],
    ) {
        // SAFETY: the caller's promise.
        unsafe { in_columns::<__m512, 2, 1>(pooled, under, gradient, width, worth, sums) }
    }

    /// # Safety
    /// The machine has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn add256(
        pooled: bool,
        under: Under<'_, u64>,
        gradient: &Steps,
        width: usize,
        worth: &mut Worth,
        sums: &mut [[f32; PANEL]],
    ) {
        // SAFETY: the caller's promise.
        unsafe { in_columns::<__m256, 4, 2>(pooled, under, gradient, width, worth, sums) }
    }
}
