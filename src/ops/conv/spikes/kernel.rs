//! Lists times a panel of weights.

use super::active::{Blame, KEYS, Under, worth};
use super::lanes::Lanes;
use super::lists::List;
use crate::device::Isa;
use crate::ops::product::PANEL;

/// What a key is worth at each of its eight steps.
static CODEBOOK: [[f32; 8]; KEYS] = codebook();

const fn codebook() -> [[f32; 8]; KEYS] {
    let mut book = [[0.0; 8]; KEYS];
    let mut key = 0;
    while key < KEYS {
        let mut t = 0;
        while t < 8 {
            book[key][t] = if key >> t & 1 == 1 { worth(key) } else { 0.0 };
            t += 1;
        }
        key += 1;
    }
    book
}

/// The most sums that one accumulator takes before it is put aside: longer chains would lose bits on which spikes hang
/// (docs/bugs.md).
const CHAIN: usize = 128;

/// Eights of rows that are added up before their sum is: as [`CHAIN`].
const EIGHTS: usize = 32;

/// Where the sums of one pixel and plane come from.
pub trait Source: Copy {
    /// `tile[t][j] = Σ code_t · Σ panel[row][j]` in `V` registers of columns, over `TAU` steps.
    ///
    /// # Safety
    /// The machine has the instructions of `S`. `panel` is `[depth][32]`, of which `V` registers are read from `panel` on; `out`
    /// has `TAU` rows of 32, of which `V` registers are written.
    unsafe fn walk<S: Lanes, const V: usize, const TAU: usize>(self, panel: *const f32, out: *mut f32);
}

/// A panel of weights.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    /// `[depth][32]`.
    pub panel: &'a [f32],
    /// Above every row of the source.
    pub depth: usize,
    /// Columns in use.
    pub width: usize,
}

/// The currents of one pixel and plane in the columns in use, for the first `steps` steps.
pub fn tile(isa: Isa, source: impl Source, weights: Weights, steps: usize, tile: &mut [[f32; PANEL]; 8]) {
    let Weights { panel, depth, width } = weights;
    assert!(panel.len() >= depth * PANEL);
    let (panel, out) = (panel.as_ptr(), tile.as_mut_ptr().cast::<f32>());
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instructions were found on this machine; the panel has the rows, and the tile eight.
        Isa::Avx512 => unsafe { x86::tile512(source, panel, width, steps, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { x86::tile256(source, panel, width, steps, out) },
        // SAFETY: as above, but for the instructions.
        _ => unsafe {
            for column in (0..width).step_by(4) {
                let (panel, out) = (panel.add(column), out.add(column));
                if steps > 4 { source.walk::<[f32; 4], 1, 8>(panel, out) } else { source.walk::<[f32; 4], 1, 4>(panel, out) }
            }
        },
    }
}

/// The sum of the next `R` rows, in two chains.
#[inline(always)]
unsafe fn rows<S: Lanes, const V: usize, const R: usize>(panel: *const f32, list: *const u16) -> [S; V] {
    // SAFETY: the caller's promise: R rows, each of the panel.
    unsafe {
        let mut sums = [[S::zero(); V]; 2];
        for i in 0..R {
            // Volatile: the compiler would load all indices as one vector and take it apart again, which is slower.
            let row = panel.add(usize::from(list.add(i).read_volatile()) * PANEL);
            for (v, sum) in sums[i % 2].iter_mut().enumerate() {
                let weights = S::load(row.add(v * S::LANES));
                *sum = if i < 2 { weights } else { sum.add(weights) };
            }
        }
        if R == 1 { sums[0] } else { added(sums[0], sums[1]) }
    }
}

#[inline(always)]
unsafe fn added<S: Lanes, const V: usize>(mut a: [S; V], b: [S; V]) -> [S; V] {
    for (a, b) in a.iter_mut().zip(b) {
        // SAFETY: the caller's promise: the instructions are there.
        *a = unsafe { a.add(b) };
    }
    a
}

/// Sorted: the rows of a key are added first.
impl Source for List<'_> {
    #[inline(always)]
    unsafe fn walk<S: Lanes, const V: usize, const TAU: usize>(self, panel: *const f32, out: *mut f32) {
        // SAFETY: the caller's promise; a list has the rows that its groups say, and the groups that its classes say (`Lists`).
        unsafe {
            let (mut group, mut row) = (self.groups.as_ptr(), self.rows.as_ptr());
            let mut sums = [[S::zero(); V]; TAU];
            let (mut chain, mut aside) = (0, false);
            macro_rules! classes { ($($rows:literal)*) => { $(
                let mut left = usize::from(self.classes[$rows - 1]);
                while left > 0 {
                    let count = left.min(CHAIN - chain);
                    for _ in 0..count {
                        let mut sum = rows::<S, V, $rows>(panel, row);
                        row = row.add($rows);
                        let mut eights = usize::from((*group).eights);
                        while eights > 0 {
                            let part = eights.min(EIGHTS);
                            let mut partial = rows::<S, V, 8>(panel, row);
                            row = row.add(8);
                            for _ in 1..part {
                                partial = added(partial, rows::<S, V, 8>(panel, row));
                                row = row.add(8);
                            }
                            sum = added(sum, partial);
                            eights -= part;
                        }
                        fan(sum, of_key(usize::from((*group).key)), &mut sums);
                        group = group.add(1);
                    }
                    (left, chain) = (left - count, chain + count);
                    if chain == CHAIN {
                        put_aside(&mut sums, out, aside);
                        (chain, aside) = (0, true);
                    }
                }
            )* } }
            classes!(8 7 6 5 4 3 2 1);
            put_aside(&mut sums, out, aside);
        }
    }
}

/// An entry as it lies.
///
/// # Safety
/// `worth` points at eight numbers.
pub unsafe trait Entry: Copy {
    /// Its place in the row of the image.
    fn place(&self) -> u16;
    /// What it is worth at its eight steps.
    fn worth(&self) -> *const f32;
}

// SAFETY: a key is one of the book's.
unsafe impl Entry for u32 {
    #[inline(always)]
    fn place(&self) -> u16 {
        *self as u16
    }
    #[inline(always)]
    fn worth(&self) -> *const f32 {
        of_key((*self >> 16) as usize)
    }
}

// SAFETY: it has eight values.
unsafe impl Entry for Blame {
    #[inline(always)]
    fn place(&self) -> u16 {
        self.place
    }
    #[inline(always)]
    fn worth(&self) -> *const f32 {
        self.values.as_ptr()
    }
}

/// As they lie: a multiply-add an input and step.
impl<E: Entry> Source for Under<'_, E> {
    #[inline(always)]
    unsafe fn walk<S: Lanes, const V: usize, const TAU: usize>(self, panel: *const f32, out: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [[S::zero(); V]; TAU];
            let (mut chain, mut aside) = (0, false);
            for (entries, shift) in self {
                for entries in entries.chunks(CHAIN) {
                    if chain + entries.len() > CHAIN {
                        put_aside(&mut sums, out, aside);
                        (chain, aside) = (0, true);
                    }
                    chain += entries.len();
                    for entry in entries {
                        let row = panel.add(usize::from(entry.place().wrapping_add(shift)) * PANEL);
                        let mut weights = [S::zero(); V];
                        for (v, weights) in weights.iter_mut().enumerate() {
                            *weights = S::load(row.add(v * S::LANES));
                        }
                        fan(weights, entry.worth(), &mut sums);
                    }
                }
            }
            put_aside(&mut sums, out, aside);
        }
    }
}

/// What a key is worth at its eight steps.
#[inline(always)]
fn of_key(key: usize) -> *const f32 {
    // Not read beyond the book: keys are made of its three kinds of bytes alone (`active`).
    CODEBOOK.as_ptr().wrapping_add(key).cast()
}

/// One multiply-add a step.
#[inline(always)]
unsafe fn fan<S: Lanes, const V: usize, const TAU: usize>(sum: [S; V], code: *const f32, onto: &mut [[S; V]; TAU]) {
    // SAFETY: the caller's promise: the instructions are there, and eight numbers.
    unsafe {
        for (t, onto) in onto.iter_mut().enumerate() {
            for (onto, sum) in onto.iter_mut().zip(sum) {
                *onto = sum.fan(code.add(t), *onto);
            }
        }
    }
}

/// Move the sums to `out`, onto what lies there where some already do.
#[inline(always)]
unsafe fn put_aside<S: Lanes, const V: usize, const TAU: usize>(sums: &mut [[S; V]; TAU], out: *mut f32, onto: bool) {
    for (t, sums) in sums.iter_mut().enumerate() {
        for (v, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise, that of `Source::walk`.
            unsafe {
                let out = out.add(t * PANEL + v * S::LANES);
                if onto { S::load(out).add(*sum) } else { *sum }.store(out);
                *sum = S::zero();
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Source;
    use std::arch::x86_64::*;

    /// # Safety
    /// That of [`Source::walk`] for a panel of 32 columns.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn tile512(source: impl Source, panel: *const f32, width: usize, steps: usize, out: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            match (width > 16, steps > 4) {
                (true, true) => source.walk::<__m512, 2, 8>(panel, out),
                (true, false) => source.walk::<__m512, 2, 4>(panel, out),
                (false, true) => source.walk::<__m512, 1, 8>(panel, out),
                (false, false) => source.walk::<__m512, 1, 4>(panel, out),
            }
        }
    }

    /// # Safety
    /// As [`tile512`].
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn tile256(source: impl Source, panel: *const f32, width: usize, steps: usize, out: *mut f32) {
        // Eight steps of eight columns, or four of sixteen, fill half of the registers.
        let lanes = if steps > 4 { 8 } else { 16 };
        for column in (0..width).step_by(lanes) {
            // SAFETY: the caller's promise; 32 is a multiple of both.
            unsafe {
                let (panel, out) = (panel.add(column), out.add(column));
                if steps > 4 { source.walk::<__m256, 1, 8>(panel, out) } else { source.walk::<__m256, 2, 4>(panel, out) }
            }
        }
    }
}
