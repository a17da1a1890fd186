//! Weighted totals, and whether everything is finite.

use crate::base::Result;
use crate::ops::reduce;
use crate::selftest::data::*;
use crate::selftest::sheet::Sheet;
use crate::tensor::Tensor;

/// Lengths of the two tensors.
const CASES: [(usize, usize); 6] = [(1, 1), (7, 3), (16, 16), (33, 128), (128, 1), (5000, 4097)];

pub fn table(sheet: &mut Sheet) {
    let name = |(n, m): &(usize, usize)| format!("{n} and {m} numbers");
    sheet.each("totals", &CASES, name, totals);
    sheet.each("squares", &CASES, name, squares);
    sheet.each("finite", &CASES, name, finite);
}

fn totals(sheet: &mut Sheet, &(n, m): &(usize, usize)) -> Result<()> {
    let (device, a, b) = (sheet.device(), random("a", n), random("b", m));
    let (on_a, on_b) = (tensor(device, [n], &a), tensor(device, [m], &b));
    let total = |values: &[f64]| values.iter().sum::<f64>();
    for (p, q) in [(1.0, 1.0), (-1.0, 0.0), (1.0 / 3.0, 6.0 / 7.0)] {
        let got = twice(device, || Ok(vec![reduce::sum(&[(&on_a, p)])?, reduce::sum(&[(&on_a, p), (&on_b, q)])?]))?;
        // Any order of a sum in f64; then one rounding.
        let mut close = |what: String, got: &[f32], want: f64, size: f64| {
            sheet.within(what, got, &[want], |_| 1.01 * U * want.abs() + 1e-12 * size);
        };
        let (size_a, size_b) = (p.abs() * total(&sizes(&a)), q * total(&sizes(&b)));
        close(format!("{p:.2}·Σa"), &got[0], p * total(&a), size_a);
        close(format!("{p:.2}·Σa + {q:.2}·Σb"), &got[1], p * total(&a) + q * total(&b), size_a + size_b);
    }
    Ok(())
}

fn squares(sheet: &mut Sheet, &(n, _): &(usize, usize)) -> Result<()> {
    let (device, x) = (sheet.device(), random("x", n));
    let on = tensor(device, [n], &x);
    let want: f64 = x.iter().map(|x| x * x).sum();
    let got = twice(device, || Ok(vec![reduce::squares(&on)]))?;
    sheet.within("Σx²", &got[0], &[want], |_| 1.01 * U * want);
    Ok(())
}

/// One number that is not is found wherever it is.
fn finite(sheet: &mut Sheet, &(n, m): &(usize, usize)) -> Result<()> {
    let (device, a, b) = (sheet.device(), random("a", n), random("b", m));
    let good = [tensor(device, [n], &a), Tensor::zeros(device, []), tensor(device, [m], &b)];
    let flags = |tensors: &[&Tensor]| Ok::<_, crate::base::Error>(reduce::finite(tensors)?.to_vec());
    sheet.equal("all", &flags(&[&good[0], &good[1], &good[2]])?, &[1, 1, 1]);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for at in [0, m / 2, m - 1] {
            let mut broken = b.clone();
            broken[at] = bad;
            sheet.equal(format!("{bad} at {at} of {m}"), &flags(&[&good[0], &good[1], &tensor(device, [m], &broken)])?, &[1, 1, 0]);
        }
        sheet.equal(format!("{bad} alone"), &flags(&[&good[2], &tensor(device, [], &[bad])])?, &[1, 0]);
    }
    Ok(())
}
