//! The page and the pictures of the conversion doctor.

mod figures;

use super::Figure;
use super::page::{frame, panels};
use super::svg::escape;
use super::words::{count_whole, duration, percent, range};
use crate::base::Result;
use crate::record::{Diagnosis, Given, Health, Measured, with_interval};
use std::fmt::Write;

/// All pictures of `found` on one sheet.
pub fn diagnosis_plot(found: &Diagnosis) -> Figure {
    Figure::tiled("doctor", [figures::sweep(found), figures::layers(found)].concat(), 2)
}

/// The whole page, in itself.
///
/// # Errors
/// If a picture cannot be encoded.
pub fn diagnosis_page(found: &Diagnosis) -> Result<String> {
    let best = found.best();
    let header = format!(
        "<h1>The best of {} conversions recognises {}, the ANN {}</h1>\n<p>Measured on {} test images, with 95 % intervals (Wilson). It took {}.</p>\n<ul class=\"tiles\">\n{}</ul>\n",
        found.cells.len(),
        percent(best.measured.accuracy),
        percent(found.ann.accuracy),
        count_whole(found.images),
        duration(found.seconds),
        tiles(found)
    );
    let cell = found.cell();
    let chosen = format!("percentile {}, scale {}, T = {}", cell.percentile, cell.scale, cell.steps);
    let sections = [
        advice(found),
        panels(
            "Percentile, scale and steps",
            "Thresholds are a percentile of the currents, times a scale; T is the number of steps. Each tile is one conversion and the images that it recognises, in percent.",
            figures::sweep(found),
            "",
            &escape(&format!(
                "Framed: the best; dashed: {chosen}, which is looked into below; with a dot: not told from the best by {} images. Batch norm's running statistics are lost in a conversion and were estimated again on {} x {} calibration images in each.",
                count_whole(found.images),
                found.calibration.used[0],
                found.calibration.used[1]
            )),
        )?,
        panels(
            "Layer by layer",
            &escape(&format!("The spiking layers beside the ANN's on the same images, at {chosen}.")),
            figures::layers(found),
            "",
            "Correlation and slope are of rate times threshold over the ANN's activation, over neurons and images. Muted: no spike although active in the ANN. Saturated: a spike at every step. Dead: no spike on any image.",
        )?,
        health(found),
        networks(found),
        circumstances(found),
    ];
    Ok(frame("conversion doctor", &[&found.network, &found.arch, &found.dataset], &header, &sections.concat(), &found.version, ""))
}

fn tiles(found: &Diagnosis) -> String {
    let cell = found.cell();
    let mut tiles = String::new();
    let mut tile = |what: &str, measured: &Measured| {
        // Writing to a String cannot fail.
        let _ = writeln!(
            tiles,
            "<li><span class=\"value\">{}</span><span class=\"what\">{}</span><span class=\"sure\">{}</span></li>",
            percent(measured.accuracy),
            escape(what),
            range(measured.ci95)
        );
    };
    tile("The ANN", &found.ann);
    let settings = format!("{}, {}, T = {}", cell.percentile, cell.scale, cell.steps);
    tile(&format!("Converted ({settings}), as it stands"), &found.as_it_stands);
    tile("The same, statistics estimated again", &cell.measured);
    if let Some(tuned) = &found.finetuned {
        tile(&format!("Finetuned, T = {}", tuned.steps), &tuned.measured);
    }
    tiles
}

fn advice(found: &Diagnosis) -> String {
    let item = |advice: &crate::record::Advice| {
        let command =
            advice.command.as_ref().map_or(String::new(), |command| format!("<pre class=\"command\">{}</pre>\n", escape(command)));
        format!("<div class=\"card panel\"><p>{}</p>\n{command}</div>\n", escape(&advice.text).replace(" %", "\u{a0}%"))
    };
    let cards: String = match found.advice.is_empty() {
        true => "<div class=\"card panel\"><p>Nothing stands out.</p></div>\n".into(),
        false => found.advice.iter().map(item).collect(),
    };
    format!(
        "<section>\n<h2>Advice</h2>\n<p class=\"lead\">What follows from the numbers below, by rules, and the command to run next.</p>\n<div class=\"panels\">\n{cards}</div>\n</section>\n"
    )
}

/// A table in a card.
fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{}</th>", escape(head))).collect();
    let row = |row: &Vec<String>| {
        let cells: String = row[1..].iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escape(&row[0]))
    };
    let rows: String = rows.iter().map(row).collect();
    format!("<div class=\"card scroll\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n")
}

fn health(found: &Diagnosis) -> String {
    let heads = [
        "Layer",
        "Threshold",
        "Correlation",
        "Slope",
        "Rate",
        "Dead",
        "Silent",
        "Muted",
        "Saturated",
        "Above",
        "ANN active",
        "ANN dead channels",
    ];
    let share = |share: f64| format!("{:.1} %", 100.0 * share);
    let number = |value: Option<f64>| value.map_or("\u{2013}".into(), |value| format!("{value:.3}"));
    let row = |layer: &Health| {
        let mut row = vec![layer.name.clone(), format!("{:.3}", layer.threshold), number(layer.correlation), number(layer.slope)];
        row.extend([layer.rate, layer.dead, layer.silent, layer.muted, layer.saturated, layer.above, layer.active].map(share));
        row.push(format!("{} of {}", layer.dead_channels, layer.channels));
        row
    };
    let mut html =
        format!("<section>\n<h2>The layers in numbers</h2>\n{}", table(&heads, &found.layers.iter().map(row).collect::<Vec<_>>()));
    if let Some(tuned) = &found.finetuned {
        html += &format!("<h3>After finetuning</h3>\n{}", table(&heads, &tuned.layers.iter().map(row).collect::<Vec<_>>()));
    }
    html + "<p class=\"lead\">Rate: spikes a neuron and step. Dead: fires on no image. Silent and saturated: of neurons and images, no spike and a spike at every step. Muted: silent, of those active in the ANN. Above: currents that reach the threshold by themselves.</p>\n</section>\n"
}

fn networks(found: &Diagnosis) -> String {
    let cell = found.cell();
    let row = |name: String, steps: usize, measured: &Measured| {
        vec![name, steps.to_string(), format!("{} %", with_interval(measured.accuracy, found.images))]
    };
    let settings = format!("percentile {}, scale {}", cell.percentile, cell.scale);
    let mut rows = vec![
        row(format!("{} (ANN)", found.network), 0, &found.ann),
        row(format!("Converted, {settings}, as it stands"), cell.steps, &found.as_it_stands),
        row(format!("Converted, {settings}, statistics estimated again"), cell.steps, &cell.measured),
    ];
    let given = |given: &Given, what: &str| row(format!("{}, {what}", given.path), given.steps, &given.measured);
    rows.extend(found.converted.iter().map(|one| given(one, "statistics estimated again")));
    rows.extend(found.finetuned.iter().map(|one| given(one, "finetuned")));
    format!("<section>\n<h2>Before and after finetuning</h2>\n{}</section>\n", table(&["Network", "T", "Recognised"], &rows))
}

fn circumstances(found: &Diagnosis) -> String {
    let calibration = &found.calibration;
    let entries = [
        ("ANN", found.network.clone()),
        ("Architecture", found.arch.clone()),
        ("Data", format!("{}, {} test images", found.dataset, count_whole(found.images))),
        (
            "Calibration",
            format!(
                "{} x {} training images at T = {}, seed {}",
                calibration.used[0], calibration.used[1], calibration.steps, calibration.seed
            ),
        ),
        ("Device", found.device.clone()),
        ("Version", found.version.clone()),
    ];
    let entries: String = entries.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value))).collect();
    format!("<section>\n<h2>Circumstances</h2>\n<dl class=\"card\">\n{entries}</dl>\n</section>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Advice, SweepCell, wilson};

    fn found() -> Diagnosis {
        let measured = |accuracy: f64| Measured { accuracy, ci95: wilson(accuracy, 200).unwrap() };
        let cell = |percentile, scale, steps, accuracy| SweepCell {
            percentile,
            scale,
            steps,
            measured: measured(accuracy),
            ..SweepCell::default()
        };
        let layer = |name: &str, correlation| Health {
            name: name.into(),
            neurons: 9,
            correlation,
            slope: correlation,
            rate: 0.25,
            channels: 3,
            ..Health::default()
        };
        Diagnosis {
            network: "a<b>.safetensors".into(),
            classes: 10,
            images: 200,
            ann: measured(90.0),
            cells: vec![cell(99.0, 0.3, 4, 41.5), cell(99.0, 0.3, 8, 62.5), cell(99.0, 1.0, 4, 10.0), cell(99.0, 1.0, 8, 20.5)],
            best: 1,
            chosen: 3,
            layers: vec![layer("features.2", Some(0.875)), layer("classifier.2", None)],
            finetuned: Some(Given {
                path: "snn".into(),
                steps: 8,
                measured: measured(88.0),
                layers: vec![layer("features.2", Some(0.7)), layer("classifier.2", Some(0.5))],
                ..Given::default()
            }),
            advice: vec![Advice { rule: "x", text: "do <this>".into(), command: Some("caltrop convert 'a<b>'".into()) }],
            ..Diagnosis::default()
        }
    }

    #[test]
    fn the_page_holds_what_was_found_and_asks_nobody() {
        let page = diagnosis_page(&found()).unwrap();
        for part in [
            "The best of 4 conversions recognises 62.5\u{a0}%, the ANN 90.0\u{a0}%",
            "do &lt;this&gt;",
            "<pre class=\"command\">caltrop convert 'a&lt;b&gt;'</pre>",
            "T = 4: images recognised",
            ">41.5<",
            "0.875",
            "88.0",
            "snn, finetuned",
        ] {
            assert!(page.contains(part), "no {part}");
        }
        assert_eq!(page.matches("<svg").count(), 2 + 4);
        assert!(!page.contains("http") && !page.contains("NaN"), "{page}");
    }

    #[test]
    fn the_plot_is_what_its_name_says() {
        let plot = |name: &str| diagnosis_plot(&found()).for_file(std::path::Path::new(name));
        assert!(plot("a.png").unwrap().starts_with(b"\x89PNG"));
        let drawn = String::from_utf8(plot("a.svg").unwrap()).unwrap();
        assert!(drawn.starts_with("<svg xmlns") && drawn.contains("fill-opacity") && !drawn.contains("NaN"));
        assert!(plot("a.gif").unwrap_err().to_string().contains(".png or .svg"));
    }

    /// A tile is the denser the more it stands for; the best is framed.
    #[test]
    fn tiles_are_as_dense_as_their_accuracy() {
        use crate::report::scene::{Shape, Stroke};
        let panels = figures::sweep(&found());
        let density = |panel: usize| -> Vec<f32> {
            let tile = |shape: &Shape| if let Shape::Tile { opacity, .. } = shape { Some(*opacity) } else { None };
            panels[panel].shapes.iter().filter_map(tile).collect()
        };
        assert!(density(0)[0] > density(0)[1] && density(1)[0] > density(0)[0], "{:?} {:?}", density(0), density(1));
        let frames = |panel: usize, wanted: Stroke| {
            panels[panel].shapes.iter().filter(|shape| matches!(shape, Shape::Line { stroke, .. } if *stroke == wanted)).count()
        };
        assert_eq!([0, 1].map(|panel| (frames(panel, Stroke::Solid), frames(panel, Stroke::Dashed))), [(0, 0), (1, 1)]);
    }
}
