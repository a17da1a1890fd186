//! Pixels into features, and back.

use super::common::*;
use caltrop::base::Shape;
use caltrop::ops::flatten;

/// [N, H, W, F, C].
const CASES: [[usize; 5]; 7] =
    [[1, 1, 1, 1, 1], [2, 3, 5, 1, 7], [3, 1, 1, 8, 33], [2, 2, 3, 3, 17], [1, 7, 1, 8, 1], [2, 3, 3, 9, 31], [1, 2, 2, 16, 5]];

fn folded([n, h, w, f, c]: [usize; 5]) -> [usize; 5] {
    [n, 1, 1, f, h * w * c]
}

#[test]
fn every_form_is_permuted() {
    everywhere(&CASES, |device, &shape| {
        let [_, h, w, f, c] = shape;
        for form in Form::ALL {
            let x = form.values(&random("x", shape.iter().product()));
            devices::poison(device);
            let y = flatten::forward(data(device, form, shape, &x));
            assert_eq!(y.shape(), Shape::from(folded(shape)));
            let got = decoded(&y);
            for (i, v) in x.iter().enumerate() {
                let (k, t, pixel, n) = (i % c, i / c % f, i / (c * f) % (h * w), i / (c * f * h * w));
                assert_eq!(got[(n * f + t) * h * w * c + pixel * c + k], *v, "{form:?} {shape:?} [{i}] on {}", device.describe());
            }
        }
    });
}

#[test]
fn backward_undoes_forward() {
    everywhere(&CASES, |device, &shape| {
        let x = random("x", shape.iter().product());
        let Data::Real(y) = flatten::forward(Data::Real(tensor(device, shape, &x))) else { panic!("numbers stay numbers") };
        let back = flatten::backward(y, shape.into());
        assert_eq!((back.shape(), wide(&back)), (shape.into(), x), "{shape:?}");
    });
}

#[test]
fn a_gradient_of_one_frame_takes_the_pixels_of_the_signal() {
    everywhere(&CASES, |device, &[n, h, w, f, c]| {
        let dy = random("dy", n * h * w * c);
        let back = flatten::backward(tensor(device, folded([n, h, w, 1, c]), &dy), [n, h, w, f, c].into());
        assert_eq!((back.shape(), wide(&back)), ([n, h, w, 1, c].into(), dy));
    });
}
