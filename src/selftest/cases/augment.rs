//! Crop, mirror and cutout where the bytes lie: the loader's bits.

use crate::base::Result;
use crate::data::{Augment, Crop, Flip};
use crate::ops::augment::augment;
use crate::selftest::data::*;
use crate::selftest::sheet::Sheet;
use crate::tensor::{Array, Tensor};

/// [N, H, W, C]: rows that are whole fours and rows that are not.
const CASES: [[usize; 4]; 5] = [[1, 1, 1, 1], [7, 5, 4, 2], [3, 8, 9, 3], [5, 28, 28, 1], [2, 32, 32, 3]];

const WORDS: [&[&str]; 6] = [&[], &["crop:2"], &["flip"], &["cutout:3"], &["crop", "flip", "cutout"], &["crop:40", "flip", "cutout:64"]];

pub fn table(sheet: &mut Sheet) {
    sheet.each("placed pixels", &CASES, super::by, placed);
}

/// Image `id` after the draws at 8·id and on, pixel by pixel.
fn naive(raw: &[u8], [h, w, c]: [usize; 3], how: Augment, (seed, epoch, id): (u64, u64, usize), mean: &[f32]) -> Vec<f32> {
    let stream = Augment::stream(seed, epoch);
    let draw = |k: u64, n: usize| stream.below(id as u64 * 8 + k, n) as i64;
    let pad = if let Crop::Padded(pad) = how.crop { pad } else { 0 };
    let (dy, dx) = (draw(0, 2 * pad + 1) - pad as i64, draw(1, 2 * pad + 1) - pad as i64);
    let mirrored = how.flip == Flip::Half && draw(2, 2) == 1;
    let (hole_y, hole_x, side) = (draw(3, h), draw(4, w), how.cutout as i64);
    let cut = |at: usize, centre: i64| (centre - side / 2..centre - side / 2 + side).contains(&(at as i64));
    let mut out = Vec::new();
    for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
        let from_y = y as i64 + dy;
        let from_x = if mirrored { w as i64 - 1 - x as i64 } else { x as i64 } + dx;
        let inside = (0..h as i64).contains(&from_y) && (0..w as i64).contains(&from_x);
        for (channel, &grey) in mean[..c].iter().enumerate() {
            let at = || (from_y as usize * w + from_x as usize) * c + channel;
            out.push(match (cut(y, hole_y) && cut(x, hole_x), inside) {
                (true, _) => grey,
                (false, true) => f32::from(raw[at()]) / 255.0,
                (false, false) => 0.0,
            });
        }
    }
    out
}

fn placed(sheet: &mut Sheet, &[n, h, w, c]: &[usize; 4]) -> Result<()> {
    let (device, mean) = (sheet.device(), [0.25f32, 0.5, 0.75]);
    let pixels: Vec<u8> = between("pixels", n * h * w * c, 0.0, 256.0).iter().map(|&v| v as u8).collect();
    let ids: Vec<u32> = (0..n as u32).map(|i| 1000 * i + 3).collect();
    let on = Array::from_slice(device, [n, h, w, c], &pixels);
    let (on_ids, on_mean) = (Array::from_slice(device, [n], &ids), Tensor::from_slice(device, [c], &mean[..c]));
    for words in WORDS {
        let how = Augment::parse(words)?;
        for epoch in 0..3 {
            let draws = Augment::stream(7, epoch);
            let got = twice(device, || Ok(vec![augment(&on, &on_ids, how, draws, &on_mean)?]))?;
            let one = |(i, raw): (usize, &[u8])| naive(raw, [h, w, c], how, (7, epoch, ids[i] as usize), &mean);
            let want: Vec<f32> = pixels.chunks(h * w * c).enumerate().flat_map(one).collect();
            sheet.same_bits(format!("{words:?}, epoch {epoch}"), &got[0], &want);
        }
    }
    Ok(())
}
