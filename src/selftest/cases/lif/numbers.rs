//! The neuron's cases: currents away from every jump, the gradients that come from above, and what float32 may lose.

use crate::device::Device;
use crate::ops::lif::{Down, Dynamics, Reset, Spread, SurrogateKind};
use crate::ops::norm::Affine;
use crate::selftest::data::*;
use crate::selftest::naive::{self, Fire, Fired, Neuron};
use crate::tensor::Tensor;
use std::collections::BTreeSet;

/// [N, H, W, C]: odd images for the pools, channels around the lanes of a vector, more pixels than a strip.
const SHAPES: [[usize; 4]; 7] = [[1, 1, 1, 1], [2, 3, 5, 17], [1, 5, 4, 33], [2, 5, 3, 36], [1, 9, 7, 7], [2, 9, 9, 5], [7, 1, 1, 16]];
const STEPS: [usize; 5] = [1, 4, 8, 9, 16];
pub const V_TH: f32 = 0.7;

/// The kinds and widths of the ensemble attack, and one more.
pub const SURROGATES: [(SurrogateKind, naive::Surrogate, f32); 17] = [
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

pub struct Case {
    pub shape: [usize; 4],
    pub dynamics: Dynamics,
    pub held: bool,
    pub affine: bool,
}

/// A case with its numbers: the stored current y, the current x that the neuron integrates, what the oracle did.
pub struct Ready {
    pub case: Case,
    pub y: Vec<f64>,
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
    pub fired: Fired,
}

impl Case {
    pub fn name(&self) -> String {
        let Dynamics { steps, leak, reset } = self.dynamics;
        let (signal, map) = (if self.held { "held" } else { "each step" }, if self.affine { ", affine" } else { "" });
        format!("{}, T {steps}, leak {leak}, {reset:?} reset, {signal}{map}", crate::selftest::cases::by(&self.shape))
    }

    pub fn frames(&self) -> usize {
        if self.held { 1 } else { self.dynamics.steps }
    }

    /// Rows, T, C.
    pub fn extents(&self) -> [usize; 3] {
        let [n, h, w, c] = self.shape;
        [n * h * w, self.dynamics.steps, c]
    }

    /// [N, H, W, F, C].
    pub fn with_frames(&self, frames: usize) -> [usize; 5] {
        let [n, h, w, c] = self.shape;
        [n, h, w, frames, c]
    }

    pub fn neuron(&self) -> Neuron {
        let reset = if self.dynamics.reset == Reset::Hard { naive::Reset::Hard } else { naive::Reset::Soft };
        Neuron { v_th: f64::from(V_TH), leak: f64::from(self.dynamics.leak), reset }
    }

    pub fn ready(self) -> Ready {
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
            let sites: BTreeSet<(usize, usize)> = (0..x.len()).filter(near).map(|i| (i / (steps * c), i % c)).collect();
            if sites.is_empty() {
                return Ready { case: self, y, scale, shift, fired };
            }
            for (row, k) in sites {
                (0..frames).for_each(|f| y[(row * frames + f) * c + k] = f64::from((0.83 * y[(row * frames + f) * c + k] + 0.05) as f32));
            }
        }
        // The table is fixed: the currents of each of its cases are settled long before.
        unreachable!("{}: no current far from the threshold", self.name())
    }
}

/// The table of the oracle's cases.
pub fn table() -> Vec<Ready> {
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

impl Ready {
    /// T.
    pub fn steps(&self) -> usize {
        self.case.dynamics.steps
    }

    /// The current, the affine map if there is one, and the threshold, on a device.
    pub fn operands(&self, device: &Device) -> (Tensor, Option<Affine>, Tensor) {
        let c = self.case.shape[3];
        let affine = Affine { scale: tensor(device, [c], &self.scale), shift: tensor(device, [c], &self.shift) };
        (
            tensor(device, self.case.with_frames(self.case.frames()), &self.y),
            self.case.affine.then_some(affine),
            Tensor::full(device, [], V_TH),
        )
    }
}

/// A backward of a case: the upstream gradient and what is asked.
pub struct Way {
    pub frames: usize,
    pub spread: Spread,
    pub down: Down,
}

impl Way {
    /// The `i`-th of the eight ways.
    pub fn nth(i: usize, steps: usize) -> Way {
        Way {
            frames: if i & 1 == 0 { steps } else { 1 },
            spread: if i & 2 == 0 { Spread::Plain } else { Spread::Quarters },
            down: if i & 4 == 0 { Down::Current } else { Down::Scaled },
        }
    }

    /// The gradient as it comes, its shape, and as every spike has it: [rows, T, C].
    pub fn upstream(&self, case: &Case) -> ([usize; 5], Vec<f64>, Vec<f64>) {
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

    pub fn name(&self) -> String {
        format!("gradient of {} frames, {:?}, {:?}", self.frames, self.spread, self.down)
    }
}

pub fn scaled(mut dx: Vec<f64>, ready: &Ready, down: Down) -> Vec<f64> {
    if down == Down::Scaled {
        dx.iter_mut().enumerate().for_each(|(i, d)| *d *= ready.scale[i % ready.scale.len()]);
    }
    dx
}

/// What float32 may lose of a backward.
pub struct Lost {
    pub dx: Vec<f64>,
    pub dv_th: f64,
}

/// The slope of each spike, and what float32 may lose of it: [rows, T, C].
pub struct Slopes {
    pub slopes: Vec<f64>,
    pub lost: Vec<f64>,
}

impl Slopes {
    /// A surrogate's.
    pub fn of(ready: &Ready, surrogate: naive::Surrogate, gamma: f64) -> Slopes {
        let over = |i: usize| ready.fired.u[i] - f64::from(V_TH);
        let slopes: Vec<f64> = (0..ready.fired.u.len()).map(|i| surrogate.slope(over(i), gamma)).collect();
        let lost = |(i, error): (usize, f64)| steepness(surrogate, gamma) * (error + U * over(i).abs()) + 4.0 * U * slopes[i];
        Slopes { lost: membrane_errors(ready).into_iter().enumerate().map(lost).collect(), slopes }
    }
}

/// The rounding errors of the membranes [rows, T, C], carried along.
pub fn membrane_errors(ready: &Ready) -> Vec<f64> {
    let ([rows, steps, c], neuron, frames) = (ready.case.extents(), ready.case.neuron(), ready.case.frames());
    let mut membranes = vec![0.0; rows * steps * c];
    for (row, k) in (0..rows).flat_map(|row| (0..c).map(move |k| (row, k))) {
        let mut ev = 0.0;
        for t in 0..steps {
            let i = (row * steps + t) * c + k;
            let y = ready.y[(row * frames + if frames == 1 { 0 } else { t }) * c + k];
            let current = 2.0 * (y * ready.scale[k]).abs() + ready.shift[k].abs();
            let (u, s) = (ready.fired.u[i], ready.fired.s[i]);
            membranes[i] = neuron.leak * ev + U * (current + 2.0 * u.abs() + neuron.v_th);
            ev = if neuron.reset == naive::Reset::Hard { (1.0 - s) * membranes[i] } else { membranes[i] + U * u.abs() };
        }
    }
    membranes
}

/// The rounding errors of each neuron, carried along to first order (running error analysis, Higham 2002, §3.3): a
/// bound needs them, because a slope that leans and a reset that is differentiated magnify those of the membrane.
pub fn lost(ready: &Ready, full: &[f64], dx: &[f64], slopes: &Slopes) -> Lost {
    let ([rows, steps, c], neuron) = (ready.case.extents(), ready.case.neuron());
    let (mut lost, mut squares) = (Lost { dx: vec![0.0; full.len()], dv_th: 0.0 }, 0.0);
    let membranes = membrane_errors(ready);
    for (row, k) in (0..rows).flat_map(|row| (0..c).map(move |k| (row, k))) {
        let at = |t: usize| (row * steps + t) * c + k;
        let (mut dv, mut edv, mut threshold, mut sum) = (0.0, 0.0, 0.0, 0.0f64);
        for t in (0..steps).rev() {
            let (u, s, eu) = (ready.fired.u[at(t)], ready.fired.s[at(t)], membranes[at(t)]);
            let (reset, ereset, pass) = match neuron.reset {
                naive::Reset::Hard => (u, eu, 1.0 - s),
                naive::Reset::Soft => (neuron.v_th, 0.0, 1.0),
            };
            let gs: f64 = full[at(t)] - dv * reset;
            let egs = edv * reset.abs() + dv.abs() * ereset + U * ((dv * reset).abs() + gs.abs());
            let (slope, eslope) = (slopes.slopes[at(t)], slopes.lost[at(t)]);
            let through = egs * slope + gs.abs() * eslope;
            let gu = dx[at(t)];
            lost.dx[at(t)] = through + edv * pass + U * ((gs * slope).abs() + gu.abs());
            threshold +=
                through + if neuron.reset == naive::Reset::Soft { edv * s } else { 0.0 } + 2.0 * U * ((gs * slope).abs() + dv.abs());
            edv = neuron.leak * lost.dx[at(t)] + U * gu.abs();
            dv = neuron.leak * gu;
            if ready.case.held {
                sum += gu; // over the steps, from the last to the first
                lost.dx[at(t)] += U * sum.abs();
            }
        }
        squares += threshold * threshold;
    }
    lost.dv_th = 4.0 * squares.sqrt(); // neurons round each for itself
    lost
}
