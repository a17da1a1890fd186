//! What follows from a diagnosis, by rules. Each looks at a few numbers, names those that set it off, and says what to run next.

use crate::record::{Advice, Diagnosis, Health, Measured, SweepCell};

/// The commands that advice ends in, as this ANN and its data want them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commands {
    /// The ANN's file.
    pub ann: String,
    /// The recipe of its training.
    pub recipe: String,
    /// ` --data DIR`, as it was given; else nothing.
    pub data: String,
    /// What else `convert` is told, as it was given: data set, calibration; else nothing.
    pub convert: String,
}

/// So often above chance an ANN has learned something.
const LEARNED: f64 = 1.5;
/// A correlation below this is lost.
const LOST: f64 = 0.8;
/// So many of the neurons that are active in the ANN may be silent.
const SILENT: f64 = 0.5;
/// So many neurons may fire at every step.
const SATURATED: f64 = 0.25;

impl Commands {
    /// Conversion with the settings of `cell`.
    fn convert(&self, cell: &SweepCell) -> String {
        let SweepCell { percentile, scale, steps, .. } = cell;
        let Commands { ann, data, convert, .. } = self;
        format!(
            "caltrop convert {} --percentile {percentile} --scale {scale} --steps {steps}{data}{convert} --out converted.safetensors",
            word(ann)
        )
    }

    /// Finetuning of what [`Commands::convert`] writes.
    fn finetune(&self, steps: usize) -> String {
        format!("caltrop finetune converted.safetensors {} --set steps={steps}{} --out runs/finetuned", word(&self.recipe), self.data)
    }

    /// Training of the ANN.
    fn train(&self) -> String {
        format!("caltrop train {}{} --out runs/ann", word(&self.recipe), self.data)
    }
}

/// `text` as one word of a shell.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_string() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// A rule: what it has to say, if anything.
type Rule = fn(&Diagnosis, &Commands) -> Option<Advice>;

/// Of a conversion of a trained ANN.
const CONVERSION: [Rule; 9] = [statistics, settings, silence, saturation, lost, longer, shorter, ann, finetuned];
/// Of what a conversion is made from.
const INGREDIENTS: [Rule; 2] = [calibration, dead_channels];

/// All that follows from `found`. Of an ANN that has learned nothing, nothing about its conversion.
pub fn advise(found: &Diagnosis, commands: &Commands) -> Vec<Advice> {
    let mut advice: Vec<Advice> = untrained(found, commands).into_iter().collect();
    if advice.is_empty() {
        advice.extend(CONVERSION.iter().filter_map(|rule| rule(found, commands)));
    }
    advice.extend(INGREDIENTS.iter().filter_map(|rule| rule(found, commands)));
    advice
}

fn said(rule: &'static str, text: String, command: Option<String>) -> Option<Advice> {
    Some(Advice { rule, text, command })
}

/// `81.2 %`.
fn percent(measured: &Measured) -> String {
    format!("{:.1} %", measured.accuracy)
}

/// A share as `12 %`.
fn share(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// The settings of a cell.
fn settings_of(cell: &SweepCell) -> String {
    format!("percentile {}, scale {}, T = {}", cell.percentile, cell.scale, cell.steps)
}

fn untrained(found: &Diagnosis, commands: &Commands) -> Option<Advice> {
    let chance = 100.0 / found.classes.max(1) as f64;
    if found.ann.ci95[0] > LEARNED * chance {
        return None;
    }
    let text = format!(
        "The ANN itself recognises {} of {} images, and guessing gets {chance:.1} %: no conversion is better than its ANN. Train it first.",
        percent(&found.ann),
        found.images
    );
    said("untrained", text, Some(commands.train()))
}

fn dead_channels(found: &Diagnosis, commands: &Commands) -> Option<Advice> {
    let dead: Vec<&Health> = found.layers.iter().filter(|layer| layer.dead_channels > 0).collect();
    let listed: Vec<String> = dead.iter().map(|layer| format!("{} of {} in {}", layer.dead_channels, layer.channels, layer.name)).collect();
    if listed.is_empty() {
        return None;
    }
    let text = format!(
        "Channels of the ANN are 0 on all {} images: {}. They were dead before the conversion and no threshold revives them; a lower learning rate or weight decay keeps them alive.",
        found.images,
        listed.join(", ")
    );
    said("dead-channels", text, Some(commands.train()))
}

fn calibration(found: &Diagnosis, commands: &Commands) -> Option<Advice> {
    let images = |[batches, images]: [usize; 2]| batches * images;
    let (used, asked) = (images(found.calibration.used), images(found.calibration.asked));
    if used >= asked {
        return None;
    }
    let text = format!(
        "Thresholds and statistics come from {used} images where {asked} were asked for: {} has no more to train on. They are as uncertain as so few images make them; a larger data set helps.",
        found.dataset
    );
    said("calibration", text, Some(commands.convert(found.best())))
}

fn statistics(found: &Diagnosis, commands: &Commands) -> Option<Advice> {
    let cell = found.cell();
    if !cell.measured.clearly_above(&found.as_it_stands) {
        return None;
    }
    let text = format!(
        "As caltrop convert writes it the network recognises {}; with batch-norm statistics of {} calibration images {}. A conversion drops the ANN's running statistics, and only finetuning fills them again: weights and thresholds are not what is wrong. Judge a converted network by this table or after finetuning.",
        percent(&found.as_it_stands),
        found.calibration.used[0] * found.calibration.used[1],
        percent(&cell.measured)
    );
    said("statistics", text, Some(commands.finetune(cell.steps)))
}

fn settings(found: &Diagnosis, commands: &Commands) -> Option<Advice> {
    let (cell, best) = (found.cell(), found.best());
    if !best.measured.clearly_above(&cell.measured) {
        return None;
    }
    let text = format!(
        "Other settings convert better: {} at {}, {} at {}. Their intervals do not overlap.",
        percent(&best.measured),
        settings_of(best),
        percent(&cell.measured),
        settings_of(cell)
    );
    said("settings", text, Some(commands.convert(best)))
}

/// The best of the cells at the T of the chosen one whose thresholds are lower (or higher); without one, half (or twice) its scale.
fn turned(found: &Diagnosis, factor: f64) -> SweepCell {
    let cell = found.cell();
    let level = |cell: &SweepCell| cell.thresholds.iter().sum::<f64>();
    let wanted = |other: &&SweepCell| {
        let way = level(other) - level(cell);
        other.steps == cell.steps && if factor < 1.0 { way < 0.0 } else { way > 0.0 }
    };
    let best = found.cells.iter().filter(wanted).max_by(|a, b| a.measured.accuracy.total_cmp(&b.measured.accuracy));
    best.cloned().unwrap_or_else(|| SweepCell { scale: cell.scale * factor, ..cell.clone() })
}

/// The layer of which most is so, if that is more than `most`.
fn worst(found: &Diagnosis, most: f64, of: fn(&Health) -> f64) -> Option<&Health> {
    found.layers.iter().filter(|layer| of(layer) > most).max_by(|a, b| of(a).total_cmp(&of(b)))
}

fn silence(found: &Diagnosis, commands: &Commands) -> Option<Advice> {
    let layer = worst(found, SILENT, |layer| layer.muted)?;
    let text = format!(
        "{}: {} of the neurons that are active in the ANN fire no spike in T = {} steps (mean rate {:.3}, threshold {:.3}): the threshold is too high for their currents. Lower the percentile or the scale, or give them more steps.",
        layer.name,
        share(layer.muted),
        found.cell().steps,
        layer.rate,
        layer.threshold
    );
    said("silence", text, Some(commands.convert(&turned(found, 0.5))))
}

fn saturation(found: &Diagnosis, commands: &Commands) -> Option<Advice> {
    let layer = worst(found, SATURATED, |layer| layer.saturated)?;
    let text = format!(
        "{}: {} of the neurons fire at every step, and {} of the currents reach the threshold of {:.3} by themselves: what lies above it is cut off. Raise the scale or the percentile.",
        layer.name,
        share(layer.saturated),
        share(layer.above),
        layer.threshold
    );
    said("saturation", text, Some(commands.convert(&turned(found, 2.0))))
}

fn lost(found: &Diagnosis, commands: &Commands) -> Option<Advice> {
    let of = |layer: &Health| layer.correlation.unwrap_or(0.0);
    let at = found.layers.iter().position(|layer| of(layer) < LOST)?;
    let layer = &found.layers[at];
    let before = at.checked_sub(1).map(|before| &found.layers[before]);
    let from = before.map_or("the pixels on".to_string(), |before| format!("{:.2} in {}", of(before), before.name));
    let why = if layer.muted > SILENT {
        format!("{} of its active neurons are silent", share(layer.muted))
    } else if layer.saturated > SATURATED {
        format!("{} of its neurons fire at every step", share(layer.saturated))
    } else {
        format!(
            "neither silence ({}) nor saturation ({}) explains it: the rates are coarse, and errors of the layers before add up",
            share(layer.muted),
            share(layer.saturated)
        )
    };
    let deepest = found.layers.last().map_or(String::new(), |last| format!("; the last, {}, has {:.2}", last.name, of(last)));
    let text = format!(
        "Rates follow the ANN's activations until layer {} of {}: the correlation falls from {from} to {:.2} in {} ({why}){deepest}. Finetuning has to repair from there on.",
        at + 1,
        found.layers.len(),
        of(layer),
        layer.name
    );
    let best = found.best();
    said("lost", text, Some(if found.best == found.chosen { commands.finetune(best.steps) } else { commands.convert(best) }))
}

fn longer(found: &Diagnosis, commands: &Commands) -> Option<Advice> {
    let cell = found.cell();
    let alike = |other: &&SweepCell| (other.percentile, other.scale) == (cell.percentile, cell.scale) && other.steps > cell.steps;
    let longer =
        found.cells.iter().filter(alike).filter(|other| other.measured.clearly_above(&cell.measured)).min_by_key(|other| other.steps)?;
    let text = format!(
        "T = {} is short: a rate is a multiple of 1/{0}. The same thresholds get {} at T = {}, and {} at T = {0}.",
        cell.steps,
        percent(&longer.measured),
        longer.steps,
        percent(&cell.measured)
    );
    said("longer", text, Some(commands.convert(longer)))
}

fn shorter(found: &Diagnosis, commands: &Commands) -> Option<Advice> {
    let (cell, best) = (found.cell(), found.best());
    let short = found.cells.iter().filter(|other| other.tied && other.steps < cell.steps);
    let short = short.min_by(|a, b| a.steps.cmp(&b.steps).then(b.measured.accuracy.total_cmp(&a.measured.accuracy)))?;
    let against = match short.is(best.percentile, best.scale, best.steps) {
        true => "the best of the sweep".to_string(),
        false => format!("which {} images do not tell from the best cell's {}", found.images, percent(&best.measured)),
    };
    let text = format!("Fewer steps may do: {} gets {}, {against}.", settings_of(short), percent(&short.measured));
    said("shorter", text, Some(commands.convert(short)))
}

fn ann(found: &Diagnosis, commands: &Commands) -> Option<Advice> {
    let best = found.best();
    if found.ann.clearly_above(&best.measured) {
        return None;
    }
    let text = format!(
        "The best conversion keeps what the ANN knows: {} at {}, the ANN {}. What is missing beyond that is missing in the ANN already; more training of it is what helps.",
        percent(&best.measured),
        settings_of(best),
        percent(&found.ann)
    );
    said("ann", text, Some(commands.train()))
}

fn finetuned(found: &Diagnosis, commands: &Commands) -> Option<Advice> {
    let tuned = found.finetuned.as_ref()?;
    let before = found.converted.as_ref().map_or(&found.cell().measured, |converted| &converted.measured);
    let (measured, ann) = (&tuned.measured, &found.ann);
    let numbers = format!("{} before finetuning, {} after, the ANN {}", percent(before), percent(measured), percent(ann));
    let robust = || format!("caltrop eval {} --attack pgd{}", word(&tuned.path), commands.data);
    let (verdict, command) = match (ann.clearly_above(before), ann.clearly_above(measured)) {
        (false, false) => {
            ("The conversion lost no clean accuracy and finetuning keeps it; whether it adds robustness, eval tells", robust())
        }
        (true, false) => ("Finetuning recovers the ANN's accuracy", robust()),
        (_, true) if measured.clearly_above(before) => {
            ("Finetuning recovers a part; more epochs or a longer T may bring the rest", commands.finetune(tuned.steps))
        }
        (_, true) => (
            "Finetuning did not help: look at its learning rate and epochs, and begin with the best cell of the sweep",
            commands.convert(found.best()),
        ),
    };
    said("finetuned", format!("{verdict}: {numbers}."), Some(command))
}
