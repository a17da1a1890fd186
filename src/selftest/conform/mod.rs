//! The wrappers of `kernels/gpu.cuh`, each alone with random registers (`kernels/conform.cu`), against [`mod@reference`].
//!
//! What moves data must move every bit. What rounds must round as IEEE 754 says; tensor cores may truncate, so for them the
//! bound is that of truncation, and the error that was met is in the report.

mod reference;

use super::data::{U, uniform, words};
use super::sheet::Sheet;
use crate::base::rng::{Philox, Purpose};
use crate::base::{Result, fail};
use crate::device::{Device, Gpu, Grid, kernel};
use crate::tensor::Array;
use bytemuck::Pod;
use reference::{LANES, Shuffle, butterfly, shuffled};

/// Repetitions of every wrapper with other registers: blocks of its kernel.
const TRIALS: usize = 16;
/// Numbers for what has no warp.
const COUNT: usize = 4096;

/// A wrapper, or a few of a kind, and what checks it.
type Check = (&'static str, fn(&mut Sheet, &Gpu) -> Result<()>);

const CHECKS: [Check; 13] = [
    ("mma, integers", mma_integers),
    ("mma", mma),
    ("mma, tile", mma_tile),
    ("ldmatrix", ldmatrix),
    ("cp.async", cp_async),
    ("shuffles", shuffles),
    ("reductions", reductions),
    ("bar.sync", barriers),
    ("bf16", bf16),
    ("rounding", arithmetic),
    ("exp and log", functions),
    ("philox", philox),
    ("vectors", vectors),
];

pub fn table(sheet: &mut Sheet) {
    for (name, check) in CHECKS {
        sheet.each(
            name,
            &[()],
            |()| "random registers".into(),
            |sheet, ()| match sheet.device() {
                Device::Gpu(gpu) => check(sheet, gpu),
                Device::Cpu(_) => Err(fail!("a CPU runs no kernels")),
            },
        );
    }
}

/// Random words, 32 bits each.
fn bits(name: &str, n: usize) -> Vec<u32> {
    words(name, n, 11).into_iter().map(|word| (word >> 32) as u32).collect()
}

/// Random floats in -2..2.
fn numbers(name: &str, n: usize) -> Vec<f32> {
    uniform(name, n, -2.0, 2.0, 11)
}

/// Floats of any exponent, NaN and infinities and what lies between two bf16 included.
fn any_floats(name: &str, n: usize) -> Vec<f32> {
    let ties = [0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x3f80_7fff].map(f32::from_bits);
    let special = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45];
    let random = bits(name, n).into_iter().map(f32::from_bits);
    special.into_iter().chain(ties).chain(random).take(n).collect()
}

fn up<T: Pod + Default>(sheet: &Sheet, values: &[T]) -> Array<T> {
    Array::from_slice(sheet.device(), [values.len()], values)
}

fn room<T: Pod + Default>(sheet: &Sheet, n: usize) -> Array<T> {
    Array::unspecified(sheet.device(), [n])
}

/// Pairs of bf16 as registers hold them.
fn pairs(numbers: &[f32]) -> Vec<u32> {
    numbers.chunks(2).map(|pair| reference::bf16(pair[0]) | reference::bf16(pair[1]) << 16).collect()
}

/// The products of `m` x `n` tiles a trial, by the kernel for one or the one for tiles.
fn product(sheet: &mut Sheet, gpu: &Gpu, what: &str, [m, n]: [usize; 2], draw: impl Fn(f32) -> f32, exact: bool) -> Result<()> {
    let drawn = |name: &str, count: usize| numbers(name, count).into_iter().map(&draw).collect::<Vec<f32>>();
    let a = pairs(&drawn("a", TRIALS * m * LANES * 8));
    let b = pairs(&drawn("b", TRIALS * n * LANES * 4));
    let c = drawn("c", TRIALS * m * n * LANES * 4);
    let mut d = room::<f32>(sheet, c.len());
    let kernel = if m * n == 1 { &kernel::conform_mma } else { &kernel::conform_mma_tile };
    let (on_a, on_b, on_c) = (up(sheet, &a), up(sheet, &b), up(sheet, &c));
    gpu.run(kernel, Grid::blocks(TRIALS, 32)).array(&on_a).array(&on_b).array(&on_c).array_mut(&mut d).go();
    let (mut want, mut largest) = (Vec::new(), Vec::new());
    for (trial, i, j) in (0..TRIALS).flat_map(|trial| (0..m).flat_map(move |i| (0..n).map(move |j| (trial, i, j)))) {
        let (at_a, at_b, at_c) = ((trial * m + i) * LANES * 4, (trial * n + j) * LANES * 2, ((trial * m + i) * n + j) * LANES * 4);
        let one = reference::mma(&a[at_a..][..LANES * 4], &b[at_b..][..LANES * 2], &c[at_c..][..LANES * 4]);
        want.extend(one.d);
        largest.extend(one.largest);
    }
    // 17 numbers are brought to the exponent of the largest and cut after f32's 24 bits, then the sum is, perhaps in two steps.
    sheet.within(what, &d.to_vec(), &want, |i| if exact { 0.0 } else { 20.0 * 2.0 * U * largest[i] });
    Ok(())
}

/// Small integers: exact in whatever way a tensor core adds, so the layout alone is judged.
fn mma_integers(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    product(sheet, gpu, "one", [1, 1], |v| (v * 60.0).round(), true)?;
    product(sheet, gpu, "tile of 2x3", [2, 3], |v| (v * 60.0).round(), true)
}

fn mma(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    product(sheet, gpu, "numbers of one size", [1, 1], |v| v, false)?;
    product(sheet, gpu, "numbers of many sizes", [1, 1], |v| v * (v * 1e3).fract().abs().powi(12), false)
}

fn mma_tile(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    product(sheet, gpu, "numbers of one size", [2, 3], |v| v, false)
}

fn ldmatrix(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    let (tiles, rows) = (bits("tile", TRIALS * 256), bits("rows", TRIALS * 2 * LANES));
    let rows: Vec<u32> = rows.into_iter().map(|row| row % 64).collect();
    let mut out = room::<u32>(sheet, TRIALS * 4 * 2 * LANES * 4);
    let (on_tiles, on_rows) = (up(sheet, &tiles), up(sheet, &rows));
    gpu.run(&kernel::conform_ldmatrix, Grid::blocks(TRIALS, 32)).array(&on_tiles).array(&on_rows).array_mut(&mut out).go();
    let found = out.to_vec();
    for (form, name) in ["x4", "x4.trans", "x4, tile of 2", "x4.trans, tile of 2"].into_iter().enumerate() {
        let (mut got, mut want) = (Vec::new(), Vec::new());
        for (trial, load) in (0..TRIALS).flat_map(|trial| [(trial, 0), (trial, 1)]) {
            got.extend_from_slice(&found[((trial * 4 + form) * 2 + load) * LANES * 4..][..LANES * 4]);
            let rows = &rows[(trial * 2 + load) * LANES..][..LANES];
            want.extend(reference::ldmatrix(&tiles[trial * 256..][..256], rows, form % 2 == 1));
        }
        sheet.equal(name, &got, &want);
    }
    Ok(())
}

fn cp_async(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    const WORDS: usize = 768;
    let (given, inside) = (bits("given", TRIALS * WORDS), bits("inside", TRIALS * WORDS));
    let mut out = room::<u32>(sheet, TRIALS * 4 * WORDS);
    let (on_given, on_inside) = (up(sheet, &given), up(sheet, &inside));
    gpu.run(&kernel::conform_cp_async, Grid::blocks(TRIALS, 64)).array(&on_given).array(&on_inside).array_mut(&mut out).go();
    let found = out.to_vec();
    for (form, name) in ["16 bytes or zeros", "4 bytes or zeros", "16 bytes", "4 bytes"].into_iter().enumerate() {
        let part = |trial: usize| &found[(trial * 4 + form) * WORDS..][..WORDS];
        let got: Vec<u32> = (0..TRIALS).flat_map(|trial| part(trial).to_vec()).collect();
        let arrives = |i: usize| match form {
            0 => inside[i / 4 * 4] & 1 == 1, // one predicate for four words
            1 => inside[i] & 1 == 1,
            _ => true,
        };
        let want: Vec<u32> = given.iter().enumerate().map(|(i, &word)| if arrives(i) { word } else { 0 }).collect();
        sheet.equal(name, &got, &want);
    }
    Ok(())
}

fn shuffles(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    const TRIALS: usize = LANES; // every distance
    let (v, by) = (bits("v", TRIALS * LANES), bits("by", TRIALS * LANES));
    let mut out = room::<u32>(sheet, TRIALS * 8 * LANES);
    let (on_v, on_by) = (up(sheet, &v), up(sheet, &by));
    gpu.run(&kernel::conform_shuffles, Grid::blocks(TRIALS, 32)).array(&on_v).array(&on_by).array_mut(&mut out).go();
    let found = out.to_vec();
    let kinds = [
        ("index", Shuffle::Index, LANES),
        ("xor", Shuffle::Xor, LANES),
        ("up", Shuffle::Up, LANES),
        ("down", Shuffle::Down, LANES),
        ("index, 8 lanes", Shuffle::Index, 8),
        ("down, 8 lanes", Shuffle::Down, 8),
        ("index, high word of 8 bytes", Shuffle::Index, LANES),
        ("index, low word of 8 bytes", Shuffle::Index, LANES),
    ];
    for (form, (name, kind, width)) in kinds.into_iter().enumerate() {
        let (mut got, mut want) = (Vec::new(), Vec::new());
        for (trial, lane) in (0..TRIALS).flat_map(|trial| (0..LANES).map(move |lane| (trial, lane))) {
            got.push(found[(trial * 8 + form) * LANES + lane]);
            let by = match kind {
                Shuffle::Index => by[trial * LANES + lane] as usize % LANES,
                _ if form == 5 => trial % 8,
                _ => trial,
            };
            let value = v[trial * LANES + shuffled(kind, lane, by, width)];
            want.push(if form == 7 { !value } else { value });
        }
        sheet.equal(name, &got, &want);
    }
    Ok(())
}

fn reductions(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    const THREADS: usize = 256;
    let n = TRIALS * THREADS;
    let mut v = numbers("v", n);
    v.iter_mut().step_by(37).for_each(|v| *v = f32::NAN);
    let (mut warp, mut block, mut most) = (room::<f32>(sheet, n), room::<f32>(sheet, n), room::<f32>(sheet, n));
    let (mut warp64, mut block64) = (room::<f64>(sheet, n), room::<f64>(sheet, n));
    let (mut ballot, mut ones) = (room::<u32>(sheet, n), room::<u32>(sheet, n));
    let on = up(sheet, &v);
    gpu.run(&kernel::conform_reductions, Grid::blocks(TRIALS, THREADS as u32))
        .array(&on)
        .array_mut(&mut warp)
        .array_mut(&mut warp64)
        .array_mut(&mut block)
        .array_mut(&mut block64)
        .array_mut(&mut most)
        .array_mut(&mut ballot)
        .array_mut(&mut ones)
        .go();
    let narrow: Vec<f32> = v.iter().map(|v| if v.is_nan() { 1.0 } else { *v }).collect();
    let wide: Vec<f64> = narrow.iter().map(|&v| f64::from(v)).collect();
    sheet.same_bits("sum of a warp", &warp.to_vec(), &by_warp(&narrow, |a, b| a + b));
    sheet.equal("sum of a warp, f64", &warp64.to_vec(), &by_warp(&wide, |a, b| a + b));
    sheet.same_bits("sum of a block", &block.to_vec(), &by_block(&narrow, THREADS, |a, b| a + b));
    sheet.equal("sum of a block, f64", &block64.to_vec(), &by_block(&wide, THREADS, |a, b| a + b));
    sheet.same_bits("greatest of a warp", &most.to_vec(), &by_warp(&v, f32::max));
    let above = |warp: &[f32]| warp.iter().enumerate().map(|(lane, &v)| u32::from(v > 0.0) << lane).sum::<u32>();
    let ballots: Vec<u32> = v.chunks(LANES).flat_map(|warp| vec![above(warp); LANES]).collect();
    sheet.equal("ballot", &ballot.to_vec(), &ballots);
    sheet.equal("bits counted", &ones.to_vec(), &v.iter().map(|v| v.to_bits().count_ones()).collect::<Vec<_>>());
    Ok(())
}

fn by_warp<T: Copy>(v: &[T], add: impl Fn(T, T) -> T + Copy) -> Vec<T> {
    v.chunks(LANES).flat_map(|warp| butterfly(warp, add)).collect()
}

/// Warps by butterfly, then warp sums from the first to the last.
fn by_block<T: Copy>(v: &[T], threads: usize, add: impl Fn(T, T) -> T + Copy) -> Vec<T> {
    let total = |block: &[T]| by_warp(block, add).into_iter().step_by(LANES).reduce(add);
    v.chunks(threads).flat_map(|block| total(block).map(|total| vec![total; threads]).unwrap_or_default()).collect()
}

fn barriers(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    let v = bits("v", TRIALS * 128);
    let mut out = room::<u32>(sheet, v.len());
    let on = up(sheet, &v);
    gpu.run(&kernel::conform_barriers, Grid::blocks(TRIALS, 128)).array(&on).array_mut(&mut out).go();
    let mut want = v;
    for (at, pair) in want.chunks_mut(64).enumerate() {
        for _ in 0..5 + 3 * (at % 2) {
            let before = pair.to_vec();
            pair.iter_mut().enumerate().for_each(|(t, v)| *v = v.wrapping_mul(2_654_435_761).wrapping_add(before[63 - t]));
        }
    }
    sheet.equal("two pairs of warps", &out.to_vec(), &want);
    Ok(())
}

fn bf16(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    let x = any_floats("x", COUNT);
    let (mut bits, mut pair, mut back) = (room::<u32>(sheet, COUNT), room::<u32>(sheet, COUNT), room::<f32>(sheet, COUNT));
    let on = up(sheet, &x);
    gpu.run(&kernel::conform_bf16, Grid::over(COUNT, 256))
        .array(&on)
        .value(COUNT as u32)
        .array_mut(&mut bits)
        .array_mut(&mut back)
        .array_mut(&mut pair)
        .go();
    // Of a NaN only that it stays one is promised.
    const NAN: u32 = 0x7fc0;
    let one = |bits: u32| if bits & 0x7fff > 0x7f80 { NAN } else { bits };
    let want: Vec<u32> = x.iter().map(|x| if x.is_nan() { NAN } else { reference::bf16(*x) }).collect();
    sheet.equal("bits", &bits.to_vec().into_iter().map(one).collect::<Vec<_>>(), &want);
    let floats: Vec<f32> = bits.to_vec().into_iter().map(|bits| f32::from_bits(bits << 16)).collect();
    sheet.same_bits("float of the bits", &back.to_vec(), &floats);
    let both = |pair: u32| one(pair & 0xffff) | one(pair >> 16) << 16;
    let pairs: Vec<u32> = want.iter().zip(want.iter().rev()).map(|(low, high)| low | high << 16).collect();
    sheet.equal("pair", &pair.to_vec().into_iter().map(both).collect::<Vec<_>>(), &pairs);
    Ok(())
}

fn arithmetic(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        let (many, tiny) = (numbers(name, COUNT), uniform(name, COUNT, -2e-38, 2e-38, 12));
        // A quarter is so small that results are subnormal: none may be flushed to 0.
        (0..COUNT).map(|i| if name != "b" && i % 4 == 0 { tiny[i] } else { many[i] }).collect::<Vec<f32>>()
    });
    let mut out = room::<f32>(sheet, 8 * COUNT);
    let (on_a, on_b, on_c) = (up(sheet, &a), up(sheet, &b), up(sheet, &c));
    gpu.run(&kernel::conform_arithmetic, Grid::over(COUNT, 256))
        .array(&on_a)
        .array(&on_b)
        .array(&on_c)
        .value(COUNT as u32)
        .array_mut(&mut out)
        .go();
    type Operation = fn(f32, f32, f32) -> f32;
    let operations: [(&str, Operation); 8] = [
        ("a·b + c in two roundings", |a, b, c| a * b + c),
        ("a·b − c in two roundings", |a, b, c| a * b - c),
        ("a + b", |a, b, _| a + b),
        ("a·b", |a, b, _| a * b),
        ("a / b", |a, b, _| a / b),
        ("√|a|", |a, _, _| a.abs().sqrt()),
        ("fused a·b + c", f32::mul_add),
        ("a·b + c in f64, rounded", |a, b, c| (f64::from(a) * f64::from(b) + f64::from(c)) as f32),
    ];
    for ((name, operation), got) in operations.into_iter().zip(out.to_vec().chunks(COUNT)) {
        let want: Vec<f32> = (0..COUNT).map(|i| operation(a[i], b[i], c[i])).collect();
        sheet.same_bits(name, got, &want);
    }
    Ok(())
}

fn functions(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    let x = uniform("x", COUNT, -80.0, 80.0, 11);
    let mut exp32 = room::<f32>(sheet, COUNT);
    let (mut exp64, mut log64) = (room::<f64>(sheet, COUNT), room::<f64>(sheet, COUNT));
    let on = up(sheet, &x);
    gpu.run(&kernel::conform_functions, Grid::over(COUNT, 256))
        .array(&on)
        .value(COUNT as u32)
        .array_mut(&mut exp32)
        .array_mut(&mut exp64)
        .array_mut(&mut log64)
        .go();
    let wide = |f: fn(f64) -> f64| x.iter().map(|&x| f(f64::from(x))).collect::<Vec<f64>>();
    let (exp, log) = (wide(f64::exp), wide(|x| x.abs().ln()));
    // Two units in the last place, as the CUDA programming guide promises for expf; one for those of f64, and one of the host's.
    sheet.within("expf", &exp32.to_vec(), &exp, |i| 2.0 * 2.0 * U * exp[i]);
    sheet.within_wide("exp, f64", &exp64.to_vec(), &exp, |i| 2.0 * f64::EPSILON * exp[i]);
    sheet.within_wide("log, f64", &log64.to_vec(), &log, |i| 2.0 * f64::EPSILON * log[i].abs());
    Ok(())
}

fn philox(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    let (stream, below) = (Philox::stream(9, Purpose::Test, &[1]), 1000u32);
    let first = u64::from(u32::MAX) - 100; // the counter crosses 32 bits
    let (mut words, mut integers) = (room::<u32>(sheet, 4 * COUNT), room::<u32>(sheet, COUNT));
    let (mut units, mut normals) = (room::<f32>(sheet, COUNT), room::<f32>(sheet, 2 * COUNT));
    gpu.run(&kernel::conform_philox, Grid::over(COUNT, 256))
        .value(stream)
        .value(first)
        .value(COUNT as u32)
        .value(below)
        .array_mut(&mut words)
        .array_mut(&mut units)
        .array_mut(&mut integers)
        .array_mut(&mut normals)
        .go();
    let blocks: Vec<u64> = (first..first + COUNT as u64).collect();
    let want: Vec<u32> = blocks.iter().flat_map(|&block| stream.words(block)).collect();
    sheet.equal("words", &words.to_vec(), &want);
    sheet.same_bits("uniforms", &units.to_vec(), &blocks.iter().map(|block| stream.uniform(4 * block)).collect::<Vec<_>>());
    let drawn: Vec<u32> = blocks.iter().map(|block| stream.below(4 * block + 1, below as usize) as u32).collect();
    sheet.equal("integers", &integers.to_vec(), &drawn);
    let normal: Vec<f64> = blocks.iter().flat_map(|block| [2, 3].map(|i| f64::from(stream.normal(4 * block + i)))).collect();
    // The CPU's sine is another than the GPU's, in f64: the last bit of f32 may differ.
    sheet.within("normals", &normals.to_vec(), &normal, |i| 2.0 * U * normal[i].abs() + 1e-15);
    Ok(())
}

fn vectors(sheet: &mut Sheet, gpu: &Gpu) -> Result<()> {
    let x = any_floats("x", COUNT);
    let mut out = room::<f32>(sheet, COUNT);
    let on = up(sheet, &x);
    gpu.run(&kernel::conform_vectors, Grid::over(COUNT / 4, 256)).array(&on).value(COUNT as u32).array_mut(&mut out).go();
    sheet.same_bits("16 and 8 bytes", &out.to_vec(), &x);
    Ok(())
}
