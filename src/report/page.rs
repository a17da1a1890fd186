//! `report.html`: one self-contained page, no request to anywhere.

use super::attacked::believed;
use super::scene::Scene;
use super::svg::escape;
use super::words::{self, count, count_whole, duration, hardest, headline, percent, range, result_keys, result_name, story, sureness};
use super::{figures, png, svg};
use crate::base::Result;
use crate::record::{Curve, Epoch, Gallery, GalleryItem, Report};
use std::fmt::Write;

/// How much the page and `gallery` magnify what an attack added.
const GAIN: i32 = 4;

/// The whole page.
pub(super) fn write(report: &Report) -> Result<String> {
    let sections = [
        results(report),
        panels(
            "Accuracy against eps",
            "How far each pixel may be moved, and how many images are still recognised. The wider the gap between the lines, the more the robust training gave.",
            figures::eps(report),
            &eps_tables(report),
            "eps 0 is the clean image. The attacker knows the network and follows its gradients. The bands are 95 % intervals (Wilson).",
        )?,
        gallery(report)?,
        ensembles(report)?,
        believed(&report.checks.iter().map(|(key, checks)| (result_name(key), checks)).collect::<Vec<_>>())?,
        training(report)?,
        firing(report)?,
        phases(report),
        circumstances(report),
    ];
    let sure = sureness(report).map_or(String::new(), |text| format!("<p class=\"sure\">{}</p>\n", escape(&text)));
    let story: String = story(report).iter().map(|text| format!("<p>{}</p>\n", escape(text))).collect();
    let start = &report.start;
    Ok(frame(
        &start.recipe,
        &[&start.recipe, &start.network, &start.dataset],
        &format!("<h1>{}</h1>\n{sure}{story}{}{}", escape(&headline(report)), unfinished(report), tiles(report)),
        &sections.concat(),
        &start.version,
        BESIDE,
    ))
}

/// What is to be known of a run that was written about before its end.
fn unfinished(report: &Report) -> &'static str {
    if report.unfinished { "<p class=\"wrong\"><b>This run is not finished:</b> the page tells what it had recorded.</p>\n" } else { "" }
}

/// Where a run's page has its numbers from.
pub(super) const BESIDE: &str = " The numbers are in report.json beside this page.";

/// The page around what is told: `kicker` are the words above it, `source` says where the numbers are.
pub(super) fn frame(recipe: &str, kicker: &[&str], header: &str, main: &str, version: &str, source: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in kicker {
        if !word.is_empty() && !words.contains(word) {
            words.push(word);
        }
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n\
         <header>\n<p class=\"kicker\">{}</p>\n{header}</header>\n<main>\n{main}</main>\n\
         <footer>Written by Caltrop {}.{source}</footer>\n</body>\n</html>\n",
        escape(&format!("Caltrop: {recipe}")),
        include_str!("style.css"),
        escape(&words.join(" · ")),
        escape(version),
    )
}

/// The key numbers.
fn tiles(report: &Report) -> String {
    let mut tiles = String::new();
    let mut tile = |what: &str, value: String, sure: String, beside: String| {
        let span = |class: &str, text: String| if text.is_empty() { text } else { format!("<span class=\"{class}\">{text}</span>") };
        let (sure, beside) = (span("sure", sure), span("beside", beside));
        let _ = writeln!(tiles, "<li><span class=\"value\">{value}</span><span class=\"what\">{}</span>{sure}{beside}</li>", escape(what));
    };
    let mut keys: Vec<&str> = words::clean(report).into_iter().chain(hardest(report)).collect();
    let joined = |key: &str| key.contains(".ensemble_") || words::is_autoattack(key);
    keys.extend(result_keys(report).into_iter().filter(|key| joined(key) && Some(*key) != hardest(report)));
    for key in keys.into_iter().take(3) {
        let images = words::image_count(report, key).map_or(String::new(), |n| format!(", {} images", count_whole(n)));
        let sure = |track: &str| report.interval(track, key).map(range);
        let name = result_name(key);
        match (report.result("robust", key), report.result("natural", key)) {
            (Some(robust), Some(natural)) => {
                let twin = sure("natural").map_or(String::new(), |bounds| format!(" <span class=\"whole\">({bounds})</span>"));
                let beside = format!("natural {}{twin}", percent(natural));
                tile(&name, percent(robust), sure("robust").unwrap_or_default() + &images, beside);
            }
            (Some(value), None) => tile(&name, percent(value), sure("robust").unwrap_or_default() + &images, String::new()),
            (None, Some(value)) => tile(&name, percent(value), sure("natural").unwrap_or_default() + &images, String::new()),
            (None, None) => {}
        }
    }
    if report.seconds.is_finite() && report.seconds > 0.0 {
        let threads = if report.start.threads == 1 { "1 thread".to_string() } else { format!("{} threads", report.start.threads) };
        tile(&format!("The whole run, {threads}"), duration(report.seconds), String::new(), String::new());
    }
    if tiles.is_empty() { tiles } else { format!("<ul class=\"tiles\">\n{tiles}</ul>\n") }
}

/// Every result, robust beside natural.
fn results(report: &Report) -> String {
    if report.results.is_empty() {
        return String::new();
    }
    let tracks: Vec<&str> = ["robust", "natural"]
        .into_iter()
        .filter(|track| result_keys(report).iter().any(|key| report.result(track, key).is_some()))
        .collect();
    let mut rows = String::new();
    for key in result_keys(report) {
        let images = words::image_count(report, key).map_or(String::new(), |n| format!("<small>{} images</small>", count_whole(n)));
        let _ = write!(rows, "<tr><th scope=\"row\">{}{images}</th>", escape(&result_name(key)));
        for track in &tracks {
            let _ = match report.result(track, key) {
                Some(value) => write!(
                    rows,
                    "<td class=\"{track}\">{}{}<span class=\"meter\" aria-hidden=\"true\"><i style=\"width:{:.1}%\"></i></span></td>",
                    small_range(report.interval(track, key)),
                    percent(value),
                    if value.is_finite() { value.clamp(0.0, 100.0) } else { 0.0 }
                ),
                None => write!(rows, "<td>not measured</td>"),
            };
        }
        rows.push_str("</tr>\n");
    }
    let heads: String = tracks.iter().map(|track| format!("<th scope=\"col\">{} network</th>", figures::capital(track))).collect();
    format!(
        "<section>\n<h2>Results</h2>\n<p class=\"lead\">Images recognised, in percent of the test images looked at, and the 95 % interval (Wilson) of each number. Attacks move each pixel by at most {}/255.</p>\n\
         <div class=\"card scroll\"><table>\n<thead><tr><th scope=\"col\">Measured on</th>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n",
        report.start.eps
    )
}

/// An interval of less weight, before the number that it is of.
pub(super) fn small_range(bounds: Option<[f64; 2]>) -> String {
    bounds.map_or(String::new(), |bounds| format!("<small>{}</small>", range(bounds)))
}

/// A section of panels and the cards beside them; nothing without any panel.
pub(super) fn panels(title: &str, lead: &str, scenes: Vec<Scene>, beside: &str, caption: &str) -> Result<String> {
    if scenes.is_empty() {
        return Ok(String::new());
    }
    let mut drawn = String::new();
    for scene in &scenes {
        let _ = writeln!(drawn, "<div class=\"card panel\">{}</div>", svg::write(scene)?);
    }
    Ok(format!(
        "<section>\n<h2>{title}</h2>\n<p class=\"lead\">{lead}</p>\n<figure><div class=\"panels\">\n{drawn}{beside}</div><figcaption>{caption}</figcaption></figure>\n</section>\n"
    ))
}

/// Training as panels, and the accuracies at the end of each stage as a table.
fn training(report: &Report) -> Result<String> {
    let html = panels(
        "Training",
        "Accuracy on the training images and the loss, epoch by epoch.",
        figures::training(report),
        "",
        "The bands are 95 % intervals (Wilson). Accuracies on training images are averages over an epoch in which the network changes; their intervals are, if anything, too wide. The losses before and after the conversion are of different kinds and cannot be compared. The KL term is how far an attack moves the answers, weighted as in the loss.",
    )?;
    Ok(with_table(html, training_table(report)))
}

/// A section with one more table at its end, or a section of the table alone.
fn with_table(mut section: String, table: String) -> String {
    match section.strip_suffix("</section>\n").map(str::len) {
        Some(end) => section.insert_str(end, &table),
        None if table.is_empty() => {}
        None => section = format!("<section>\n{table}</section>\n"),
    }
    section
}

/// The accuracies of each stage's last epoch as numbers; nothing where there are none.
fn training_table(report: &Report) -> String {
    const NAMES: [(&str, &str); 5] = [
        ("train_acc", "training images, clean"),
        ("adv_acc", "training images, attacked"),
        ("val_clean", "held-out images, clean"),
        ("val_robust", "held-out images, PGD-10"),
        ("test_clean", "test images, clean"),
    ];
    let last = |track: &str, stage: &str| {
        report.epochs.iter().filter(|epoch| epoch.track == track && epoch.stage == stage).max_by_key(|epoch| epoch.epoch)
    };
    let tracks: Vec<&str> = ["robust", "natural"].into_iter().filter(|track| report.epochs.iter().any(|e| e.track == *track)).collect();
    let mut rows = String::new();
    for (stage, network) in [("ann", "ReLU network"), ("snn", "Spiking network")] {
        let epochs: Vec<(&str, &Epoch)> = tracks.iter().filter_map(|track| Some((*track, last(track, stage)?))).collect();
        for (name, words) in NAMES {
            let value = |epoch: &Epoch| epoch.accuracies().find(|(known, _)| *known == name).map(|(_, value)| value);
            if epochs.iter().all(|(_, epoch)| value(epoch).is_none()) {
                continue;
            }
            let images = epochs.iter().map(|(_, epoch)| epoch.images_of(name)).max().unwrap_or(0);
            let counted = if images > 0 { format!("<small>{} images</small>", count_whole(images)) } else { String::new() };
            let cell = |track: &&str| match epochs.iter().find(|(of, _)| of == track).and_then(|(_, epoch)| Some((epoch, value(epoch)?))) {
                Some((epoch, value)) => {
                    format!("<td class=\"{track}\">{}{}</td>", small_range(epoch.intervals.get(name).copied()), percent(value))
                }
                None => "<td>not measured</td>".to_string(),
            };
            let cells: String = tracks.iter().map(cell).collect();
            let _ = writeln!(rows, "<tr><th scope=\"row\">{network}, {words}{counted}</th>{cells}</tr>");
        }
    }
    if rows.is_empty() {
        return rows;
    }
    let heads: String = tracks.iter().map(|track| format!("<th scope=\"col\">{} network</th>", figures::capital(track))).collect();
    format!(
        "<h3>Accuracy in the last epoch of each stage</h3>\n<div class=\"card scroll\"><table>\n<thead><tr><th scope=\"col\">Measured on</th>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

/// The curves against eps as numbers, a card each.
fn eps_tables(report: &Report) -> String {
    let mut cards = String::new();
    for group in figures::curve_groups(report) {
        let heads: String =
            group.iter().map(|curve| format!("<th scope=\"col\">{} network</th>", figures::capital(&escape(&curve.track)))).collect();
        let mut all: Vec<f64> = group.iter().flat_map(|curve| curve.points.iter().map(|p| p[0])).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        let mut rows = String::new();
        for eps in all {
            let value = |curve: &Curve| match curve.points.iter().position(|p| p[0] == eps) {
                Some(at) => format!("{}{}", small_range(curve.intervals.get(at).copied()), percent(curve.points[at][1])),
                None => "not measured".to_string(),
            };
            let cells: String = group.iter().map(|curve| format!("<td class=\"{}\">{}</td>", escape(&curve.track), value(curve))).collect();
            let _ = writeln!(rows, "<tr><th scope=\"row\">{eps}/255</th>{cells}</tr>");
        }
        let _ = writeln!(
            cards,
            "<div class=\"card scroll\"><table>\n<thead><tr><th scope=\"col\">eps, {} images</th>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>",
            count_whole(group[0].images)
        );
    }
    cards
}

/// Ensembles and AutoAttack, member by member.
fn ensembles(report: &Report) -> Result<String> {
    let whole = |key: &String| words::is_autoattack(key);
    let (cascade, lenses) = (report.ensemble.keys().any(whole), !report.ensemble.keys().all(whole));
    let parts = [
        (
            lenses,
            "A spike has no derivative, so an attacker has to choose a stand-in for it. Each row is one choice; an image counts in the last row only if it withstands them all.",
            "PCW, EXP, EXP-D and RECT are surrogate gradients with their width; STE passes the gradient straight through; BPTR uses firing rates; Act takes the gradient of the ReLU network with the same weights.",
        ),
        (
            cascade,
            "AutoAttack is four attacks, each on the images that withstood those before it; a row is what is left after it.",
            "APGD chooses its step sizes itself, by cross-entropy (CE) and toward each likely wrong class (T); FAB-T looks for the nearest adversarial image; Square searches without gradients.",
        ),
    ];
    let told = parts.iter().filter(|(there, ..)| *there);
    let lead: Vec<&str> = told.clone().map(|(_, lead, _)| *lead).collect();
    let caption: Vec<&str> = told.map(|(.., caption)| *caption).chain(["The thin lines are 95 % intervals (Wilson)."]).collect();
    panels("The ensemble, attack by attack", &lead.join(" "), figures::ensembles(report), "", &caption.join(" "))
}

/// Clean images, what was added, and what came of it.
fn gallery(report: &Report) -> Result<String> {
    let Some(gallery) = report.gallery.as_ref().filter(|gallery| !gallery.items.is_empty()) else { return Ok(String::new()) };
    let mut html = String::new();
    for track in ["robust", "natural"] {
        let shots = shots(gallery, |item| item.track == track)?;
        if !shots.is_empty() {
            let _ = writeln!(html, "<h3 class=\"{track}\">{} network</h3>\n{shots}", figures::capital(track));
        }
    }
    Ok(format!(
        "<section>\n<h2>Clean and attacked images</h2>\n<p class=\"lead\">Each image as it is, what the attack added ({GAIN} times enlarged, grey is no change), and the sum, with what the spiking network takes it for. A wrong answer is marked ✗ and framed.</p>\n{html}</section>\n"
    ))
}

/// Those of the gallery's images that are `wanted`, as a list; nothing where there are none.
pub(super) fn shots(gallery: &Gallery, wanted: impl Fn(&GalleryItem) -> bool) -> Result<String> {
    let shots: String = gallery.items.iter().filter(|item| wanted(item)).map(|item| shot(gallery, item)).collect::<Result<_>>()?;
    if shots.is_empty() {
        return Ok(shots);
    }
    Ok(format!("<ul class=\"shots\" style=\"--shape:{}/{}\">\n{shots}</ul>\n", gallery.width, gallery.height))
}

fn shot(gallery: &Gallery, item: &GalleryItem) -> Result<String> {
    let name = escape(&item.label_name);
    let figure = |pixels: &[u8], state: &str, said: &str| -> Result<String> {
        let (class, mark) = if said == item.label_name { ("right", "✓") } else { ("wrong", "✗") };
        let (data, said) = (png::data_uri(&figures::picture(gallery, pixels))?, escape(said));
        let verdict = if class == "right" { "right" } else { "wrong" };
        Ok(format!(
            "<figure class=\"{class}\"><img src=\"{data}\" alt=\"{name}, {state}, taken for {said} ({verdict})\"><figcaption>{state}<b>{mark} {said}</b></figcaption></figure>"
        ))
    };
    let added = png::data_uri(&figures::difference(gallery, item, GAIN))?;
    Ok(format!(
        "<li class=\"card\"><strong>{name}</strong><div class=\"trio\">{}<figure><img src=\"{added}\" alt=\"what the attack added to this {name}\"><figcaption>added</figcaption></figure>{}</div></li>\n",
        figure(&item.clean, "clean", &item.predicted_clean)?,
        figure(&item.adversarial, "attacked", &item.predicted_adversarial)?,
    ))
}

/// Firing as panels, and the thresholds after training as a table.
fn firing(report: &Report) -> Result<String> {
    let html = panels(
        "Firing, layer by layer",
        "How often a neuron spikes in a time step, and how many neurons never do. A silent neuron sends nothing on.",
        figures::firing(report),
        "",
        "Measured on clean test images.",
    )?;
    let last = |track: &str| report.epochs.iter().rev().find(|e| e.track == track && !e.thresholds.is_empty());
    let tracks: Vec<(&str, &Vec<f64>)> =
        ["robust", "natural"].into_iter().filter_map(|track| last(track).map(|e| (track, &e.thresholds))).collect();
    let Some(layers) = tracks.iter().map(|(_, thresholds)| thresholds.len()).max() else { return Ok(html) };
    let names = report.firing.iter().map(|f| &f.layers).find(|names| names.len() == layers);
    let heads: String = (0..layers)
        .map(|at| format!("<th scope=\"col\">{}</th>", names.map_or(format!("{}", at + 1), |names| escape(&names[at].name))))
        .collect();
    let mut rows = String::new();
    for (track, thresholds) in tracks {
        let cells: String = thresholds.iter().map(|v| format!("<td>{v:.3}</td>")).collect();
        let _ = writeln!(rows, "<tr><th scope=\"row\" class=\"{track}\">{} network</th>{cells}</tr>", figures::capital(track));
    }
    let table = format!(
        "<h3>Firing thresholds after training</h3>\n<div class=\"card scroll\"><table>\n<thead><tr><th scope=\"col\">Layer</th>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    );
    Ok(with_table(html, table))
}

/// What took how long, the tracks side by side.
fn phases(report: &Report) -> String {
    if report.phases.is_empty() {
        return String::new();
    }
    let mut names: Vec<&str> = Vec::new();
    for phase in &report.phases {
        let name = phase.name.strip_prefix("natural.").unwrap_or(&phase.name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let find = |prefix: &str, name: &str| report.phases.iter().find(|phase| phase.name.strip_prefix(prefix) == Some(name));
    let tracks: Vec<(&str, &str)> = [("", "robust"), ("natural.", "natural")]
        .into_iter()
        .filter(|(prefix, _)| names.iter().any(|name| find(prefix, name).is_some()))
        .collect();
    let mut rows = String::new();
    for name in &names {
        let _ = write!(rows, "<tr><th scope=\"row\">{}</th>", escape(name));
        for (prefix, _) in &tracks {
            let _ = match find(prefix, name) {
                Some(phase) => write!(rows, "<td>{}</td><td>{}</td>", duration(phase.seconds), count(phase.images_per_s)),
                None => write!(rows, "<td></td><td></td>"),
            };
        }
        rows.push_str("</tr>\n");
    }
    let over = |track: &str| {
        if tracks.len() > 1 { format!("<span class=\"{track}\">{}</span><br>", figures::capital(track)) } else { String::new() }
    };
    let heads: String =
        tracks.iter().map(|(_, track)| format!("<th scope=\"col\">{0}time</th><th scope=\"col\">{0}images/s</th>", over(track))).collect();
    let whole = report.phases.iter().map(|phase| phase.seconds).filter(|s| s.is_finite()).sum();
    format!(
        "<section>\n<h2>Where the time went</h2>\n<p class=\"lead\">{} in these phases, {} in all.</p>\n<div class=\"card scroll\"><table>\n\
         <thead><tr><th scope=\"col\">Phase</th>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n",
        duration(whole),
        duration(report.seconds)
    )
}

/// What the numbers depend on.
fn circumstances(report: &Report) -> String {
    let start = &report.start;
    let mut entries = vec![
        ("Recipe", start.recipe.clone()),
        ("Data", start.dataset.clone()),
        ("Network", start.network.clone()),
        ("Time steps", start.steps.to_string()),
        ("Device", start.device.clone()),
        ("Precision", start.precision.clone()),
        ("Threads", start.threads.to_string()),
        ("Seed", start.seed.to_string()),
        ("Version", start.version.clone()),
    ];
    entries.extend(report.notes.iter().map(|note| ("Note", note.clone())));
    let entries: String = entries
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)))
        .collect();
    format!(
        "<section>\n<h2>Circumstances</h2>\n<p class=\"lead\">The same seed on the same machine gives the same numbers, whatever the number of threads.</p>\n<dl class=\"card\">\n{entries}</dl>\n</section>\n"
    )
}
