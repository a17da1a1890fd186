//! Dropout by Philox: the mask is drawn again, never stored.

use super::common::*;
use caltrop::base::rng::{Philox, Purpose};
use caltrop::ops::dropout;

/// [N, 1, 1, F, C] and p.
const CASES: [([usize; 5], f32); 7] = [
    ([1, 1, 1, 1, 1], 0.2),
    ([1, 1, 1, 1, 7], 0.5),
    ([3, 1, 1, 8, 33], 0.2),
    ([2, 1, 1, 9, 31], 0.75),
    ([5, 1, 1, 16, 257], 0.2),
    ([2, 3, 3, 1, 17], 0.0),
    ([64, 1, 1, 8, 256], 0.2),
];

fn stream(step: u64) -> Philox {
    Philox::stream(1, Purpose::Dropout, &[step])
}

#[test]
fn the_table_holds_on_every_device() {
    table("dropout");
}

#[test]
fn the_share_that_is_dropped_is_p() {
    let (shape, p) = CASES[6];
    let n: usize = shape.iter().product();
    for device in devices::all() {
        let ones = Tensor::full(&device, shape, 1.0f32);
        let rates: Vec<f64> = (0..4)
            .map(|step| {
                let z = dropout::forward(&ones, p, stream(step)).unwrap();
                z.to_vec().iter().filter(|&&z| z == 0.0).count() as f64 / n as f64
            })
            .collect();
        let deviation = (0.2 * 0.8 / n as f64).sqrt();
        assert!(rates.iter().all(|rate| (rate - 0.2).abs() < 4.0 * deviation), "{rates:?}, four deviations are {}", 4.0 * deviation);
    }
}

#[test]
fn backward_has_the_same_mask_and_other_streams_have_others() {
    everywhere(&CASES[2..5], |device, &(shape, p)| {
        let x = between("x", shape.iter().product(), 1.0, 2.0);
        let on = tensor(device, shape, &x);
        let mask = |z: Tensor| z.to_vec().iter().map(|&z| z != 0.0).collect::<Vec<_>>();
        let forward = mask(dropout::forward(&on, p, stream(0)).unwrap());
        assert_eq!(forward, mask(dropout::backward(&on, p, stream(0)).unwrap()));
        let other = mask(dropout::forward(&on, p, stream(1)).unwrap());
        let agree = forward.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / other.len() as f64;
        let expected = f64::from(p * p + (1.0 - p) * (1.0 - p));
        assert!(
            (agree - expected).abs() < 4.0 * (expected * (1.0 - expected) / other.len() as f64).sqrt(),
            "{agree} agree, {expected} by chance"
        );
    });
}

#[test]
fn a_probability_outside_0_to_1_is_refused() {
    let x = Tensor::zeros(&devices::first(), [1, 1, 1, 1, 4]);
    for p in [-0.1, 1.0, f32::NAN] {
        assert!(dropout::forward(&x, p, stream(0)).err().expect("refused").to_string().contains("is not in 0..1"));
    }
}
