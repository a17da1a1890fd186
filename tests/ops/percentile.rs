//! The exact k-th smallest.

use super::common::*;
use caltrop::ops::percentile::{Percentile, percentile};

const PERCENTS: [(f64, u64); 8] =
    [(0.0, 0), (0.1, 1000), (25.0, 250_000), (50.0, 500_000), (75.0, 750_000), (99.7, 997_000), (99.9999, 999_999), (100.0, 1_000_000)];

#[test]
fn the_table_holds_on_every_device() {
    table("percentile");
}

#[test]
fn ranks_are_integers_and_ties_go_to_even() {
    let rank = |percent: f64, n: u64| Percentile::new(percent).unwrap().rank(n) + 1;
    assert_eq!(rank(99.7, 1000), 997);
    assert_eq!(rank(99.7, 400_000_001), 398_800_001);
    assert_eq!([2, 4, 6].map(|n| rank(50.0, n)), [1, 3, 3]);
    for n in (1..5000).chain([u64::from(u32::MAX), 1 << 40]) {
        for (percent, millionths) in PERCENTS {
            assert_eq!(rank(percent, n), naive::percentile_rank(n, millionths, 1_000_000), "{percent} of {n}");
        }
    }
}

#[test]
fn nothing_nan_and_no_percentage_are_refused() {
    let device = devices::first();
    let half = Percentile::new(50.0).unwrap();
    assert!(percentile(&Tensor::zeros(&device, [0, 1, 1, 1, 3]), None, 1, half).is_err());
    for percent in [-1.0, 100.1, f64::NAN] {
        assert!(Percentile::new(percent).is_err(), "{percent}");
    }
}

#[test]
fn one_nan_is_refused_wherever_it_would_sort() {
    for device in devices::all() {
        for nan in [f32::NAN, -f32::NAN] {
            for at in [0, 5, 11] {
                let mut values = [0.5f32; 12];
                values[at] = nan;
                let refused = percentile(&Tensor::from_slice(&device, [3, 1, 1, 1, 4], &values), None, 1, Percentile::new(50.0).unwrap());
                assert_eq!(refused.expect_err("NaN").to_string(), "percentile: the currents hold NaN");
            }
        }
        let ends = Tensor::from_slice(&device, [3], &[f32::INFINITY, 1.0, f32::NEG_INFINITY]);
        let found = [0.0, 100.0].map(|percent| percentile(&ends, None, 1, Percentile::new(percent).unwrap()).unwrap());
        assert_eq!(found, [f32::NEG_INFINITY, f32::INFINITY]);
    }
}
