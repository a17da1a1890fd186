//! Average pooling of numbers and of spike codes.

use super::by;
use crate::base::{Result, ensure};
use crate::ops::pool;
use crate::selftest::data::*;
use crate::selftest::naive;
use crate::selftest::sheet::Sheet;
use crate::tensor::Data;

/// [N, H, W, F, C]: odd images, two planes, single columns.
const CASES: [[usize; 5]; 8] = [
    [1, 2, 2, 1, 1],
    [2, 5, 7, 1, 17],
    [1, 4, 6, 8, 33],
    [3, 3, 2, 3, 7],
    [1, 7, 5, 9, 31],
    [2, 2, 3, 16, 5],
    [1, 9, 9, 8, 1],
    [1, 28, 28, 1, 16],
];

pub fn table(sheet: &mut Sheet) {
    sheet.each("average", &CASES, by, average);
    sheet.each("average's gradient", &CASES, by, spread);
    sheet.each("global mean and gradient", &CASES, by, global);
    sheet.each("codes read as numbers", &CASES, by, numbers);
}

fn halved([n, h, w, f, c]: [usize; 5]) -> [usize; 5] {
    [n, h / 2, w / 2, f, c]
}

fn images([n, h, w, f, c]: [usize; 5]) -> [usize; 4] {
    [n * f, h, w, c]
}

fn average(sheet: &mut Sheet, &shape: &[usize; 5]) -> Result<()> {
    let device = sheet.device();
    for form in Form::ALL {
        let x = form.values(&random("x", count(&shape)));
        let signal = data(device, form, shape, &x);
        poison(device);
        let y = pool::average(&signal)?;
        ensure!(y.shape() == halved(shape).into(), "{form:?}: the average has shape {}", y.shape());
        let known = matches!((form, &y), (Form::Spikes, Data::Quarters { .. }) | (Form::Real | Form::Quarters, Data::Real(_)));
        ensure!(known, "{form:?}: the average has another form than documented");
        let want = inward(&naive::pool_forward(&outward(&x, shape), images(shape)), halved(shape));
        // Sums of sixteenths are exact.
        let got: Vec<f32> = decoded(&y).iter().map(|&v| v as f32).collect();
        sheet.within(format!("y of {form:?}"), &got, &want, |_| if form == Form::Real { 2.0 * U } else { 0.0 });
    }
    Ok(())
}

fn spread(sheet: &mut Sheet, &shape: &[usize; 5]) -> Result<()> {
    let (device, [n, h, w, f, c]) = (sheet.device(), shape);
    let dy = random("dy", count(&halved(shape)));
    let on = tensor(device, halved(shape), &dy);
    let dx = twice(device, || Ok(vec![pool::spread(&on, [n, h, w, 99, c].into())]))?;
    let want = inward(&naive::pool_backward(&outward(&dy, halved(shape)), images(shape)), shape);
    sheet.within("dx", &dx[0], &want, |_| 0.0); // a quarter is exact
    let found = pool::spread(&on, [n, h, w, 99, c].into()).shape();
    ensure!(found == [n, h, w, f, c].into(), "the gradient has shape {found}");
    Ok(())
}

fn global(sheet: &mut Sheet, &shape: &[usize; 5]) -> Result<()> {
    let (device, [n, h, w, f, c]) = (sheet.device(), shape);
    let mean_shape = [n, 1, 1, f, c];
    for form in Form::ALL {
        let x = form.values(&random("x", count(&shape)));
        let signal = data(device, form, shape, &x);
        let y = twice(device, || Ok(vec![pool::global(&signal)]))?;
        let pooled = |x: &[f64]| inward(&naive::global_pool_forward(&outward(x, shape), images(shape)), mean_shape);
        let (want, size) = (pooled(&x), pooled(&sizes(&x)));
        sheet.within(format!("y of {form:?}"), &y[0], &want, |i| walk(h * w) * size[i]);
    }
    let dy = random("dy", n * f * c);
    let on = tensor(device, mean_shape, &dy);
    let dx = twice(device, || Ok(vec![pool::global_backward(&on, [n, h, w, 99, c].into())]))?;
    let want = inward(&naive::global_pool_backward(&outward(&dy, mean_shape), images(shape)), shape);
    sheet.within("dx", &dx[0], &want, |i| 2.0 * U * want[i].abs());
    Ok(())
}

fn numbers(sheet: &mut Sheet, &shape: &[usize; 5]) -> Result<()> {
    let device = sheet.device();
    for form in Form::ALL {
        let x = form.values(&random("x", count(&shape)));
        let signal = data(device, form, shape, &x);
        let got = twice(device, || Ok(vec![pool::numbers(&signal)]))?;
        sheet.within(format!("{form:?}"), &got[0], &x, |_| 0.0);
    }
    Ok(())
}
