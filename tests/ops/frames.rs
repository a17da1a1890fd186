//! The mean over steps, and one frame repeated.

use super::common::*;
use caltrop::ops::frames;

/// (N, T, C).
const CASES: [[usize; 3]; 6] = [[1, 1, 1], [3, 1, 10], [7, 3, 33], [2, 8, 10], [1, 9, 17], [5, 16, 31]];

#[test]
fn the_mean_over_steps_is_the_oracle_s() {
    everywhere(&CASES, |device, &[n, t, k]| {
        let y = random("y", n * t * k);
        let on = tensor(device, [n, 1, 1, t, k], &y);
        let got = twice(device, "mean", || vec![frames::mean(&on)]);
        let want: Vec<f64> = (0..n * k).map(|i| (0..t).map(|s| y[(i / k * t + s) * k + i % k]).sum::<f64>() / t as f64).collect();
        within(&format!("{n}x{t}x{k}"), &got[0], &want, |i| U * want[i].abs() + 1e-16);
        assert_eq!(frames::mean(&on).shape(), [n, k].into());
    });
}

#[test]
fn a_repeated_frame_is_the_frame_times_the_factor() {
    everywhere(&CASES, |device, &[n, t, k]| {
        let x = random("x", n * 6 * k);
        let on = tensor(device, [n, 2, 3, 1, k], &x);
        for factor in [1.0f32, 1.0 / t as f32] {
            let got = twice(device, "repeat", || vec![frames::repeat(&on, t, factor)]);
            let want: Vec<f32> = (0..n * 6 * t * k).map(|i| x[i / (t * k) * k + i % k] as f32 * factor).collect();
            same_bits(&format!("{n}x{t}x{k}"), &got[0], &want);
        }
        assert_eq!(frames::repeat(&on, t, 1.0).shape(), [n, 2, 3, t, k].into());
    });
}
