//! The spiking neuron: forward, backward through time with every surrogate, and through the rate.

use super::common::*;
use super::conv::{inward, outward};
use caltrop::base::Shape;
use caltrop::ops::frames;
use caltrop::ops::lif::{self, Credit, Down, Dynamics, Reset, Spread, Surrogate, SurrogateKind, Upstream};
use caltrop::ops::norm::{self, Moments, Moving, Normalised};
use naive::{Fire, Fired, Neuron};

/// [N, H, W, C]: odd images for the pools, channels around the lanes of a vector, more pixels than a strip.
const SHAPES: [[usize; 4]; 7] = [[1, 1, 1, 1], [2, 3, 5, 17], [1, 5, 4, 33], [2, 5, 3, 36], [1, 9, 7, 7], [2, 9, 9, 5], [7, 1, 1, 16]];
const STEPS: [usize; 5] = [1, 4, 8, 9, 16];
const V_TH: f32 = 0.7;

/// The kinds and widths of the ensemble attack, and one more.
const SURROGATES: [(SurrogateKind, naive::Surrogate, f32); 17] = [
    (SurrogateKind::Pcw, naive::Surrogate::Pcw, 1.0),
    (SurrogateKind::Pcw, naive::Surrogate::Pcw, 2.0),
    (SurrogateKind::Pcw, naive::Surrogate::Pcw, 3.0),
    (SurrogateKind::Pcw, naive::Surrogate::Pcw, 0.5),
    (SurrogateKind::Pcw, naive::Surrogate::Pcw, 0.25),
    (SurrogateKind::ExpD, naive::Surrogate::ExpD, 0.5),
    (SurrogateKind::ExpD, naive::Surrogate::ExpD, 1.0),
    (SurrogateKind::ExpD, naive::Surrogate::ExpD, 2.0),
    (SurrogateKind::Exp, naive::Surrogate::Exp, 0.5),
    (SurrogateKind::Exp, naive::Surrogate::Exp, 1.0),
    (SurrogateKind::Exp, naive::Surrogate::Exp, 2.0),
    (SurrogateKind::Rect, naive::Surrogate::Rect, 0.25),
    (SurrogateKind::Rect, naive::Surrogate::Rect, 0.5),
    (SurrogateKind::Rect, naive::Surrogate::Rect, 1.0),
    (SurrogateKind::Rect, naive::Surrogate::Rect, 2.0),
    (SurrogateKind::Rect, naive::Surrogate::Rect, 4.0),
    (SurrogateKind::Ste, naive::Surrogate::Ste, 1.0),
];

/// How steeply a surrogate leans where it is continuous.
fn steepness(surrogate: naive::Surrogate, gamma: f64) -> f64 {
    match surrogate {
        naive::Surrogate::Pcw => gamma.powi(-2),
        naive::Surrogate::Exp | naive::Surrogate::ExpD => gamma,
        naive::Surrogate::Rect | naive::Surrogate::Ste => 0.0,
    }
}

/// Where the spike or a surrogate jumps, as |u − v_th|: rounding may decide there, so no membrane of the table is near.
const JUMPS: [f64; 6] = [0.0, 0.125, 0.25, 0.5, 1.0, 2.0];

struct Case {
    shape: [usize; 4],
    dynamics: Dynamics,
    held: bool,
    affine: bool,
}

/// A case with its numbers: the stored current y, the current x that the neuron integrates, what the oracle did.
struct Ready {
    case: Case,
    y: Vec<f64>,
    scale: Vec<f64>,
    shift: Vec<f64>,
    fired: Fired,
}

impl Case {
    fn name(&self) -> String {
        format!("{:?} {:?} held {} affine {}", self.shape, self.dynamics, self.held, self.affine)
    }

    fn frames(&self) -> usize {
        if self.held { 1 } else { self.dynamics.steps }
    }

    /// Rows, T, C.
    fn extents(&self) -> [usize; 3] {
        let [n, h, w, c] = self.shape;
        [n * h * w, self.dynamics.steps, c]
    }

    /// [N, H, W, F, C].
    fn with_frames(&self, frames: usize) -> [usize; 5] {
        let [n, h, w, c] = self.shape;
        [n, h, w, frames, c]
    }

    fn neuron(&self) -> Neuron {
        let reset = if self.dynamics.reset == Reset::Hard { naive::Reset::Hard } else { naive::Reset::Soft };
        Neuron { v_th: f64::from(V_TH), leak: f64::from(self.dynamics.leak), reset }
    }

    fn ready(self) -> Ready {
        let [rows, steps, c] = self.extents();
        let frames = self.frames();
        let (scale, shift) = match self.affine {
            true => (between("scale", c, 0.5, 1.5), between("shift", c, -0.3, 0.3)),
            false => (vec![1.0; c], vec![0.0; c]),
        };
        let mut y = between(&self.name(), rows * frames * c, -0.5, 1.4);
        for _ in 0..100 {
            let x = repeat(&mapped(&y, &scale, &shift), frames, steps, c);
            let fired = naive::neuron_forward(&x, self.extents(), self.neuron(), Fire::Spike);
            let near = |i: &usize| JUMPS.iter().any(|jump| ((fired.u[*i] - f64::from(V_TH)).abs() - jump).abs() < 1e-4);
            let sites: std::collections::BTreeSet<(usize, usize)> = (0..x.len()).filter(near).map(|i| (i / (steps * c), i % c)).collect();
            if sites.is_empty() {
                return Ready { case: self, y, scale, shift, fired };
            }
            for (row, k) in sites {
                (0..frames).for_each(|f| y[(row * frames + f) * c + k] = f64::from((0.83 * y[(row * frames + f) * c + k] + 0.05) as f32));
            }
        }
        panic!("{}: no current far from the threshold", self.name());
    }
}

/// [rows, 1, C] at each of `steps`; other frames as they are.
fn repeat(x: &[f64], frames: usize, steps: usize, c: usize) -> Vec<f64> {
    if frames == steps { x.to_vec() } else { x.chunks(c).flat_map(|row| row.repeat(steps)).collect() }
}

fn table() -> Vec<Ready> {
    let mut cases = Vec::new();
    for steps in STEPS {
        for reset in [Reset::Hard, Reset::Soft] {
            for leak in [1.0, 0.9] {
                for (held, affine) in [(true, true), (true, false), (false, true), (false, false)] {
                    let shape = SHAPES[cases.len() % SHAPES.len()];
                    cases.push(Case { shape, dynamics: Dynamics { steps, leak, reset }, held, affine });
                }
            }
        }
    }
    cases.into_iter().map(Case::ready).collect()
}

/// The case's operands on a device.
fn operands(device: &Device, ready: &Ready) -> (Tensor, Option<Affine>, Tensor) {
    let c = ready.case.shape[3];
    let affine = Affine { scale: tensor(device, [c], &ready.scale), shift: tensor(device, [c], &ready.shift) };
    (
        tensor(device, ready.case.with_frames(ready.case.frames()), &ready.y),
        ready.case.affine.then_some(affine),
        Tensor::full(device, [], V_TH),
    )
}

#[test]
fn the_spikes_are_the_oracle_s() {
    everywhere(&table(), |device, ready| {
        let (case, what) = (&ready.case, format!("{} on {}", ready.case.name(), device.describe()));
        let (y, affine, v_th) = operands(device, ready);
        devices::poison(device);
        let spikes = lif::forward(&y, affine.as_ref(), &v_th, case.dynamics).unwrap();
        assert_eq!(spikes.shape(), Shape::from(case.with_frames(case.dynamics.steps)), "{what}");
        assert_eq!(decoded(&spikes), ready.fired.s, "{what}");
        let Data::Spikes { codes, .. } = &spikes else { panic!("{what}: spikes are codes") };
        let last = case.dynamics.steps % 8;
        if last != 0 {
            let c = case.shape[3];
            let planes = case.dynamics.steps.div_ceil(8);
            let top = codes.to_vec().chunks(planes * c).all(|pixel| pixel[(planes - 1) * c..].iter().all(|code| code >> last == 0));
            assert!(top, "{what}: bits beyond T are 0");
        }
        assert_eq!(lif::count(&spikes) as f64, ready.fired.s.iter().sum::<f64>(), "{what}");
        let [_, steps, c] = case.extents();
        let silent = |row: &[f64]| (0..c).filter(|k| row.iter().skip(*k).step_by(c).all(|s| *s == 0.0)).count() as u64;
        assert_eq!(lif::silent(&spikes), ready.fired.s.chunks(steps * c).map(silent).sum::<u64>(), "{what}");
    });
}

/// A backward of a case: the upstream gradient and what is asked.
struct Way {
    frames: usize,
    spread: Spread,
    down: Down,
}

impl Way {
    /// The `i`-th of the eight ways.
    fn nth(i: usize, steps: usize) -> Way {
        Way {
            frames: if i & 1 == 0 { steps } else { 1 },
            spread: if i & 2 == 0 { Spread::Plain } else { Spread::Quarters },
            down: if i & 4 == 0 { Down::Current } else { Down::Scaled },
        }
    }

    /// The gradient as it comes, its shape, and as every spike has it: [rows, T, C].
    fn upstream(&self, case: &Case) -> ([usize; 5], Vec<f64>, Vec<f64>) {
        let ([n, h, w, c], [rows, steps, _]) = (case.shape, case.extents());
        let (h, w) = if self.spread == Spread::Plain { (h, w) } else { (h / 2, w / 2) };
        let shape = [n, h, w, self.frames, c];
        let dy = random("dy", shape.iter().product());
        let full = match self.spread {
            Spread::Plain => dy.clone(),
            Spread::Quarters => {
                let [n, h, w, c] = case.shape;
                inward(&naive::pool_backward(&outward(&dy, shape), [n * self.frames, h, w, c]), case.with_frames(self.frames))
            }
        };
        assert_eq!(full.len(), rows * self.frames * c);
        (shape, dy, repeat(&full, self.frames, steps, c))
    }

    fn name(&self) -> String {
        format!("gradient of {} frames, {:?}, {:?}", self.frames, self.spread, self.down)
    }
}

/// Sums over T: [rows, T, C] to [rows, 1, C].
fn summed(dx: &[f64], steps: usize, c: usize) -> Vec<f64> {
    dx.chunks(steps * c).flat_map(|row| (0..c).map(|k| row.iter().skip(k).step_by(c).sum()).collect::<Vec<f64>>()).collect()
}

fn scaled(mut dx: Vec<f64>, ready: &Ready, down: Down) -> Vec<f64> {
    if down == Down::Scaled {
        dx.iter_mut().enumerate().for_each(|(i, d)| *d *= ready.scale[i % ready.scale.len()]);
    }
    dx
}

/// What float32 may lose of a backward.
struct Lost {
    dx: Vec<f64>,
    dv_th: f64,
}

/// The rounding errors of each neuron, carried along to first order (running error analysis, Higham 2002, §3.3): a
/// bound needs them, because a slope that leans and a reset that is differentiated magnify those of the membrane.
fn lost(ready: &Ready, full: &[f64], (dx, surrogate, gamma): (&[f64], naive::Surrogate, f64)) -> Lost {
    let ([rows, steps, c], neuron, frames) = (ready.case.extents(), ready.case.neuron(), ready.case.frames());
    let (mut lost, mut squares) = (Lost { dx: vec![0.0; full.len()], dv_th: 0.0 }, 0.0);
    for (row, k) in (0..rows).flat_map(|row| (0..c).map(move |k| (row, k))) {
        let at = |t: usize| (row * steps + t) * c + k;
        let (mut membranes, mut ev) = (vec![0.0; steps], 0.0);
        for t in 0..steps {
            let y = ready.y[(row * frames + if frames == 1 { 0 } else { t }) * c + k];
            let current = 2.0 * (y * ready.scale[k]).abs() + ready.shift[k].abs();
            let (u, s) = (ready.fired.u[at(t)], ready.fired.s[at(t)]);
            membranes[t] = neuron.leak * ev + U * (current + 2.0 * u.abs() + neuron.v_th);
            ev = if neuron.reset == naive::Reset::Hard { (1.0 - s) * membranes[t] } else { membranes[t] + U * u.abs() };
        }
        let (mut dv, mut edv, mut threshold) = (0.0, 0.0, 0.0);
        for t in (0..steps).rev() {
            let (u, s, eu) = (ready.fired.u[at(t)], ready.fired.s[at(t)], membranes[t]);
            let (reset, ereset, pass) = match neuron.reset {
                naive::Reset::Hard => (u, eu, 1.0 - s),
                naive::Reset::Soft => (neuron.v_th, 0.0, 1.0),
            };
            let gs: f64 = full[at(t)] - dv * reset;
            let egs = edv * reset.abs() + dv.abs() * ereset + U * ((dv * reset).abs() + gs.abs());
            let slope = surrogate.slope(u - neuron.v_th, gamma);
            let eslope = steepness(surrogate, gamma) * (eu + U * (u - neuron.v_th).abs()) + 4.0 * U * slope;
            let through = egs * slope + gs.abs() * eslope;
            let gu = dx[at(t)];
            lost.dx[at(t)] = through + edv * pass + U * ((gs * slope).abs() + gu.abs());
            threshold +=
                through + if neuron.reset == naive::Reset::Soft { edv * s } else { 0.0 } + 2.0 * U * ((gs * slope).abs() + dv.abs());
            edv = neuron.leak * lost.dx[at(t)] + U * gu.abs();
            dv = neuron.leak * gu;
        }
        squares += threshold * threshold;
    }
    lost.dv_th = 4.0 * squares.sqrt(); // neurons round each for itself
    lost
}

#[test]
fn backward_through_time_is_the_oracle_s_for_every_surrogate() {
    let mut turn = 0;
    let table = table();
    let mut uses = Vec::new();
    for ready in &table {
        for surrogate in SURROGATES {
            uses.push((ready, surrogate, Way::nth(turn, ready.case.dynamics.steps)));
            turn += 1;
        }
    }
    everywhere(&uses, |device, (ready, surrogate, way)| backward_agrees(device, ready, *surrogate, way));
}

/// Backward through time on `device` and the oracle's.
#[track_caller]
fn backward_agrees(device: &Device, ready: &Ready, (kind, oracle, gamma): (SurrogateKind, naive::Surrogate, f32), way: &Way) {
    let case = &ready.case;
    let what = format!("{} {kind:?} γ {gamma}, {}, on {}", case.name(), way.name(), device.describe());
    let (y, affine, v_th) = operands(device, ready);
    let (shape, dy, full) = way.upstream(case);
    let gradient = tensor(device, shape, &dy);
    let upstream = Upstream { gradient: &gradient, spread: way.spread };
    let credit = Credit::Bptt(Surrogate::new(kind, gamma).unwrap());
    devices::poison(device);
    let found = lif::backward(&y, affine.as_ref(), &v_th, case.dynamics, upstream, credit, way.down).unwrap();
    let [_, steps, c] = case.extents();
    let (dx, dv_th) = naive::neuron_backward(&ready.fired, &full, case.extents(), case.neuron(), oracle, f64::from(gamma));
    let lost = lost(ready, &full, (&dx, oracle, f64::from(gamma)));
    let want = scaled(if case.held { summed(&dx, steps, c) } else { dx.clone() }, ready, way.down);
    assert_eq!(found.dx.shape(), Shape::from(case.with_frames(case.frames())), "{what}");
    let loss = scaled(if case.held { summed(&lost.dx, steps, c) } else { lost.dx }, ready, way.down);
    within(&what, &found.dx.to_vec(), &want, |i| loss[i] + U * want[i].abs());
    assert_eq!(found.dv_th.shape(), Shape::from([]), "{what}");
    within(&format!("{what}: dv_th"), &found.dv_th.to_vec(), &[dv_th], |_| U * dv_th.abs() + lost.dv_th);
}

#[test]
fn many_steps_are_the_oracle_s() {
    let case = |shape, steps, reset, held| Case { shape, dynamics: Dynamics { steps, leak: 0.95, reset }, held, affine: true }.ready();
    let table = [
        (case([1, 3, 2, 5], 100, Reset::Hard, false), SURROGATES[0], 0),
        (case([1, 2, 2, 8], 41, Reset::Soft, false), SURROGATES[9], 2),
        (case([1, 1, 1, 4], 1024, Reset::Hard, false), SURROGATES[1], 1),
        (case([1, 1, 1, 3], 1030, Reset::Hard, false), SURROGATES[14], 5),
    ];
    everywhere(&table, |device, (ready, surrogate, way)| {
        let (y, affine, v_th) = operands(device, ready);
        let spikes = lif::forward(&y, affine.as_ref(), &v_th, ready.case.dynamics).unwrap();
        assert_eq!(decoded(&spikes), ready.fired.s, "{} on {}", ready.case.name(), device.describe());
        backward_agrees(device, ready, *surrogate, &Way::nth(*way, ready.case.dynamics.steps));
    });
}

/// Currents anywhere, near thresholds too: every device rounds alike, so spikes and (but for the exponential) gradients
/// have the same bits.
#[test]
fn every_device_gives_the_same_bits() {
    let (shape, steps) = ([3, 5, 4, 20], 19);
    let [n, h, w, c] = shape;
    let (y, dz) = (between("bits", n * h * w * steps * c, -0.5, 1.5), random("dz", n * h * w * steps * c));
    let first = devices::first();
    for (reset, leak, held) in [(Reset::Hard, 0.9, false), (Reset::Soft, 1.0, false), (Reset::Hard, 1.0, true), (Reset::Soft, 0.7, true)] {
        let dynamics = Dynamics { steps, leak, reset };
        let run = |device: &Device| {
            let frames = if held { 1 } else { steps };
            let on = tensor(device, [n, h, w, frames, c], &y[..n * h * w * frames * c]);
            let gradient = tensor(device, [n, h, w, steps, c], &dz);
            let (_, _, map) = super::common::affine(device, c);
            let v_th = Tensor::full(device, [], V_TH);
            let Data::Spikes { codes, .. } = lif::forward(&on, Some(&map), &v_th, dynamics).unwrap() else { panic!("spikes are codes") };
            let credits =
                [SurrogateKind::Pcw, SurrogateKind::Rect, SurrogateKind::Ste].map(|kind| Credit::Bptt(Surrogate { kind, gamma: 0.8 }));
            let dx = credits.into_iter().chain([Credit::Rate]).flat_map(|credit| {
                let upstream = Upstream { gradient: &gradient, spread: Spread::Plain };
                lif::backward(&on, Some(&map), &v_th, dynamics, upstream, credit, Down::Scaled).unwrap().dx.to_vec()
            });
            (codes.to_vec(), dx.collect::<Vec<f32>>())
        };
        let (codes, dx) = run(&first);
        for device in devices::all() {
            let (found, gradients) = run(&device);
            assert!(found == codes, "{dynamics:?} held {held} on {}: other spikes", device.describe());
            same_bits(&format!("{dynamics:?} held {held} on {}", device.describe()), &gradients, &dx);
        }
    }
}

/// Neuron and normalisation in one pass: what the two give one after the other, which have tables of their own.
#[test]
fn neuron_and_norm_in_one_pass_are_the_two() {
    let mut uses = Vec::new();
    for steps in [1, 4, 8, 17] {
        for (reset, held) in [(Reset::Hard, true), (Reset::Soft, false), (Reset::Hard, false)] {
            for credit in
                [Credit::Bptt(Surrogate::default()), Credit::Bptt(Surrogate { kind: SurrogateKind::Exp, gamma: 2.0 }), Credit::Rate]
            {
                for moving in [Moving::Batch, Moving::Constant] {
                    let shape = [[2, 3, 5, 17], [3, 4, 5, 20], [1, 9, 7, 3], [2, 5, 4, 132]][uses.len() % 4];
                    let case = Case { shape, dynamics: Dynamics { steps, leak: 0.9, reset }, held, affine: false };
                    uses.push((case, credit, moving, uses.len() / 2));
                }
            }
        }
    }
    everywhere(&uses, |device, (case, credit, moving, way)| {
        let way = Way::nth(*way, case.dynamics.steps);
        let what = format!("{} {credit:?} {moving:?}, {}, on {}", case.name(), way.name(), device.describe());
        let c = case.shape[3];
        let shape = case.with_frames(case.frames());
        let y = tensor(device, shape, &between(&case.name(), shape.iter().product(), -0.5, 1.4));
        let vector = |name, low, high| tensor(device, [c], &between(name, c, low, high));
        let (weight, bias, v_th) = (vector("weight", 0.5, 1.5), vector("bias", 0.0, 0.8), Tensor::full(device, [], V_TH));
        let moments = match moving {
            Moving::Batch => norm::moments(&y).unwrap(),
            Moving::Constant => Moments { mean: vector("mean", 0.2, 0.6), variance: vector("variance", 0.2, 0.9) },
        };
        let affine = norm::affine(&moments, &weight, &bias);
        let (above, dz, _) = way.upstream(case);
        let gradient = tensor(device, above, &dz);
        let upstream = Upstream { gradient: &gradient, spread: way.spread };
        let two = lif::backward(&y, Some(&affine), &v_th, case.dynamics, upstream, *credit, Down::Current).unwrap();
        let dx = if two.dx.shape() == y.shape() { two.dx } else { frames::repeat(&two.dx, case.frames(), 1.0) };
        let want = norm::backward(&dx, &y, &moments, &weight, *moving).unwrap();
        let normalised = Normalised { affine: &affine, moments: &moments, weight: &weight, moving: *moving };
        let found = twice(device, &what, || {
            let one = lif::backward_norm(&y, normalised, &v_th, case.dynamics, upstream, *credit).unwrap();
            assert_eq!(one.norm.dy.shape(), y.shape(), "{what}");
            vec![one.norm.dy, one.norm.dweight, one.norm.dbias, one.dv_th]
        });
        // The same numbers are added in f64, in another order; the scale of dy is rounded twice in one, once in the other.
        let close = |which: &str, found: &[f32], want: &Tensor, roundings: f64, lost: f64| {
            let size_of_want = sizes(&wide(want));
            within(&format!("{what}: {which}"), found, &wide(want), |i| roundings * U * size_of_want[i] + lost);
        };
        let (size, mean) = (wide(&dx).iter().fold(0.0, |most: f64, d| most.max(d.abs())), wide(&dx).len() as f64 * 1e-12);
        close("dbias", &found[2], &want.dbias, 2.0, mean * size);
        close("dweight", &found[1], &want.dweight, 2.0, mean * size);
        close("dv_th", &found[3], &two.dv_th, 2.0, mean * size);
        close("dy", &found[0], &want.dy, 5.0, if *moving == Moving::Batch { 16.0 * U * size } else { 0.0 });
    });
}

#[test]
fn backward_through_the_rate_is_the_oracle_s() {
    let table = table();
    let uses: Vec<(&Ready, Way)> =
        table.iter().flat_map(|ready| (0..8).map(move |i| (ready, Way::nth(i, ready.case.dynamics.steps)))).collect();
    everywhere(&uses, |device, (ready, way)| {
        let case = &ready.case;
        let what = format!("{} rate, {}, on {}", case.name(), way.name(), device.describe());
        let (y, affine, v_th) = operands(device, ready);
        let (shape, dy, full) = way.upstream(case);
        let gradient = tensor(device, shape, &dy);
        let upstream = Upstream { gradient: &gradient, spread: way.spread };
        devices::poison(device);
        let found = lif::backward(&y, affine.as_ref(), &v_th, case.dynamics, upstream, Credit::Rate, way.down).unwrap();
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
        assert_eq!(found.dx.shape(), Shape::from(case.with_frames(frames)), "{what}");
        within(&what, &found.dx.to_vec(), &want, |i| walk(if case.held { steps } else { 1 }) * ready.scale[i % c].max(1.0) * size[i]);
        assert_eq!(found.dv_th.to_vec(), [0.0], "{what}");
    });
}

#[test]
fn a_held_current_is_its_explicit_copies() {
    everywhere(&table(), |device, ready| {
        let case = &ready.case;
        if !case.held {
            return;
        }
        let [_, steps, c] = case.extents();
        let (y, affine, v_th) = operands(device, ready);
        let copies = tensor(device, case.with_frames(steps), &repeat(&ready.y, 1, steps, c));
        let spikes = |y: &Tensor| decoded(&lif::forward(y, affine.as_ref(), &v_th, case.dynamics).unwrap());
        assert_eq!(spikes(&y), spikes(&copies), "{}", case.name());
        let way = Way::nth(0, steps);
        let (shape, dy, _) = way.upstream(case);
        let gradient = tensor(device, shape, &dy);
        for credit in [Credit::Bptt(Surrogate::default()), Credit::Rate] {
            let upstream = Upstream { gradient: &gradient, spread: Spread::Plain };
            let run = |y: &Tensor| lif::backward(y, affine.as_ref(), &v_th, case.dynamics, upstream, credit, Down::Current).unwrap();
            let (held, each) = (run(&y), run(&copies));
            let each_dx = wide(&each.dx);
            let size = summed(&sizes(&each_dx), steps, c);
            within(&case.name(), &held.dx.to_vec(), &summed(&each_dx, steps, c), |i| walk(steps) * size[i]);
            same_bits("dv_th", &held.dv_th.to_vec(), &each.dv_th.to_vec());
        }
    });
}

#[test]
fn a_membrane_at_the_threshold_fires() {
    let device = devices::first();
    let y = tensor(&device, [1, 1, 1, 2, 3], &[0.5, 0.75, 0.749, 0.25, 0.0, 0.001]);
    let dynamics = Dynamics { steps: 2, leak: 1.0, reset: Reset::Hard };
    let spikes = lif::forward(&y, None, &Tensor::full(&device, [], 0.75), dynamics).unwrap();
    assert_eq!(decoded(&spikes), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = devices::first();
    let (y, v_th) = (Tensor::zeros(&device, [1, 4, 4, 3, 2]), Tensor::full(&device, [], 1.0));
    let dynamics = |steps| Dynamics { steps, leak: 1.0, reset: Reset::Hard };
    let refusal = |steps| lif::forward(&y, None, &v_th, dynamics(steps)).err().expect("refused").to_string();
    assert_eq!(refusal(0), "lif: T = 0 where spikes are needed; use --steps 1 or more");
    assert_eq!(refusal(8), "lif: 3 frames for 8 steps");
    let (_, _, narrow) = super::common::affine(&device, 5);
    assert!(lif::forward(&y, Some(&narrow), &v_th, dynamics(3)).is_err());
    for (shape, spread) in [
        ([1, 4, 4, 2, 2], Spread::Plain),
        ([1, 4, 4, 3, 2], Spread::Quarters),
        ([1, 2, 2, 3, 2], Spread::Plain),
        ([1, 4, 4, 3, 3], Spread::Plain),
    ] {
        let gradient = Tensor::zeros(&device, shape);
        let upstream = Upstream { gradient: &gradient, spread };
        assert!(lif::backward(&y, None, &v_th, dynamics(3), upstream, Credit::Rate, Down::Current).is_err(), "{shape:?} {spread:?}");
    }
}
