//! The exact k-th smallest.

use crate::base::Result;
use crate::ops::percentile::{Percentile, percentile};
use crate::selftest::data::*;
use crate::selftest::naive;
use crate::selftest::sheet::Sheet;
use crate::tensor::Tensor;

/// Elements (last axis the channels), what a number in -1..1 becomes, and that in words.
type Case = ([usize; 2], fn(f64) -> f64, &'static str);

const CASES: [Case; 11] = [
    ([1, 1], |v| v, "one number"),
    ([7, 1], |v| v, "any"),
    ([31, 17], |v| v, "any"),
    ([33, 7], |v| -v.abs() - 0.5, "negative"),
    ([100, 10], |v| (v * 3.0).round(), "many ties, both zeros"),
    ([1000, 1], |v| v * 1e-39, "subnormal"),
    ([2048, 9], |v| (v * 40.0).exp(), "17 decades"),
    ([640, 33], |v| 1.0 + v * 1e-6, "neighbours in the last bits"),
    ([50, 3], |_| 0.25, "all equal"),
    ([9, 1], |v| if v > 0.0 { 0.0 } else { -0.0 }, "both zeros"),
    ([20_000, 3], |v| v, "several strips"),
];

/// In percent and in millionths.
const PERCENTS: [(f64, u64); 8] =
    [(0.0, 0), (0.1, 1000), (25.0, 250_000), (50.0, 500_000), (75.0, 750_000), (99.7, 997_000), (99.9999, 999_999), (100.0, 1_000_000)];

pub fn table(sheet: &mut Sheet) {
    sheet.each("what sorting finds", &CASES, |([rows, c], _, name)| format!("{rows}x{c}, {name}"), selected);
}

fn selected(sheet: &mut Sheet, &([rows, c], draw, _): &Case) -> Result<()> {
    let device = sheet.device();
    let values: Vec<f32> = random("x", rows * c).iter().map(|&v| draw(v) as f32).collect();
    let on = Tensor::from_slice(device, [rows, 1, 1, 1, c], &values);
    let (_, _, map) = affine(device, c);
    let (scale, shift) = (map.scale.to_vec(), map.shift.to_vec());
    let moved: Vec<f32> = values.iter().enumerate().map(|(i, v)| v * scale[i % c] + shift[i % c]).collect();
    for (map, values) in [(None, values), (Some(&map), moved)] {
        let mut sorted = values.clone();
        sorted.sort_by(f32::total_cmp);
        for (repeats, (percent, millionths)) in [1, 3, 100].into_iter().flat_map(|repeats| PERCENTS.map(|percent| (repeats, percent))) {
            let found = percentile(&on, map, repeats, Percentile::new(percent)?)?;
            let rank = naive::percentile_rank((rows * c * repeats) as u64, millionths, 1_000_000) as usize;
            let want = sorted[(rank - 1) / repeats];
            let what = format!("{percent} %, {repeats} times, {}", if map.is_some() { "affine" } else { "no affine" });
            sheet.equal(what, &[found], &[want]);
        }
    }
    Ok(())
}
