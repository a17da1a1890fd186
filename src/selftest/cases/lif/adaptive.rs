//! Credits whose slopes follow the membranes, or whose blame is averaged: PDSG, ASSG and HART.

use super::numbers::{Ready, Slopes, V_TH, Way, lost, membrane_errors, scaled};
use crate::base::{Result, ensure};
use crate::ops::lif::{self, Credit, Surrogate, Upstream};
use crate::selftest::data::*;
use crate::selftest::naive;
use crate::selftest::sheet::Sheet;
use crate::tensor::Tensor;

/// PDSG's slopes, and what float32 may lose of them: the bell's steepness (at most 0.25/w²) times the membrane's error, its
/// dependence on the width (at most 0.6/w²) times that of the width, which no more than √2 of the largest membrane's, and the
/// roundings of its own formula.
fn bells(ready: &Ready) -> Slopes {
    let [n, h, w, c] = ready.case.shape;
    let widths = naive::pdsg_widths(&ready.fired.u, [n, h * w, ready.steps(), c]);
    let errors = membrane_errors(ready);
    let most = errors.iter().copied().fold(0.0, f64::max);
    let over = |i: usize| ready.fired.u[i] - f64::from(V_TH);
    let slopes = (0..widths.len()).map(|i| naive::pdsg_slope(over(i), widths[i])).collect();
    let lost = |i: usize| (0.25 * (errors[i] + U * over(i).abs()) + 0.6 * 2f64.sqrt() * most) / widths[i].powi(2) + 6.0 * U / widths[i];
    Slopes { lost: (0..widths.len()).map(lost).collect(), slopes }
}

pub fn pdsg(sheet: &mut Sheet, (ready, way): &(&Ready, Way)) -> Result<()> {
    let (device, case) = (sheet.device(), &ready.case);
    let (y, affine, v_th) = ready.operands(device);
    let (shape, dy, full) = way.upstream(case);
    let gradient = tensor(device, shape, &dy);
    let run = |y: &Tensor, gradient: &Tensor| {
        let upstream = Upstream { gradient, spread: way.spread };
        lif::backward(y, affine.as_ref(), &v_th, case.dynamics, upstream, Credit::Pdsg, way.down)
    };
    poison(device);
    let found = run(&y, &gradient)?;
    let [_, steps, c] = case.extents();
    let bells = bells(ready);
    let (dx, dv_th) = naive::neuron_backward_by(&ready.fired, &full, case.extents(), case.neuron(), &bells.slopes);
    let lost = lost(ready, &full, &dx, &bells);
    let held = |dx: Vec<f64>| scaled(if case.held { summed(&dx, steps, c) } else { dx }, ready, way.down);
    let (want, loss) = (held(dx), held(lost.dx));
    ensure!(found.dx.shape() == case.with_frames(case.frames()).into(), "dx has shape {}", found.dx.shape());
    sheet.within("dx", &found.dx.to_vec(), &want, |i| loss[i] + U * want[i].abs());
    sheet.within("dv_th", &found.dv_th.to_vec(), &[dv_th], |_| U * dv_th.abs() + lost.dv_th);
    // Widths are an image's own.
    let mut alone = Vec::new();
    for image in 0..case.shape[0] {
        alone.extend(run(&y.slice(image..image + 1), &gradient.slice(image..image + 1))?.dx.to_vec());
    }
    sheet.same_bits("an image by itself", &alone, &found.dx.to_vec());
    Ok(())
}

/// Three iterations, the second without any current.
pub fn assg(sheet: &mut Sheet, (ready, way): &(&Ready, Way)) -> Result<()> {
    let (device, case) = (sheet.device(), &ready.case);
    let (y, affine, v_th) = ready.operands(device);
    let mut memory = lif::Sharpness::default();
    memory.observe(&y, affine.as_ref(), &v_th, case.dynamics)?;
    memory.observe(&Tensor::zeros(device, y.shape()), None, &v_th, case.dynamics)?;
    let found = memory.observe(&y, affine.as_ref(), &v_th, case.dynamics)?;
    let over: Vec<f64> = ready.fired.u.iter().map(|u| u - f64::from(V_TH)).collect();
    let slopes = naive::assg_slopes(&[over.clone(), vec![-f64::from(V_TH); over.len()], over.clone()]);
    // M is at least 0.9³ and takes 0.271 of the membranes' error, D as much of both: 1.1 of it in M + 1.5·D, and a handful of
    // roundings in each of three iterations. The slope leans by at most 0.51·α² in x, and by α/2 in the logarithm of α ≤ 3.7.
    let errors: Vec<f64> = membrane_errors(ready).iter().zip(&over).map(|(error, x)| error + U * x.abs()).collect();
    let most = errors.iter().copied().fold(0.0, f64::max);
    let lost: Vec<f64> = (0..over.len()).map(|i| 0.51 * 3.7 * 3.7 * errors[i] + 3.7 / 2.0 * (1.1 * most + 24.0 * U)).collect();
    sheet.within("slopes", &found.to_vec(), &slopes, |i| lost[i]);
    let (shape, dy, full) = way.upstream(case);
    let gradient = tensor(device, shape, &dy);
    let upstream = Upstream { gradient: &gradient, spread: way.spread };
    let back = lif::backward_sloped(&y, affine.as_ref(), &v_th, case.dynamics, upstream, &found, way.down)?;
    let [_, steps, c] = case.extents();
    let (dx, dv_th) = naive::neuron_backward_by(&ready.fired, &full, case.extents(), case.neuron(), &slopes);
    let lost = super::numbers::lost(ready, &full, &dx, &Slopes { slopes, lost });
    let held = |dx: Vec<f64>| scaled(if case.held { summed(&dx, steps, c) } else { dx }, ready, way.down);
    let (want, loss) = (held(dx), held(lost.dx));
    sheet.within("dx", &back.dx.to_vec(), &want, |i| loss[i] + U * want[i].abs());
    sheet.within("dv_th", &back.dv_th.to_vec(), &[dv_th], |_| U * dv_th.abs() + lost.dv_th);
    Ok(())
}

pub fn hart(sheet: &mut Sheet, (ready, (kind, oracle, gamma), way): &(&Ready, super::Slope, Way)) -> Result<()> {
    let credit = Credit::Hart(Surrogate::new(*kind, *gamma)?);
    let (device, case) = (sheet.device(), &ready.case);
    let (y, affine, v_th) = ready.operands(device);
    let (shape, dy, full) = way.upstream(case);
    let gradient = tensor(device, shape, &dy);
    let upstream = Upstream { gradient: &gradient, spread: way.spread };
    poison(device);
    let found = lif::backward(&y, affine.as_ref(), &v_th, case.dynamics, upstream, credit, way.down)?;
    let [rows, steps, c] = case.extents();
    let slopes = Slopes::of(ready, *oracle, f64::from(*gamma));
    let dx = naive::neuron_backward_hart(&full, case.extents(), &slopes.slopes);
    // The mean at every step is one frame, the sum of a held current T times as much.
    let times = if case.held { steps as f64 } else { 1.0 };
    let first =
        |dx: &[f64]| dx.chunks(steps * c).flat_map(|row| row[..c].iter().map(|d| d * times).collect::<Vec<_>>()).collect::<Vec<_>>();
    let want = scaled(first(&dx), ready, way.down);
    let terms: Vec<f64> = full.iter().zip(&slopes.slopes).map(|(dy, slope)| (dy * slope).abs()).collect();
    let leaned: Vec<f64> = full.iter().zip(&slopes.lost).map(|(dy, lost)| (dy * lost).abs()).collect();
    let loss = |i: usize| {
        let (row, k) = (i / c, i % c);
        let sum = |of: &[f64]| (0..steps).map(|t| of[(row * steps + t) * c + k]).sum::<f64>() * times / steps as f64;
        ready.scale[k].max(1.0) * (sum(&leaned) + (steps + 4) as f64 * U * sum(&terms))
    };
    ensure!(found.dx.shape() == case.with_frames(1).into(), "dx has shape {}", found.dx.shape());
    ensure!(want.len() == rows * c, "the oracle has {} numbers", want.len());
    sheet.within("dx", &found.dx.to_vec(), &want, loss);
    sheet.equal("dv_th", &found.dv_th.to_vec(), &[0.0]);
    Ok(())
}
