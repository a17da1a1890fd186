//! A diagnosis for the terminal.

use crate::cli::sheet::wrapped;
use crate::record::{Diagnosis, Given, Health, Measured, with_interval};
use std::fmt::Write;

/// No line of words is longer.
const WIDEST: usize = 110;

/// All of it, on a terminal of so many columns.
pub fn tell(found: &Diagnosis, columns: usize) -> String {
    let columns = columns.clamp(40, WIDEST);
    [sweep(found, columns), layers(found, columns), networks(found), advice(found, columns)].join("\n")
}

/// The cell's marks: best, not told from it, looked into.
fn mark(found: &Diagnosis, at: usize) -> String {
    let standing = match at {
        _ if at == found.best => "*",
        _ if found.cells[at].tied => "=",
        _ => "",
    };
    format!("{standing}{}", if at == found.chosen { "<" } else { "" })
}

fn sweep(found: &Diagnosis, columns: usize) -> String {
    let (percentiles, scales, steps) = found.axes();
    let accuracy = |measured: &Measured| with_interval(measured.accuracy, found.images);
    let mut text = format!(
        "{}: {} on {}; accuracy on {} test images, % (95 % interval)\n\n{:<18}{}\n",
        found.network,
        found.arch,
        found.dataset,
        found.images,
        "ANN",
        accuracy(&found.ann)
    );
    let heads: String = steps.iter().map(|steps| format!("{:<22}", format!("T = {steps}"))).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{:<11}{:<7}{}", "percentile", "scale", heads.trim_end());
    for percentile in &percentiles {
        for scale in &scales {
            let cells = found.cells.iter().enumerate().filter(|(_, cell)| (cell.percentile, cell.scale) == (*percentile, *scale));
            let row: String =
                cells.map(|(at, cell)| format!("{:<22}", format!("{} {}", accuracy(&cell.measured), mark(found, at)))).collect();
            let _ = writeln!(text, "{percentile:<11}{scale:<7}{}", row.trim_end());
        }
    }
    let calibration = &found.calibration;
    let note = format!(
        "* the best; = {} images do not tell it from the best; < looked into. In every cell batch norm's running statistics are estimated again on the {} x {} calibration images, since a conversion drops them; as caltrop convert writes it (mean 0, variance 1) the cell < recognises {} %.",
        found.images,
        calibration.used[0],
        calibration.used[1],
        accuracy(&found.as_it_stands)
    );
    text + &indented(&note, "", columns)
}

/// A number, or a dash.
fn number(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.3}"))
}

/// The width of the column of names.
fn wide(layers: &[Health]) -> usize {
    layers.iter().map(|layer| layer.name.chars().count()).max().unwrap_or(0).max(5) + 2
}

fn layers(found: &Diagnosis, columns: usize) -> String {
    let cell = found.cell();
    let wide = wide(&found.layers);
    let settings = format!("Percentile {}, scale {}, T = {}", cell.percentile, cell.scale, cell.steps);
    let heads = format!(
        "{:<wide$}{:>7} {:>9} {:>11} {:>5} {:>5} {:>5} {:>9} {:>5} {:>5} | {:>10} {:>13}",
        "layer",
        "neurons",
        "threshold",
        "correlation",
        "slope",
        "rate",
        "dead",
        "saturated",
        "muted",
        "above",
        "ANN active",
        "dead channels"
    );
    let mut text = format!("{settings}, layer by layer, beside the ANN on the same images (shares in %)\n{heads}\n");
    for layer in &found.layers {
        let [rate, dead, saturated, muted, above, active] =
            [layer.rate, layer.dead, layer.saturated, layer.muted, layer.above, layer.active].map(|share| format!("{:.1}", 100.0 * share));
        let slope = layer.slope.map_or("-".into(), |slope| format!("{slope:.2}"));
        let channels = format!("{} of {}", layer.dead_channels, layer.channels);
        let _ = writeln!(
            text,
            "{:<wide$}{:>7} {:>9.3} {:>11} {slope:>5} {rate:>5} {dead:>5} {saturated:>9} {muted:>5} {above:>5} | {active:>10} {channels:>13}",
            layer.name,
            layer.neurons,
            layer.threshold,
            number(layer.correlation)
        );
    }
    let note = "correlation, slope: of rate times threshold over the ANN's activation; rate: spikes a neuron and step; dead: fires on no image; \
                saturated: a spike at every step, of neurons and images; muted: silent, of those active in the ANN; above: currents that reach \
                the threshold by themselves; dead channels: 0 in the ANN on every image.";
    text + &indented(note, "", columns)
}

/// Before and after finetuning, and the layers side by side.
fn networks(found: &Diagnosis) -> String {
    let cell = found.cell();
    let own = format!("percentile {}, scale {}, statistics estimated again", cell.percentile, cell.scale);
    let accuracy = |measured: &Measured| with_interval(measured.accuracy, found.images);
    let mut rows = vec![
        ("ANN".to_string(), "0".to_string(), accuracy(&found.ann)),
        ("converted, as it stands".into(), cell.steps.to_string(), accuracy(&found.as_it_stands)),
        (format!("converted, {own}"), cell.steps.to_string(), accuracy(&cell.measured)),
    ];
    let row = |given: &Given, what: &str| (format!("{}{what}", given.path), given.steps.to_string(), accuracy(&given.measured));
    rows.extend(found.converted.iter().map(|given| row(given, ", statistics estimated again")));
    rows.extend(found.finetuned.iter().map(|given| row(given, ", finetuned")));
    let wide = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0) + 2;
    let mut text = format!("{:<wide$}{:>4}  accuracy, %\n", "Before and after finetuning", "T");
    for (name, steps, accuracy) in rows {
        let _ = writeln!(text, "{name:<wide$}{steps:>4}  {accuracy}");
    }
    let Some(tuned) = &found.finetuned else {
        return text + "(no finetuned network; --finetuned FILE puts one beside it)\n";
    };
    let wide = self::wide(&tuned.layers);
    let _ = writeln!(
        text,
        "\n{:<wide$}{:>12} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "layer", "rate, %", "finetuned", "threshold", "finetuned", "correlation", "finetuned"
    );
    for (before, after) in found.layers.iter().zip(&tuned.layers) {
        let _ = writeln!(
            text,
            "{:<wide$}{:>12.1} {:>12.1} {:>12.3} {:>12.3} {:>12} {:>12}",
            before.name,
            100.0 * before.rate,
            100.0 * after.rate,
            before.threshold,
            after.threshold,
            number(before.correlation),
            number(after.correlation)
        );
    }
    text
}

fn advice(found: &Diagnosis, columns: usize) -> String {
    let mut text = String::from("Advice\n");
    if found.advice.is_empty() {
        text += "Nothing stands out.\n";
    }
    for (at, advice) in found.advice.iter().enumerate() {
        text += &indented(&advice.text, &format!("{}. ", at + 1), columns);
        if let Some(command) = &advice.command {
            let _ = writeln!(text, "   $ {command}");
        }
    }
    text
}

/// Words in lines of at most so many columns; `first` begins the first, as much space the others.
fn indented(words: &str, first: &str, columns: usize) -> String {
    let lines = wrapped(words, columns.saturating_sub(first.len()));
    format!("{first}{}", lines.join(&format!("\n{}", " ".repeat(first.len())))).trim_end().to_string() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_none_is_lost() {
        assert_eq!(indented("one two three", "1. ", 11), "1. one two\n   three\n");
        assert_eq!(indented("incomprehensibilities a", "", 8), "incomprehensibilities\na\n");
        assert_eq!(indented("", "", 8), "\n");
    }
}
