//! The tables of a comparison.

use super::ink;
use crate::record::{Cell, Comparison, Difference, Fact, letter};
use crate::report::page::small_range;
use crate::report::svg::escape;
use crate::report::words::{count_whole, percent, result_name};
use std::fmt::Write;

/// A head a run.
fn heads(comparison: &Comparison) -> String {
    let head = |(at, name): (usize, &String)| {
        format!("<th scope=\"col\"><b class=\"{}\">{}</b> {}</th>", ink(at).name(), letter(at), escape(name))
    };
    comparison.compared.iter().map(|side| &side.name).enumerate().map(head).collect()
}

/// Every result, a row each; of two runs also the difference.
pub(super) fn results(comparison: &Comparison) -> String {
    if comparison.results.is_empty() {
        return String::new();
    }
    let pair = comparison.compared.len() == 2;
    let mut rows = String::new();
    for row in &comparison.results {
        let (key, twin) = row.key.strip_prefix("natural.").map_or((row.key.as_str(), ""), |key| (key, "natural twin"));
        let cells: Vec<&Cell> = row.cells.iter().flatten().collect();
        let images = cells.iter().map(|cell| cell.images).max().unwrap_or(0);
        let same = cells.iter().all(|cell| cell.images == images);
        let counted = if same && images > 0 { format!("{} images", count_whole(images)) } else { String::new() };
        let beside: Vec<&str> = [twin, &counted].into_iter().filter(|text| !text.is_empty()).collect();
        let _ = write!(rows, "<tr><th scope=\"row\">{}<small>{}</small></th>", escape(&result_name(key)), beside.join(", "));
        for (at, cell) in row.cells.iter().enumerate() {
            let _ = match cell {
                Some(cell) if row.best == Some(at) => write!(rows, "<td class=\"best\"><em>best</em> {}</td>", accuracy(cell, same)),
                Some(cell) => write!(rows, "<td>{}</td>", accuracy(cell, same)),
                None => write!(rows, "<td class=\"none\">not measured</td>"),
            };
        }
        if pair {
            let _ = write!(rows, "<td>{}</td>", row.difference.as_ref().map_or(String::new(), points));
        }
        rows.push_str("</tr>\n");
    }
    let last = if pair { "<th scope=\"col\">B less A<small>points, 95 % interval</small></th>" } else { "" };
    format!(
        "<section>\n<h3>As numbers</h3>\n<div class=\"card scroll\"><table class=\"compared\">\n<thead><tr><th scope=\"col\">Measured on</th>{}{last}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n<p class=\"below\">{}</p>\n</section>\n",
        heads(comparison),
        escape(&explained(comparison))
    )
}

/// An accuracy with its deviation or interval, and its own images where the row has no common number.
fn accuracy(cell: &Cell, same: bool) -> String {
    let value = match cell.deviation {
        Some(deviation) => format!("{:.1}\u{a0}±\u{a0}{deviation:.1}\u{a0}%", cell.percent),
        None => percent(cell.percent),
    };
    let images = if same { String::new() } else { format!("<small>{} images</small>", count_whole(cell.images)) };
    format!("{value}{}{images}", small_range(cell.interval))
}

/// A difference in points, such as `+3.4 (-1.2 to 8.0)`.
fn points(difference: &Difference) -> String {
    let interval = difference.interval.map_or(String::new(), |[low, high]| format!("<small>{low:+.1} to {high:+.1}</small>"));
    format!("{:+.1}{interval}", difference.points)
}

/// What `best` and the differences mean, for what is in the table.
fn explained(comparison: &Comparison) -> String {
    let single = comparison.compared.iter().any(|side| side.seeds.len() == 1);
    let several = comparison.compared.iter().any(|side| side.seeds.len() > 1);
    let mut text = String::from(
        "Below an accuracy its 95 % interval (Wilson); of several seeds the mean ± their sample standard deviation. A run is marked best in a row only where its lead over each other run that has the result is more than chance explains, with 5 % of chance shared out among all pairs of the row (Bonferroni); rows of different test images or eps are not judged, nor seeds against runs on another number of images.",
    );
    if single {
        text += " Two single runs are judged by Newcombe's interval of the difference, which takes them for independent: both saw the same images, so that it is, if anything, too careful, and it says nothing of what another seed would have changed. The records do not keep each image's answer, which a paired test needs.";
    }
    if several {
        text += " Where seeds were repeated, Welch's interval of the means is used (Student's, of one run against several seeds): it says how another set of seeds would come out on these images, and with two or three seeds it is wide.";
    }
    text
}

/// What is not the same in all runs.
pub(super) fn differences(comparison: &Comparison) -> String {
    let lead = "Keys of the recipes, as they came to in each run, and circumstances that the records tell. Those of several seeds are listed once each; a dash stands for what is not set or not recorded.";
    if comparison.differences.is_empty() {
        return "<section>\n<h2>What differs</h2>\n<p class=\"lead\">Nothing that the records tell.</p>\n</section>\n".to_string();
    }
    let row = |fact: &Fact| {
        let cell = |value: &Option<String>| match value {
            Some(value) => format!("<td>{}</td>", escape(value)),
            None => "<td class=\"none\">–</td>".to_string(),
        };
        let cells: String = fact.values.iter().map(cell).collect();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escape(&fact.key))
    };
    let rows: String = comparison.differences.iter().map(row).collect();
    format!(
        "<section>\n<h2>What differs</h2>\n<p class=\"lead\">{lead}</p>\n<div class=\"card scroll\"><table class=\"compared facts\">\n<thead><tr><th scope=\"col\">Setting</th>{}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n",
        heads(comparison)
    )
}

/// The circumstances that all share.
pub(super) fn common(comparison: &Comparison) -> String {
    let entry = |fact: &Fact| {
        let value = fact.values.first().cloned().flatten().unwrap_or_default();
        let mut name = fact.key.chars();
        let name: String = name.next().map_or(String::new(), |first| first.to_uppercase().chain(name).collect());
        format!("<dt>{}</dt><dd>{}</dd>\n", escape(&name), escape(&value))
    };
    let entries: String = comparison.common.iter().map(entry).collect();
    if entries.is_empty() {
        return entries;
    }
    format!("<section>\n<h2>What all share</h2>\n<dl class=\"card\">\n{entries}</dl>\n</section>\n")
}
