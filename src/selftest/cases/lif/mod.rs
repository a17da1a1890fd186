//! The spiking neuron: forward, backward through time with every surrogate, and through the rate.

mod adaptive;
mod numbers;

use crate::base::{Result, ensure, fail};
use crate::ops::frames;
use crate::ops::lif::{self, Credit, Down, Dynamics, Reset, Spread, Surrogate, SurrogateKind, Upstream};
use crate::ops::norm::{self, Moments, Moving, Normalised};
use crate::selftest::data::*;
use crate::selftest::naive;
use crate::selftest::sheet::Sheet;
use crate::tensor::{Data, Tensor};
use numbers::{Case, Ready, SURROGATES, Slopes, V_TH, Way, lost, scaled};

/// A surrogate here, the oracle's, and its width.
type Slope = (SurrogateKind, naive::Surrogate, f32);

pub fn table(sheet: &mut Sheet) {
    let table = numbers::table();
    sheet.each("spikes", &table, |ready| ready.case.name(), spikes);
    let uses = table.iter().flat_map(|ready| SURROGATES.map(|slope| (ready, slope)));
    let uses: Vec<(&Ready, Slope, Way)> = uses.enumerate().map(|(i, (ready, slope))| (ready, slope, Way::nth(i, ready.steps()))).collect();
    let slope = |(kind, _, gamma): &Slope| format!("{kind:?} γ {gamma}");
    let name = |(ready, by, way): &(&Ready, Slope, Way)| format!("{}, {}, {}", ready.case.name(), slope(by), way.name());
    sheet.each("backward through time", &uses, name, |sheet, (ready, slope, way)| through_time(sheet, ready, *slope, way));
    let long = long();
    sheet.each("many steps", &long, |(ready, by, _)| format!("{}, {}", ready.case.name(), slope(by)), many_steps);
    let uses: Vec<(&Ready, Way)> = table.iter().flat_map(|ready| (0..8).map(move |i| (ready, Way::nth(i, ready.steps())))).collect();
    sheet.each("backward through the rate", &uses, |(ready, way)| format!("{}, {}", ready.case.name(), way.name()), through_rate);
    let name = |(ready, way): &(&Ready, Way)| format!("{}, {}", ready.case.name(), way.name());
    sheet.each("through bells as wide as the membranes", &uses, name, adaptive::pdsg);
    sheet.each("through slopes that follow an attack", &uses, name, adaptive::assg);
    let uses = table.iter().flat_map(|ready| [0, 3, 9, 14, 16].map(|place| (ready, SURROGATES[place])));
    let uses: Vec<(&Ready, Slope, Way)> = uses.enumerate().map(|(i, (ready, slope))| (ready, slope, Way::nth(i, ready.steps()))).collect();
    let name = |(ready, by, way): &(&Ready, Slope, Way)| format!("{}, {}, {}", ready.case.name(), slope(by), way.name());
    sheet.each("averaged over time", &uses, name, adaptive::hart);
    let held: Vec<&Ready> = table.iter().filter(|ready| ready.case.held).collect();
    sheet.each("a held current is its copies", &held, |ready| ready.case.name(), |sheet, ready| copies(sheet, ready));
    let fusions = fusions();
    let name = |u: &Fusion| format!("{}, {:?}, {:?}, {}", u.case.name(), u.credit, u.moving, u.way.name());
    sheet.each("with norm in one pass", &fusions, name, fused);
}

fn spikes(sheet: &mut Sheet, ready: &Ready) -> Result<()> {
    let (device, case) = (sheet.device(), &ready.case);
    let (y, affine, v_th) = ready.operands(device);
    poison(device);
    let spikes = lif::forward(&y, affine.as_ref(), &v_th, case.dynamics)?;
    ensure!(spikes.shape() == case.with_frames(ready.steps()).into(), "the spikes have shape {}", spikes.shape());
    sheet.equal("spikes", &decoded(&spikes), &ready.fired.s);
    let Data::Spikes { codes, .. } = &spikes else { return Err(fail!("spikes are no codes")) };
    let [_, steps, c] = case.extents();
    if !steps.is_multiple_of(8) {
        let planes = steps.div_ceil(8);
        let beyond = |code: &u8| f64::from(code >> (steps % 8));
        let beyond: Vec<f64> = codes.to_vec().chunks(planes * c).flat_map(|pixel| &pixel[(planes - 1) * c..]).map(beyond).collect();
        sheet.equal("bits beyond T", &beyond, &vec![0.0; beyond.len()]);
    }
    sheet.equal("count", &[lif::count(&spikes) as f64], &[ready.fired.s.iter().sum()]);
    let silent = |row: &[f64]| (0..c).filter(|k| row.iter().skip(*k).step_by(c).all(|s| *s == 0.0)).count() as f64;
    sheet.equal("silent neurons", &[lif::silent(&spikes) as f64], &[ready.fired.s.chunks(steps * c).map(silent).sum()]);
    Ok(())
}

fn through_time(sheet: &mut Sheet, ready: &Ready, (kind, oracle, gamma): Slope, way: &Way) -> Result<()> {
    let (device, case) = (sheet.device(), &ready.case);
    let (y, affine, v_th) = ready.operands(device);
    let (shape, dy, full) = way.upstream(case);
    let gradient = tensor(device, shape, &dy);
    let upstream = Upstream { gradient: &gradient, spread: way.spread };
    let credit = Credit::Bptt(Surrogate::new(kind, gamma)?);
    poison(device);
    let found = lif::backward(&y, affine.as_ref(), &v_th, case.dynamics, upstream, credit, way.down)?;
    let [_, steps, c] = case.extents();
    let (dx, dv_th) = naive::neuron_backward(&ready.fired, &full, case.extents(), case.neuron(), oracle, f64::from(gamma));
    let lost = lost(ready, &full, &dx, &Slopes::of(ready, oracle, f64::from(gamma)));
    let held = |dx: Vec<f64>| scaled(if case.held { summed(&dx, steps, c) } else { dx }, ready, way.down);
    let (want, loss) = (held(dx), held(lost.dx));
    ensure!(found.dx.shape() == case.with_frames(case.frames()).into(), "dx has shape {}", found.dx.shape());
    sheet.within("dx", &found.dx.to_vec(), &want, |i| loss[i] + U * want[i].abs());
    ensure!(found.dv_th.shape().rank() == 0, "dv_th has shape {}", found.dv_th.shape());
    sheet.within("dv_th", &found.dv_th.to_vec(), &[dv_th], |_| U * dv_th.abs() + lost.dv_th);
    Ok(())
}

/// Cases of many steps, each with a surrogate and a way.
fn long() -> [(Ready, Slope, usize); 4] {
    let case = |shape, steps, reset, held| Case { shape, dynamics: Dynamics { steps, leak: 0.95, reset }, held, affine: true }.ready();
    [
        (case([1, 3, 2, 5], 100, Reset::Hard, false), SURROGATES[0], 0),
        (case([1, 2, 2, 8], 41, Reset::Soft, false), SURROGATES[9], 2),
        (case([1, 1, 1, 4], 1024, Reset::Hard, true), SURROGATES[1], 1),
        (case([1, 1, 1, 3], 1030, Reset::Hard, false), SURROGATES[14], 5),
    ]
}

fn many_steps(sheet: &mut Sheet, (ready, slope, way): &(Ready, Slope, usize)) -> Result<()> {
    let (y, affine, v_th) = ready.operands(sheet.device());
    let spikes = lif::forward(&y, affine.as_ref(), &v_th, ready.case.dynamics)?;
    sheet.equal("spikes", &decoded(&spikes), &ready.fired.s);
    through_time(sheet, ready, *slope, &Way::nth(*way, ready.steps()))
}

fn through_rate(sheet: &mut Sheet, (ready, way): &(&Ready, Way)) -> Result<()> {
    let (device, case) = (sheet.device(), &ready.case);
    let (y, affine, v_th) = ready.operands(device);
    let (shape, dy, full) = way.upstream(case);
    let gradient = tensor(device, shape, &dy);
    let upstream = Upstream { gradient: &gradient, spread: way.spread };
    poison(device);
    let found = lif::backward(&y, affine.as_ref(), &v_th, case.dynamics, upstream, Credit::Rate, way.down)?;
    let [_, steps, c] = case.extents();
    let dx = naive::neuron_backward_rate(&ready.fired, &full, case.extents());
    // The same at every step: one frame.
    let (frames, dx) = match (case.held, way.frames) {
        (true, _) => (1, summed(&dx, steps, c)),
        (false, 1) => (1, dx.chunks(steps * c).flat_map(|row| row[..c].to_vec()).collect()),
        (false, _) => (steps, dx),
    };
    let size = if case.held { summed(&sizes(&full), steps, c) } else { sizes(&dx) };
    let want = scaled(dx, ready, way.down);
    ensure!(found.dx.shape() == case.with_frames(frames).into(), "dx has shape {}", found.dx.shape());
    let terms = if case.held { steps } else { 1 };
    sheet.within("dx", &found.dx.to_vec(), &want, |i| walk(terms) * ready.scale[i % c].max(1.0) * size[i]);
    sheet.equal("dv_th", &found.dv_th.to_vec(), &[0.0]);
    Ok(())
}

fn copies(sheet: &mut Sheet, ready: &Ready) -> Result<()> {
    let (device, case, [_, steps, c]) = (sheet.device(), &ready.case, ready.case.extents());
    let (y, affine, v_th) = ready.operands(device);
    let copies = tensor(device, case.with_frames(steps), &repeat(&ready.y, 1, steps, c));
    let spikes = |y: &Tensor| lif::forward(y, affine.as_ref(), &v_th, case.dynamics).map(|spikes| decoded(&spikes));
    sheet.equal("spikes", &spikes(&y)?, &spikes(&copies)?);
    let (shape, dy, _) = Way::nth(0, steps).upstream(case);
    let gradient = tensor(device, shape, &dy);
    for credit in [Credit::Bptt(Surrogate::default()), Credit::Rate] {
        let upstream = Upstream { gradient: &gradient, spread: Spread::Plain };
        let run = |y: &Tensor| lif::backward(y, affine.as_ref(), &v_th, case.dynamics, upstream, credit, Down::Current);
        let (held, each) = (run(&y)?, run(&copies)?);
        let each_dx = wide(&each.dx);
        let size = summed(&sizes(&each_dx), steps, c);
        sheet.within("dx", &held.dx.to_vec(), &summed(&each_dx, steps, c), |i| walk(steps) * size[i]);
        sheet.same_bits("dv_th", &held.dv_th.to_vec(), &each.dv_th.to_vec());
    }
    Ok(())
}

/// Neuron and normalisation in one pass.
struct Fusion {
    case: Case,
    credit: Credit,
    moving: Moving,
    way: Way,
}

fn fusions() -> Vec<Fusion> {
    let mut uses = Vec::new();
    let sharp = Surrogate { kind: SurrogateKind::Exp, gamma: 2.0 };
    for steps in [1, 4, 8, 17] {
        for (reset, held) in [(Reset::Hard, true), (Reset::Soft, false), (Reset::Hard, false)] {
            for credit in [Credit::Bptt(Surrogate::default()), Credit::Bptt(sharp), Credit::Rate, Credit::Pdsg, Credit::Hart(sharp)] {
                for moving in [Moving::Batch, Moving::Constant] {
                    let shape = [[2, 3, 5, 17], [3, 4, 5, 20], [1, 9, 7, 3], [2, 5, 4, 132]][uses.len() % 4];
                    let case = Case { shape, dynamics: Dynamics { steps, leak: 0.9, reset }, held, affine: false };
                    uses.push(Fusion { case, credit, moving, way: Way::nth(uses.len() / 2, steps) });
                }
            }
        }
    }
    uses
}

/// What the two give one after the other, which have tables of their own.
fn fused(sheet: &mut Sheet, Fusion { case, credit, moving, way }: &Fusion) -> Result<()> {
    let (device, c) = (sheet.device(), case.shape[3]);
    let shape = case.with_frames(case.frames());
    let y = tensor(device, shape, &between(&case.name(), count(&shape), -0.5, 1.4));
    let vector = |name, low, high| tensor(device, [c], &between(name, c, low, high));
    let (weight, bias, v_th) = (vector("weight", 0.5, 1.5), vector("bias", 0.0, 0.8), Tensor::full(device, [], V_TH));
    let moments = match moving {
        Moving::Batch => norm::moments(&y)?,
        Moving::Constant => Moments { mean: vector("mean", 0.2, 0.6), variance: vector("variance", 0.2, 0.9) },
    };
    let affine = norm::affine(&moments, &weight, &bias);
    let (above, dz, _) = way.upstream(case);
    let gradient = tensor(device, above, &dz);
    let upstream = Upstream { gradient: &gradient, spread: way.spread };
    let two = lif::backward(&y, Some(&affine), &v_th, case.dynamics, upstream, *credit, Down::Current)?;
    let dx = if two.dx.shape() == y.shape() { two.dx } else { frames::repeat(&two.dx, case.frames(), 1.0) };
    let want = norm::backward(&dx, &y, &moments, &weight, *moving)?;
    let normalised = Normalised { affine: &affine, moments: &moments, weight: &weight, moving: *moving };
    let found = twice(device, || {
        let one = lif::backward_norm(&y, normalised, &v_th, case.dynamics, upstream, (*credit, None))?;
        ensure!(one.norm.dy.shape() == y.shape(), "dy has shape {}", one.norm.dy.shape());
        Ok(vec![one.norm.dy, one.norm.dweight, one.norm.dbias, one.dv_th])
    })?;
    // The same numbers are added in f64, in another order; the scale of dy is rounded twice in one, once in the other.
    let mut close = |which: &str, found: &[f32], want: &Tensor, roundings: f64, lost: f64| {
        let want = wide(want);
        sheet.within(which, found, &want, |i| roundings * U * want[i].abs() + lost);
    };
    let (size, mean) = (wide(&dx).iter().fold(0.0, |most: f64, d| most.max(d.abs())), wide(&dx).len() as f64 * 1e-12);
    close("dbias", &found[2], &want.dbias, 2.0, mean * size);
    close("dweight", &found[1], &want.dweight, 2.0, mean * size);
    close("dv_th", &found[3], &two.dv_th, 2.0, mean * size);
    close("dy", &found[0], &want.dy, 5.0, if *moving == Moving::Batch { 16.0 * U * size } else { 0.0 });
    Ok(())
}
