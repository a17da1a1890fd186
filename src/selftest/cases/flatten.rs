//! Pixels into features, and back.

use super::by;
use crate::base::{Result, ensure};
use crate::ops::flatten;
use crate::selftest::data::*;
use crate::selftest::sheet::Sheet;
use crate::tensor::Data;

/// [N, H, W, F, C].
const CASES: [[usize; 5]; 7] =
    [[1, 1, 1, 1, 1], [2, 3, 5, 1, 7], [3, 1, 1, 8, 33], [2, 2, 3, 3, 17], [1, 7, 1, 8, 1], [2, 3, 3, 9, 31], [1, 2, 2, 16, 5]];

pub fn table(sheet: &mut Sheet) {
    sheet.each("forward", &CASES, by, forward);
    sheet.each("backward undoes it", &CASES, by, backward);
    sheet.each("gradient of one frame", &CASES, by, one_frame);
}

fn folded([n, h, w, f, c]: [usize; 5]) -> [usize; 5] {
    [n, 1, 1, f, h * w * c]
}

fn forward(sheet: &mut Sheet, &shape: &[usize; 5]) -> Result<()> {
    let (device, [_, h, w, f, c]) = (sheet.device(), shape);
    for form in Form::ALL {
        let x = form.values(&random("x", count(&shape)));
        poison(device);
        let y = flatten::forward(data(device, form, shape, &x));
        ensure!(y.shape() == folded(shape).into(), "{form:?}: the features have shape {}", y.shape());
        let mut want = vec![0.0; x.len()];
        for (i, v) in x.iter().enumerate() {
            let (k, t, pixel, n) = (i % c, i / c % f, i / (c * f) % (h * w), i / (c * f * h * w));
            want[(n * f + t) * h * w * c + pixel * c + k] = *v;
        }
        sheet.equal(format!("{form:?}"), &decoded(&y), &want);
    }
    Ok(())
}

fn backward(sheet: &mut Sheet, &shape: &[usize; 5]) -> Result<()> {
    let (device, x) = (sheet.device(), random("x", count(&shape)));
    let y = match flatten::forward(Data::Real(tensor(device, shape, &x))) {
        Data::Real(y) => y,
        _ => return Err(crate::base::fail!("numbers became codes")),
    };
    let back = flatten::backward(y, shape.into());
    ensure!(back.shape() == shape.into(), "the gradient has shape {}", back.shape());
    sheet.equal("dx", &wide(&back), &x);
    Ok(())
}

fn one_frame(sheet: &mut Sheet, &[n, h, w, f, c]: &[usize; 5]) -> Result<()> {
    let (device, dy) = (sheet.device(), random("dy", n * h * w * c));
    let back = flatten::backward(tensor(device, folded([n, h, w, 1, c]), &dy), [n, h, w, f, c].into());
    ensure!(back.shape() == [n, h, w, 1, c].into(), "the gradient has shape {}", back.shape());
    sheet.equal("dx", &wide(&back), &dy);
    Ok(())
}
