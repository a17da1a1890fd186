//! Whole networks on the f64 tape, over explicit time copies: the judge of the program's autodiff.
//!
//! A signal is [T, N, H, W, C] (row t·N + n); the image is presented T times, the logits are the mean
//! over T. T = 0 is the ANN: one frame, ReLU for the neurons. Parameters bear their state-dict names and
//! are channels-last (weights [C_out, kh, kw, C_in]; the first linear's columns in H, W, C order).

use std::collections::BTreeMap;

use super::naive::{NORM_MOMENTUM, Statistics, channels_last};
use super::neuron::{Fire, Reset, Surrogate};
pub use super::plan::*;
use super::tape::{Grads, Id, Tape, ZERO};

/// Values by name, channels-last.
pub type Values = BTreeMap<String, Vec<f64>>;

/// How blame returns through a neuron, and what it emits.
#[derive(Debug, Clone, Copy)]
pub enum Credit {
    /// Spikes; backward through time with a surrogate and γ.
    Bptt(Surrogate, f64),
    /// Spikes; BPTR.
    Rate,
    /// The smooth twin of a surrogate: its primitive forward, its exact derivative backward.
    Smooth(Surrogate, f64),
}

/// How a network is run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// T; 0 is the ANN.
    pub steps: usize,
    pub statistics: Statistics,
    pub credit: Credit,
    pub leak: f64,
    pub reset: Reset,
    pub mean: Vec<f64>,
    pub std: Vec<f64>,
}

impl Setup {
    /// CIFAR-10's normalisation, IF neurons with hard reset, PCW with γ = 1.
    pub fn new(steps: usize, statistics: Statistics) -> Self {
        let (mean, std) = (vec![0.4914, 0.4822, 0.4465], vec![0.2023, 0.1994, 0.2010]);
        Setup { steps, statistics, credit: Credit::Bptt(Surrogate::Pcw, 1.0), leak: 1.0, reset: Reset::Hard, mean, std }
    }
}

/// Frames on the tape.
#[derive(Debug, Clone, Copy)]
struct Signal {
    id: Id,
    rows: usize, // T·N
    h: usize,
    w: usize,
    c: usize,
}

/// A network whose parameters are leaves of a tape; any number of forwards share them.
pub struct Network {
    layers: Vec<Layer>,
    params: BTreeMap<String, Id>,
    /// Running statistics by name; a forward with [`Statistics::Batch`] moves them.
    pub running: Values,
    /// Spikes of each neuron layer in the last forward (the sum of what was emitted).
    pub spikes: Vec<f64>,
    /// Elements of each neuron layer's output in the last forward.
    pub sites: Vec<usize>,
}

impl Network {
    /// Puts the parameters of `dict` (PyTorch's layout) on `tape`, channels-last.
    /// Image extents are needed for the columns of the first linear.
    pub fn new(tape: &mut Tape, layers: &[Layer], dict: &StateDict, side: usize) -> Self {
        let (mut params, mut running) = (BTreeMap::new(), BTreeMap::new());
        let flat = flat_extents(layers, side);
        for (name, (shape, values)) in dict {
            let values: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
            let values = match shape[..] {
                [o, i, kh, kw] => channels_last(&values, [o, i, kh, kw]),
                [o, _] if flat.as_ref().is_some_and(|(first, _)| name == &format!("{first}.weight")) => {
                    let [c, h, w] = flat.as_ref().expect("matched").1;
                    channels_last(&values, [o, c, h, w])
                }
                _ => values,
            };
            if name.contains(".running_") {
                running.insert(name.clone(), values);
            } else {
                params.insert(name.clone(), tape.leaf(values));
            }
        }
        Network { layers: layers.to_vec(), params, running, spikes: Vec::new(), sites: Vec::new() }
    }

    /// The parameters' names and places on the tape.
    pub fn params(&self) -> &BTreeMap<String, Id> {
        &self.params
    }

    /// Puts other values (channels-last) in place of the parameter `name`.
    pub fn replace(&mut self, tape: &mut Tape, name: &str, values: &[f64]) {
        let id = tape.leaf(values);
        assert!(self.params.insert(name.to_string(), id).is_some(), "no parameter {name}");
    }

    /// Logits [N, K] of `images` [N, H, W, C] in [0, 1].
    pub fn forward(&mut self, tape: &mut Tape, images: Id, [n, h, w, c]: [usize; 4], setup: &Setup) -> Id {
        (self.spikes, self.sites) = (Vec::new(), Vec::new());
        let minus_mean = tape.leaf(setup.mean.iter().map(|m| -m).collect::<Vec<_>>());
        let scale = tape.leaf(setup.std.iter().map(|s| 1.0 / s).collect::<Vec<_>>());
        let x = tape.add_spread(images, minus_mean);
        let x = tape.mul_spread(x, scale);
        let (frames, size) = (setup.steps.max(1), tape.len(x));
        let x = tape.gather(x, (0..frames * size).map(|i| i % size).collect());
        let mut signal = Signal { id: x, rows: frames * n, h, w, c };
        for layer in self.layers.clone() {
            signal = self.layer(tape, &layer, signal, setup);
        }
        let k = signal.h * signal.w * signal.c;
        let sums = tape.scatter(signal.id, n * k, (0..frames * n * k).map(|i| i % (n * k)).collect());
        tape.affine(sums, 1.0 / frames as f64, 0.0)
    }

    fn layer(&mut self, tape: &mut Tape, layer: &Layer, x: Signal, setup: &Setup) -> Signal {
        match layer {
            Layer::Conv { name, kernel, stride, .. } => self.conv(tape, name, *kernel, *stride, x),
            Layer::Norm { name, .. } => self.norm(tape, name, x, setup.statistics),
            Layer::Neuron { name } => self.neuron(tape, name, x, setup),
            Layer::Pool => pool(tape, x, 2, 2),
            Layer::GlobalPool => pool(tape, x, x.h, x.w),
            Layer::Linear { name, .. } => self.linear(tape, name, x),
            Layer::Residual { .. } | Layer::Wide { .. } => self.block(tape, layer, x, setup),
        }
    }

    fn block(&mut self, tape: &mut Tape, layer: &Layer, x: Signal, setup: &Setup) -> Signal {
        let parts = parts(layer);
        let [_, conv1, bn1, act1, conv2, bn2, act2, shortcut @ ..] = &parts[..] else { unreachable!("a block has seven parts") };
        let mut run = |layers: &[&Layer], x: Signal| layers.iter().fold(x, |x, layer| self.layer(tape, layer, x, setup));
        let shortcut: Vec<&Layer> = shortcut.iter().collect();
        match layer {
            Layer::Residual { name, .. } => {
                let y = run(&[conv1, bn1, act1, conv2, bn2], x);
                let across = run(&shortcut, x);
                let mixed = self.mix(tape, name, across, y);
                self.layer(tape, act2, mixed, setup)
            }
            Layer::Wide { name, .. } => {
                let h = run(&[bn1, act1], x);
                let y = run(&[conv1, bn2, act2, conv2], h);
                let across = if shortcut.is_empty() { x } else { run(&shortcut, h) };
                self.mix(tape, name, across, y)
            }
            _ => unreachable!("only blocks come here"),
        }
    }

    fn mix(&self, tape: &mut Tape, name: &str, a: Signal, b: Signal) -> Signal {
        let (comb, n) = (self.params[&format!("{name}.convex.comb")], tape.len(b.id));
        let (c0, c1) = (tape.gather(comb, vec![0; n]), tape.gather(comb, vec![1; n]));
        let (a, y) = (tape.mul(c0, a.id), tape.mul(c1, b.id));
        Signal { id: tape.add(a, y), ..b }
    }

    /// As a product of gathered patches [pixels, k·k·C_in] with the weights; pad k/2.
    fn conv(&self, tape: &mut Tape, name: &str, k: usize, stride: usize, x: Signal) -> Signal {
        let along = |extent: usize| (extent + 2 * (k / 2) - k) / stride + 1;
        let (oh, ow) = (along(x.h), along(x.w));
        let mut at = Vec::with_capacity(x.rows * oh * ow * k * k * x.c);
        for r in 0..x.rows {
            for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                for (ky, kx) in (0..k).flat_map(|y| (0..k).map(move |x| (y, x))) {
                    let (iy, ix) = ((oy * stride + ky).checked_sub(k / 2), (ox * stride + kx).checked_sub(k / 2));
                    match (iy, ix) {
                        (Some(iy), Some(ix)) if iy < x.h && ix < x.w => at.extend((0..x.c).map(|c| ((r * x.h + iy) * x.w + ix) * x.c + c)),
                        _ => at.extend(std::iter::repeat_n(ZERO, x.c)),
                    }
                }
            }
        }
        let patches = tape.gather(x.id, at);
        let y = tape.product(patches, self.params[&format!("{name}.weight")], k * k * x.c);
        let c = tape.len(y) / (x.rows * oh * ow);
        Signal { id: self.biased(tape, name, y), h: oh, w: ow, c, ..x }
    }

    fn linear(&self, tape: &mut Tape, name: &str, x: Signal) -> Signal {
        let y = tape.product(x.id, self.params[&format!("{name}.weight")], x.h * x.w * x.c);
        let c = tape.len(y) / x.rows;
        Signal { id: self.biased(tape, name, y), h: 1, w: 1, c, ..x }
    }

    fn biased(&self, tape: &mut Tape, name: &str, y: Id) -> Id {
        match self.params.get(&format!("{name}.bias")) {
            Some(&bias) => tape.add_spread(y, bias),
            None => y,
        }
    }

    fn norm(&mut self, tape: &mut Tape, name: &str, x: Signal, statistics: Statistics) -> Signal {
        let (weight, bias) = (self.params[&format!("{name}.weight")], self.params[&format!("{name}.bias")]);
        let [mean_name, var_name] = ["mean", "var"].map(|s| format!("{name}.running_{s}"));
        let running = (&self.running[&mean_name][..], &self.running[&var_name][..]);
        let (y, mean, var) = tape.norm(x.id, weight, bias, running, statistics);
        if statistics == Statistics::Batch {
            let n = (x.rows * x.h * x.w) as f64;
            let unbiased = var.iter().map(|v| v * n / (n - 1.0)).collect();
            for (key, new) in [(mean_name, mean), (var_name, unbiased)] {
                let old = self.running.get_mut(&key).expect("read above");
                old.iter_mut().zip(&new).for_each(|(o, n)| *o = (1.0 - NORM_MOMENTUM) * *o + NORM_MOMENTUM * n);
            }
        }
        Signal { id: y, ..x }
    }

    fn neuron(&mut self, tape: &mut Tape, name: &str, x: Signal, setup: &Setup) -> Signal {
        if setup.steps == 0 {
            return Signal { id: tape.relu(x.id), ..x };
        }
        let v_th = self.params[&format!("{name}.v_th")];
        let y = match setup.credit {
            Credit::Bptt(surrogate, gamma) => neuron(tape, x.id, v_th, setup, Fire::Spike, surrogate, gamma),
            Credit::Smooth(surrogate, gamma) => neuron(tape, x.id, v_th, setup, Fire::Smooth(surrogate, gamma), surrogate, gamma),
            Credit::Rate => {
                let spikes = neuron(tape, x.id, v_th, setup, Fire::Spike, Surrogate::Ste, 1.0);
                let (spikes, size) = (tape.value(spikes).to_vec(), tape.len(x.id) / setup.steps);
                let alive = |i: usize| (0..setup.steps).any(|t| spikes[t * size + i] > 0.0);
                let slope = (0..spikes.len()).map(|i| f64::from(u8::from(alive(i % size)))).collect();
                tape.straight(x.id, spikes, slope)
            }
        };
        self.spikes.push(tape.value(y).iter().sum());
        self.sites.push(tape.len(y));
        Signal { id: y, ..x }
    }
}

/// The neuron's recurrence over [T, M], from elementary operations; `v_th` is one element.
pub fn neuron(tape: &mut Tape, x: Id, v_th: Id, setup: &Setup, fire: Fire, surrogate: Surrogate, gamma: f64) -> Id {
    let size = tape.len(x) / setup.steps;
    let threshold = tape.spread(v_th, size);
    let mut v = tape.leaf(vec![0.0; size]);
    let mut spikes = Vec::new();
    for t in 0..setup.steps {
        let current = tape.gather(x, (t * size..(t + 1) * size).collect());
        let kept = tape.affine(v, setup.leak, 0.0);
        let u = tape.add(kept, current);
        let over = tape.sub(u, threshold);
        let s = tape.fire(over, fire, surrogate, gamma);
        let lost = tape.mul(
            s,
            match setup.reset {
                Reset::Hard => u,
                Reset::Soft => threshold,
            },
        );
        v = tape.sub(u, lost);
        spikes.push(s);
    }
    tape.concat(spikes)
}

/// The mean over windows of kh x kw.
fn pool(tape: &mut Tape, x: Signal, kh: usize, kw: usize) -> Signal {
    let (oh, ow) = (x.h / kh, x.w / kw);
    let mut from = Vec::new();
    let mut to = Vec::new();
    for i in 0..x.rows * x.h * x.w * x.c {
        let (c, ix, iy, r) = (i % x.c, i / x.c % x.w / kw, i / (x.c * x.w) % x.h / kh, i / (x.c * x.w * x.h));
        if iy < oh && ix < ow {
            from.push(i);
            to.push(((r * oh + iy) * ow + ix) * x.c + c);
        }
    }
    let covered = tape.gather(x.id, from);
    let sums = tape.scatter(covered, x.rows * oh * ow * x.c, to);
    Signal { id: tape.affine(sums, 1.0 / (kh * kw) as f64, 0.0), h: oh, w: ow, ..x }
}

/// What [`judge`] finds, channels-last.
pub struct Judged {
    pub logits: Vec<f64>,
    pub loss: f64,
    pub d_images: Vec<f64>,
    /// Gradient of every parameter, by name.
    pub d_params: Values,
    /// Running statistics after the forward.
    pub running: Values,
    pub spikes: Vec<f64>,
}

/// One forward of `images` [N, H, W, C] and the backward of the scalar that `loss(tape, logits)` makes.
pub fn judge(
    layers: &[Layer],
    dict: &StateDict,
    images: &[f64],
    shape: [usize; 4],
    setup: &Setup,
    loss: impl FnOnce(&mut Tape, Id) -> Id,
) -> Judged {
    let mut tape = Tape::new();
    let mut network = Network::new(&mut tape, layers, dict, shape[1]);
    let x = tape.leaf(images);
    let logits = network.forward(&mut tape, x, shape, setup);
    let loss = loss(&mut tape, logits);
    let grads: Grads = tape.backward(loss);
    Judged {
        logits: tape.value(logits).to_vec(),
        loss: tape.value(loss)[0],
        d_images: grads.of(x).to_vec(),
        d_params: network.params().iter().map(|(name, &id)| (name.clone(), grads.of(id).to_vec())).collect(),
        running: network.running,
        spikes: network.spikes,
    }
}
