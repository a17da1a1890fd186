//! The learnable pair.

use crate::base::Result;
use crate::ops::convex;
use crate::selftest::data::*;
use crate::selftest::naive;
use crate::selftest::sheet::Sheet;

/// Pixels [N, H, W], channels, frames of a, frames of b.
type Case = ([usize; 3], usize, usize, usize);

const CASES: [Case; 8] = [
    ([1, 1, 1], 1, 1, 1),
    ([2, 3, 5], 17, 1, 1),
    ([1, 7, 3], 33, 8, 8),
    ([3, 2, 2], 31, 1, 8),
    ([2, 5, 1], 7, 9, 1),
    ([1, 9, 9], 16, 3, 3),
    ([1, 1, 4], 5, 1, 16),
    ([4, 11, 7], 16, 1, 3),
];

const PAIR: [f64; 2] = [0.3125, 0.71875];

pub fn table(sheet: &mut Sheet) {
    let name = |(pixels, c, fa, fb): &Case| format!("{}, {c} channels, frames {fa} and {fb}", super::by(pixels));
    sheet.each("forward and gradients", &CASES, name, mixed);
}

/// The sum over frames where x is held.
fn held_sum(dx: &[f64], held: usize, frames: usize, c: usize) -> Vec<f64> {
    if held == frames { dx.to_vec() } else { summed(dx, frames, c) }
}

fn mixed(sheet: &mut Sheet, &([n, h, w], c, fa, fb): &Case) -> Result<()> {
    let (device, rows, f) = (sheet.device(), n * h * w, fa.max(fb));
    let (a, b, dy) = (random("a", rows * fa * c), random("b", rows * fb * c), random("dy", rows * f * c));
    let pair = tensor(device, [2], &PAIR);
    let [on_a, on_b, on_dy] = [(&a, fa), (&b, fb), (&dy, f)].map(|(values, f)| tensor(device, [n, h, w, f, c], values));
    let y = twice(device, || Ok(vec![convex::forward(&on_a, &on_b, &pair)?]))?;
    let (full_a, full_b) = (repeat(&a, fa, f, c), repeat(&b, fb, f, c));
    let want = naive::convex_forward(&full_a, &full_b, PAIR);
    sheet.within("y", &y[0], &want, |i| 2.0 * U * (full_a[i].abs() + full_b[i].abs()));
    let found = twice(device, || {
        let convex::Gradients { da, db, dc } = convex::backward(&on_dy, &on_a, &on_b, &pair)?;
        Ok(vec![da, db, dc])
    })?;
    let alone = twice(device, || Ok(convex::backward_members(&on_dy, [fa, fb], &pair)?.to_vec()))?;
    sheet.same_bits("da alone", &alone[0], &found[0]);
    sheet.same_bits("db alone", &alone[1], &found[1]);
    let (da, db, dc) = naive::convex_backward(&full_a, &full_b, PAIR, &dy);
    for (which, found, want, held) in [("da", &found[0], da, fa), ("db", &found[1], db, fb)] {
        let size = held_sum(&sizes(&want), held, f, c);
        sheet.within(which, found, &held_sum(&want, held, f, c), |i| walk(f) * size[i]);
    }
    let (_, _, size) = naive::convex_backward(&sizes(&full_a), &sizes(&full_b), PAIR, &sizes(&dy));
    sheet.within("dc", &found[2], &dc, |i| U * dc[i].abs() + U * size[i] / (dy.len() as f64).sqrt() * 2.0);
    Ok(())
}
