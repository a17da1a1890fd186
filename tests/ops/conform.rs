//! The building blocks of the kernels, each alone.

use super::common::*;
use caltrop::selftest::{CONFORM, run};

#[test]
fn every_building_block_does_what_the_instruction_set_says() {
    for device in devices::gpus() {
        let report = run(&device, &[CONFORM], |_| Ok(())).unwrap();
        assert!(report.first_failure().is_none() && report.checks > 0, "{}", report.table());
    }
}

#[test]
fn a_cpu_has_none() {
    assert!(run(&devices::first(), &[CONFORM], |_| Ok(())).is_err());
}
