//! The neuron, directly as the method states it (one scalar threshold a layer), over [rows, T, C].

/// What a membrane does when it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// v = (1 - s)·u
    Hard,
    /// v = u - s·v_th
    Soft,
}

/// The surrogate derivatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surrogate {
    /// A triangle: piecewise linear, max(γ − |u|, 0)/γ².
    Pcw,
    /// exp(−γ·|u|).
    Exp,
    /// 0.3·exp(−γ·|u|).
    ExpD,
    /// 1/γ where |u| < γ/2.
    Rect,
    /// 1.
    Ste,
}

/// Every surrogate with its name in the tables.
pub const SURROGATES: [(Surrogate, &str); 5] =
    [(Surrogate::Pcw, "PCW"), (Surrogate::Exp, "EXP"), (Surrogate::ExpD, "EXP-D"), (Surrogate::Rect, "RECT"), (Surrogate::Ste, "STE")];

impl Surrogate {
    /// The surrogate called `name` (PCW, EXP, EXP-D, RECT, STE).
    pub fn named(name: &str) -> Option<Self> {
        SURROGATES.iter().find(|(_, n)| *n == name).map(|(s, _)| *s)
    }

    /// σ'(u).
    pub fn slope(self, u: f64, gamma: f64) -> f64 {
        match self {
            Surrogate::Pcw => (gamma - u.abs()).max(0.0) / (gamma * gamma),
            Surrogate::Exp => (-gamma * u.abs()).exp(),
            Surrogate::ExpD => 0.3 * (-gamma * u.abs()).exp(),
            Surrogate::Rect => f64::from(u8::from(u.abs() < gamma / 2.0)) / gamma,
            Surrogate::Ste => 1.0,
        }
    }

    /// A function whose derivative is σ': the integral from -∞ (STE: u itself).
    pub fn primitive(self, u: f64, gamma: f64) -> f64 {
        match self {
            Surrogate::Pcw if u <= -gamma => 0.0,
            Surrogate::Pcw if u < 0.0 => (u + gamma).powi(2) / (2.0 * gamma * gamma),
            Surrogate::Pcw if u < gamma => 1.0 - (gamma - u).powi(2) / (2.0 * gamma * gamma),
            Surrogate::Pcw => 1.0,
            Surrogate::Exp if u < 0.0 => (gamma * u).exp() / gamma,
            Surrogate::Exp => (2.0 - (-gamma * u).exp()) / gamma,
            Surrogate::ExpD => 0.3 * Surrogate::Exp.primitive(u, gamma),
            Surrogate::Rect => (u / gamma + 0.5).clamp(0.0, 1.0),
            Surrogate::Ste => u,
        }
    }
}

/// A layer of neurons; v_0 = 0.
#[derive(Debug, Clone, Copy)]
pub struct Neuron {
    /// The threshold.
    pub v_th: f64,
    /// The share of the membrane that survives a step.
    pub leak: f64,
    /// What a spike does to the membrane.
    pub reset: Reset,
}

/// What a neuron emits for u - v_th.
#[derive(Debug, Clone, Copy)]
pub enum Fire {
    /// The step [u - v_th ≥ 0].
    Spike,
    /// The smooth twin: the primitive of the surrogate, so that finite differences apply.
    Smooth(Surrogate, f64),
}

impl Fire {
    /// s for u - v_th.
    pub fn emit(self, over: f64) -> f64 {
        match self {
            Fire::Spike => f64::from(u8::from(over >= 0.0)),
            Fire::Smooth(surrogate, gamma) => surrogate.primitive(over, gamma),
        }
    }
}

/// What a neuron did: s_t and u_t, both [rows, T, C].
#[derive(Debug, Clone)]
pub struct Fired {
    /// Spikes.
    pub s: Vec<f64>,
    /// Membranes before the reset.
    pub u: Vec<f64>,
}

/// u_t = leak·v_{t-1} + x_t; s_t = fire(u_t - v_th); v_t by the reset. `x`: [rows, T, C].
pub fn neuron_forward(x: &[f64], [rows, steps, c]: [usize; 3], neuron: Neuron, fire: Fire) -> Fired {
    assert_eq!(x.len(), rows * steps * c);
    let mut fired = Fired { s: vec![0.0; x.len()], u: vec![0.0; x.len()] };
    for r in 0..rows {
        for k in 0..c {
            let mut v = 0.0;
            for t in 0..steps {
                let i = (r * steps + t) * c + k;
                let u = neuron.leak * v + x[i];
                let s = fire.emit(u - neuron.v_th);
                v = match neuron.reset {
                    Reset::Hard => (1.0 - s) * u,
                    Reset::Soft => u - s * neuron.v_th,
                };
                (fired.s[i], fired.u[i]) = (s, u);
            }
        }
    }
    fired
}

/// Backward through time; returns (dx, dv_th). The reset path is differentiated.
pub fn neuron_backward(
    fired: &Fired,
    dy: &[f64],
    [rows, steps, c]: [usize; 3],
    neuron: Neuron,
    surrogate: Surrogate,
    gamma: f64,
) -> (Vec<f64>, f64) {
    let slopes: Vec<f64> = fired.u.iter().map(|u| surrogate.slope(u - neuron.v_th, gamma)).collect();
    neuron_backward_by(fired, dy, [rows, steps, c], neuron, &slopes)
}

/// The same with a slope for each spike: [rows, T, C].
pub fn neuron_backward_by(fired: &Fired, dy: &[f64], [rows, steps, c]: [usize; 3], neuron: Neuron, slopes: &[f64]) -> (Vec<f64>, f64) {
    let (mut dx, mut dv_th) = (vec![0.0; dy.len()], 0.0);
    for r in 0..rows {
        for k in 0..c {
            let mut dv = 0.0;
            for t in (0..steps).rev() {
                let i = (r * steps + t) * c + k;
                let (u, s) = (fired.u[i], fired.s[i]);
                let slope = slopes[i];
                let (gs, gu);
                match neuron.reset {
                    Reset::Hard => {
                        gs = dy[i] - dv * u;
                        gu = gs * slope + dv * (1.0 - s);
                        dv_th -= gs * slope;
                    }
                    Reset::Soft => {
                        gs = dy[i] - dv * neuron.v_th;
                        gu = gs * slope + dv;
                        dv_th -= gs * slope + dv * s;
                    }
                }
                dx[i] = gu;
                dv = neuron.leak * gu;
            }
        }
    }
    (dx, dv_th)
}

/// BPTR: `dx_t = dy_t·[mean over t of s_t > 0]`; dv_th = 0.
pub fn neuron_backward_rate(fired: &Fired, dy: &[f64], [rows, steps, c]: [usize; 3]) -> Vec<f64> {
    let mut dx = vec![0.0; dy.len()];
    for r in 0..rows {
        for k in 0..c {
            let at = |t: usize| (r * steps + t) * c + k;
            let rate = (0..steps).map(|t| fired.s[at(t)]).sum::<f64>() / steps as f64;
            for t in 0..steps {
                dx[at(t)] = if rate > 0.0 { dy[at(t)] } else { 0.0 };
            }
        }
    }
    dx
}

/// HART: dx_t = mean over s of dy_s·slope_s.
pub fn neuron_backward_hart(dy: &[f64], [rows, steps, c]: [usize; 3], slopes: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; dy.len()];
    for r in 0..rows {
        for k in 0..c {
            let at = |t: usize| (r * steps + t) * c + k;
            let mean = (0..steps).map(|t| dy[at(t)] * slopes[at(t)]).sum::<f64>() / steps as f64;
            (0..steps).for_each(|t| dx[at(t)] = mean);
        }
    }
    dx
}

/// PDSG's widths [rows, T, C] of membranes [images · pixels, T, C]: the standard deviation of what an image's channel (of one
/// pixel: an image's layer) had at the steps so far, or 1.
pub fn pdsg_widths(u: &[f64], [images, pixels, steps, c]: [usize; 4]) -> Vec<f64> {
    let mut widths = vec![0.0; u.len()];
    let at = |image: usize, pixel: usize, t: usize, k: usize| ((image * pixels + pixel) * steps + t) * c + k;
    for image in 0..images {
        for t in 0..steps {
            for k in 0..c {
                let mut group = Vec::new();
                for pixel in 0..pixels {
                    for before in 0..=t {
                        let channels = if pixels == 1 { 0..c } else { k..k + 1 };
                        group.extend(channels.map(|k| u[at(image, pixel, before, k)]));
                    }
                }
                let mean = group.iter().sum::<f64>() / group.len() as f64;
                let squares: f64 = group.iter().map(|u| (u - mean).powi(2)).sum();
                let equal = group.iter().all(|u| *u == group[0]);
                let width = if equal { 1.0 } else { (squares / (group.len() - 1) as f64).sqrt() };
                (0..pixels).for_each(|pixel| widths[at(image, pixel, t, k)] = width);
            }
        }
    }
    widths
}

/// PDSG's slope at x = u - v_th: the normal density around w/2 of deviation w.
pub fn pdsg_slope(x: f64, w: f64) -> f64 {
    (-(x - w / 2.0).powi(2) / (2.0 * w * w)).exp() / ((2.0 * std::f64::consts::PI).sqrt() * w)
}

/// ASSG's slopes at the last of these iterations, each the u - v_th of every spike.
pub fn assg_slopes(iterations: &[Vec<f64>]) -> Vec<f64> {
    use std::f64::consts::PI;
    let mut slopes = vec![0.0; iterations[0].len()];
    for (i, slope) in slopes.iter_mut().enumerate() {
        let (mut mean, mut deviation) = (1.0, 0.0);
        for x in iterations.iter().map(|x| x[i]) {
            mean = 0.9 * mean + 0.1 * x.abs();
            deviation = 0.9 * deviation + 0.1 * (x.abs() - mean).abs();
            let sharpness = 2.0 / PI * (0.425 * PI).tan() / (mean + 1.5 * deviation + 1e-4);
            *slope = sharpness / 2.0 / (1.0 + (PI / 2.0 * sharpness * x).powi(2));
        }
    }
    slopes
}

/// The smallest |u - v_th| of each (row, channel) [rows, C]: below rounding, a float32 path may fire differently.
pub fn neuron_margins(fired: &Fired, [rows, steps, c]: [usize; 3], neuron: Neuron) -> Vec<f64> {
    let mut margins = vec![f64::INFINITY; rows * c];
    for r in 0..rows {
        for t in 0..steps {
            for k in 0..c {
                let margin = &mut margins[r * c + k];
                *margin = margin.min((fired.u[(r * steps + t) * c + k] - neuron.v_th).abs());
            }
        }
    }
    margins
}

/// [T, rows, C] as [rows, T, C].
pub fn time_inward(a: &[f64], [rows, steps, c]: [usize; 3]) -> Vec<f64> {
    let mut b = vec![0.0; a.len()];
    for t in 0..steps {
        for r in 0..rows {
            for k in 0..c {
                b[(r * steps + t) * c + k] = a[(t * rows + r) * c + k];
            }
        }
    }
    b
}

/// [rows, T, C] as [T, rows, C].
pub fn time_outward(a: &[f64], [rows, steps, c]: [usize; 3]) -> Vec<f64> {
    time_inward(a, [steps, rows, c])
}
