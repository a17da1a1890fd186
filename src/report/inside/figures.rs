//! The figures, as panels.

use crate::record::{Course, Histogram, Inside, Inspected, Seen};
use crate::report::chart::{self, Key, Panel, WIDTH, counts, ticks};
use crate::report::scene::{Anchor, Ink, Scene, Stroke};

/// The names and inks of the takes.
pub(super) const TAKES: [(&str, Ink); 2] = [("clean", Ink::Robust), ("attacked", Ink::Natural)];

/// Neurons that a raster shows at most.
pub(super) const RASTER: usize = 96;

/// Firing rates, silent and saturated shares, and what the attack changed, layer by layer.
pub(super) fn layers(inside: &Inside) -> Vec<Scene> {
    let count = inside.layers.len();
    if count == 0 {
        return Vec::new();
    }
    let attacked = inside.attack.is_some();
    let shown = &TAKES[..1 + usize::from(attacked)];
    let panel = |title: &str, legend: &[Key], lines: &[(Ink, Stroke, Vec<f64>)]| {
        let most = lines.iter().flat_map(|(_, _, values)| values).copied().fold(0.0, f64::max);
        let y = ticks(most);
        let mut panel = Panel::new(title, legend, [0.5, count as f64 + 0.5], [0.0, *y.last().unwrap_or(&1.0)], &y);
        for (ink, stroke, values) in lines {
            panel.curve(&(1..).map(f64::from).zip(values.iter().copied()).collect::<Vec<_>>(), *ink, *stroke);
        }
        panel.x_axis(&counts(count).into_iter().map(|k| (k as f64, k.to_string())).collect::<Vec<_>>(), "layer of neurons");
        let last = |values: &Vec<f64>| values.last().copied().unwrap_or(0.0);
        let told: Vec<String> = lines.iter().map(|(_, _, values)| format!("{:.1} to {:.1}", values[0], last(values))).collect();
        panel.scene.alt = format!("Line chart over {count} layers: {title}, from the first to the last {}.", told.join("; "));
        panel.scene
    };
    let of = |take: usize, value: fn(&Histogram) -> f64| inside.layers.iter().map(|layer| 100.0 * value(&layer.takes[take])).collect();
    let keys = |words: &str| shown.iter().map(|(name, ink)| Key::solid(*ink, format!("{name}{words}"))).collect::<Vec<_>>();
    let solid = |value: fn(&Histogram) -> f64| {
        (0..shown.len()).map(|take| (shown[take].1, Stroke::Solid, of(take, value))).collect::<Vec<(Ink, Stroke, Vec<f64>)>>()
    };
    let mut shares = solid(Histogram::silent);
    shares.extend((0..shown.len()).map(|take| (shown[take].1, Stroke::Dashed, of(take, Histogram::saturated))));
    let mut share_keys = keys(", silent");
    share_keys.push(Key { ink: Ink::Muted, stroke: Stroke::Dashed, text: "saturated".into() });
    let mut panels = vec![
        panel("Firing rate, % of all neurons and steps", &keys(""), &solid(Histogram::rate)),
        panel("Silent and saturated neurons, %", &share_keys, &shares),
    ];
    let changes: Vec<_> = inside.layers.iter().filter_map(|layer| layer.change).collect();
    if changes.len() == count {
        let lines = [
            (Ink::Wrong, Stroke::Solid, changes.iter().map(|change| 100.0 * change.flipped).collect()),
            (Ink::Muted, Stroke::Dashed, changes.iter().map(|change| 100.0 * change.neurons).collect()),
        ];
        let keys = [
            Key::solid(Ink::Wrong, "spikes that differ"),
            Key { ink: Ink::Muted, stroke: Stroke::Dashed, text: "neurons of another rate".into() },
        ];
        panels.push(panel("What the attack changes, %", &keys, &lines));
    }
    panels
}

/// How many neurons fire how often, a panel a layer.
pub(super) fn histograms(inside: &Inside) -> Vec<Scene> {
    inside.layers.iter().map(|layer| histogram(inside, layer)).collect()
}

fn histogram(inside: &Inside, layer: &Seen) -> Scene {
    let steps = inside.steps;
    let shares = |take: &Histogram| (0..=steps).map(|count| 100.0 * take.share(count)).collect::<Vec<f64>>();
    let takes: Vec<Vec<f64>> = layer.takes.iter().map(shares).collect();
    let y = ticks(takes.iter().flatten().copied().fold(0.0, f64::max));
    let keys: Vec<Key> = TAKES.iter().take(takes.len()).map(|(name, ink)| Key::solid(*ink, *name)).collect();
    let mut panel = Panel::new(&layer.name, &keys, [-0.5, steps as f64 + 0.5], [0.0, *y.last().unwrap_or(&1.0)], &y);
    let half = 0.38 / takes.len() as f64;
    for (take, shares) in takes.iter().enumerate() {
        for (count, &share) in shares.iter().enumerate() {
            let middle = count as f64 + half * (2.0 * take as f64 + 1.0 - takes.len() as f64);
            let (low, high) = (panel.at(middle - half, 0.0), panel.at(middle + half, share));
            panel.scene.bar((low.0, high.1), (high.0 - low.0, low.1 - high.1), TAKES[take].1);
        }
    }
    let labels: Vec<(f64, String)> = std::iter::once(0).chain(counts(steps)).map(|k| (k as f64, k.to_string())).collect();
    panel.x_axis(&labels, "spikes of a neuron in T steps (bars: % of the neurons)");
    panel.scene.alt = format!(
        "Histogram of {}: {} {:.1} % of the neurons never fire, {:.1} % at every step.",
        layer.name, "of the clean images,", takes[0][0], takes[0][steps]
    );
    panel.scene
}

/// The neurons of a layer that a raster shows: of those that fire in either take at most [`RASTER`], evenly spread.
pub(super) fn rows(inside: &Inside, image: &Inspected, layer: usize) -> Vec<usize> {
    let planes = inside.planes();
    let fires =
        |neuron: usize| image.takes.iter().any(|take| take.spikes[layer][neuron * planes..(neuron + 1) * planes].iter().any(|&b| b > 0));
    let neurons: usize = inside.layers[layer].shape.iter().product();
    let firing: Vec<usize> = (0..neurons).filter(|&neuron| fires(neuron)).collect();
    let shown = firing.len().min(RASTER);
    (0..shown).map(|row| firing[row * firing.len() / shown]).collect()
}

/// Neuron x time, a panel a layer, the clean image beside the adversarial one.
pub(super) fn rasters(inside: &Inside, image: &Inspected) -> Vec<Scene> {
    (0..inside.layers.len()).map(|layer| raster(inside, image, layer)).collect()
}

fn raster(inside: &Inside, image: &Inspected, layer: usize) -> Scene {
    const TOP: f32 = 50.0;
    const HIGH: f32 = 216.0;
    let (rows, steps, name) = (rows(inside, image, layer), inside.steps, &inside.layers[layer].name);
    let keys: Vec<Key> = TAKES.iter().take(image.takes.len()).map(|(name, ink)| Key::solid(*ink, *name)).collect();
    let mut scene = chart::begin(TOP + HIGH + 40.0, name, &keys);
    let gap = 24.0;
    let wide = (WIDTH - gap * (image.takes.len() - 1) as f32) / image.takes.len() as f32;
    let (cell, row_height) = (wide / steps as f32, HIGH / rows.len().max(1) as f32);
    for (at, (take, (_, ink))) in image.takes.iter().zip(TAKES).enumerate() {
        let left = at as f32 * (wide + gap);
        for t in 0..=steps {
            let x = left + t as f32 * cell;
            scene.line(vec![(x, TOP), (x, TOP + HIGH)], Ink::Grid, 0.7, Stroke::Solid);
        }
        for (row, &neuron) in rows.iter().enumerate() {
            for (t, _) in inside.train(&take.spikes[layer], neuron).iter().enumerate().filter(|(_, spike)| **spike) {
                let place = (left + (t as f32 + 0.1) * cell, TOP + row as f32 * row_height);
                scene.bar(place, (0.8 * cell, (0.8 * row_height).min(6.0)), ink);
            }
        }
        for t in counts(steps) {
            scene.label((left + (t as f32 - 0.5) * cell, TOP + HIGH + 16.0), Anchor::Middle, Ink::Muted, t.to_string());
        }
        scene.label((left + wide / 2.0, TOP + HIGH + 33.0), Anchor::Middle, Ink::Muted, format!("step, {} neurons", rows.len()));
    }
    scene.alt = format!("Spike raster of {name}: {} neurons over {steps} steps.", rows.len());
    scene
}

/// Currents and membranes of the chosen neurons, a panel each.
pub(super) fn traces(inside: &Inside, image: &Inspected) -> Vec<Scene> {
    image.courses.iter().map(|course| trace(inside, image, course)).collect()
}

fn trace(inside: &Inside, image: &Inspected, course: &Course) -> Scene {
    let (layer, steps) = (&inside.layers[course.layer], inside.steps);
    let ([x, y, c], v_th) = (course.at, f64::from(layer.v_th));
    let values = || course.takes.iter().flat_map(|take| take.x.iter().chain(&take.u)).map(|&value| f64::from(value));
    let (low, high) = values().fold((0.0f64, v_th), |(low, high), value| (low.min(value), high.max(value)));
    let step = ticks(high - low)[1];
    let (first, last) = ((low / step).floor(), (high / step).ceil());
    let y_ticks: Vec<f64> = (first as i64..=last as i64).map(|k| k as f64 * step).collect();
    let mut keys: Vec<Key> =
        TAKES.iter().take(course.takes.len()).map(|(name, ink)| Key::solid(*ink, format!("membrane, {name}"))).collect();
    keys.push(Key { ink: Ink::Muted, stroke: Stroke::Dashed, text: "current".into() });
    let title = format!("{} at x {x}, y {y}, c {c}", layer.name);
    let mut panel = Panel::new(&title, &keys, [0.0, steps as f64 + 0.3], [first * step, last * step], &y_ticks);
    let neuron = layer.neuron(course.at);
    let edge = panel.at(0.0, v_th).1;
    let threshold = vec![panel.at(0.0, v_th), panel.at(steps as f64 + 0.3, v_th)];
    panel.scene.line(threshold, Ink::Wrong, 1.2, Stroke::Dashed);
    panel.scene.label((WIDTH - 16.0, edge - 5.0), Anchor::End, Ink::Wrong, "threshold");
    let mut told = Vec::new();
    for (at, (take, (name, ink))) in course.takes.iter().zip(TAKES).enumerate() {
        let train = inside.train(&image.takes[at].spikes[course.layer], neuron);
        let currents: Vec<(f32, f32)> = take.x.iter().enumerate().map(|(t, &x)| panel.at(t as f64 + 1.0, f64::from(x))).collect();
        panel.scene.line(currents, ink, 1.0, Stroke::Dashed);
        // The membrane arrives at u_t, and where the neuron fires falls to what the reset leaves.
        let mut points = vec![panel.at(0.0, 0.0)];
        for (t, &u) in take.u.iter().enumerate() {
            points.push(panel.at(t as f64 + 1.0, f64::from(u)));
            if train[t] {
                let left = if inside.reset == "soft" { f64::from(u) - v_th } else { 0.0 };
                points.push(panel.at(t as f64 + 1.0, left));
                let tick = panel.at(t as f64 + 1.0, last * step);
                panel.scene.bar((tick.0 - 2.0 + 5.0 * at as f32, tick.1 - 12.0), (4.0, 10.0), ink);
            }
        }
        panel.scene.line(points, ink, 2.0, Stroke::Solid);
        told.push(format!("{name} it spikes {} times", train.iter().filter(|spike| **spike).count()));
    }
    panel.x_axis(&counts(steps).into_iter().map(|t| (t as f64, t.to_string())).collect::<Vec<_>>(), "step (bars above: spikes)");
    panel.scene.alt = format!("Membrane of {title} over {steps} steps; {}.", told.join(", "));
    panel.scene
}
