//! The learnable pair.

use super::common::*;
use caltrop::ops::convex;

/// Pixels [N, H, W], channels, frames of a, frames of b.
const CASES: [([usize; 3], usize, usize, usize); 8] = [
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

/// [rows, F, C] repeated to `frames`.
fn repeated(x: &[f64], held: usize, frames: usize, c: usize) -> Vec<f64> {
    if held == frames { x.to_vec() } else { x.chunks(c).flat_map(|row| row.repeat(frames)).collect() }
}

/// The sum over frames where x is held.
fn summed(dx: &[f64], held: usize, frames: usize, c: usize) -> Vec<f64> {
    if held == frames {
        return dx.to_vec();
    }
    let row = |pixel: &[f64]| (0..c).map(|k| pixel.iter().skip(k).step_by(c).sum()).collect::<Vec<f64>>();
    dx.chunks(frames * c).flat_map(row).collect()
}

#[test]
fn forward_and_gradients_are_the_oracle_s() {
    everywhere(&CASES, |device, &([n, h, w], c, fa, fb)| {
        let (rows, f) = (n * h * w, fa.max(fb));
        let what = format!("{n}x{h}x{w} {c} channels, frames {fa} and {fb}, on {}", device.describe());
        let (a, b, dy) = (random("a", rows * fa * c), random("b", rows * fb * c), random("dy", rows * f * c));
        let pair = tensor(device, [2], &PAIR);
        let [on_a, on_b, on_dy] = [(&a, fa), (&b, fb), (&dy, f)].map(|(values, f)| tensor(device, [n, h, w, f, c], values));
        let y = twice(device, &what, || vec![convex::forward(&on_a, &on_b, &pair).unwrap()]);
        let (full_a, full_b) = (repeated(&a, fa, f, c), repeated(&b, fb, f, c));
        let want = naive::convex_forward(&full_a, &full_b, PAIR);
        within(&what, &y[0], &want, |i| 2.0 * U * (full_a[i].abs() + full_b[i].abs()));
        let found = twice(device, &what, || {
            let convex::Gradients { da, db, dc } = convex::backward(&on_dy, &on_a, &on_b, &pair).unwrap();
            vec![da, db, dc]
        });
        let (da, db, dc) = naive::convex_backward(&full_a, &full_b, PAIR, &dy);
        for (which, found, want, held) in [("da", &found[0], da, fa), ("db", &found[1], db, fb)] {
            let size = summed(&sizes(&want), held, f, c);
            within(&format!("{what}: {which}"), found, &summed(&want, held, f, c), |i| walk(f) * size[i]);
        }
        let (_, _, size) = naive::convex_backward(&sizes(&full_a), &sizes(&full_b), PAIR, &sizes(&dy));
        within(&format!("{what}: dc"), &found[2], &dc, |i| U * dc[i].abs() + U * size[i] / (dy.len() as f64).sqrt() * 2.0);
    });
}

#[test]
fn what_cannot_be_mixed_is_refused() {
    let device = devices::first();
    let zeros = |f: usize, c: usize| Tensor::zeros(&device, [1, 2, 2, f, c]);
    let pair = Tensor::zeros(&device, [2]);
    assert_eq!(
        convex::forward(&zeros(1, 3), &zeros(1, 4), &pair).err().expect("refused").to_string(),
        "convex: cannot mix 1x2x2x1x3 with 1x2x2x1x4"
    );
    assert!(convex::forward(&zeros(2, 3), &zeros(3, 3), &pair).is_err());
    assert!(convex::forward(&zeros(1, 3), &zeros(1, 3), &Tensor::zeros(&device, [3])).is_err());
    assert!(convex::backward(&zeros(1, 3), &zeros(8, 3), &zeros(1, 3), &pair).is_err());
}
