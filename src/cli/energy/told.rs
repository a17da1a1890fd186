//! What was counted, as a table, as JSON and as CSV.

use super::super::sheet::{Sheet, grouped};
use super::super::version;
use crate::nn::Spec;
use crate::probe::{Held, Onslaught, Pair, Prices, Product, Totals, Workload};
use crate::record::with_interval;
use serde_json::{Value, json};

/// Spikes a neuron and step below which a spiking network is said to win when memory counts.
const BREAK_EVEN: f64 = 0.064;

/// All that is told.
pub struct Told<'a> {
    /// The network's file.
    pub checkpoint: String,
    /// The network.
    pub spec: &'a Spec,
    /// Where the images are from.
    pub source: &'a str,
    /// What made the adversarial images.
    pub onslaught: Option<Onslaught>,
    /// The same in words.
    pub attack: Option<String>,
    /// What operations cost.
    pub prices: Prices,
    /// The network's work.
    pub network: Pair,
    /// The ReLU network's file and work.
    pub ann: Option<(String, Pair)>,
}

/// Numbers of one kind of images.
struct Side<'a> {
    /// `clean` or `attacked`.
    name: &'static str,
    work: &'a Workload,
    ann: Option<&'a Workload>,
}

impl Side<'_> {
    /// A mean an image.
    fn mean(&self, count: u64) -> f64 {
        count as f64 / self.work.images as f64
    }

    fn whole(&self, count: u64) -> String {
        grouped(self.mean(count).round() as u64)
    }
}

impl Told<'_> {
    fn sides(&self) -> Vec<Side<'_>> {
        let ann = self.ann.as_ref().map(|(_, pair)| pair);
        let clean = Side { name: "clean", work: &self.network.clean, ann: ann.map(|pair| &pair.clean) };
        let attacked = self.network.attacked.as_ref();
        let attacked = attacked.map(|work| Side { name: "attacked", work, ann: ann.and_then(|pair| pair.attacked.as_ref()) });
        std::iter::once(clean).chain(attacked).collect()
    }

    /// Picojoules an image.
    fn energy(&self, work: &Workload, held: Held) -> f64 {
        let Totals { macs, acs, .. } = work.totals(held);
        self.prices.energy(macs as f64, acs as f64) / work.images as f64
    }

    /// Picojoules an image where hardware adds every spike by itself, those under a pool too.
    fn by_events(&self, work: &Workload) -> f64 {
        let Totals { analog, synops, .. } = work.totals(Held::Once);
        self.prices.energy(analog as f64, synops as f64) / work.images as f64
    }

    /// Picojoules an image of the ReLU network of this architecture that multiplies at every synapse.
    fn dense(&self) -> f64 {
        let clean = &self.network.clean;
        self.prices.energy(clean.dense_step() as f64, 0.0) / clean.images as f64
    }

    /// Whether the first products read the same at every step.
    fn holds(&self) -> bool {
        self.network.clean.products.iter().any(|product| product.repeats > 1)
    }

    /// For a terminal.
    pub fn table(&self) -> String {
        let sides = self.sides();
        let (steps, images) = (self.spec.steps, self.network.clean.images);
        let attack = self.attack.as_ref().map_or(String::new(), |attack| format!(", attacked by {attack}"));
        let mut lines = vec![
            format!("{}: {}, T = {steps}; {images} images of {}{attack}", self.checkpoint, self.spec.arch, self.source),
            format!("means an image{}", recognised(&sides)),
            String::new(),
        ];
        lines.extend(self.products(&sides).lines(4));
        if self.holds() {
            lines.push(format!(
                "held: the same at all {steps} steps. Caltrop computes it once, as its row says; NeuroBench, and hardware that keeps no current, have it {steps} times"
            ));
        }
        lines.push(String::new());
        lines.extend(self.neurons(&sides).lines(1));
        lines.push(String::new());
        lines.push(format!(
            "energy of the arithmetic ({}: {} pJ a MAC, {} pJ an AC; {})",
            self.prices.name,
            short(self.prices.mac),
            short(self.prices.ac),
            self.prices.source
        ));
        lines.extend(self.energies(&sides).lines(1));
        lines.push(String::new());
        lines.push(caveat(&self.network.clean, steps));
        lines.join("\n")
    }

    /// Products: what each could do and did.
    fn products(&self, sides: &[Side]) -> Sheet {
        let mut sheet = Sheet::new(&["synapses", "kind", "reads", "as", "dense"]);
        for side in sides {
            sheet.head.extend([side.name.to_string(), "%".to_string()]);
        }
        let clean = &sides[0];
        for (index, product) in clean.work.products.iter().enumerate() {
            let held = if product.repeats > 1 { ", held" } else { "" };
            let unit = if product.reads.accumulates() { "AC" } else { "MAC" };
            let reads = format!("{}{held}", product.reads.word());
            let mut row = vec![product.name.clone(), product.kind.clone(), reads, unit.into(), clean.whole(product.dense)];
            for side in sides {
                let Product { dense, effective, .. } = side.work.products[index];
                row.extend([side.whole(effective), percent(effective, dense)]);
            }
            sheet.rows.push(row);
        }
        let mut total = |name: &str, unit: &str, held: Held, part: fn(&Totals) -> u64| {
            let mut row = vec![name.to_string(), String::new(), String::new(), unit.into(), clean.whole(clean.work.totals(held).dense)];
            for side in sides {
                let totals = side.work.totals(held);
                row.extend([side.whole(part(&totals)), percent(part(&totals), totals.dense)]);
            }
            sheet.rows.push(row);
        };
        let names: &[(&str, Held)] = match self.holds() {
            true => &[("in all, held input once", Held::Once), ("in all, held input at every step", Held::EveryStep)],
            false => &[("in all", Held::Once)],
        };
        for (name, held) in names {
            total(name, "MAC", *held, |totals| totals.macs);
            if self.spec.steps > 0 {
                total("", "AC", *held, |totals| totals.acs);
                total("", "both", *held, |totals| totals.macs + totals.acs);
            }
        }
        if self.spec.steps > 0 {
            let mut row = ["SynOps: spikes times fan-out", "", "", "", ""].map(String::from).to_vec();
            row.extend(sides.iter().flat_map(|side| [side.whole(side.work.totals(Held::Once).synops), String::new()]));
            sheet.rows.push(row);
        }
        sheet
    }

    /// Neurons: how many, and how active.
    fn neurons(&self, sides: &[Side]) -> Sheet {
        let spiking = self.spec.steps > 0;
        let mut sheet = Sheet::new(&["neurons", "count"]);
        for side in sides {
            let (active, rate) = if spiking { ("spikes", "a neuron and step") } else { ("above 0", "share") };
            sheet.head.extend([format!("{}: {active}", side.name), rate.to_string()]);
            if spiking {
                sheet.head.push("membrane updates".into());
            }
        }
        let cells = |side: &Side, active: u64, outputs: u64, updates: Option<u64>| {
            let rate = if outputs == 0 { String::new() } else { format!("{:.4}", active as f64 / outputs as f64) };
            let updates = updates.map(|updates| side.whole(updates));
            [side.whole(active), rate].into_iter().chain(updates).collect::<Vec<_>>()
        };
        let clean = &sides[0];
        for (index, layer) in clean.work.neurons.iter().enumerate() {
            let mut row = vec![layer.name.clone(), clean.whole(layer.neurons)];
            for side in sides {
                let layer = &side.work.neurons[index];
                row.extend(cells(side, layer.active, layer.neurons * layer.steps, layer.updates));
            }
            sheet.rows.push(row);
        }
        let mut row = vec!["in all".to_string(), clean.whole(clean.work.neurons.iter().map(|layer| layer.neurons).sum())];
        for side in sides {
            let updates = if spiking { side.work.updates() } else { None };
            row.extend(cells(side, side.work.active(), side.work.outputs(), updates));
        }
        sheet.rows.push(row);
        sheet
    }

    /// Energies, and their ratios to the ReLU network's.
    fn energies(&self, sides: &[Side]) -> Sheet {
        let mut sheet = Sheet::new(&[""]);
        for side in sides {
            sheet.head.extend([side.name.to_string(), "of the ANN's".to_string()]);
            if side.ann.is_some() {
                sheet.head.push("effective".into());
            }
        }
        let dense = self.dense();
        let mut row = |name: String, energy: &dyn Fn(&Side) -> f64| {
            let mut row = vec![name];
            for side in sides {
                let value = energy(side);
                row.extend([joules(value), format!("{:.3}", value / dense)]);
                row.extend(side.ann.map(|ann| format!("{:.3}", value / self.energy(ann, Held::Once))));
            }
            sheet.rows.push(row);
        };
        match (self.spec.steps, self.holds()) {
            (0, _) => row("effective MACs".into(), &|side| self.energy(side.work, Held::Once)),
            (_, false) => row("effective MACs and ACs".into(), &|side| self.energy(side.work, Held::Once)),
            (steps, true) => {
                row("held input once".into(), &|side| self.energy(side.work, Held::Once));
                row(format!("held input at each of {steps} steps"), &|side| self.energy(side.work, Held::EveryStep));
            }
        }
        if self.spec.steps > 0 {
            row("held input once, every spike added by itself".into(), &|side| self.by_events(side.work));
        }
        row("ANN of this architecture, every MAC".into(), &|_| dense);
        if let Some((name, _)) = &self.ann {
            row(format!("{name}, effective MACs on the same images"), &|side| {
                side.ann.map_or(f64::NAN, |ann| self.energy(ann, Held::Once))
            });
        }
        sheet
    }

    /// A row a layer and kind of images, for other programs.
    pub fn layers(&self) -> Sheet {
        let mut sheet = Sheet::new(&[
            "network",
            "images",
            "layer",
            "kind",
            "reads",
            "held_steps",
            "dense",
            "effective_macs",
            "effective_acs",
            "synops",
            "energy_pj",
            "neurons",
            "spikes",
            "rate",
            "membrane_updates",
        ]);
        let ann = self.ann.as_ref().map(|(name, _)| name);
        for side in self.sides() {
            let others = ann.zip(side.ann);
            for (name, work) in std::iter::once((&self.checkpoint, side.work)).chain(others) {
                let mean = |count: u64| (count as f64 / work.images as f64).to_string();
                let blanks = |count: usize| vec![String::new(); count];
                let begin = |layer: &str, kind: &str| vec![name.clone(), side.name.to_string(), layer.to_string(), kind.to_string()];
                for product in &work.products {
                    let [macs, acs] = split(product);
                    let energy = self.prices.energy(macs as f64, acs as f64) / work.images as f64;
                    let mut row = begin(&product.name, &product.kind);
                    row.extend([product.reads.word().to_string(), product.repeats.to_string()]);
                    row.extend([product.dense, macs, acs, product.synops].map(mean));
                    row.push(energy.to_string());
                    row.extend(blanks(4));
                    sheet.rows.push(row);
                }
                for layer in &work.neurons {
                    let mut row = begin(&layer.name, if layer.updates.is_some() { "neuron" } else { "relu" });
                    row.extend(blanks(7));
                    row.extend([layer.neurons, layer.active].map(mean));
                    row.push((layer.active as f64 / (layer.neurons * layer.steps) as f64).to_string());
                    row.push(layer.updates.map_or(String::new(), mean));
                    sheet.rows.push(row);
                }
            }
        }
        sheet
    }

    /// All of it. Counts are means an image, energies picojoules an image.
    pub fn json(&self) -> Value {
        let side = |work: &Workload| self.described(work);
        let pair = |pair: &Pair| json!({"clean": side(&pair.clean), "attacked": pair.attacked.as_ref().map(side)});
        let Pair { clean, .. } = &self.network;
        let attack = self.onslaught.as_ref().map(|onslaught| {
            json!({"attack": onslaught.attack.name(), "iterations": onslaught.attack.iterations(), "eps": onslaught.radius.size,
                "seed": onslaught.seed, "words": self.attack})
        });
        json!({
            "checkpoint": self.checkpoint, "arch": self.spec.arch, "steps": self.spec.steps, "source": self.source, "images": clean.images,
            "attack": attack,
            "prices": {"name": self.prices.name, "mac_pj": self.prices.mac, "ac_pj": self.prices.ac, "source": self.prices.source},
            "network": pair(&self.network),
            "ann_dense": {"macs": clean.dense_step() as f64 / clean.images as f64, "energy_pj": self.dense()},
            "ann": self.ann.as_ref().map(|(name, work)| json!({"checkpoint": name, "measured": pair(work)})),
            "caveat": caveat(clean, self.spec.steps), "version": version(),
        })
    }

    fn described(&self, work: &Workload) -> Value {
        let mean = |count: u64| count as f64 / work.images as f64;
        let totals = |held: Held| {
            let (Totals { dense, macs, acs, .. }, energy) = (work.totals(held), self.energy(work, held));
            json!({"dense": mean(dense), "effective_macs": mean(macs), "effective_acs": mean(acs), "energy_pj": energy,
                "ratio_to_ann": energy / self.dense()})
        };
        let product = |product: &Product| {
            let [macs, acs] = split(product);
            json!({"name": product.name, "kind": product.kind, "reads": product.reads.word(), "held_steps": product.repeats,
                "dense": mean(product.dense), "effective_macs": mean(macs), "effective_acs": mean(acs), "synops": mean(product.synops)})
        };
        let layer = |layer: &crate::probe::Neurons| {
            let outputs = (layer.neurons * layer.steps) as f64;
            json!({"name": layer.name, "neurons": mean(layer.neurons), "active": mean(layer.active), "rate": layer.active as f64 / outputs,
                "membrane_updates": layer.updates.map(mean)})
        };
        let updates = if self.spec.steps > 0 { work.updates() } else { None };
        json!({
            "accuracy": work.right.map(|right| 100.0 * mean(right)),
            "synapses": work.products.iter().map(product).collect::<Vec<_>>(),
            "neurons": work.neurons.iter().map(layer).collect::<Vec<_>>(),
            "active": mean(work.active()), "activation_sparsity": 1.0 - work.active() as f64 / work.outputs().max(1) as f64,
            "membrane_updates": updates.map(mean),
            "synops": mean(work.totals(Held::Once).synops), "held_once": totals(Held::Once), "held_every_step": totals(Held::EveryStep),
            "every_spike": {"energy_pj": self.by_events(work), "ratio_to_ann": self.by_events(work) / self.dense()},
        })
    }
}

/// Effective MACs and ACs of a product.
fn split(product: &Product) -> [u64; 2] {
    if product.reads.accumulates() { [0, product.effective] } else { [product.effective, 0] }
}

/// What was recognised, where the classes are known.
fn recognised(sides: &[Side]) -> String {
    let one = |side: &Side| {
        let told = |right: u64| with_interval(100.0 * side.mean(right), side.work.images as usize);
        side.work.right.map(|right| format!("{} {} %", side.name, told(right)))
    };
    let told: Vec<String> = sides.iter().filter_map(one).collect();
    if told.is_empty() { String::new() } else { format!("; recognised: {}", told.join(", ")) }
}

/// What the numbers leave out.
fn caveat(clean: &Workload, steps: usize) -> String {
    let here = match steps {
        0 => String::new(),
        _ => format!("; here {:.1} %", 100.0 * clean.active() as f64 / clean.outputs().max(1) as f64),
    };
    format!(
        "caveat: this is arithmetic alone, and in practice moving data and memory dominate. With both counted, on typical neuromorphic hardware, a spiking network of 5 to \
         10 steps uses less energy than an equally able quantised ANN only below {:.1} % spikes a neuron and step{here} (arXiv 2409.08290v2, Reconsidering the energy \
         efficiency of spiking neural networks)",
        100.0 * BREAK_EVEN
    )
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { String::new() } else { format!("{:.1}", 100.0 * part as f64 / whole as f64) }
}

/// A price without the digits that addition left.
fn short(price: f64) -> f64 {
    (price * 1e6).round() / 1e6
}

/// Picojoules in the unit that leaves at least one whole digit.
fn joules(pico: f64) -> String {
    let units = [("mJ", 1e9), ("\u{b5}J", 1e6), ("nJ", 1e3)];
    let (unit, size) = units.into_iter().find(|(_, size)| pico >= *size).unwrap_or(("pJ", 1.0));
    format!("{:.3} {unit}", pico / size)
}
