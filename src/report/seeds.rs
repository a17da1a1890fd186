//! The report of several seeds: means, deviations, and every run beside the others.

use super::chart::{self, Key, WIDTH};
use super::page::{BESIDE, frame, panels, small_range};
use super::scene::{Anchor, Ink, Scene, Stroke, Weight};
use super::svg::escape;
use super::words::{clean_key, count_whole, duration, hardest_key, percent, result_name};
use crate::base::Result;
use crate::record::{Summary, seed_folder};
use std::fmt::Write;

/// The whole page.
pub(super) fn page(summary: &Summary) -> Result<String> {
    let sections = [
        table(summary),
        panels(
            "Seed by seed",
            "Each dot is the accuracy of one run, with its 95 % interval (Wilson); the tall line is the mean over the seeds.",
            figure(summary),
            "",
            "The interval says how much a number owes to the choice of test images, the spread of the dots how much to the seed.",
        )?,
        circumstances(summary),
    ];
    let header = format!("<h1>{}</h1>\n<p>{}</p>\n{}", escape(&headline(summary)), escape(&story(summary)), tiles(summary));
    Ok(frame(
        &summary.recipe,
        &[&summary.recipe, &summary.network, &summary.dataset],
        &header,
        &sections.concat(),
        &summary.version,
        BESIDE,
    ))
}

/// A result without its track, and the track.
fn split(key: &str) -> (&str, &'static str) {
    key.strip_prefix("natural.").map_or((key, "robust"), |key| (key, "natural"))
}

/// The keys without track, each once, in order.
fn keys(summary: &Summary) -> Vec<&str> {
    let mut keys: Vec<&str> = summary.results.keys().map(|key| split(key).0).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The tracks of a result that there are: the full key and the track's name.
fn tracks(summary: &Summary, key: &str) -> Vec<(String, &'static str)> {
    let both = [(key.to_string(), "robust"), (format!("natural.{key}"), "natural")];
    both.into_iter().filter(|(key, _)| summary.results.contains_key(key)).collect()
}

/// Mean ± deviation with the unit.
fn told(summary: &Summary, key: &str) -> String {
    summary.told(key).map_or(String::new(), |told| format!("{}\u{a0}%", told.replace(' ', "\u{a0}")))
}

fn headline(summary: &Summary) -> String {
    let all = keys(summary);
    let [first, rest] = match (hardest_key(&all), clean_key(&all)) {
        (Some(key), _) => [key, "of images withstand the attack"],
        (None, Some(key)) => [key, "of images are recognised"],
        (None, None) => return "Several runs and how they went".to_string(),
    };
    let each: Vec<String> = tracks(summary, first).into_iter().map(|(key, _)| told(summary, &key)).collect();
    match &each[..] {
        [robust, natural] => format!("{robust} {rest}, {natural} without robust training"),
        _ => format!("{} {rest}", each.concat()),
    }
}

fn story(summary: &Summary) -> String {
    let seeds: Vec<String> = summary.seeds.iter().map(u64::to_string).collect();
    let spread = if seeds.len() > 1 { " Numbers are means over them ± the sample standard deviation." } else { "" };
    let plural = if seeds.len() > 1 { "seeds" } else { "seed" };
    format!("The same recipe, run from beginning to end with {plural} {}.{spread}", seeds.join(", "))
}

fn tiles(summary: &Summary) -> String {
    let all = keys(summary);
    let mut shown: Vec<&str> = clean_key(&all).into_iter().chain(hardest_key(&all)).collect();
    shown.dedup();
    let mut tiles = String::new();
    for key in shown {
        let tracks = tracks(summary, key);
        let images = summary.images.get(&tracks[0].0).map_or(String::new(), |&n| format!(", {} images", count_whole(n)));
        let beside =
            tracks.get(1).map_or(String::new(), |(key, _)| format!("<span class=\"beside\">natural {}</span>", told(summary, key)));
        let _ = writeln!(
            tiles,
            "<li><span class=\"value\">{}</span><span class=\"what\">{}{images}</span>{beside}</li>",
            told(summary, &tracks[0].0),
            escape(&result_name(key))
        );
    }
    let _ = writeln!(
        tiles,
        "<li><span class=\"value\">{}</span><span class=\"what\">All {} runs</span></li>",
        duration(summary.seconds),
        summary.seeds.len()
    );
    format!("<ul class=\"tiles\">\n{tiles}</ul>\n")
}

/// Every result: mean ± deviation, and each seed's accuracy.
fn table(summary: &Summary) -> String {
    if summary.results.is_empty() {
        return String::new();
    }
    let heads: String = summary
        .seeds
        .iter()
        .map(|&seed| format!("<th scope=\"col\"><a href=\"{}/report.html\">seed {seed}</a></th>", seed_folder(seed)))
        .collect();
    let mut rows = String::new();
    for (key, track) in keys(summary).into_iter().flat_map(|key| tracks(summary, key)) {
        let images = summary.images.get(&key).map_or(String::new(), |&n| format!(", {} images", count_whole(n)));
        let twin = if tracks(summary, split(&key).0).len() > 1 { format!("{track} network") } else { String::new() };
        let beside = format!("{twin}{images}");
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}<small>{}</small></th><td class=\"{track}\"><b>{}</b></td>",
            escape(&result_name(split(&key).0)),
            escape(beside.trim_start_matches(", ")),
            told(summary, &key)
        );
        for (at, &value) in summary.values[&key].iter().enumerate() {
            let bounds = summary.intervals[&key].get(at).copied();
            let _ = write!(rows, "<td>{}{}</td>", percent(value), small_range(bounds));
        }
        rows.push_str("</tr>\n");
    }
    format!(
        "<section>\n<h2>Results</h2>\n<p class=\"lead\">Images recognised, in percent of the test images looked at: the mean over the seeds ± their standard deviation, and each run with its 95 % interval (Wilson). Attacks move each pixel by at most {}/255.</p>\n\
         <div class=\"card scroll\"><table class=\"seeds\">\n<thead><tr><th scope=\"col\">Measured on</th><th scope=\"col\">mean ± sd</th>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n",
        summary.eps
    )
}

/// One panel: a strip of dots a result.
pub(super) fn figure(summary: &Summary) -> Vec<Scene> {
    const STEP: f32 = 9.0;
    const FROM: f32 = 8.0;
    const ROOM: f32 = 90.0; // of "100.0 ± 10.0"
    const TO: f32 = WIDTH - 14.0; // half of "100" stands behind it
    let keys = keys(summary);
    if keys.is_empty() {
        return Vec::new();
    }
    let strip = |key: &str| tracks(summary, key).len() as f32 * (summary.seeds.len() as f32 * STEP + 6.0) + 30.0;
    let both = summary.results.keys().any(|key| split(key).1 == "natural") && summary.results.keys().any(|key| split(key).1 == "robust");
    let legend =
        if both { vec![Key::solid(Ink::Robust, "robust network"), Key::solid(Ink::Natural, "natural network")] } else { Vec::new() };
    let bottom = 50.0 + keys.iter().map(|key| strip(key)).sum::<f32>();
    let mut scene = chart::begin(bottom + 22.0, "Accuracy of each run, %", &legend);
    let x_of = |value: f64| FROM + (value.clamp(0.0, 100.0) / 100.0) as f32 * (TO - FROM);
    for tick in [0.0, 20.0, 40.0, 60.0, 80.0, 100.0] {
        scene.line(vec![(x_of(tick), 48.0), (x_of(tick), bottom)], Ink::Grid, 1.0, Stroke::Solid);
        scene.label((x_of(tick), bottom + 15.0), Anchor::Middle, Ink::Muted, format!("{tick:.0}"));
    }
    let mut y = 50.0;
    let mut words = Vec::new();
    for key in keys {
        let images = summary.images.get(&tracks(summary, key)[0].0).map_or(String::new(), |&n| format!(" ({} images)", count_whole(n)));
        scene.text((FROM, y + 13.0), 11.5, Anchor::Start, Weight::Regular, Ink::Text, result_name(key) + &images);
        let mut top = y + 24.0;
        for (twin, (key, track)) in tracks(summary, key).into_iter().enumerate() {
            let ink = if track == "natural" { Ink::Natural } else { Ink::Robust };
            let height = summary.seeds.len() as f32 * STEP;
            for (at, &value) in summary.values[&key].iter().enumerate() {
                let place = top + (at as f32 + 0.5) * STEP;
                if let Some([low, high]) = summary.intervals[&key].get(at).map(|bounds| bounds.map(x_of)) {
                    scene.line(vec![(low, place), (high, place)], ink, 1.2, Stroke::Solid);
                }
                scene.dot((x_of(value), place), 3.0, ink);
            }
            let mean = x_of(summary.results[&key]);
            scene.line(vec![(mean, top - 1.0), (mean, top + height + 1.0)], Ink::Text, 1.4, Stroke::Solid);
            let ends = summary.intervals[&key].iter().flatten().map(|&bound| x_of(bound));
            let (left, right) = ends.fold((mean, mean), |(left, right), x| (left.min(x), right.max(x)));
            // On the side that has room, else above, one beside the other.
            let middle = top + height / 2.0 + 4.0;
            let (place, anchor) = match (left, right) {
                (_, right) if right <= WIDTH - ROOM => ((right + 8.0, middle), Anchor::Start),
                (left, _) if left >= ROOM => ((left - 8.0, middle), Anchor::End),
                _ => ((TO - twin as f32 * ROOM, y + 13.0), Anchor::End),
            };
            scene.text(place, 11.0, anchor, Weight::Bold, ink, summary.told(&key).unwrap_or_default());
            words.push(format!("{track}, {}: {}", result_name(split(&key).0), told(summary, &key)));
            top += height + 6.0;
        }
        y += strip(key);
    }
    scene.alt = format!("Dot chart of the accuracy of {} runs. {}.", summary.seeds.len(), words.join(". "));
    vec![scene]
}

/// What the numbers depend on.
fn circumstances(summary: &Summary) -> String {
    let seeds: Vec<String> = summary.seeds.iter().map(u64::to_string).collect();
    let entries: String = [
        ("Recipe", summary.recipe.clone()),
        ("Data", summary.dataset.clone()),
        ("Network", summary.network.clone()),
        ("Time steps", summary.steps.to_string()),
        ("Device", summary.device.clone()),
        ("Threads", summary.threads.to_string()),
        ("Seeds", seeds.join(", ")),
        ("Version", summary.version.clone()),
    ]
    .iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)))
    .collect();
    format!("<section>\n<h2>Circumstances</h2>\n<dl class=\"card\">\n{entries}</dl>\n</section>\n")
}
