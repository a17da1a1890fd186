//! The figures of a comparison: every run a colour and a letter, in each chart the same.

use super::{ink, stroke};
use crate::record::{Chart, Comparison, Line, Row, letter};
use crate::report::chart::{self, Panel, WIDTH, counts, ticks};
use crate::report::png::text_width;
use crate::report::scene::{Anchor, Ink, Scene, Stroke, Weight};
use crate::report::words::{count_whole, result_name};

const HUNDRED: [f64; 6] = [0.0, 20.0, 40.0, 60.0, 80.0, 100.0];

/// More lines than this have no bands: they would hide one another.
const BANDS: usize = 4;

/// Points between two letters, one above the other.
const LETTER: f32 = 11.5;

/// The runs by letter and name, for a picture that stands alone.
pub(super) fn legend(comparison: &Comparison) -> Scene {
    const ROW: f32 = 20.0;
    let names: Vec<String> = comparison.compared.iter().enumerate().map(|(at, side)| format!("{} {}", letter(at), side.name)).collect();
    let widest = names.iter().map(|name| text_width(name, 12.0)).fold(0.0, f32::max) + 56.0;
    let columns = ((2.0 * WIDTH / widest) as usize).clamp(1, 4);
    let rows = names.len().div_ceil(columns);
    let mut scene = Scene::new((columns as f32 * widest).max(WIDTH), rows as f32 * ROW + 8.0);
    for (at, name) in names.into_iter().enumerate() {
        let (x, y) = ((at / rows) as f32 * widest, (at % rows) as f32 * ROW + 14.0);
        scene.line(vec![(x, y - 4.0), (x + 24.0, y - 4.0)], ink(at), 3.0, stroke(at));
        scene.text((x + 32.0, y), 12.0, Anchor::Start, Weight::Regular, Ink::Text, name);
    }
    scene
}

/// Training, a panel a stage and measure.
pub(super) fn training(comparison: &Comparison) -> Vec<Scene> {
    let panel = |chart: &Chart| {
        let epochs = last_x(chart) as usize;
        let (y, y_ticks) = if chart.measure.ends_with(".loss") { from_zero(chart) } else { zoomed(chart) };
        let title = training_title(&chart.measure);
        let mut panel = Panel::new(&title, &[], [0.5, epochs as f64 + 0.5], y, &y_ticks);
        draw(&mut panel, chart);
        let images = if chart.images > 0 { format!(" ({} images)", count_whole(chart.images)) } else { String::new() };
        panel.x_axis(&counts(epochs).into_iter().map(|k| (k as f64, k.to_string())).collect::<Vec<_>>(), &format!("epoch{images}"));
        told(panel.scene, &title, chart)
    };
    comparison.training.iter().map(panel).collect()
}

fn training_title(measure: &str) -> String {
    let (stage, name) = measure.split_once('.').unwrap_or(("", measure));
    let network = if stage == "ann" { "ReLU network" } else { "Spiking network" };
    let images = match name {
        "train_acc" => "clean training images",
        "adv_acc" => "attacked training images",
        "val_clean" => "held-out images",
        "val_robust" => "held-out images under PGD-10",
        "test_clean" => "test images",
        _ => return format!("{network}, training loss"),
    };
    format!("{network} on {images}, %")
}

/// Accuracy against eps, a panel an attack and network.
pub(super) fn eps(comparison: &Comparison) -> Vec<Scene> {
    let panel = |chart: &Chart| {
        let (network, attack) = chart.measure.split_once(' ').unwrap_or(("", &chart.measure));
        let network = if network == "ann" { "ReLU network" } else { "Spiking network" };
        let title = format!("{network} under {attack}, %");
        let most = last_x(chart).max(1.0);
        let mut panel = Panel::new(&title, &[], [-0.03 * most, 1.04 * most], [0.0, 100.0], &HUNDRED);
        draw(&mut panel, chart);
        let mut marks: Vec<f64> = chart.lines.iter().flatten().flat_map(|line| line.points.iter().map(|point| point[0])).collect();
        marks.sort_by(f64::total_cmp);
        // A label wants a twentieth of the width.
        let mut kept: Vec<f64> = Vec::new();
        for mark in marks {
            if kept.last().is_none_or(|last| mark - last >= most / 20.0) {
                kept.push(mark);
            }
        }
        let axis = format!("eps, in 1/255 ({} test images)", count_whole(chart.images));
        panel.x_axis(&kept.into_iter().map(|x| (x, format!("{x}"))).collect::<Vec<_>>(), &axis);
        told(panel.scene, &title, chart)
    };
    comparison.curves.iter().map(panel).collect()
}

/// Firing rates and silent neurons, layer by layer.
pub(super) fn firing(comparison: &Comparison) -> Vec<Scene> {
    let panel = |chart: &Chart| {
        let title = if chart.measure == "rate" { "Spikes a neuron and step, %" } else { "Neurons silent over all steps, %" };
        let layers = last_x(chart) as usize + 1;
        let (y, y_ticks) = from_zero(chart);
        let mut panel = Panel::new(title, &[], [-0.4, layers as f64 - 0.6], y, &y_ticks);
        draw(&mut panel, chart);
        let names: Vec<String> = (0..layers).map(|at| chart.names.get(at).cloned().unwrap_or((at + 1).to_string())).collect();
        let widest = names.iter().map(|name| text_width(name, 11.5)).fold(0.0, f32::max) + 8.0;
        let step = layers.div_ceil(((WIDTH - 58.0) / widest).max(1.0) as usize);
        let labels: Vec<(f64, String)> = names.into_iter().enumerate().step_by(step).map(|(at, name)| (at as f64, name)).collect();
        panel.x_axis(&labels, "layer, from input to output");
        told(panel.scene, title, chart)
    };
    comparison.firing.iter().map(panel).collect()
}

/// The results as dots with their intervals, a panel a track.
pub(super) fn results(comparison: &Comparison) -> Vec<Scene> {
    let of = |natural: bool| comparison.results.iter().filter(|row| row.key.starts_with("natural.") == natural).collect::<Vec<_>>();
    let both = [("Robust networks, %", of(false)), ("Their natural twins, %", of(true))];
    both.into_iter().filter(|(_, rows)| !rows.is_empty()).map(|(title, rows)| dots(title, rows)).collect()
}

fn dots(title: &str, rows: Vec<&Row>) -> Scene {
    const STEP: f32 = 12.0;
    const FROM: f32 = 8.0;
    const TO: f32 = WIDTH - 24.0; // a letter stands behind 100
    let there = |row: &Row| row.cells.iter().flatten().count();
    let bottom = 34.0 + rows.iter().map(|row| there(row) as f32 * STEP + 34.0).sum::<f32>();
    let mut scene = chart::begin(bottom + 22.0, title, &[]);
    let x_of = |value: f64| FROM + (value.clamp(0.0, 100.0) / 100.0) as f32 * (TO - FROM);
    for tick in HUNDRED {
        scene.line(vec![(x_of(tick), 30.0), (x_of(tick), bottom)], Ink::Grid, 1.0, Stroke::Solid);
        scene.label((x_of(tick), bottom + 15.0), Anchor::Middle, Ink::Muted, format!("{tick:.0}"));
    }
    let mut top = 34.0;
    let mut words = Vec::new();
    for row in rows {
        let name = result_name(row.key.trim_start_matches("natural."));
        scene.text((FROM, top + 14.0), 11.5, Anchor::Start, Weight::Regular, Ink::Text, name.clone());
        let mut y = top + 28.0;
        let mut each = Vec::new();
        for (at, cell) in row.cells.iter().enumerate() {
            let Some(cell) = cell else { continue };
            let spread = cell.deviation.map(|deviation| [cell.percent - deviation, cell.percent + deviation]);
            let [low, high] = cell.interval.or(spread).unwrap_or([cell.percent; 2]).map(x_of);
            scene.line(vec![(low, y), (high, y)], ink(at), 1.4, stroke(at));
            scene.dot((x_of(cell.percent), y), 3.4, ink(at));
            scene.text((high.max(x_of(cell.percent) + 3.4) + 5.0, y + 3.8), 10.5, Anchor::Start, Weight::Bold, ink(at), letter(at));
            each.push(format!("{} {:.1}", letter(at), cell.percent));
            y += STEP;
        }
        words.push(format!("{name}: {}", each.join(", ")));
        top += there(row) as f32 * STEP + 34.0;
    }
    scene.alt = format!("Dot chart of accuracies in percent. {}.", words.join(". "));
    scene
}

fn last_x(chart: &Chart) -> f64 {
    chart.lines.iter().flatten().flat_map(|line| line.points.iter().map(|point| point[0])).fold(0.0, f64::max)
}

/// The lowest and highest y, bands included where they are drawn.
fn extent(chart: &Chart) -> [f64; 2] {
    let points = chart.lines.iter().flatten().flat_map(|line| line.points.iter().map(|point| point[1]));
    let bounds = chart.lines.iter().flatten().filter(|_| has_bands(chart)).flat_map(|line| line.bounds.iter().flatten().copied());
    points.chain(bounds).filter(|y| y.is_finite()).fold([f64::MAX, f64::MIN], |[low, high], y| [low.min(y), high.max(y)])
}

/// A frame from 0 on.
fn from_zero(chart: &Chart) -> ([f64; 2], Vec<f64>) {
    let [_, high] = extent(chart);
    let ticks = if high > 50.0 && high <= 100.0 { HUNDRED.to_vec() } else { ticks(high) };
    ([0.0, ticks.last().copied().unwrap_or(1.0)], ticks)
}

/// A frame of tens of percent around what there is.
fn zoomed(chart: &Chart) -> ([f64; 2], Vec<f64>) {
    let [low, high] = extent(chart).map(|y| y.clamp(0.0, 100.0));
    let step = if high - low > 50.0 { 20.0 } else { 10.0 };
    let top = ((high / step).ceil() * step).max(2.0 * step);
    let bottom = ((low / step).floor() * step).min(top - 2.0 * step);
    let count = ((top - bottom) / step).round() as usize;
    ([bottom, top], (0..=count).map(|k| bottom + k as f64 * step).collect())
}

fn has_bands(chart: &Chart) -> bool {
    chart.lines.iter().flatten().count() <= BANDS
}

/// The lines, each with its letter at its end.
fn draw(panel: &mut Panel, chart: &Chart) {
    let lines: Vec<(usize, &Line)> = chart.lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.as_ref()?))).collect();
    for (at, line) in lines.iter().filter(|_| has_bands(chart)) {
        panel.band(&line.points.iter().zip(&line.bounds).map(|(point, bounds)| (point[0], *bounds)).collect::<Vec<_>>(), ink(*at));
    }
    let mut ends = Vec::new();
    for (at, line) in lines {
        let points: Vec<(f64, f64)> = line.points.iter().map(|point| (point[0], point[1])).collect();
        panel.curve(&points, ink(at), stroke(at));
        ends.extend(points.last().map(|&(x, y)| (panel.at(x, y), at)));
    }
    let [low, high] = panel.height();
    // Lines that end at the same x share out the height for their letters.
    ends.sort_by(|((x, y), _), ((other_x, other_y), _)| x.total_cmp(other_x).then(y.total_cmp(other_y)));
    for group in ends.chunk_by(|((x, _), _), ((other, _), _)| (x - other).abs() < 1.0) {
        let places = apart(group.iter().map(|((_, y), _)| *y).collect(), LETTER, [low, high]);
        for (((x, _), at), y) in group.iter().zip(places) {
            panel.scene.text((x + 7.0, y + 3.8), 10.5, Anchor::Start, Weight::Bold, ink(*at), letter(*at));
        }
    }
}

/// These rising places, moved so that at least `gap` lies between any two, within `low` and `high` as far as there is room.
pub(super) fn apart(mut places: Vec<f32>, gap: f32, [low, high]: [f32; 2]) -> Vec<f32> {
    let mut least = low;
    for place in &mut places {
        *place = place.max(least);
        least = *place + gap;
    }
    let mut most = high;
    for place in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - gap;
    }
    places
}

/// The scene with its words: the end of each line.
fn told(mut scene: Scene, title: &str, chart: &Chart) -> Scene {
    let end = |(at, line): (usize, &Option<Line>)| {
        line.as_ref().and_then(|line| line.points.last()).map(|point| format!("{} {:.1}", letter(at), point[1]))
    };
    let ends: Vec<String> = chart.lines.iter().enumerate().filter_map(end).collect();
    scene.alt = format!("Line chart. {title}. At the end of each line: {}.", ends.join(", "));
    scene
}
