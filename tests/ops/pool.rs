//! Average pooling of numbers and of spike codes.

use super::common::*;
use super::conv::{inward, outward};
use caltrop::base::Shape;
use caltrop::ops::pool;

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

fn halved([n, h, w, f, c]: [usize; 5]) -> [usize; 5] {
    [n, h / 2, w / 2, f, c]
}

fn images([n, h, w, f, c]: [usize; 5]) -> [usize; 4] {
    [n * f, h, w, c]
}

#[test]
fn the_average_of_every_form_is_the_oracle_s() {
    everywhere(&CASES, |device, &shape| {
        for form in Form::ALL {
            let what = format!("{form:?} {shape:?} on {}", device.describe());
            let x = form.values(&random("x", shape.iter().product()));
            let signal = data(device, form, shape, &x);
            devices::poison(device);
            let y = pool::average(&signal).unwrap();
            assert_eq!(y.shape(), Shape::from(halved(shape)), "{what}");
            assert!(matches!((form, &y), (Form::Spikes, Data::Quarters { .. }) | (Form::Real | Form::Quarters, Data::Real(_))), "{what}");
            let want = inward(&naive::pool_forward(&outward(&x, shape), images(shape)), halved(shape));
            match form {
                Form::Real => assert_close(&what, &decoded(&y), &want, bound(2.0 * U, 0.0)),
                _ => assert_eq!(decoded(&y), want, "{what}: sums of sixteenths are exact"),
            }
        }
    });
}

#[test]
fn a_pool_that_does_not_fit_is_refused() {
    let x = Data::Real(Tensor::zeros(&devices::first(), [1, 1, 4, 1, 3]));
    assert_eq!(pool::average(&x).err().expect("refused").to_string(), "pool: a 2x2 pool does not fit an image of 1x4");
}

#[test]
fn a_spread_gradient_is_the_oracle_s() {
    everywhere(&CASES, |device, &shape| {
        let [n, h, w, f, c] = shape;
        let dy = random("dy", halved(shape).iter().product());
        let on = tensor(device, halved(shape), &dy);
        let dx = twice(device, "spread", || vec![pool::spread(&on, [n, h, w, 99, c].into())]);
        let want = inward(&naive::pool_backward(&outward(&dy, halved(shape)), images(shape)), shape);
        assert_eq!(dx[0].iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), want, "{shape:?}: a quarter is exact");
        assert_eq!(pool::spread(&on, [n, h, w, 99, c].into()).shape(), [n, h, w, f, c].into());
    });
}

#[test]
fn the_global_mean_and_its_gradient_are_the_oracle_s() {
    everywhere(&CASES, |device, &shape| {
        let [n, h, w, f, c] = shape;
        let mean_shape = [n, 1, 1, f, c];
        for form in Form::ALL {
            let x = form.values(&random("x", shape.iter().product()));
            let signal = data(device, form, shape, &x);
            let y = twice(device, "global", || vec![pool::global(&signal)]);
            let pooled = |x: &[f64]| inward(&naive::global_pool_forward(&outward(x, shape), images(shape)), mean_shape);
            let (want, size) = (pooled(&x), pooled(&sizes(&x)));
            within(&format!("{form:?} {shape:?}"), &y[0], &want, |i| walk(h * w) * size[i]);
        }
        let dy = random("dy", n * f * c);
        let on = tensor(device, mean_shape, &dy);
        let dx = twice(device, "global backward", || vec![pool::global_backward(&on, [n, h, w, 99, c].into())]);
        let want = inward(&naive::global_pool_backward(&outward(&dy, mean_shape), images(shape)), shape);
        within(&format!("{shape:?}"), &dx[0], &want, |i| 2.0 * U * want[i].abs());
    });
}

#[test]
fn codes_are_read_as_their_numbers() {
    everywhere(&CASES, |device, &shape| {
        for form in Form::ALL {
            let x = form.values(&random("x", shape.iter().product()));
            let signal = data(device, form, shape, &x);
            let got = twice(device, "numbers", || vec![pool::numbers(&signal)]);
            assert_eq!(got[0].iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), x, "{form:?} {shape:?}");
        }
    });
}
