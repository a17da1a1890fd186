//! The page of one evaluation: who broke what, whether to believe it, and the images.

use super::chart::{Panel, counts, ticks};
use super::page::{frame, panels, shots};
use super::scene::{Ink, Scene, Stroke};
use super::svg::escape;
use super::words::{count_whole, duration, percent};
use crate::base::Result;
use crate::record::{Checks, Gallery, Verdict, with_interval};
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
    /// What the honesty checks found (None: not looked at).
    pub checks: Option<&'a Checks>,
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
    let checks: Vec<(String, &Checks)> = told.checks.iter().map(|checks| (question.to_string(), *checks)).collect();
    let main = [members(told), believed(&checks)?, pictures(told)?].concat();
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

/// What the honesty checks say of attacks, each with its name in words; nothing where none was looked at.
pub(super) fn believed(attacks: &[(String, &Checks)]) -> Result<String> {
    if attacks.is_empty() {
        return Ok(String::new());
    }
    let item = |verdict: &Verdict| {
        let (class, mark) = if verdict.sound { ("right", "✓") } else { ("wrong", "✗ doubt:") };
        format!("<p class=\"{class}\"><b>{mark}</b> {}</p>\n", escape(&verdict.text))
    };
    let card = |(name, checks): &(String, &Checks)| {
        let list: String = checks.verdicts.iter().map(item).collect();
        format!("<div class=\"card panel\"><h3>{}</h3>\n{list}</div>\n", escape(name))
    };
    panels(
        "Can it be believed?",
        "An attack that fails says nothing of the network. A doubt is a reason to attack harder.",
        attacks.iter().filter_map(|(name, checks)| ascent(name, &checks.ascent)).collect(),
        &attacks.iter().map(card).collect::<String>(),
        "Measured on the first images that are recognised when clean. The curves are the mean cross-entropy along PGD.",
    )
}

/// The loss, step by step.
fn ascent(title: &str, losses: &[f64]) -> Option<Scene> {
    let most = losses.iter().copied().filter(|loss| loss.is_finite()).fold(0.0, f64::max);
    let steps = losses.len().checked_sub(2)? + 1;
    let ticks = ticks(most);
    let top = ticks.last().copied().unwrap_or(1.0).max(most);
    let mut panel = Panel::new(title, &[], [0.0, steps as f64], [0.0, top], &ticks);
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
    use crate::record::Search;

    #[test]
    fn a_page_holds_what_it_is_told() {
        let none = Search { survivors: 0, broken: 0 };
        let verdict = |sound, text: &str| Verdict { sound, text: text.into() };
        let checks = Checks {
            images: 16,
            zero_gradients: 0.0,
            blind_images: 0,
            support: Vec::new(),
            ascent: vec![0.5, 1.0, 1.5],
            square: none,
            transfer: none,
            deterministic: true,
            probabilities: false,
            curve: Vec::new(),
            verdicts: vec![verdict(false, "masking & more"), verdict(true, "deterministic")],
        };
        let gallery = Gallery { height: 2, width: 2, channels: 1, items: Vec::new() };
        let told = Attacked {
            names: ["snn.safetensors", "mnist", "PGD-20 at 8/255 <b>"],
            images: 200,
            clean: 80.0,
            robust: 41.5,
            members: vec![("PCW γ=1".into(), 44.0, 72), ("STE".into(), 60.0, 5)],
            checks: Some(&checks),
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
        let bare = attacked(&Attacked { checks: None, ..told }).unwrap();
        assert!(!bare.contains("believed") && !bare.contains("<svg"));
    }
}
