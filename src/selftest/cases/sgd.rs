//! Momentum and decay, step by step.

use crate::base::{Result, fail};
use crate::ops::sgd::{self, Rates};
use crate::selftest::data::*;
use crate::selftest::naive;
use crate::selftest::sheet::Sheet;

const CASES: [(usize, Rates); 6] = [
    (1, Rates { rate: 0.1, momentum: 0.9, decay: 5e-4 }),
    (7, Rates { rate: 0.05, momentum: 0.0, decay: 0.0 }),
    (33, Rates { rate: 1e-3, momentum: 0.9, decay: 1e-3 }),
    (31, Rates { rate: 0.1, momentum: 0.0, decay: 0.1 }),
    (17, Rates { rate: 0.0, momentum: 0.9, decay: 0.0 }),
    (40_001, Rates { rate: 0.1, momentum: 0.9, decay: 5e-4 }),
];

pub fn table(sheet: &mut Sheet) {
    let name = |(n, r): &(usize, Rates)| format!("{n}, rate {}, momentum {}, decay {}", r.rate, r.momentum, r.decay);
    sheet.each("five steps", &CASES, name, five_steps);
    sheet.each("projection", &[1, 7, 33, 40_001], |n| format!("{n} thresholds"), projection);
}

fn five_steps(sheet: &mut Sheet, &(n, rates): &(usize, Rates)) -> Result<()> {
    let (device, start) = (sheet.device(), random("p", n));
    let slope = |step: usize| random(&format!("g{step}"), n);
    let got = twice(device, || {
        let (mut p, mut velocity) = (tensor(device, [n], &start), None);
        for step in 0..5 {
            sgd::step(&mut p, &tensor(device, [n], &slope(step)), &mut velocity, rates)?;
        }
        Ok(vec![p, velocity.ok_or_else(|| fail!("no velocity is kept after a step"))?])
    })?;
    let (mut want, mut buffer) = (start.clone(), None);
    let Rates { rate, momentum, decay } = rates;
    for step in 0..5 {
        naive::sgd_step(&mut want, &slope(step), &mut buffer, f64::from(rate), f64::from(momentum), f64::from(decay));
    }
    // Numbers below 4.1 (five gradients) and five updates.
    sheet.within("p", &got[0], &want, |_| 5.0 * U * (2.0 + f64::from(rate) * 16.0));
    sheet.within("velocity", &got[1], &buffer.unwrap_or_default(), |_| 5.0 * U * 8.0);
    Ok(())
}

/// It lifts what is below and leaves the rest.
fn projection(sheet: &mut Sheet, &n: &usize) -> Result<()> {
    let (device, start) = (sheet.device(), random("p", n));
    let got = twice(device, || {
        let mut p = tensor(device, [n], &start);
        sgd::at_least(&mut p, 0.03);
        Ok(vec![p])
    })?;
    let want: Vec<f32> = start.iter().map(|&p| if (p as f32) < 0.03 { 0.03 } else { p as f32 }).collect();
    sheet.same_bits("p", &got[0], &want);
    Ok(())
}
