//! The page of several runs beside each other.
//!
//! A run has a colour, a line that is solid or, once the colours are used up, dashed, and a letter that stands at the end of its
//! lines, so that it is found without colours too. Figures show the robust tracks; the natural twins' results are in the table.

mod figures;
mod tables;
#[cfg(test)]
mod tests;

use super::page::{BESIDE, frame, panels};
use super::scene::{Ink, RUNS, Scene, Stroke};
use super::svg::escape;
use super::words::{clean_key, duration, hardest_key, percent, result_name};
use crate::base::Result;
use crate::record::{Comparison, Row, Side, letter};

/// The colour of the run at this place of the list.
fn ink(at: usize) -> Ink {
    Ink::Run(at)
}

/// The stroke of its lines.
fn stroke(at: usize) -> Stroke {
    if at < RUNS.len() { Stroke::Solid } else { Stroke::Dashed }
}

/// The PNG files and what is drawn in each.
pub(super) fn sheets(comparison: &Comparison) -> Vec<(&'static str, Scene)> {
    let all = [
        ("results.png", figures::results(comparison)),
        ("curves.png", figures::training(comparison)),
        ("eps.png", figures::eps(comparison)),
        ("firing.png", figures::firing(comparison)),
    ];
    let there = all.into_iter().filter(|(_, panels)| !panels.is_empty());
    let legend = || Scene::tiled(vec![figures::legend(comparison)], 1);
    there.map(|(name, panels)| (name, Scene::tiled(vec![legend(), Scene::tiled(panels, 2)], 1))).collect()
}

/// The whole page.
pub(super) fn page(comparison: &Comparison) -> Result<String> {
    let key = key(comparison);
    let caption = |text: &str| format!("<span class=\"key\">{key}</span>{text}");
    let bands = "Bands: of a single run the 95 % interval (Wilson), of several seeds the mean ± the standard deviation; left out where more than four lines stand in a chart.";
    let sections = [
        panels(
            "Results",
            "Images recognised, in percent of the test images looked at.",
            figures::results(comparison),
            "",
            &caption("Thin lines: of a single run the 95 % interval (Wilson), of several seeds the mean ± the standard deviation."),
        )?,
        tables::results(comparison),
        tables::differences(comparison),
        panels(
            "Accuracy against eps",
            "How far each pixel may be moved, and how many images are still recognised.",
            figures::eps(comparison),
            "",
            &caption(&format!("Robust networks only. {bands}")),
        )?,
        panels(
            "Training",
            "Epoch by epoch of each stage, the robust track of each run.",
            figures::training(comparison),
            "",
            &caption(&format!(
                "{bands} Losses of different defenses are of different kinds and cannot be compared; nor can accuracies on attacked training images where the attacks differ."
            )),
        )?,
        panels(
            "Firing, layer by layer",
            "How often a neuron spikes in a time step, and how many neurons never do.",
            figures::firing(comparison),
            "",
            &caption("Robust networks on clean test images. Layers of networks of different depth stand above each other by their number."),
        )?,
        tables::common(comparison),
    ];
    let remarks: String = comparison.remarks.iter().map(|remark| format!("<li>{}</li>\n", escape(remark))).collect();
    let remarks = if remarks.is_empty() { remarks } else { format!("<ul class=\"card remarks\">\n{remarks}</ul>\n") };
    let runs: String = comparison.compared.iter().enumerate().map(run).collect();
    let header = format!(
        "<h1>{}</h1>\n<p>{}</p>\n<ul class=\"runs\">\n{runs}</ul>\n{remarks}",
        escape(&headline(comparison)),
        escape(&story(comparison)),
    );
    let kicker = format!("Comparison of {} runs", comparison.compared.len());
    Ok(frame(&kicker, &[&kicker], &header, &sections.concat(), &comparison.version, BESIDE))
}

/// The line, letter and name of a run.
fn mark(at: usize, name: &str) -> String {
    let dashed = if stroke(at) == Stroke::Dashed { " dashed" } else { "" };
    let colour = ink(at).name();
    format!("<i class=\"swatch {colour}{dashed}\"></i><b class=\"{colour}\">{}</b> {}", letter(at), escape(name))
}

/// All of them in a line.
fn key(comparison: &Comparison) -> String {
    comparison.compared.iter().enumerate().map(|(at, side)| format!("<span>{}</span>", mark(at, &side.name))).collect()
}

/// A run in the list at the top.
fn run((at, side): (usize, &Side)) -> String {
    let seeds: Vec<String> = side.seeds.iter().map(u64::to_string).collect();
    let open = match (side.unfinished, seeds.len()) {
        (0, _) => String::new(),
        (_, 1) => " <span class=\"open\">not finished</span>".to_string(),
        (open, all) => format!(" <span class=\"open\">{open} of {all} not finished</span>"),
    };
    let plural = if seeds.len() == 1 { "seed" } else { "mean over the seeds" };
    let time = if side.seconds > 0.0 { format!(", {}", duration(side.seconds)) } else { String::new() };
    format!(
        "<li class=\"card\">{}{open}<small>{}, {plural} {}{time}<br>{}</small></li>\n",
        mark(at, &side.name),
        escape(&side.recipe),
        seeds.join(", "),
        escape(&side.folder)
    )
}

/// The row that says most of robustness, else of recognition, among those that most runs have, those that are not finished aside;
/// and whether it is of an attack.
fn telling(comparison: &Comparison) -> Option<(&Row, bool)> {
    let is_whole = |at: usize| comparison.compared[at].unfinished == 0;
    let count = |row: &Row| row.cells.iter().enumerate().filter(|(at, cell)| cell.is_some() && is_whole(*at)).count();
    let robust = || comparison.results.iter().filter(|row| !row.key.starts_with("natural."));
    let most = robust().map(count).max()?;
    let rows: Vec<&Row> = robust().filter(|row| count(row) == most).collect();
    let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    let find = |key: &str| rows.iter().copied().find(|row| row.key == key);
    hardest_key(&keys).and_then(|key| Some((find(key)?, true))).or_else(|| clean_key(&keys).and_then(|key| Some((find(key)?, false))))
}

fn headline(comparison: &Comparison) -> String {
    let Some((row, attacked)) = telling(comparison) else { return "Several runs and how they went".to_string() };
    let [plural, singular] = if attacked {
        ["of images withstand the attack", "withstands the attack best"]
    } else {
        ["of images are recognised", "recognises most"]
    };
    let mut values: Vec<f64> = row.cells.iter().flatten().map(|cell| cell.percent).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    match (row.best, &values[..]) {
        (Some(best), [first, second, ..]) => {
            format!("{} {singular}: {} of images against {}", comparison.compared[best].name, percent(*first), percent(*second))
        }
        (_, [only]) => format!("{} {plural}", percent(*only)),
        (_, [first, .., last]) if percent(*first) == percent(*last) => format!("{} {plural} in each run", percent(*first)),
        (_, [first, .., last]) => format!("{} to {} {plural}: no run stands out", percent(*last), percent(*first)),
        (_, []) => "Several runs and how they went".to_string(),
    }
}

fn story(comparison: &Comparison) -> String {
    let twins = if comparison.results.iter().any(|row| row.key.starts_with("natural.")) {
        " Figures show the robust track of each run; its natural twin, which never met an attack, is there to be compared with that and has its results in the table."
    } else {
        ""
    };
    let told = match telling(comparison) {
        Some((row, _)) => format!("This is said of: {}.", result_name(&row.key)),
        None => String::new(),
    };
    format!("{told}{twins}")
}
