//! What a spiking network knows after t steps: panels, and a page of them.

use super::Figure;
use super::chart::{Key, Panel, counts};
use super::page::{frame, panels};
use super::scene::{Ink, Scene, Stroke};
use super::svg::escape;
use super::words::{count_whole, percent, range};
use crate::base::Result;
use crate::record::{Accuracy, Anytime};
use std::fmt::Write;

const FULL: [f64; 2] = [0.0, 100.0];
const HUNDRED: [f64; 6] = [0.0, 20.0, 40.0, 60.0, 80.0, 100.0];

/// The panels as one picture.
pub fn anytime_plot(told: &Anytime) -> Figure {
    Figure::tiled("anytime", drawn(told), 2)
}

/// The whole page, in itself.
///
/// # Errors
/// If a drawing cannot be encoded.
pub fn anytime(told: &Anytime) -> Result<String> {
    let (last, attack) = (told.moments.last(), told.attack.as_deref());
    let title = format!("What {} steps are good for", told.steps);
    let decided = match told.decided_attacked {
        Some(attacked) => format!("{:.1} steps for a clean image and {attacked:.1} for an attacked one", told.decided_clean),
        None => format!("{:.1} steps", told.decided_clean),
    };
    let lead = format!(
        "The network may be asked after any of its steps: its answer is then the largest sum of the logits so far. On average it does not change any more after {decided}."
    );
    let tile = |name: &str, value: f64, bounds: Option<[f64; 2]>| {
        let bounds = bounds.map_or(String::new(), range);
        format!(
            "<li><span class=\"value\">{}</span><span class=\"what\">{name}</span><span class=\"sure\">{bounds}</span></li>\n",
            percent(value)
        )
    };
    let mut tiles = String::new();
    if let Some(Accuracy { clean_acc, clean_ci95, robust_acc, robust_ci95 }) = last.map(|moment| &moment.accuracy) {
        tiles += &tile("Recognised when clean, after all steps", *clean_acc, *clean_ci95);
        tiles += &robust_acc.map_or(String::new(), |acc| tile("Recognised when attacked too, after all steps", acc, *robust_ci95));
    }
    let header = format!("<h1>{title}</h1>\n<p>{lead}</p>\n<ul class=\"tiles\">\n{tiles}</ul>\n");
    let against = attack.map_or(String::new(), |attack| {
        format!(" Attacked: {}, made against all {} steps; robust is what is recognised both times.", escape(attack), told.steps)
    });
    let moments: Vec<Row> = (told.moments.iter())
        .map(|moment| {
            let settled = std::iter::once(moment.settled_clean).chain(moment.settled_attacked).collect();
            Row { steps: moment.step, accuracy: &moment.accuracy, settled }
        })
        .collect();
    let caption = format!("{} images; the bands are 95 % intervals (Wilson).{against}", count_whole(told.images));
    let mut main = panels("Step by step", "One run, stopped after each of its steps.", stepwise(told), "", &caption)?;
    main += &table("step", &moments);
    if !told.sweep.is_empty() {
        let lead = "The same weights and thresholds run at other numbers of steps. An attacker who knows the number attacks that network, so the adversarial images are other ones for each.";
        main += &panels("Other numbers of steps", lead, sweep(told).into_iter().collect(), "", "")?;
        let turns = told.sweep.iter().map(|turn| Row { steps: turn.steps, accuracy: &turn.accuracy, settled: Vec::new() });
        main += &table("steps", &turns.collect::<Vec<_>>());
    }
    Ok(frame("accuracy over time", &[&told.network, &told.source], &header, &main, &told.version, ""))
}

/// A row of a table.
struct Row<'a> {
    steps: usize,
    accuracy: &'a Accuracy,
    /// Predictions that stay, of clean and of adversarial images; none where that was not asked.
    settled: Vec<f64>,
}

/// Rows of accuracies.
fn table(first: &str, rows: &[Row]) -> String {
    let attacked = rows.iter().any(|row| row.accuracy.robust_acc.is_some());
    let settles = rows.iter().any(|row| !row.settled.is_empty());
    let cell = |value: f64, bounds: Option<[f64; 2]>| {
        let small = bounds.map_or(String::new(), |bounds| format!("<small>{}</small>", range(bounds)));
        format!("<td>{small}{}</td>", percent(value))
    };
    let mut heads = vec![first, "clean"];
    heads.extend(attacked.then_some("robust"));
    heads.extend(settles.then_some("settled, clean"));
    heads.extend((settles && attacked).then_some("settled, attacked"));
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).collect();
    let mut html = String::new();
    for Row { steps, accuracy, settled } in rows {
        let _ = write!(html, "<tr><th scope=\"row\">{steps}</th>{}", cell(accuracy.clean_acc, accuracy.clean_ci95));
        html += &accuracy.robust_acc.map_or(String::new(), |acc| cell(acc, accuracy.robust_ci95));
        html.extend(settled.iter().map(|value| cell(*value, None)));
        html += "</tr>\n";
    }
    format!(
        "<div class=\"card scroll\" style=\"margin-top:14px\"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{html}</tbody>\n</table></div>\n"
    )
}

/// All panels.
fn drawn(told: &Anytime) -> Vec<Scene> {
    stepwise(told).into_iter().chain(sweep(told)).collect()
}

/// Accuracy after each step, and how many predictions have come to stay.
fn stepwise(told: &Anytime) -> Vec<Scene> {
    let x = [0.5, told.steps as f64 + 0.5];
    let ticks: Vec<(f64, String)> = counts(told.steps).into_iter().map(|step| (step as f64, step.to_string())).collect();
    let at: Vec<f64> = told.moments.iter().map(|moment| moment.step as f64).collect();
    let accuracies: Vec<&Accuracy> = told.moments.iter().map(|moment| &moment.accuracy).collect();
    let mut accuracy = accuracy_panel("Accuracy after t steps, %", x, &at, &accuracies);
    let axis = format!("t, of {} ({} images)", told.steps, count_whole(told.images));
    accuracy.x_axis(&ticks, &axis);
    accuracy.scene.alt = words("after t steps", "step", &at, &accuracies);
    let settled = |value: fn(&crate::record::Moment) -> Option<f64>| -> Vec<(f64, f64)> {
        told.moments.iter().filter_map(|moment| value(moment).map(|y| (moment.step as f64, y))).collect()
    };
    let [clean, attacked] = [settled(|moment| Some(moment.settled_clean)), settled(|moment| moment.settled_attacked)];
    let mut stays = Panel::new("Predictions that stay, %", &legend(!attacked.is_empty(), "attacked"), x, FULL, &HUNDRED);
    stays.curve(&clean, Ink::Robust, Stroke::Solid);
    stays.curve(&attacked, Ink::Wrong, Stroke::Dashed);
    stays.x_axis(&ticks, &axis);
    stays.scene.alt = format!(
        "Line chart of the share of predictions that stay from step t on. The last change comes at step {:.1} on average.",
        told.decided_clean
    );
    vec![accuracy.scene, stays.scene]
}

/// Accuracy at other numbers of steps; their axis is logarithmic.
fn sweep(told: &Anytime) -> Option<Scene> {
    let at: Vec<f64> = told.sweep.iter().map(|turn| (turn.steps as f64).log2()).collect();
    let (least, most) = (at.iter().copied().fold(f64::INFINITY, f64::min), at.iter().copied().fold(0.0, f64::max));
    if at.is_empty() {
        return None;
    }
    let accuracies: Vec<&Accuracy> = told.sweep.iter().map(|turn| &turn.accuracy).collect();
    let mut panel = accuracy_panel("Accuracy of the network run at T steps, %", [least - 0.3, most + 0.3], &at, &accuracies);
    let ticks: Vec<(f64, String)> = told.sweep.iter().zip(&at).map(|(turn, x)| (*x, turn.steps.to_string())).collect();
    panel.x_axis(
        &ticks,
        &format!("T ({} images{})", count_whole(told.images), if told.attack.is_some() { ", attacked at each T" } else { "" }),
    );
    panel.scene.alt = words("at T steps", "T", &told.sweep.iter().map(|turn| turn.steps as f64).collect::<Vec<_>>(), &accuracies);
    Some(panel.scene)
}

fn legend(attacked: bool, name: &str) -> Vec<Key> {
    let robust = attacked.then(|| Key { ink: Ink::Wrong, stroke: Stroke::Dashed, text: name.to_string() });
    std::iter::once(Key::solid(Ink::Robust, "clean")).chain(robust).collect()
}

/// Clean and robust accuracy with their intervals.
fn accuracy_panel(title: &str, x: [f64; 2], at: &[f64], accuracies: &[&Accuracy]) -> Panel {
    let pair = |acc: fn(&Accuracy) -> Option<f64>, bounds: fn(&Accuracy) -> Option<[f64; 2]>| {
        let points: Vec<(f64, f64)> = at.iter().zip(accuracies).filter_map(|(&x, one)| acc(one).map(|y| (x, y))).collect();
        let bounds: Vec<(f64, [f64; 2])> = at.iter().zip(accuracies).filter_map(|(&x, one)| bounds(one).map(|y| (x, y))).collect();
        (points, bounds)
    };
    let (clean, clean_bounds) = pair(|one| Some(one.clean_acc), |one| one.clean_ci95);
    let (robust, robust_bounds) = pair(|one| one.robust_acc, |one| one.robust_ci95);
    let mut panel = Panel::new(title, &legend(!robust.is_empty(), "clean and attacked"), x, FULL, &HUNDRED);
    panel.band(&clean_bounds, Ink::Robust);
    panel.band(&robust_bounds, Ink::Wrong);
    panel.curve(&clean, Ink::Robust, Stroke::Solid);
    panel.curve(&robust, Ink::Wrong, Stroke::Dashed);
    panel
}

/// A chart of accuracies for those who cannot see it.
fn words(what: &str, unit: &str, at: &[f64], accuracies: &[&Accuracy]) -> String {
    let one = |(x, one): (&f64, &&Accuracy)| {
        let robust = one.robust_acc.map_or(String::new(), |acc| format!(", robust {}", percent(acc)));
        format!("{unit} {x}: {}{robust}", percent(one.clean_acc))
    };
    format!("Line chart of accuracy {what}. {}.", at.iter().zip(accuracies).map(one).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Moment, Turn};

    fn told(attacked: bool) -> Anytime {
        let accuracy = |clean, robust| Accuracy::of(clean, attacked.then_some(robust), 200);
        let settled = |part| attacked.then_some(part);
        let moment = |step, clean, robust, part| Moment {
            step,
            accuracy: accuracy(clean, robust),
            settled_clean: part,
            settled_attacked: settled(part),
        };
        Anytime {
            network: "snn <b>".into(),
            source: "mnist".into(),
            images: 200,
            steps: 2,
            attack: attacked.then(|| "PGD-10 at 8/255".into()),
            moments: vec![moment(1, 100, 60, 80.0), moment(2, 164, 90, 100.0)],
            decided_clean: 1.2,
            decided_attacked: attacked.then_some(1.7),
            sweep: vec![Turn { steps: 16, accuracy: accuracy(170, 20) }],
            version: "1".into(),
        }
    }

    #[test]
    fn the_page_tells_every_number() {
        let page = anytime(&told(true)).unwrap();
        for part in [
            "snn &lt;b&gt;",
            "82.0\u{a0}%",
            "45.0\u{a0}%",
            "1.7 for an attacked one",
            "PGD-10 at 8/255",
            "85.0\u{a0}%",
            "settled, attacked",
        ] {
            assert!(page.contains(part), "no {part}");
        }
        assert_eq!(page.matches("<svg").count(), 3);
        let bare = anytime(&Anytime { sweep: Vec::new(), ..told(false) }).unwrap();
        assert!(bare.matches("<svg").count() == 2 && !bare.contains("robust</th>") && !bare.contains("Attacked"));
    }

    #[test]
    fn drawings_are_files_of_their_own() {
        let svg = anytime_plot(&told(true)).svg().unwrap();
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(svg.contains(".s-wrong{stroke:#b4232c}") && svg.matches("<svg").count() == 1);
        let png = image::load_from_memory(&anytime_plot(&told(false)).png().unwrap()).unwrap();
        assert!(png.width() > png.height());
    }
}
