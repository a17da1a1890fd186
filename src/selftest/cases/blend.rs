//! Weighted sums of one tensor and of two.

use crate::base::Result;
use crate::ops::blend::blend;
use crate::selftest::data::*;
use crate::selftest::sheet::Sheet;

const CASES: [usize; 6] = [1, 7, 16, 33, 16_384, 40_001];

pub fn table(sheet: &mut Sheet) {
    sheet.each("sum in f64, rounded once", &CASES, |n| format!("{n} numbers"), blended);
}

fn blended(sheet: &mut Sheet, &n: &usize) -> Result<()> {
    let (device, a, b) = (sheet.device(), random("a", n), random("b", n));
    let (on_a, on_b) = (tensor(device, [n], &a), tensor(device, [n], &b));
    for (p, q) in [(1.0, 1.0), (-1.0, 0.0), (1.0 / 3.0, -2.0 / 7.0), (1e-9, 1e9)] {
        let got = twice(device, || Ok(vec![blend(&[(&on_a, p)])?, blend(&[(&on_a, p), (&on_b, q)])?]))?;
        let one: Vec<f32> = a.iter().map(|a| (0.0 + p * a) as f32).collect();
        let two: Vec<f32> = a.iter().zip(&b).map(|(a, b)| (0.0 + p * a + q * b) as f32).collect();
        sheet.same_bits(format!("{p:.3e}·a"), &got[0], &one);
        sheet.same_bits(format!("{p:.3e}·a + {q:.3e}·b"), &got[1], &two);
    }
    // What a sum in f32 would give.
    let sum: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| a as f32 + b as f32).collect();
    sheet.same_bits("a + b", &blend(&[(&on_a, 1.0), (&on_b, 1.0)])?.to_vec(), &sum);
    Ok(())
}
