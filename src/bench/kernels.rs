//! Every op at every layer, beside the ceilings of the machine.

use super::ceilings::Ceilings;
use super::clock::{Caches, Clock, Timing};
use super::entries::{Case, ENTRIES, Entry, OPS, Work};
use super::facts::Facts;
use super::layers::{LAYERS, NETWORKS};
use crate::base::{Result, suggest, usage};
use crate::device::{Device, Precision};
use crate::drive::Watch;
use serde::Serialize;
use std::collections::BTreeSet;

/// What to measure: every combination.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Ops, of [`OPS`].
    pub ops: Vec<String>,
    /// Networks, of [`NETWORKS`].
    pub networks: Vec<String>,
    /// Layers by name (empty: all).
    pub layers: Vec<String>,
    /// T; 0 is the ANN.
    pub steps: Vec<usize>,
    /// Images.
    pub batches: Vec<usize>,
    /// Shares of the spikes that are there, 0 to 1.
    pub densities: Vec<f64>,
    /// Seconds a row.
    pub seconds: f64,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The op.
    pub op: String,
    /// Direction or variant.
    pub part: String,
    /// Network.
    pub network: String,
    /// Layer.
    pub layer: String,
    /// T.
    pub steps: usize,
    /// Images.
    pub batch: usize,
    /// Share of the spikes that are there.
    pub density: f64,
    /// Form of the input.
    pub form: String,
    /// Shapes.
    pub shape: String,
    /// Time of a run.
    #[serde(flatten)]
    pub time: Timing,
    /// 1e9 bytes a second, every input read once, every output written once.
    pub gb_s: f64,
    /// 1e9 floating-point operations a second of the dense product (absent where there is none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gflop_s: Option<f64>,
    /// The ceiling that binds: `copy` or `product`.
    pub bound: String,
    /// Time that this ceiling allows over time taken. Above 1: less work was done than the dense product has, or the
    /// inputs fit the caches.
    pub share: f64,
}

/// The whole measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Kernels {
    /// Circumstances.
    #[serde(flatten)]
    pub facts: Facts,
    /// Ceilings, per second.
    pub ceilings: Ceilings,
    /// The table.
    pub rows: Vec<Row>,
}

impl Sweep {
    /// Errors (usage): unknown ops, networks or layers, numbers out of range, nothing to measure.
    pub fn check(&self) -> Result<()> {
        known("--ops", &self.ops, &OPS)?;
        known("--network", &self.networks, &NETWORKS)?;
        let layers: Vec<&str> = LAYERS.iter().map(|layer| layer.name).collect::<BTreeSet<_>>().into_iter().collect();
        known("--layers", &self.layers, &layers)?;
        for &batch in &self.batches {
            if batch == 0 || batch > 1 << 16 {
                return Err(usage!("--batch {batch}: must be between 1 and 65536"));
            }
        }
        if let Some(steps) = self.steps.iter().find(|&&steps| steps > crate::zoo::MOST_STEPS) {
            return Err(usage!("--steps {steps}: at most {}", crate::zoo::MOST_STEPS));
        }
        if let Some(density) = self.densities.iter().find(|density| !(**density > 0.0 && **density <= 1.0)) {
            return Err(usage!("--density {density}: must be above 0 and at most 1"));
        }
        Ok(())
    }

    fn cases(&self) -> Vec<(&'static Entry, Case)> {
        let mut cases = Vec::new();
        for entry in ENTRIES.iter().filter(|entry| self.ops.iter().any(|op| op == entry.op)) {
            let layers = LAYERS.iter().filter(|layer| self.networks.iter().any(|network| network == layer.network));
            for layer in layers.filter(|layer| self.layers.is_empty() || self.layers.iter().any(|name| name == layer.name)) {
                for &steps in &self.steps {
                    for &batch in &self.batches {
                        cases.extend(self.densities.iter().map(|&density| (entry, Case { layer, steps, batch, density })));
                    }
                }
            }
        }
        cases
    }
}

fn known(flag: &str, words: &[String], valid: &[&str]) -> Result<()> {
    match words.iter().find(|word| !valid.contains(&word.as_str())) {
        Some(word) => Err(usage!("{flag} {word}: unknown{}", suggest(word, valid.iter().copied()))),
        None => Ok(()),
    }
}

/// Measure. What a sweep would measure twice (such as the same op at two densities that it does not see) is measured once.
pub fn kernels(device: &Device, sweep: &Sweep, watch: &dyn Watch) -> Result<Kernels> {
    sweep.check()?;
    let cases = sweep.cases();
    watch.begin("measure", cases.len() as u64);
    let ceilings = Ceilings::measure(device)?;
    let clock = Clock::new(device, sweep.seconds, Caches::Cold);
    let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
    for (entry, case) in cases {
        watch.remark(&format!("{} {} {}", entry.op, entry.part, case.layer.name));
        if let Some(mut work) = entry.prepare(device, &case)?
            && seen.insert(format!("{} {} {} {} {} {}", entry.op, entry.part, case.layer.network, case.layer.name, work.form, work.shape))
        {
            let time = clock.time(&mut work.run)?;
            rows.push(row(entry, &case, &work, time, &ceilings, device.precision()));
        }
        watch.advance(1);
    }
    watch.end("");
    Ok(Kernels { facts: Facts::of(device), ceilings, rows })
}

fn row(entry: &Entry, case: &Case, work: &Work, time: Timing, ceilings: &Ceilings, precision: Precision) -> Row {
    let (bytes, flops) = (work.bytes as f64, 2.0 * work.macs as f64);
    let (copy, product) = (bytes / ceilings.copy, flops / ceilings.product(precision));
    Row {
        op: entry.op.into(),
        part: entry.part.into(),
        network: case.layer.network.into(),
        layer: case.layer.name.into(),
        steps: case.steps,
        batch: case.batch,
        density: case.density,
        form: work.form.clone(),
        shape: work.shape.clone(),
        time,
        gb_s: bytes / time.seconds / 1e9,
        gflop_s: (work.macs > 0).then_some(flops / time.seconds / 1e9),
        bound: if copy >= product { "copy" } else { "product" }.into(),
        share: copy.max(product) / time.seconds,
    }
}

impl Kernels {
    /// The table as text, a line a row.
    pub fn table(&self) -> String {
        let Ceilings { copy, f32, bf16 } = self.ceilings;
        let giga = |rate: f64| format!("{:.0}", rate / 1e9);
        let mut text = format!(
            "{}, {}: copy {} GB/s, product {} GFLOP/s in f32, {} in bf16\n",
            self.facts.device,
            self.facts.precision,
            giga(copy),
            giga(f32),
            giga(bf16)
        );
        let title = ["op", "layer", "T", "input", "shape", "time", "spread", "GB/s", "GFLOP/s", "of ceiling"].map(String::from);
        let rows: Vec<[String; 10]> = std::iter::once(title).chain(self.rows.iter().map(Row::cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..10).map(width).collect();
        for row in &rows {
            // Words to the left, numbers to the right.
            let cell = |(column, cell): (usize, &String)| match column {
                0 | 1 | 3 | 4 => format!("{cell:<0$}", widths[column]),
                _ => format!("{cell:>0$}", widths[column]),
            };
            let line = row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

impl Row {
    fn cells(&self) -> [String; 10] {
        let spread = 100.0 * (self.time.high - self.time.low) / self.time.seconds;
        [
            format!("{} {}", self.op, self.part),
            format!("{} {}", self.network, self.layer),
            self.steps.to_string(),
            self.form.clone(),
            self.shape.clone(),
            time(self.time.seconds),
            format!("{spread:.0} %"),
            format!("{:.1}", self.gb_s),
            self.gflop_s.map_or("-".into(), |rate| format!("{rate:.0}")),
            format!("{:.0} % {}", 100.0 * self.share, self.bound),
        ]
    }
}

/// Seconds in the unit that suits them.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.1} us", 1e6 * s),
        s if s < 1.0 => format!("{:.2} ms", 1e3 * s),
        s => format!("{s:.2} s"),
    }
}
