//! A whole network, step by step: inference, attack, training.

use super::clock::{Caches, Clock};
use super::data;
use super::facts::Facts;
use super::rates::{Rate, rates};
use crate::attack::{Targets, Victim};
use crate::autodiff::Lens;
use crate::base::{Kind, Result, suggest, usage};
use crate::device::{Device, Peak, Recording, catch};
use crate::drive::{Place, Recipe, Seen, Stage, Stepper, watch};
use crate::loss;
use crate::nn::Model;
use crate::ops::pixel;
use crate::optim::Sgd;
use crate::tensor::{Array, Tensor};
use serde::Serialize;
use std::hint::black_box;
use std::str::FromStr;

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Logits of a batch, eval mode.
    Infer,
    /// One step of PGD, eval mode: forward, cross-entropy, gradient of the pixels (through the lens), signed step of eps/4
    /// projected to ±eps = 8/255. No gradient of a parameter.
    Attack,
    /// One training step as the recipes do it ([`stage`]), the optimiser included. Its rate is 0: the same work, and the
    /// network goes on firing as it did.
    Train,
}

/// The modes by name.
pub const MODES: [&str; 3] = ["infer", "attack", "train"];

impl Mode {
    /// The name.
    pub fn name(self) -> &'static str {
        MODES[self as usize]
    }
}

impl FromStr for Mode {
    type Err = crate::base::Error;
    fn from_str(text: &str) -> Result<Self> {
        let all = [Mode::Infer, Mode::Attack, Mode::Train];
        all.into_iter().find(|mode| mode.name() == text).ok_or_else(|| usage!("--mode {text}: no such mode{}", suggest(text, MODES)))
    }
}

/// The settings of training at T = `steps` where a recipe names none: PGD-AT with 10 inner steps at T = 0, else TRADES with
/// RFGSM-KL; or another `defense`. Errors (usage): a defense that the SNN stage does not know.
pub fn stage(steps: usize, defense: Option<&str>) -> Result<Stage> {
    let table = if steps == 0 { "ann" } else { "snn" };
    let mut set: Vec<String> = defense.iter().map(|name| format!("{table}.defense={name}")).collect();
    set.extend((steps > 0).then(|| format!("snn.steps={steps}")));
    let recipe = Recipe::parse("bench", "arch = \"any\"\ndataset = \"any\"\n", &set)?;
    Ok(if steps == 0 { recipe.ann } else { recipe.snn })
}

/// A measurement to make.
pub struct Plan {
    /// What a step is.
    pub mode: Mode,
    /// How the attack's gradients are taken.
    pub lens: Lens,
    /// How training is done.
    pub stage: Stage,
    /// Images a step.
    pub batch: usize,
    /// Seconds in all (at least three steps).
    pub seconds: f64,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Network {
    /// Circumstances.
    #[serde(flatten)]
    pub facts: Facts,
    /// The network.
    pub arch: String,
    /// T.
    pub steps: usize,
    /// Images a step.
    pub batch: usize,
    /// What a step is.
    pub mode: String,
    /// How gradients were taken (attack).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lens: Option<String>,
    /// How training was done (train).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defense: Option<String>,
    /// Images over the median time of a step.
    pub images_per_s: f64,
    /// The median time of a step.
    pub ms_per_step: f64,
    /// Its lower quartile.
    pub ms_low: f64,
    /// Its upper quartile.
    pub ms_high: f64,
    /// Steps that were timed.
    pub runs: usize,
    /// The most memory in use: of the process on the CPU, of the device on a GPU.
    pub peak_memory_bytes: Option<u64>,
    /// How active the layers were on the first images of the batch (empty at T = 0).
    pub rates: Vec<Rate>,
}

/// A batch and its labels.
struct Batch {
    images: Tensor,
    labels: Array<i32>,
    ids: Vec<u64>,
}

impl Batch {
    fn of(model: &Model, count: usize) -> Batch {
        let images = images(model, count);
        let labels = data::labels(model.device(), count, model.spec().classes);
        Batch { images, labels, ids: (0..count as u64).collect() }
    }
}

/// `count` random images for `model`.
pub fn images(model: &Model, count: usize) -> Tensor {
    let [channels, height, width] = model.spec().input;
    data::pixels(model.device(), [count, height, width, channels], 9)
}

/// Images that the rates are counted on.
const COUNTED: usize = 16;

/// Measure `model`. Errors: those of its device, such as too little memory.
pub fn network(model: &mut Model, plan: &Plan) -> Result<Network> {
    let device = model.device().clone();
    let rates = rates(model, &images(model, plan.batch.min(COUNTED)))?;
    if let Device::Gpu(gpu) = &device {
        gpu.trim(); // what a search for the largest batch has left
    }
    let peak = Peak::from_now(&device);
    let mut steps = Steps::new(model, plan, plan.batch);
    let time = Clock::new(&device, plan.seconds, Caches::AsLeft).time(|| steps.one())?;
    let peak_memory_bytes = peak.bytes()?;
    Ok(Network {
        facts: Facts::of(&device),
        arch: model.spec().arch.clone(),
        steps: model.spec().steps,
        batch: plan.batch,
        mode: plan.mode.name().into(),
        lens: (plan.mode == Mode::Attack && model.spec().steps > 0).then(|| plan.lens.to_string()),
        defense: (plan.mode == Mode::Train).then(|| plan.stage.defense.name().into()),
        images_per_s: plan.batch as f64 / time.seconds,
        ms_per_step: 1e3 * time.seconds,
        ms_low: 1e3 * time.low,
        ms_high: 1e3 * time.high,
        runs: time.runs,
        peak_memory_bytes,
        rates,
    })
}

/// Steps of one kind, one after the other.
struct Steps<'a> {
    model: &'a mut Model,
    plan: &'a Plan,
    batch: Batch,
    optimizer: Sgd,
    stepper: Stepper,
    /// What a forward or an attack is on a GPU from the second time on, and what it writes.
    recorded: Option<(Vec<Tensor>, Recording)>,
    done: u64,
}

/// l-inf radius of the attack, and its step.
const EPS: f32 = 8.0 / 255.0;
const ALPHA: f32 = EPS / 4.0;

impl Steps<'_> {
    fn new<'a>(model: &'a mut Model, plan: &'a Plan, batch: usize) -> Steps<'a> {
        let (batch, optimizer) = (Batch::of(model, batch), Sgd::new(model, plan.stage.momentum, plan.stage.weight_decay));
        Steps { model, plan, batch, optimizer, stepper: Stepper::default(), recorded: None, done: 0 }
    }

    /// As the program does it: on a GPU by calls at first, then recorded and replayed.
    fn one(&mut self) -> Result<()> {
        self.done += 1;
        if self.plan.mode == Mode::Train {
            let Batch { images, labels, ids } = &self.batch;
            let place = Place { seed: 0, stage: u64::from(self.model.spec().steps > 0), epoch: 0, step: self.done };
            let targets = Targets { images, labels, ids };
            drop(black_box(self.stepper.step(self.model, &mut self.optimizer, &self.plan.stage, &targets, place, 0.0)?));
            return Ok(());
        }
        if self.recorded.is_none() {
            let workspace = self.model.device().workspace().filter(|_| self.done > 1);
            let Some(workspace) = workspace else {
                drop(black_box(self.pass()?));
                return Ok(());
            };
            self.recorded = Some(workspace.record(|| self.pass())?);
        }
        if let Some((_, recording)) = &self.recorded {
            recording.replay();
        }
        Ok(())
    }

    /// A forward, or a step of an attack.
    fn pass(&self) -> Result<Vec<Tensor>> {
        let Batch { images, labels, .. } = &self.batch;
        let (victim, lens) = (Seen { model: self.model }, self.plan.lens);
        if self.plan.mode == Mode::Infer {
            return Ok(vec![victim.logits(images, lens)?]);
        }
        let dlogits = |logits: &Tensor| Ok(loss::cross_entropy(logits, labels)?.dlogits);
        let responses = victim.gradients(images, &dlogits, &[lens])?;
        responses.iter().map(|response| pixel::signed_step(images, images, &response.gradient, ALPHA, EPS)).collect()
    }
}

/// More images than this are no batch.
const MOST_IMAGES: usize = 1 << 16;

/// The largest batch whose steps run on the model's GPU, to 3 %, and what a larger one said.
pub fn largest_batch(model: &mut Model, plan: &Plan) -> Result<(usize, String)> {
    largest(|batch| {
        watch::check()?;
        let Device::Gpu(gpu) = model.device().clone() else { return Ok(()) };
        gpu.trim();
        catch(|| {
            let mut steps = Steps::new(model, plan, batch);
            // Call by call, recorded, replayed, and the short last batch of an epoch at its longest: each wants its memory.
            (0..3).try_for_each(|_| steps.one())?;
            if plan.mode == Mode::Train && batch > 1 {
                steps.batch = Batch::of(steps.model, batch - 1);
                steps.one()?;
            }
            gpu.wait();
            Ok(())
        })
    })
}

/// By doubling, then bisecting. Errors: not even one fits, an interrupt.
fn largest(mut fits: impl FnMut(usize) -> Result<()>) -> Result<(usize, String)> {
    fits(1)?;
    let (mut good, mut bad, mut said) = (1, MOST_IMAGES + 1, format!("more than {MOST_IMAGES} were not tried"));
    while bad - good > (good / 32).max(1) {
        let next = if bad > MOST_IMAGES { (2 * good).min(MOST_IMAGES) } else { (good + bad) / 2 };
        match fits(next) {
            Ok(()) => good = next,
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => (bad, said) = (next, format!("{next} did not: {error}")),
        }
    }
    Ok((good, said))
}

impl Network {
    /// The result as text, a few lines.
    pub fn table(&self) -> String {
        let how = self.lens.as_ref().or(self.defense.as_ref()).map(|how| format!(" ({how})")).unwrap_or_default();
        let memory = self.peak_memory_bytes.map_or("unknown".into(), |bytes| format!("{:.2} GB", bytes as f64 / 1e9));
        let mut text = format!(
            "{} T={} batch {}, {}{how} on {}, {}\n{:.1} images/s, {:.1} ms a step ({:.1} to {:.1}, {} steps), peak memory {memory}\n",
            self.arch,
            self.steps,
            self.batch,
            self.mode,
            self.facts.device,
            self.facts.precision,
            self.images_per_s,
            self.ms_per_step,
            self.ms_low,
            self.ms_high,
            self.runs,
        );
        let width = self.rates.iter().map(|rate| rate.name.len()).max().unwrap_or(0);
        for Rate { name, rate, silent } in &self.rates {
            text.push_str(&format!("{name:<width$}  fires {:4.1} %, silent {:4.1} %\n", 100.0 * rate, 100.0 * silent));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fail;
    use crate::drive::Defense;

    #[test]
    fn the_largest_batch_is_found_to_3_percent_and_its_successor_s_words_are_kept() {
        for limit in [1, 2, 3, 31, 100, 1000, 40_000] {
            let fits = |batch: usize| if batch <= limit { Ok(()) } else { Err(fail!("no room for {batch}")) };
            let (found, said) = largest(fits).unwrap();
            assert!(found <= limit && limit <= found + (found / 32).max(1), "{found} of {limit}");
            assert!(said.contains("no room for"), "{said}");
        }
        assert_eq!(largest(|_| Ok(())).unwrap().0, MOST_IMAGES);
        assert!(largest(|_| Err(fail!("none"))).is_err());
    }

    #[test]
    fn training_s_defaults_are_the_recipes() {
        let (ann, snn) = (stage(0, None).unwrap(), stage(8, None).unwrap());
        assert_eq!((ann.defense, ann.attack_steps, ann.eps), (Defense::At, 10, 2.0));
        assert_eq!((snn.defense, snn.steps, snn.lambda), (Defense::Trades, 8, 2.0));
        assert_eq!(stage(8, Some("natural")).unwrap().defense, Defense::Natural);
        assert!(stage(8, Some("mart")).is_err());
    }
}
