//! Dropout by Philox: the mask is drawn again, never stored.

use crate::base::Result;
use crate::base::rng::{Philox, Purpose};
use crate::ops::dropout;
use crate::selftest::data::*;
use crate::selftest::sheet::Sheet;

/// [N, H, W, F, C] and p.
const CASES: [([usize; 5], f32); 7] = [
    ([1, 1, 1, 1, 1], 0.2),
    ([1, 1, 1, 1, 7], 0.5),
    ([3, 1, 1, 8, 33], 0.2),
    ([2, 1, 1, 9, 31], 0.75),
    ([5, 1, 1, 16, 257], 0.2),
    ([2, 3, 3, 1, 17], 0.0),
    ([64, 1, 1, 8, 256], 0.2),
];

pub fn table(sheet: &mut Sheet) {
    sheet.each("forward and gradient", &CASES, |(shape, p)| format!("{}, p {p}", super::by(shape)), kept);
}

/// What a draw keeps is scaled and the rest is zero, in both directions.
fn kept(sheet: &mut Sheet, &(shape, p): &([usize; 5], f32)) -> Result<()> {
    let (device, x) = (sheet.device(), random("x", count(&shape)));
    let (on, stream) = (tensor(device, shape, &x), Philox::stream(1, Purpose::Dropout, &[0]));
    let z = twice(device, || Ok(vec![dropout::forward(&on, p, stream)?, dropout::backward(&on, p, stream)?]))?;
    let kept = |i: usize| stream.uniform(i as u64) >= p;
    let want: Vec<f64> = x.iter().enumerate().map(|(i, x)| if kept(i) { x / (1.0 - f64::from(p)) } else { 0.0 }).collect();
    sheet.within("z", &z[0], &want, |i| 3.0 * U * want[i].abs());
    sheet.within("dx", &z[1], &want, |i| 3.0 * U * want[i].abs());
    Ok(())
}
