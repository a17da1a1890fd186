//! Crop, mirror and cutout where the bytes lie: the loader's bits.

use super::common::*;
use caltrop::data::{Augment, Flip};
use caltrop::ops::augment::augment;
use caltrop::tensor::Array;

/// [N, H, W, C]: rows that are whole fours and rows that are not.
const CASES: [[usize; 4]; 5] = [[1, 1, 1, 1], [7, 5, 4, 2], [3, 8, 9, 3], [5, 28, 28, 1], [2, 32, 32, 3]];

const WORDS: [&[&str]; 6] = [&[], &["crop:2"], &["flip"], &["cutout:3"], &["crop", "flip", "cutout"], &["crop:40", "flip", "cutout:64"]];

fn bytes(n: usize) -> Vec<u8> {
    between("pixels", n, 0.0, 256.0).iter().map(|&v| v as u8).collect()
}

/// Image `id` after the draws at 8·id and on, pixel by pixel.
fn naive(raw: &[u8], [h, w, c]: [usize; 3], how: Augment, (seed, epoch, id): (u64, u64, usize), mean: &[f32]) -> Vec<f32> {
    let stream = Augment::stream(seed, epoch);
    let draw = |k: u64, n: usize| stream.below(id as u64 * 8 + k, n) as i64;
    let pad = how.crop_pad as i64;
    let (dy, dx) = (draw(0, 2 * how.crop_pad + 1) - pad, draw(1, 2 * how.crop_pad + 1) - pad);
    let mirrored = how.flip == Flip::Half && draw(2, 2) == 1;
    let (hole_y, hole_x, side) = (draw(3, h), draw(4, w), how.cutout as i64);
    let cut = |at: usize, centre: i64| (centre - side / 2..centre - side / 2 + side).contains(&(at as i64));
    let mut out = Vec::new();
    for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
        let from_y = y as i64 + dy;
        let from_x = if mirrored { w as i64 - 1 - x as i64 } else { x as i64 } + dx;
        let inside = (0..h as i64).contains(&from_y) && (0..w as i64).contains(&from_x);
        for channel in 0..c {
            let at = || (from_y as usize * w + from_x as usize) * c + channel;
            out.push(match (cut(y, hole_y) && cut(x, hole_x), inside) {
                (true, _) => mean[channel],
                (false, true) => f32::from(raw[at()]) / 255.0,
                (false, false) => 0.0,
            });
        }
    }
    out
}

#[test]
fn every_device_places_the_same_bits() {
    everywhere(&CASES, |device, &[n, h, w, c]| {
        let (pixels, mean) = (bytes(n * h * w * c), [0.25f32, 0.5, 0.75]);
        let ids: Vec<u32> = (0..n as u32).map(|i| 1000 * i + 3).collect();
        let on = Array::from_slice(device, [n, h, w, c], &pixels);
        let (on_ids, on_mean) = (Array::from_slice(device, [n], &ids), Tensor::from_slice(device, [c], &mean[..c]));
        for words in WORDS {
            let how = Augment::parse(words).unwrap();
            for epoch in 0..3 {
                let draws = Augment::stream(7, epoch);
                let got = twice(device, "augment", || vec![augment(&on, &on_ids, how, draws, &on_mean).unwrap()]);
                let one = |(i, raw): (usize, &[u8])| naive(raw, [h, w, c], how, (7, epoch, ids[i] as usize), &mean);
                let want: Vec<f32> = pixels.chunks(h * w * c).enumerate().flat_map(one).collect();
                same_bits(&format!("{words:?} of {n}x{h}x{w}x{c} on {}", device.describe()), &got[0], &want);
            }
        }
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = devices::first();
    let images = Array::<u8>::zeros(&device, [2, 3, 3, 1]);
    let (two, three, grey) = (Array::zeros(&device, [2]), Array::zeros(&device, [3]), Tensor::zeros(&device, [1]));
    let text = |ids: &Array<u32>, mean: &Tensor| {
        augment(&images, ids, Augment::NONE, Augment::stream(0, 0), mean).err().expect("refused").to_string()
    };
    assert_eq!(text(&three, &grey), "augment: 2 images, 3 ids");
    assert_eq!(text(&two, &Tensor::zeros(&device, [3])), "augment: 1 channels, a mean colour of 3");
}
