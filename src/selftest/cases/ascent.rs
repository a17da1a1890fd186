//! The memory of an ascent against the published code's: all losses are kept, and every checkpoint looks back over its window.

use crate::base::Result;
use crate::ops::ascent::{Ascent, Seen};
use crate::selftest::data::*;
use crate::selftest::sheet::Sheet;
use crate::tensor::Array;

/// Images, and the steps between checkpoints.
type Case = (usize, &'static [usize]);

const CASES: [Case; 5] = [(1, &[1, 1, 1]), (7, &[4, 3, 2, 1]), (31, &[22, 19, 16]), (129, &[2, 1, 1, 1, 1]), (300, &[5, 4])];

pub fn table(sheet: &mut Sheet) {
    sheet.each("observe and check", &CASES, |(n, windows)| format!("{n} images, checkpoints after {windows:?}"), course);
}

/// The values of all points, few of them so that some are equal and zero is among them.
fn course(sheet: &mut Sheet, &(n, windows): &Case) -> Result<()> {
    let device = sheet.device();
    let points: usize = 1 + windows.iter().sum::<usize>();
    let values: Vec<Vec<f64>> =
        (0..points).map(|at| between(&format!("values {at}"), n, -8.0, 8.0).iter().map(|v| v.round() / 4.0).collect()).collect();
    let flags = |name: &str, below: f64| between(name, n, 0.0, 1.0).iter().map(|&u| u32::from(u < below)).collect::<Vec<_>>();
    let right: Vec<Vec<u32>> = (0..points).map(|at| flags(&format!("right {at}"), 0.9)).collect();
    let open = flags("open", 0.7);
    let on_values = |at: usize| tensor(device, [n], &values[at]);
    let on_flags = |flags: &[u32]| Array::from_slice(device, [n], flags);
    let (mut ascent, seen) = Ascent::begin(&on_values(0), &on_flags(&right[0]), &on_flags(&open), 0.25)?;
    let mut best = values[0].clone();
    let mut checked = (best.clone(), vec![1u32; n]); // the best at the last checkpoint, and who was halved there
    let mut steps = vec![0.25; n];
    let broken = |at: usize| (0..n).map(|i| u32::from(open[i] == 1 && right[at][i] == 0)).collect::<Vec<_>>();
    sheet.equal("improved at the start", &seen.improved.to_vec(), &vec![1u32; n]);
    sheet.equal("broken at the start", &seen.broken.to_vec(), &broken(0));
    let mut at = 0;
    for &window in windows {
        for _ in 0..window {
            at += 1;
            let Seen { improved, broken: found } = ascent.observe(&on_values(at), &on_flags(&right[at]))?;
            let want: Vec<u32> = (0..n).map(|i| u32::from(values[at][i] > best[i])).collect();
            best.iter_mut().zip(&values[at]).for_each(|(best, &value)| *best = best.max(value));
            sheet.equal(format!("improved at {at}"), &improved.to_vec(), &want);
            sheet.equal(format!("broken at {at}"), &found.to_vec(), &broken(at));
        }
        // Before the first step there was no loss: the published code reads a zero there.
        let before = |j: usize, i: usize| if j == 1 { 0.0 } else { values[j - 1][i] };
        let halved = |i: usize| {
            let rises = (at + 1 - window..=at).filter(|&j| values[j][i] > before(j, i)).count();
            u32::from(rises as f64 <= 0.75 * window as f64 || (checked.1[i] == 0 && checked.0[i] >= best[i]))
        };
        let want: Vec<u32> = (0..n).map(halved).collect();
        steps.iter_mut().zip(&want).for_each(|(step, &halved)| *step /= f64::from(1 + halved));
        checked = (best.clone(), want.clone());
        sheet.equal(format!("halved at {at}"), &ascent.check(window).to_vec(), &want);
        sheet.equal(format!("steps at {at}"), &ascent.steps().to_vec(), &steps.iter().map(|&s| s as f32).collect::<Vec<_>>());
        sheet.equal(format!("best at {at}"), &ascent.best().to_vec(), &best.iter().map(|&v| v as f32).collect::<Vec<_>>());
    }
    let alive: Vec<u32> = (0..n).map(|i| u32::from(open[i] == 1 && right.iter().all(|right| right[i] == 1))).collect();
    sheet.equal("alive", &ascent.alive().to_vec(), &alive);
    Ok(())
}
