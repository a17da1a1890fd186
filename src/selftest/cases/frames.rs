//! The mean over steps, and one frame repeated.

use crate::base::{Result, ensure};
use crate::ops::frames;
use crate::selftest::data::*;
use crate::selftest::sheet::Sheet;

/// (N, T, C).
const CASES: [[usize; 3]; 6] = [[1, 1, 1], [3, 1, 10], [7, 3, 33], [2, 8, 10], [1, 9, 17], [5, 16, 31]];

pub fn table(sheet: &mut Sheet) {
    let name = |&[n, t, k]: &[usize; 3]| format!("{n} images, {t} steps, {k} numbers");
    sheet.each("mean", &CASES, name, mean);
    sheet.each("repeat", &CASES, name, repeated);
}

fn mean(sheet: &mut Sheet, &[n, t, k]: &[usize; 3]) -> Result<()> {
    let (device, y) = (sheet.device(), random("y", n * t * k));
    let on = tensor(device, [n, 1, 1, t, k], &y);
    let got = twice(device, || Ok(vec![frames::mean(&on)]))?;
    let want: Vec<f64> = (0..n * k).map(|i| (0..t).map(|s| y[(i / k * t + s) * k + i % k]).sum::<f64>() / t as f64).collect();
    sheet.within("mean", &got[0], &want, |i| U * want[i].abs() + 1e-16);
    let shape = frames::mean(&on).shape();
    ensure!(shape == [n, k].into(), "the mean has shape {shape}");
    Ok(())
}

fn repeated(sheet: &mut Sheet, &[n, t, k]: &[usize; 3]) -> Result<()> {
    let (device, x) = (sheet.device(), random("x", n * 6 * k));
    let on = tensor(device, [n, 2, 3, 1, k], &x);
    for factor in [1.0f32, 1.0 / t as f32] {
        let got = twice(device, || Ok(vec![frames::repeat(&on, t, factor)]))?;
        let want: Vec<f32> = (0..n * 6 * t * k).map(|i| x[i / (t * k) * k + i % k] as f32 * factor).collect();
        sheet.same_bits(format!("times {factor}"), &got[0], &want);
    }
    let shape = frames::repeat(&on, t, 1.0).shape();
    ensure!(shape == [n, 2, 3, t, k].into(), "the frames have shape {shape}");
    Ok(())
}
