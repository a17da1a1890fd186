//! The figures of a report, each a list of panels. A figure without data has no panels.

use super::chart::{self, Key, Panel, WIDTH, counts, ticks};
use super::scene::{Anchor, Ink, Picture, Scene, Stroke, Weight};
use super::words::{count_whole, image_count, member_count, percent, result_name};
use crate::record::{Curve, Epoch, Gallery, GalleryItem, Report};

const TRACKS: [(&str, Ink); 2] = [("robust", Ink::Robust), ("natural", Ink::Natural)];
const FULL: [f64; 2] = [0.0, 100.0];
const HUNDRED: [f64; 6] = [0.0, 20.0, 40.0, 60.0, 80.0, 100.0];

/// What a training curve shows of an epoch.
type Value = fn(&Epoch) -> Option<f64>;

/// A line of a training chart: its stroke, its values, and the accuracy that they are, where they are one and have intervals.
struct Line {
    stroke: Stroke,
    value: Value,
    accuracy: &'static str,
}

/// Training accuracy and loss, epoch by epoch, the rectifiers' stage before the spiking one.
pub(super) fn training(report: &Report) -> Vec<Scene> {
    let last = |stage: &str| report.epochs.iter().filter(|e| e.stage == stage).map(|e| e.epoch + 1).max().unwrap_or(0);
    let (ann, all) = (last("ann"), last("ann") + last("snn"));
    if all == 0 {
        return Vec::new();
    }
    let series = |track: &str, stage: &str, value: &dyn Fn(&Epoch) -> Option<f64>| -> Vec<(f64, f64)> {
        let offset = if stage == "snn" { ann } else { 0 };
        let mut points: Vec<(f64, f64)> = (report.epochs.iter())
            .filter(|e| e.track == track && e.stage == stage)
            .filter_map(|e| value(e).map(|v| ((e.epoch + 1 + offset) as f64, v)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let present = |track: &str| report.epochs.iter().any(|e| e.track == track);
    let panel = |title: &str, legend: &[Key], y: [f64; 2], y_ticks: &[f64], lines: &[Line]| {
        let mut panel = Panel::new(title, legend, [0.5, all as f64 + 0.5], y, y_ticks);
        if ann > 0 && all > ann {
            panel.mark(ann as f64 + 0.5, "converted to spikes");
        }
        for ((track, ink), stage) in TRACKS.iter().flat_map(|track| ["ann", "snn"].map(|stage| (track, stage))) {
            for line in lines {
                let bound = |at: usize| series(track, stage, &|e: &Epoch| e.intervals.get(line.accuracy).map(|bounds| bounds[at]));
                let bounds: Vec<(f64, [f64; 2])> =
                    bound(0).into_iter().zip(bound(1)).map(|((x, low), (_, high))| (x, [low, high])).collect();
                panel.band(&bounds, *ink);
            }
        }
        for ((track, ink), stage) in TRACKS.iter().flat_map(|track| ["ann", "snn"].map(|stage| (track, stage))) {
            for line in lines {
                panel.curve(&series(track, stage, &line.value), *ink, line.stroke);
            }
        }
        let images = image_words(report, lines);
        panel.x_axis(&counts(all).into_iter().map(|k| (k as f64, k.to_string())).collect::<Vec<_>>(), &format!("epoch{images}"));
        panel.scene
    };

    let attacked = report.epochs.iter().any(|e| e.adv_acc.is_some());
    let mut legend = Vec::new();
    for (track, ink) in TRACKS.iter().filter(|(track, _)| present(track)) {
        legend.push(Key::solid(*ink, format!("{track}, clean")));
        if report.epochs.iter().any(|e| e.track == *track && e.adv_acc.is_some()) {
            legend.push(Key { ink: *ink, stroke: Stroke::Dashed, text: format!("{track}, attacked") });
        }
    }
    let clean = Line { stroke: Stroke::Solid, value: |e| e.train_acc, accuracy: "train_acc" };
    let under_attack = Line { stroke: Stroke::Dashed, value: |e| e.adv_acc, accuracy: "adv_acc" };
    let mut accuracy = panel("Training accuracy, %", &legend, FULL, &HUNDRED, &[clean, under_attack]);
    let final_of = |track: &str| report.epochs.iter().rev().find(|e| e.track == track);
    let told: Vec<String> = (TRACKS.iter())
        .filter_map(|(track, _)| {
            final_of(track).map(|e| {
                format!("{track}{}{}", e.train_acc.map(|acc| format!(" {} clean", percent(acc))).unwrap_or_default(), attacked_words(e))
            })
        })
        .collect();
    accuracy.alt = format!("Line chart of training accuracy over {all} epochs. At the end: {}.", told.join("; "));
    if !attacked {
        accuracy.alt += " No accuracy under attack was recorded.";
    }

    let highest = report.epochs.iter().map(|e| e.loss).filter(|loss| loss.is_finite()).fold(0.0, f64::max);
    let loss_ticks = ticks(highest);
    let whole = Line { stroke: Stroke::Solid, value: |e| Some(e.loss), accuracy: "" };
    let divergence = Line { stroke: Stroke::Dashed, value: |e| e.loss_parts.get("kl").copied(), accuracy: "" };
    let mut keys = Vec::new();
    for (track, ink) in TRACKS.iter().filter(|(track, _)| present(track)) {
        keys.push(Key::solid(*ink, *track));
        if report.epochs.iter().any(|e| e.track == *track && (divergence.value)(e).is_some()) {
            keys.push(Key { ink: *ink, stroke: Stroke::Dashed, text: format!("{track}, its KL term") });
        }
    }
    let top = loss_ticks.last().copied().unwrap_or(1.0);
    let mut loss = panel("Training loss", &keys, [0.0, top], &loss_ticks, &[whole, divergence]);
    loss.alt = format!("Line chart of training loss over {all} epochs; the highest is {highest:.2}.");
    let mut panels = vec![accuracy, loss];
    if report.epochs.iter().any(|e| e.val_clean.is_some()) {
        let lines = [
            Line { stroke: Stroke::Solid, value: |e| e.val_clean, accuracy: "val_clean" },
            Line { stroke: Stroke::Dashed, value: |e| e.val_robust, accuracy: "val_robust" },
        ];
        let mut keys: Vec<Key> = TRACKS.iter().filter(|(track, _)| present(track)).map(|(track, ink)| Key::solid(*ink, *track)).collect();
        keys.push(Key::solid(Ink::Muted, "clean"));
        keys.push(Key { ink: Ink::Muted, stroke: Stroke::Dashed, text: "under PGD-10".to_string() });
        let mut held_out = panel("Accuracy on held-out images, %", &keys, FULL, &HUNDRED, &lines);
        held_out.alt = format!("Line chart of accuracy on held-out training images over {all} epochs, clean and under PGD-10.");
        panels.push(held_out);
    }
    panels
}

/// How many images the accuracies of these lines were measured on: ` (6 000 images, 1 000 of them attacked)`.
fn image_words(report: &Report, lines: &[Line]) -> String {
    let most = |name: &str| report.epochs.iter().map(|e| e.images_of(name)).max().unwrap_or(0);
    match lines.iter().map(|line| most(line.accuracy)).collect::<Vec<_>>()[..] {
        [0, attacked] | [attacked, 0] if attacked > 0 => format!(" ({} images)", count_whole(attacked)),
        [all, attacked] if all > 0 && all == attacked => format!(" ({} images)", count_whole(all)),
        [all, attacked] if all > 0 => format!(" ({} images, {} of them attacked)", count_whole(all), count_whole(attacked)),
        _ => String::new(),
    }
}

fn attacked_words(epoch: &Epoch) -> String {
    epoch.adv_acc.map_or(String::new(), |acc| format!(", {} attacked", percent(acc)))
}

/// Accuracy against eps, one panel for each attack and network.
pub(super) fn eps(report: &Report) -> Vec<Scene> {
    curve_groups(report).iter().map(|group| eps_panel(report, group)).collect()
}

/// The curves that belong together, robust before natural: those of one attack on one kind of network.
pub(super) fn curve_groups(report: &Report) -> Vec<Vec<&Curve>> {
    let mut groups: Vec<Vec<&Curve>> = Vec::new();
    for curve in TRACKS.iter().flat_map(|(track, _)| report.curves.iter().filter(move |c| c.track == *track && !c.points.is_empty())) {
        match groups.iter_mut().find(|group| group[0].attack == curve.attack && group[0].network == curve.network) {
            Some(group) => group.push(curve),
            None => groups.push(vec![curve]),
        }
    }
    groups
}

fn eps_panel(report: &Report, group: &[&Curve]) -> Scene {
    let ink_of = |track: &str| if track == "natural" { Ink::Natural } else { Ink::Robust };
    let curves: Vec<(&Curve, Ink)> = group.iter().map(|curve| (*curve, ink_of(&curve.track))).collect();
    let attack = &group[0].attack;
    let legend: Vec<Key> = curves.iter().map(|(curve, ink)| Key::solid(*ink, format!("{} network", curve.track))).collect();
    let xs: Vec<f64> = curves.iter().flat_map(|(curve, _)| curve.points.iter().map(|p| p[0])).collect();
    let most = xs.iter().copied().fold(1.0, f64::max);
    let images = curves.iter().map(|(curve, _)| curve.images).max().unwrap_or(0);
    let title = format!("Accuracy under {attack}, %");
    let mut panel = Panel::new(&title, &legend, [-0.03 * most, 1.04 * most], FULL, &HUNDRED);
    for (curve, ink) in &curves {
        let mut bounds: Vec<(f64, [f64; 2])> = curve.points.iter().zip(&curve.intervals).map(|(p, bounds)| (p[0], *bounds)).collect();
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        panel.band(&bounds, *ink);
    }
    for (curve, ink) in &curves {
        let mut points: Vec<(f64, f64)> = curve.points.iter().map(|p| (p[0], p[1])).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        panel.curve(&points, *ink, Stroke::Solid);
        // At each eps the highest point has its number above, the others below.
        for &(x, y) in points.iter().filter(|(_, y)| y.is_finite()) {
            let highest = curves.iter().flat_map(|(other, _)| &other.points).filter(|p| p[0] == x).all(|p| p[1] <= y || p[1].is_nan());
            let (px, py) = panel.at(x, y);
            let place = if highest || py > 246.0 { py - 9.0 } else { py + 17.0 };
            panel.scene.text((px, place), 10.5, Anchor::Middle, Weight::Bold, *ink, format!("{y:.0}"));
        }
    }
    let mut marks: Vec<f64> = xs;
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    // A label wants a twentieth of the width.
    let mut kept: Vec<f64> = Vec::new();
    for mark in marks {
        if kept.last().is_none_or(|last| mark - last >= most / 20.0) {
            kept.push(mark);
        }
    }
    let tested = if kept.contains(&report.start.eps) { format!("; results at {}", report.start.eps) } else { String::new() };
    let axis = format!("eps, in 1/255 ({images} test images{tested})");
    panel.x_axis(&kept.into_iter().map(|x| (x, format!("{x}"))).collect::<Vec<_>>(), &axis);
    let told: Vec<String> = (curves.iter())
        .map(|(curve, _)| {
            let points: Vec<String> = curve.points.iter().map(|p| format!("{} at {}", percent(p[1]), p[0])).collect();
            format!("{}: {}", curve.track, points.join(", "))
        })
        .collect();
    panel.scene.alt = format!("Line chart of accuracy under {attack} against eps. {}.", told.join(". "));
    panel.scene
}

/// The members of each ensemble as bars, robust over natural.
pub(super) fn ensembles(report: &Report) -> Vec<Scene> {
    let mut keys: Vec<&str> = report.ensemble.keys().map(|key| key.strip_prefix("natural.").unwrap_or(key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(|key| ensemble_panel(report, key)).collect()
}

fn ensemble_panel(report: &Report, key: &str) -> Scene {
    const ROW: f32 = 26.0;
    const FROM: f32 = 96.0; // room for "RECT γ=0.25" in a reader's widest font
    const TO: f32 = WIDTH - 40.0;
    let natural = format!("natural.{key}");
    let lists: Vec<_> = [(key, TRACKS[0]), (&natural, TRACKS[1])]
        .into_iter()
        .filter_map(|(k, t)| report.ensemble.get(k).map(|list| (list, k, t)))
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for member in lists.iter().flat_map(|(list, ..)| list.iter()) {
        if !names.contains(&member.name.as_str()) {
            names.push(&member.name);
        }
    }
    let legend: Vec<Key> = lists.iter().map(|(_, _, (track, ink))| Key::solid(*ink, format!("{track} network"))).collect();
    let bottom = 72.0 + ROW * (names.len() + 1) as f32;
    let mut scene = chart::begin(bottom + 22.0, &format!("{}, %", result_name(key)), &legend);
    let images = image_count(report, key).map_or(String::new(), |n| format!("{} images", count_whole(n)));
    scene.label((WIDTH, 37.5), Anchor::End, Ink::Muted, images);
    let x_of = |value: f64| FROM + (value.clamp(0.0, 100.0) / 100.0) as f32 * (TO - FROM);
    for tick in HUNDRED {
        scene.line(vec![(x_of(tick), 54.0), (x_of(tick), bottom)], Ink::Grid, 1.0, Stroke::Solid);
        scene.label((x_of(tick), bottom + 15.0), Anchor::Middle, Ink::Muted, format!("{tick:.0}"));
    }
    let thick = if lists.len() > 1 { 9.5 } else { 14.0 };
    let mut told = Vec::new();
    for (row, name) in names.iter().copied().map(Some).chain([None]).enumerate() {
        let y = 58.0 + ROW * row as f32 + if name.is_none() { 10.0 } else { 0.0 };
        let (text, weight) =
            name.map_or_else(|| (format!("all {}", names.len()), Weight::Bold), |name| (name.to_string(), Weight::Regular));
        scene.text((FROM - 8.0, y + 13.5), 11.5, Anchor::End, weight, Ink::Text, text.clone());
        for (at, (list, key, (track, ink))) in lists.iter().enumerate() {
            let member = list.iter().find(|member| Some(member.name.as_str()) == name).map(|member| (member.accuracy, member.ci95));
            let whole = || report.results.get(*key).map(|&value| (value, report.intervals.get(*key).copied()));
            let Some((value, bounds)) = (if name.is_some() { member } else { whole() }).filter(|(value, _)| value.is_finite()) else {
                continue;
            };
            let top = y + at as f32 * (thick + 1.0);
            scene.bar((FROM, top), (x_of(value) - FROM, thick), *ink);
            let [low, high] = bounds.unwrap_or([value; 2]).map(x_of);
            let middle = top + thick / 2.0;
            scene.line(vec![(low, middle), (high, middle)], Ink::Text, 1.0, Stroke::Solid);
            scene.text((high + 4.0, middle + 3.5), 10.0, Anchor::Start, weight, *ink, format!("{value:.1}"));
            if name.is_none() {
                told.push(format!("{track} {}", percent(value)));
            }
        }
    }
    let rule = 58.0 + ROW * names.len() as f32 + 2.0;
    scene.line(vec![(0.0, rule), (WIDTH, rule)], Ink::Muted, 1.0, Stroke::Solid);
    let count = member_count(report, key).unwrap_or(names.len());
    scene.alt = format!("Bar chart of the accuracy under each of {count} attacks. Recognised under all of them: {}.", told.join(", "));
    scene
}

/// Firing rate and share of silent neurons, layer by layer.
pub(super) fn firing(report: &Report) -> Vec<Scene> {
    let tracks: Vec<_> =
        TRACKS.iter().filter_map(|(track, ink)| report.firing.iter().find(|f| f.track == *track).map(|f| (f, *ink))).collect();
    let names: Vec<&str> =
        tracks.iter().max_by_key(|(f, _)| f.layers.len()).map_or(Vec::new(), |(f, _)| f.layers.iter().map(|l| l.name.as_str()).collect());
    if names.is_empty() {
        return Vec::new();
    }
    let legend = || tracks.iter().map(|(f, ink)| Key::solid(*ink, format!("{} network", f.track))).collect::<Vec<_>>();
    let bars = |title: &str, value: fn(&crate::record::Layer) -> f64| {
        let highest = tracks.iter().flat_map(|(f, _)| f.layers.iter().map(value)).filter(|v| v.is_finite()).fold(0.0, f64::max) * 100.0;
        let y_ticks = if highest > 50.0 { HUNDRED.to_vec() } else { ticks(highest) };
        let top = y_ticks.last().copied().unwrap_or(100.0);
        let mut panel = Panel::new(title, &legend(), [0.0, names.len() as f64], [0.0, top], &y_ticks);
        let room = 0.7 / tracks.len() as f64;
        let mut told = Vec::new();
        for (at, (firing, ink)) in tracks.iter().enumerate() {
            for (index, layer) in firing.layers.iter().enumerate().filter(|(_, layer)| value(layer).is_finite()) {
                let percentage = value(layer) * 100.0;
                let left = index as f64 + 0.15 + at as f64 * room;
                let ((x0, y0), (x1, y1)) = (panel.at(left, percentage), panel.at(left + room, 0.0));
                panel.scene.bar((x0 + 1.0, y0), (x1 - x0 - 2.0, y1 - y0), *ink);
                if names.len() <= 6 {
                    panel.scene.text(((x0 + x1) / 2.0, y0 - 4.0), 10.5, Anchor::Middle, Weight::Bold, *ink, format!("{percentage:.0}"));
                }
                told.push(format!("{} {} {percentage:.0} %", firing.track, layer.name));
            }
        }
        let step = names.len().div_ceil(8);
        let labels: Vec<(f64, String)> =
            names.iter().enumerate().step_by(step).map(|(at, name)| (at as f64 + 0.5, (*name).to_string())).collect();
        panel.x_axis(&labels, "layer, from input to output");
        panel.scene.alt = format!("Bar chart: {title}. {}.", told.join(", "));
        panel.scene
    };
    vec![bars("Spikes a neuron and step, %", |layer| layer.rate), bars("Neurons silent over all steps, %", |layer| layer.silent)]
}

/// Clean and attacked images side by side, one panel a track.
pub(super) fn gallery(report: &Report) -> Vec<Scene> {
    const SIDE: f32 = 84.0;
    const STEP: f32 = 92.0;
    const LEFT: f32 = 64.0;
    let Some(gallery) = &report.gallery else { return Vec::new() };
    let mut panels = Vec::new();
    for (track, _) in TRACKS {
        let items: Vec<&GalleryItem> = gallery.items.iter().filter(|item| item.track == track).take(10).collect();
        if items.is_empty() {
            continue;
        }
        let mut scene = Scene::new(LEFT + STEP * items.len() as f32, 272.0);
        scene.text((0.0, 15.0), 14.0, Anchor::Start, Weight::Bold, Ink::Text, format!("{} network", capital(track)));
        scene.label((0.0, 78.0), Anchor::Start, Ink::Muted, "clean");
        scene.label((0.0, 198.0), Anchor::Start, Ink::Muted, "attacked");
        for (at, item) in items.iter().enumerate() {
            let x = LEFT + STEP * at as f32;
            for (y, pixels, said) in [(32.0, &item.clean, &item.predicted_clean), (152.0, &item.adversarial, &item.predicted_adversarial)] {
                scene.picture((x, y), (SIDE, SIDE), picture(gallery, pixels));
                let (mark, ink) = if *said == item.label_name { ("✓", Ink::Right) } else { ("✗", Ink::Wrong) };
                scene.text((x, y + SIDE + 14.0), 11.0, Anchor::Start, Weight::Bold, ink, format!("{mark} {said}"));
            }
        }
        scene.alt = gallery_words(track, &items);
        panels.push(scene);
    }
    panels
}

fn gallery_words(track: &str, items: &[&GalleryItem]) -> String {
    let right = items.iter().filter(|item| item.predicted_adversarial == item.label_name).count();
    format!("{} test images, clean and attacked; the {track} network recognises {right} of the attacked ones.", items.len())
}

/// Pixels [H, W, C] of a gallery as red, green and blue.
pub(super) fn picture(gallery: &Gallery, pixels: &[u8]) -> Picture {
    let rgb = if gallery.channels == 1 { pixels.iter().flat_map(|&grey| [grey; 3]).collect() } else { pixels.to_vec() };
    Picture { width: gallery.width, height: gallery.height, rgb }
}

/// What the attack added, `gain` times, around mid-grey.
pub(super) fn difference(gallery: &Gallery, item: &GalleryItem, gain: i32) -> Picture {
    let changed: Vec<u8> = (item.clean.iter().zip(&item.adversarial))
        .map(|(&clean, &adversarial)| (128 + gain * (i32::from(adversarial) - i32::from(clean))).clamp(0, 255) as u8)
        .collect();
    picture(gallery, &changed)
}

/// The word with a capital letter.
pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
