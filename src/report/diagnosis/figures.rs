//! The sweep as heat maps, one for each T, and the layers as curves along the depth.

use super::super::chart::{self, Key, Panel, WIDTH, ticks};
use super::super::scene::{Anchor, Ink, Scene, Stroke, Weight};
use super::super::words::percent;
use crate::record::{Diagnosis, Health, SweepCell};

/// A tile of the highest accuracy has so much of its ink: words upon it can still be read.
const DENSEST: f32 = 0.6;

/// Accuracy over scale and percentile, a panel for each T.
pub(super) fn sweep(found: &Diagnosis) -> Vec<Scene> {
    let (_, _, steps) = found.axes();
    steps.into_iter().map(|steps| heat(found, steps)).collect()
}

fn heat(found: &Diagnosis, steps: usize) -> Scene {
    const LEFT: f32 = 72.0;
    const TOP: f32 = 52.0;
    const ROW: f32 = 40.0;
    let (percentiles, scales, _) = found.axes();
    let width = (WIDTH - LEFT) / scales.len() as f32;
    let bottom = TOP + ROW * percentiles.len() as f32;
    let mut scene = chart::begin(bottom + 42.0, &format!("T = {steps}: images recognised, %"), &[]);
    scene.label((0.0, TOP - 12.0), Anchor::Start, Ink::Muted, "percentile");
    let mut told = Vec::new();
    for (row, percentile) in percentiles.iter().enumerate() {
        let y = TOP + ROW * row as f32;
        scene.label((LEFT - 10.0, y + ROW / 2.0 + 4.0), Anchor::End, Ink::Muted, percentile.to_string());
        for (column, scale) in scales.iter().enumerate() {
            let at = |cell: &SweepCell| cell.is(*percentile, *scale, steps);
            let Some(index) = found.cells.iter().position(at) else { continue };
            let (cell, x) = (&found.cells[index], LEFT + width * column as f32);
            tile(&mut scene, found, index, (x, y), (width, ROW));
            told.push(format!("{percentile} and {scale}: {}", percent(cell.measured.accuracy)));
        }
    }
    for (column, scale) in scales.iter().enumerate() {
        scene.label((LEFT + width * (column as f32 + 0.5), bottom + 17.0), Anchor::Middle, Ink::Muted, scale.to_string());
    }
    scene.label(((LEFT + WIDTH) / 2.0, bottom + 36.0), Anchor::Middle, Ink::Muted, "scale");
    scene.alt = format!("Heat map of accuracy at T = {steps} over percentile and scale. {}.", told.join(", "));
    scene
}

/// One conversion.
fn tile(scene: &mut Scene, found: &Diagnosis, index: usize, (x, y): (f32, f32), (width, height): (f32, f32)) {
    let cell = &found.cells[index];
    // Between guessing and all; what lies below guessing is as good as that.
    let chance = 100.0 / found.classes.max(1) as f64;
    let share = ((cell.measured.accuracy - chance) / (100.0 - chance)).clamp(0.0, 1.0) as f32;
    scene.tile((x + 1.0, y + 1.0), (width - 2.0, height - 2.0), Ink::Robust, 0.04 + (DENSEST - 0.04) * share);
    let (best, chosen) = (index == found.best, index == found.chosen);
    let weight = if best || chosen { Weight::Bold } else { Weight::Regular };
    let dot = if cell.tied && !best { " \u{b7}" } else { "" };
    let middle = (x + width / 2.0, y + height / 2.0 + 4.5);
    scene.text(middle, 13.0, Anchor::Middle, weight, Ink::Text, format!("{:.1}{dot}", cell.measured.accuracy));
    let mut frame = |inset: f32, stroke: Stroke| {
        let (left, top, right, bottom) = (x + inset, y + inset, x + width - inset, y + height - inset);
        scene.line(vec![(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], Ink::Text, 1.6, stroke);
    };
    if best {
        frame(2.0, Stroke::Solid);
    }
    if chosen {
        frame(if best { 5.5 } else { 2.0 }, Stroke::Dashed);
    }
}

/// A line along the depth: its name, its ink and stroke, and a value of each layer.
struct Line<'a> {
    key: &'a str,
    ink: Ink,
    stroke: Stroke,
    layers: &'a [Health],
    value: fn(&Health) -> f64,
}

/// Correlation, rates, and neurons that say nothing, layer by layer.
pub(super) fn layers(found: &Diagnosis) -> Vec<Scene> {
    let own = found.layers.as_slice();
    let line = |key, ink, stroke, layers, value| Line { key, ink, stroke, layers, value };
    let both = |value: fn(&Health) -> f64| {
        let mut lines = vec![line("converted", Ink::Robust, Stroke::Solid, own, value)];
        lines.extend(found.finetuned.as_ref().map(|tuned| line("finetuned", Ink::Natural, Stroke::Solid, &tuned.layers, value)));
        lines
    };
    // Values below 0 are drawn at the bottom.
    let correlation = depth("Correlation with the ANN's activations", &both(|layer| layer.correlation.unwrap_or(f64::NAN)), 1.0);
    let slope = depth("Slope of rate times threshold over activation", &both(|layer| layer.slope.unwrap_or(f64::NAN)), 0.0);
    let rate = depth("Spikes a neuron and step, %", &both(|layer| 100.0 * layer.rate), 0.0);
    let troubles = [
        line("muted", Ink::Wrong, Stroke::Solid, own, |layer: &Health| 100.0 * layer.muted),
        line("saturated", Ink::Natural, Stroke::Solid, own, |layer| 100.0 * layer.saturated),
        line("dead", Ink::Muted, Stroke::Dashed, own, |layer| 100.0 * layer.dead),
    ];
    vec![correlation, slope, rate, depth("Converted: muted, saturated and dead neurons, %", &troubles, 0.0)]
}

/// A panel of lines along the layers, from 0 to at least `least`.
fn depth(title: &str, lines: &[Line], least: f64) -> Scene {
    let values = lines.iter().flat_map(|line| line.layers.iter().map(line.value)).filter(|value| value.is_finite());
    let y_ticks = ticks(values.fold(least, f64::max));
    let top = y_ticks.last().copied().unwrap_or(1.0);
    let names: Vec<&str> = lines[0].layers.iter().map(|layer| layer.name.as_str()).collect();
    let legend: Vec<Key> = lines.iter().map(|line| Key { ink: line.ink, stroke: line.stroke, text: line.key.into() }).collect();
    let mut panel = Panel::new(title, &legend, [0.0, names.len() as f64], [0.0, top], &y_ticks);
    let mut told = Vec::new();
    for line in lines {
        let points: Vec<(f64, f64)> = line.layers.iter().enumerate().map(|(at, layer)| (at as f64 + 0.5, (line.value)(layer))).collect();
        panel.curve(&points, line.ink, line.stroke);
        told.push(format!("{} {}", line.key, points.iter().map(|(_, value)| number(*value)).collect::<Vec<_>>().join(", ")));
    }
    let step = names.len().div_ceil(6);
    let labels: Vec<(f64, String)> = names.iter().enumerate().step_by(step).map(|(at, name)| (at as f64 + 0.5, (*name).into())).collect();
    panel.x_axis(&labels, "layer, from input to output");
    panel.scene.alt = format!("Line chart: {title}, layer by layer. {}.", told.join("; "));
    panel.scene
}

/// A value in words.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}") } else { "none".into() }
}
