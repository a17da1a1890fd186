//! What a pass through a network yields, held against a reference within the parity data's tolerances.

use std::collections::{BTreeMap, BTreeSet};

use super::close::{norm, relative_l2};
use super::naive::{Statistics, channels_first};
use super::network::{Layer, Setup, StateDict, flat_extents, judge};
use super::parity::Parity;

const CLASSES: usize = 10;
const NETWORK: f64 = 2e-4;
const SPIKE_COUNT: f64 = 5e-4;
const BIAS_BEFORE_NORM: f64 = 1e-5;

/// The figures of one case against their bounds: the worst is printed, every excess is remembered.
pub struct Margins {
    case: String,
    figures: usize,
    worst: Option<(f64, String)>,
    failures: Vec<String>,
}

impl Margins {
    /// No figures yet, of `case`.
    pub fn new(case: impl Into<String>) -> Self {
        Margins { case: case.into(), figures: 0, worst: None, failures: Vec::new() }
    }

    /// Holds `figure` (an error) to `bound`; NaN fails.
    pub fn hold(&mut self, what: &str, figure: f64, bound: f64) {
        self.figures += 1;
        let text = format!("{what} {figure:.1e} of {bound:.1e}");
        if !(figure <= bound) {
            self.failures.push(format!("{}: {text}", self.case));
        }
        let share = if figure == 0.0 { 0.0 } else { figure / bound };
        if self.worst.as_ref().is_none_or(|(worst, _)| !(share <= *worst)) {
            self.worst = Some((share, text));
        }
    }

    /// Holds the relative L2 distance of `got` from `want` to `bound`; where `want` is 0, `got` must be.
    pub fn close<G: Copy + Into<f64>>(&mut self, what: &str, got: &[G], want: &[f64], bound: f64) {
        if got.len() == want.len() {
            self.hold(what, relative_l2(got, want), bound);
        } else {
            self.failures.push(format!("{}: {what}: {} elements, want {}", self.case, got.len(), want.len()));
        }
    }

    /// Holds two sets of names to be one.
    pub fn same_names<'a>(&mut self, what: &str, got: impl Iterator<Item = &'a String>, want: impl Iterator<Item = &'a String>) {
        let (got, want): (BTreeSet<_>, BTreeSet<_>) = (got.collect(), want.collect());
        if got != want {
            self.failures.push(format!("{}: {what}: names {got:?}, want {want:?}", self.case));
        }
    }

    /// Prints the worst figure and hands over the failures.
    pub fn finish(self) -> Vec<String> {
        let (share, text) = self.worst.unwrap_or((0.0, "nothing held".into()));
        println!("{:<32} {:>4} figures, worst {:>5.1} % of its bound: {text}", self.case, self.figures, 100.0 * share);
        self.failures
    }
}

/// Panics with all of `failures`, unless there are none.
#[track_caller]
pub fn assert_none(failures: &[String]) {
    assert!(failures.is_empty(), "{} figures out of bounds:\n{}", failures.len(), failures.join("\n"));
}

/// What one pass yields, in PyTorch's order.
#[derive(Default)]
pub struct Outcome {
    pub logits: Vec<f64>,
    pub d_images: Vec<f64>,
    /// Spikes a layer of neurons; none at T = 0.
    pub spikes: Vec<f64>,
    /// Norm and first values of every parameter's gradient (train mode).
    pub grads: BTreeMap<String, (f64, Vec<f64>)>,
    /// First values of the running statistics after the pass (train mode).
    pub running: BTreeMap<String, Vec<f64>>,
}

/// The number of a tensor's values that the parity data holds.
pub const HEAD: usize = 64;

/// The first [`HEAD`] of `values`.
pub fn head<V: Copy + Into<f64>>(values: &[V]) -> Vec<f64> {
    values.iter().take(HEAD).map(|&x| x.into()).collect()
}

impl Outcome {
    /// What a file of the parity data holds.
    pub fn of_file(parity: &Parity, case: &str, mode: &str) -> Self {
        let stem = format!("{case}.{mode}.");
        let data = |leaf: &str| parity.data(&format!("{stem}{leaf}")).to_vec();
        let (grads, running) = (format!("{stem}grad."), format!("{stem}buffer."));
        let grads = parity.between(&grads, ".norm").map(|name| {
            let found = (data(&format!("grad.{name}.norm"))[0], data(&format!("grad.{name}.head")));
            (name.to_string(), found)
        });
        let running = parity.between(&running, ".head").map(|name| (name.to_string(), data(&format!("buffer.{name}.head"))));
        Outcome {
            logits: data("logits"),
            d_images: data("dimage"),
            spikes: parity.find(&format!("{stem}spikes")).map_or_else(Vec::new, |spikes| spikes.data.clone()),
            grads: grads.collect(),
            running: running.collect(),
        }
    }

    /// What the f64 tape makes of images `x` [N, 32, 32, 3] and labels `y`.
    pub fn of_judge(layers: &[Layer], dict: &StateDict, x: &[f64], n: usize, y: &[usize], setup: &Setup) -> Self {
        let found = judge(layers, dict, x, [n, 32, 32, 3], setup, |tape, z| tape.cross_entropy(z, y, CLASSES));
        let mut outcome = Outcome {
            logits: found.logits,
            d_images: channels_first(&found.d_images, [n, 3, 32, 32]),
            spikes: found.spikes,
            ..Outcome::default()
        };
        if setup.statistics == Statistics::Batch {
            let grads =
                found.d_params.iter().map(|(name, g)| (name.clone(), (norm(g), head(&torch_order(layers, name, &dict[name].0, g)))));
            outcome.grads = grads.collect();
            outcome.running = found.running.iter().map(|(name, values)| (name.clone(), head(values))).collect();
        }
        outcome
    }
}

/// A gradient of the judge, channels-last, as PyTorch has it.
fn torch_order(layers: &[Layer], name: &str, shape: &[usize], g: &[f64]) -> Vec<f64> {
    match (shape, flat_extents(layers, 32)) {
        (&[o, i, kh, kw], _) => channels_first(g, [o, i, kh, kw]),
        (&[o, _], Some((first, [c, h, w]))) if name == format!("{first}.weight") => channels_first(g, [o, c, h, w]),
        _ => g.to_vec(),
    }
}

/// Passes whose spike counts could differ, and those in which one did.
#[derive(Default)]
pub struct Flips {
    passes: usize,
    excused: usize,
}

impl Flips {
    /// Holds `got` to `want`, to the larger of 4 x `floor(quantity)` and 2e-4. `dict` has the names and shapes of the
    /// state dict in its order. Where a spike flipped, the counts are held to 5e-4 and whatever saw the flip is
    /// excused, and printed: logits, gradients, the running statistics of the norms behind it.
    pub fn hold(
        &mut self,
        margins: &mut Margins,
        dict: &[(String, Vec<usize>)],
        got: &Outcome,
        want: &Outcome,
        floor: impl Fn(&str) -> f64,
    ) {
        let bound = |quantity: &str| NETWORK.max(4.0 * floor(quantity));
        self.passes += usize::from(!want.spikes.is_empty());
        margins.same_names("running statistics", got.running.keys(), want.running.keys());
        let place = |name: &str| dict.iter().position(|(known, _)| known == name).expect("a name of the state dict");
        let mut neurons = (0..dict.len()).filter(|&i| dict[i].0.ends_with(".v_th"));
        let flip = got.spikes.iter().zip(&want.spikes).position(|(got, want)| got != want);
        let flip = flip.map(|layer| neurons.nth(layer).expect("a threshold a layer"));
        let mut behind = 0.0f64;
        for (name, values) in &got.running {
            let reference = want.running.get(name).map_or(&[][..], |v| v);
            match flip {
                Some(flip) if place(name) > flip => behind = behind.max(relative_l2(values, reference)),
                _ => margins.close(name, values, reference, NETWORK),
            }
        }
        if flip.is_some() || got.spikes.len() != want.spikes.len() {
            self.excused += 1;
            margins.close("spike counts", &got.spikes, &want.spikes, SPIKE_COUNT);
            let counts: Vec<String> = got.spikes.iter().zip(&want.spikes).map(|(got, want)| format!("{:+}", got - want)).collect();
            let (logits, d_images) = (relative_l2(&got.logits, &want.logits), relative_l2(&got.d_images, &want.d_images));
            let errors = format!("logits {logits:.1e}, dimage {d_images:.1e}, running statistics {behind:.1e}");
            println!("{:<32} a spike flipped (counts off by {}); excused: {errors}", margins.case, counts.join(" "));
            return;
        }
        margins.close("logits", &got.logits, &want.logits, bound("logits"));
        margins.close("dimage", &got.d_images, &want.d_images, bound("dimage"));
        margins.same_names("gradients", got.grads.keys(), want.grads.keys());
        let is_conv = |stem: &str| dict.iter().any(|(name, shape)| shape.len() == 4 && name.strip_suffix(".weight") == Some(stem));
        for (name, (size, first)) in &got.grads {
            let Some((want_size, want_first)) = want.grads.get(name) else { continue };
            let before_norm = name.strip_suffix(".bias").filter(|stem| is_conv(stem));
            if let Some(weight) = before_norm.and_then(|stem| want.grads.get(&format!("{stem}.weight"))) {
                // A convolution's, which a norm follows: the true gradient is 0, the difference is absolute.
                assert_eq!(first.len(), want_first.len(), "{}: {name}", margins.case);
                let apart: Vec<f64> = first.iter().zip(want_first).map(|(a, b)| a - b).collect();
                margins.hold(name, norm(&apart).max((size - want_size).abs()), BIAS_BEFORE_NORM * weight.0);
                continue;
            }
            margins.close(&format!("{name} norm"), &[*size], &[*want_size], bound("grad"));
            margins.close(&format!("{name} head"), first, want_first, bound("grad"));
        }
    }

    /// Panics when a spike flipped in more than one pass in three.
    #[track_caller]
    pub fn assert_few(&self) {
        assert!(3 * self.excused <= self.passes, "a spike flipped in {} of {} passes; one in three is excused", self.excused, self.passes);
    }
}
