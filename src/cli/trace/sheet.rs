//! What `trace` types: a head, a sheet for every step, all steps at a glance; 80 columns at most.

use super::blocks::{Count, Scale, beside, counts, fires, map};
use super::{Seen, Traced};
use crate::probe::step::{Field, Fired, Form, Part, Step};
use std::fmt::Write;

/// No line is longer.
const COLUMNS: usize = 80;
/// Of what a row says.
const LABEL: usize = 43;
/// Of a number.
const NUMBER: usize = 11;
/// Of a bar in a step's sheet, and in the overview.
const BARS: [usize; 2] = [52, 26];

/// The text about a neuron.
pub struct Sheet<'a> {
    traced: &'a Traced,
    top: usize,
    scale: Scale,
    /// The names of: the true class, the predicted one, that of the adversarial image.
    classes: [Option<String>; 3],
}

impl<'a> Sheet<'a> {
    /// That of `traced`, with `top` inputs a step.
    pub fn of(traced: &'a Traced, top: usize, name: impl Fn(usize) -> String) -> Sheet<'a> {
        let scale = Scale::of(traced.sides().map(|(_, seen)| &seen.stepped));
        let adversarial = traced.adversarial.as_ref().map(|seen| name(seen.predicted));
        let classes = [traced.label.map(|label| name(label as usize)), Some(name(traced.clean.predicted)), adversarial];
        Sheet { traced, top, scale, classes }
    }

    /// T.
    pub fn steps(&self) -> usize {
        self.traced.clean.stepped.steps.len()
    }

    /// All of it.
    pub fn whole(&self) -> String {
        let steps: String = (0..self.steps()).map(|t| format!("\n{}", self.step(t))).collect();
        format!("{}\n{steps}\n{}", self.head(), self.overview())
    }

    /// Which neuron, on which image.
    pub fn head(&self) -> String {
        let Traced { layer, neuron, shape: [c, h, w], chosen, attack, clean, source, image, .. } = self.traced;
        let stepped = &clean.stepped;
        let mut lines = vec![format!("{layer}, neuron {neuron} (column, row, channel) of {c}x{h}x{w}")];
        lines.extend(chosen.iter().map(|why| format!("chosen: {why}")));
        let [label, seen, adversarial] = &self.classes;
        let class = label.as_ref().map_or(String::new(), |label| format!(", class {label}"));
        lines.push(format!("image {image} of {source}{class}; the network sees class {}", seen.as_deref().unwrap_or_default()));
        if let (Some(attack), Some(class)) = (attack, adversarial) {
            let iterations = attack.iterations.map_or(String::new(), |count| format!(", {count} iterations"));
            let line = format!(
                "attacked by {}, eps {}/255{iterations}, seed {}; then it sees class {class}",
                attack.name, attack.eps, attack.seed
            );
            lines.push(line);
        }
        lines.push(format!(
            "T = {}, threshold {:.4}, leak {}, {} reset; t = 1 is the first step",
            self.steps(),
            stepped.v_th,
            stepped.leak,
            stepped.reset
        ));
        lines.extend(stepped.parts.iter().flat_map(origin));
        lines.push(format!(
            "bars run from {:.4} to {:.4}: = the membrane u, | the threshold{}",
            self.scale.low,
            self.scale.high,
            if self.scale.low < 0.0 { ", : zero" } else { "" }
        ));
        lines.iter().flat_map(|line| wrapped(line)).collect::<Vec<_>>().join("\n")
    }

    /// The sheet of step t (from 0).
    pub fn step(&self, t: usize) -> String {
        let sides: Vec<&Step> = self.traced.sides().map(|(_, seen)| &seen.stepped.steps[t]).collect();
        let mut text = format!("t = {} of {}", t + 1, self.steps());
        if sides.len() == 2 {
            text = format!("{text:<width$}{:>NUMBER$}{:>NUMBER$}{:>NUMBER$}", "clean", "attacked", "change", width = LABEL + 2);
        }
        text.push('\n');
        let stepped = &self.traced.clean.stepped;
        for (index, part) in stepped.parts.iter().enumerate() {
            self.part(&mut text, part, index, &sides);
        }
        if stepped.parts.len() > 1 {
            row(&mut text, "their sum", sides.iter().map(|step| step.y));
        }
        if let Some(norm) = stepped.norm {
            row(&mut text, &format!("batch norm: times {:.4}", norm.scale), sides.iter().map(|step| step.y * norm.scale));
            row(&mut text, "batch norm: shift", sides.iter().map(|_| norm.shift));
        }
        row(&mut text, "current x", sides.iter().map(|step| step.x));
        row(&mut text, &format!("what was left, times leak {}", stepped.leak), sides.iter().map(|step| step.carried));
        row(&mut text, "membrane u", sides.iter().map(|step| step.u));
        row(&mut text, "threshold", sides.iter().map(|_| stepped.v_th));
        words(&mut text, "spike", sides.iter().map(|step| fires(step).to_string()));
        row(&mut text, &format!("{} reset takes", stepped.reset), sides.iter().map(|step| step.reset));
        row(&mut text, "membrane v after it", sides.iter().map(|step| step.v));
        for (name, seen) in self.traced.sides() {
            let bar = self.scale.bar(seen.stepped.steps[t].u, seen.stepped.v_th, BARS[0]);
            let _ = writeln!(text, "  {name:<9} {bar}"); // a string takes all
        }
        for (index, part) in stepped.parts.iter().enumerate() {
            if let Some(field) = part.field.as_ref().filter(|_| t == 0 || !part.held) {
                let fired: Vec<&Fired> = sides.iter().filter_map(|step| step.shares[index].fired.as_ref()).collect();
                self.inputs(&mut text, part, field, &fired);
            }
        }
        text
    }

    /// The rows of one part of the current.
    fn part(&self, text: &mut String, part: &Part, index: usize, sides: &[&Step]) {
        let shares: Vec<_> = sides.iter().map(|step| &step.shares[index]).collect();
        match &part.field {
            Some(field) => {
                let fired: Vec<&Fired> = shares.iter().filter_map(|share| share.fired.as_ref()).collect();
                let what = if field.form == Form::Numbers { "are not 0" } else { "fired" };
                let counts: Vec<i64> = fired.iter().map(|fired| fired.fired as i64).collect();
                let values = counts.iter().map(i64::to_string);
                let change = (counts.len() == 2).then(|| format!("{:+}", counts[1] - counts[0]));
                words(text, &format!("{}: of {} inputs {what}", part.name, field.inputs), values.chain(change));
                row(text, "sum of weight x value", fired.iter().map(|fired| fired.sum as f32));
                if field.bias != 0.0 {
                    row(text, "bias", sides.iter().map(|_| field.bias));
                }
                // Beyond what the printed digits hide: bf16 products.
                let rounding = |share: &&crate::probe::step::Share| {
                    let sum = share.fired.as_ref().map_or(0.0, |fired| fired.sum);
                    (f64::from(share.before) - sum - f64::from(field.bias)) as f32
                };
                if shares.iter().any(|share| rounding(share).abs() >= 5e-5) {
                    row(text, "rounding in the product", shares.iter().map(rounding));
                }
                if let Some(norm) = part.norm {
                    row(text, &format!("batch norm: times {:.4}", norm.scale), shares.iter().map(|share| share.before * norm.scale));
                    row(text, "batch norm: shift", sides.iter().map(|_| norm.shift));
                }
            }
            None => row(text, &part.reads, shares.iter().map(|share| share.value)),
        }
        if self.traced.clean.stepped.parts.len() > 1 {
            let way = ["shortcut", "branch"][index];
            row(text, &format!("{way}, times {:.4}", part.factor), shares.iter().map(|share| share.value * part.factor));
        }
    }

    /// Maps of a field, and its strongest inputs.
    fn inputs(&self, text: &mut String, part: &Part, field: &Field, fired: &[&Fired]) {
        let held = if part.held { " (the same at every step)" } else { "" };
        let several = self.traced.clean.stepped.parts.len() > 1;
        let of = if several { format!(" of {}", part.name) } else { String::new() };
        let draw = |count: Count, at: usize| {
            let side = if fired.len() == 1 { "" } else { [", clean", ", attacked"][at] };
            let title = match count {
                Count::Fired => format!("  channels that fired{side}"),
                Count::Brings => format!("  what they bring{side}"),
            };
            map(&title, field, fired[at], count)
        };
        let kinds = counts(field);
        let blocks: Vec<Vec<String>> = match (fired.len(), &kinds[..]) {
            (_, []) => Vec::new(),
            (1, [one]) => vec![draw(*one, 0)],
            (1, several) if wide(field) => vec![draw(several[0], 0)],
            (1, several) => vec![beside(draw(several[0], 0), draw(several[1], 0), COLUMNS)],
            (_, kinds) => vec![beside(draw(kinds[0], 0), draw(kinds[0], 1), COLUMNS)],
        };
        for line in blocks.into_iter().flatten() {
            let _ = writeln!(text, "{line}");
        }
        match fired {
            [one] => self.strongest(text, &format!("  strongest inputs{of}{held}"), one),
            [clean, attacked, ..] => self.changed(text, &format!("  inputs that differ{of}{held}"), clean, attacked),
            [] => {}
        }
    }

    fn strongest(&self, text: &mut String, title: &str, fired: &Fired) {
        let _ = writeln!(text, "{title}");
        if fired.contributions.is_empty() {
            let _ = writeln!(text, "    none");
            return;
        }
        let header = ["x,y,c", "value", "weight", "product", "adds to x"];
        table(text, header.map(String::from));
        for one in fired.contributions.iter().take(self.top) {
            let cells = [signed(one.value), signed(one.weight), signed(one.product as f32), signed(one.adds as f32)];
            let [value, weight, product, adds] = cells;
            table(text, [one.input.to_string(), value, weight, product, adds]);
        }
    }

    fn changed(&self, text: &mut String, title: &str, clean: &Fired, attacked: &Fired) {
        let changes = clean.changes(attacked);
        let _ = writeln!(text, "{title}: {}", changes.len());
        if changes.is_empty() {
            return;
        }
        table(text, ["x,y,c", "clean", "attacked", "weight", "change of x"].map(String::from));
        for one in changes.iter().take(self.top) {
            let [before, after] = one.values.map(signed);
            table(text, [one.input.to_string(), before, after, signed(one.weight), signed(one.adds as f32)]);
        }
    }

    /// All steps at a glance.
    pub fn overview(&self) -> String {
        let mut text = String::new();
        for (name, Seen { stepped, spikes, .. }) in self.traced.sides() {
            let _ = writeln!(text, "{name}: {spikes} of {} steps with a spike", self.steps());
            let _ = writeln!(text, "{:>4}{:>NUMBER$}{:>NUMBER$}{:>7}{:>NUMBER$}", "t", "x", "u", "spike", "v");
            for step in &stepped.steps {
                let [x, u, v] = [step.x, step.u, step.v].map(signed);
                let (bar, spike) = (self.scale.bar(step.u, stepped.v_th, BARS[1]), fires(step));
                let _ = writeln!(text, "{:>4}{x:>NUMBER$}{u:>NUMBER$}{spike:>7}{v:>NUMBER$}  {bar}", step.t);
            }
        }
        text
    }
}

impl Traced {
    /// The images that were looked at, by name.
    fn sides(&self) -> impl Iterator<Item = (&'static str, &Seen)> {
        std::iter::once(("clean", &self.clean)).chain(self.adversarial.as_ref().map(|seen| ("attacked", seen)))
    }
}

/// Whether the second map of a field has no room beside the first.
fn wide(field: &Field) -> bool {
    field.columns > 5
}

/// Where a part of the current is from.
fn origin(part: &Part) -> Vec<String> {
    let held = if part.held { ", the same at every step" } else { "" };
    match &part.field {
        Some(field) => {
            let [c, h, w] = field.input;
            let form = match field.form {
                Form::Spikes => "spikes",
                Form::Quarters => "quarters, the means of 2x2 spikes",
                Form::Numbers => "numbers",
            };
            let what = format!("current: {}, {} of {}: {} inputs of {c}x{h}x{w}", part.name, part.kind, part.reads, field.inputs);
            vec![format!("{what}, {form}{held}")]
        }
        None => vec![format!("current: {} at the same place{held}", part.reads)],
    }
}

fn signed(value: f32) -> String {
    format!("{value:+.4}")
}

/// A row of numbers, and of their change where there are two.
fn row(text: &mut String, label: &str, values: impl Iterator<Item = f32>) {
    let values: Vec<f32> = values.collect();
    let change = (values.len() == 2).then(|| signed(values[1] - values[0]));
    words(text, label, values.iter().copied().map(signed).chain(change));
}

fn words(text: &mut String, label: &str, values: impl Iterator<Item = String>) {
    let cells: String = values.map(|value| format!("{value:>NUMBER$}")).collect();
    if label.chars().count() > LABEL {
        let _ = writeln!(text, "  {label}");
        let _ = writeln!(text, "  {:LABEL$}{cells}", "");
    } else {
        let _ = writeln!(text, "  {label:<LABEL$}{cells}");
    }
}

fn table(text: &mut String, [place, cells @ ..]: [String; 5]) {
    let cells: String = cells.iter().map(|cell| format!("{cell:>13}")).collect();
    let _ = writeln!(text, "    {place:<14}{cells}");
}

/// `line` in lines of at most [`COLUMNS`], the later ones indented.
fn wrapped(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().expect("never empty");
        if last.trim().is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= COLUMNS {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(format!("  {word}"));
        }
    }
    lines
}
