//! The page of one evaluation: who broke what, whether to believe it, and the images.

use super::chart::{Panel, counts, ticks};
use super::page::{frame, panels, shots};
use super::scene::{Ink, Scene, Stroke};
use super::svg::escape;
use super::words::{count_whole, duration, percent};
use crate::base::Result;
use crate::record::{Gallery, with_interval};
use std::fmt::Write;

/// What the page tells of an evaluation. Accuracies in percent.
pub struct Attacked<'a> {
    /// The network's file, the data set, and what was asked, in words.
    pub names: [&'a str; 3],
    /// Images looked at.
    pub images: usize,
    /// Clean accuracy.
    pub clean: f64,
    /// Robust accuracy.
    pub robust: f64,
    /// Each member: its name, its own accuracy, and how many images it broke first.
    pub members: Vec<(String, f64, usize)>,
    /// What the honesty checks say, and whether each is as it should be.
    pub verdicts: Vec<(bool, String)>,
    /// Mean loss at each step of PGD (empty: not looked at).
    pub ascent: &'a [f64],
    /// Images before and after.
    pub gallery: &'a Gallery,
    /// Wall time.
    pub seconds: f64,
    /// The program's version.
    pub version: &'a str,
}

/// The whole page, in itself.
///
/// # Errors
/// If the pictures do not fit the gallery's size or cannot be encoded.
pub fn attacked(told: &Attacked) -> Result<String> {
    told.gallery.check()?;
    let [network, data, question] = told.names;
    let sure = |value| escape(&with_interval(value, told.images));
    let tile = |value: f64, what: &str| {
        let sure = sure(value);
        let bounds = sure.split_once(' ').map_or("", |(_, bounds)| bounds);
        format!(
            "<li><span class=\"value\">{}</span><span class=\"what\">{what}</span><span class=\"sure\">{bounds}</span></li>\n",
            percent(value)
        )
    };
    let header = format!(
        "<h1>{} of {} images withstand {}</h1>\n<p>An image counts as robust if it is recognised when clean and under every attack below. In brackets 95 % intervals \
         (Wilson). It took {}.</p>\n<ul class=\"tiles\">\n{}{}</ul>\n",
        count_whole((told.robust * told.images as f64 / 100.0).round() as usize),
        count_whole(told.images),
        escape(question),
        duration(told.seconds),
        tile(told.clean, "Recognised when clean"),
        tile(told.robust, "Recognised under every attack"),
    );
    let main = [members(told), honesty(told)?, pictures(told)?].concat();
    Ok(frame(question, &[network, data], &header, &main, told.version, ""))
}

fn members(told: &Attacked) -> String {
    let mut rows = String::new();
    for (name, accuracy, first) in &told.members {
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{}</th><td>{} %</td><td>{}</td></tr>",
            escape(name),
            escape(&with_interval(*accuracy, told.images)),
            count_whole(*first)
        );
    }
    format!(
        "<section>\n<h2>Attack by attack</h2>\n<p class=\"lead\">Robust accuracy under each (of those that earlier ones left, where only survivors were passed on), and the images that it broke and none before it.</p>\n<div class=\"card scroll\"><table>\n\
         <thead><tr><th scope=\"col\">Attack</th><th scope=\"col\">Recognised</th><th scope=\"col\">First to break</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n</section>\n"
    )
}

fn honesty(told: &Attacked) -> Result<String> {
    if told.verdicts.is_empty() {
        return Ok(String::new());
    }
    let item = |(sound, text): &(bool, String)| {
        let (class, mark) = if *sound { ("right", "✓") } else { ("wrong", "✗ doubt:") };
        format!("<p class=\"{class}\"><b>{mark}</b> {}</p>\n", escape(text))
    };
    let list: String = told.verdicts.iter().map(item).collect();
    let section = panels(
        "Can it be believed?",
        "An attack that fails says nothing of the network. A doubt is a reason to attack harder.",
        ascent(told.ascent).into_iter().collect(),
        &format!("<div class=\"card panel\">{list}</div>\n"),
        "Measured on the first images that are recognised when clean.",
    )?;
    Ok(section)
}

/// The loss, step by step.
fn ascent(losses: &[f64]) -> Option<Scene> {
    let most = losses.iter().copied().filter(|loss| loss.is_finite()).fold(0.0, f64::max);
    let steps = losses.len().checked_sub(2)? + 1;
    let ticks = ticks(most);
    let top = ticks.last().copied().unwrap_or(1.0).max(most);
    let mut panel = Panel::new("Mean cross-entropy along PGD", &[], [0.0, steps as f64], [0.0, top], &ticks);
    let points: Vec<(f64, f64)> = losses.iter().enumerate().map(|(step, &loss)| (step as f64, loss)).collect();
    panel.curve(&points, Ink::Robust, Stroke::Solid);
    panel.x_axis(&counts(steps).into_iter().map(|step| (step as f64, step.to_string())).collect::<Vec<_>>(), "step");
    panel.scene.alt = format!("Line chart: the loss goes from {:.3} to {:.3} in {steps} steps.", losses[0], losses[steps]);
    Some(panel.scene)
}

fn pictures(told: &Attacked) -> Result<String> {
    let shots = shots(told.gallery, |_| true)?;
    if shots.is_empty() {
        return Ok(shots);
    }
    Ok(format!("<section>\n<h2>Clean and attacked images</h2>\n{shots}</section>\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_what_it_is_told() {
        let gallery = Gallery { height: 2, width: 2, channels: 1, items: Vec::new() };
        let told = Attacked {
            names: ["snn.safetensors", "mnist", "PGD-20 at 8/255 <b>"],
            images: 200,
            clean: 80.0,
            robust: 41.5,
            members: vec![("PCW γ=1".into(), 44.0, 72), ("STE".into(), 60.0, 5)],
            verdicts: vec![(false, "masking & more".into()), (true, "deterministic".into())],
            ascent: &[0.5, 1.0, 1.5],
            gallery: &gallery,
            seconds: 61.0,
            version: "1",
        };
        let page = attacked(&told).unwrap();
        for part in
            ["83 of 200 images withstand PGD-20 at 8/255 &lt;b&gt;", "PCW γ=1", "<td>72</td>", "✗ doubt:", "masking &amp; more", "<svg"]
        {
            assert!(page.contains(part), "no {part}");
        }
        let bare = attacked(&Attacked { verdicts: Vec::new(), ascent: &[], ..told }).unwrap();
        assert!(!bare.contains("believed") && !bare.contains("<svg"));
    }
}
