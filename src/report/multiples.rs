//! Small multiples: many panels of a few lines, or of bars, for what has no record of a run.

use super::Figure;
use super::chart::{self, Key, Panel, ticks};
use super::png::text_width;
use super::scene::{Anchor, Ink, Scene, Stroke};

/// One panel of lines.
pub struct Multiple {
    /// Its title.
    pub title: String,
    /// What x is.
    pub x: String,
    /// At most three lines: names and points.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Panels of the same axes, three in a row.
pub fn multiples(name: &str, panels: &[Multiple]) -> Figure {
    const INKS: [Ink; 3] = [Ink::Robust, Ink::Natural, Ink::Right];
    let points = || panels.iter().flat_map(|panel| &panel.lines).flat_map(|(_, points)| points);
    let (from, to) = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), (x, _)| (from.min(*x), to.max(*x)));
    let y = ticks(points().map(|(_, y)| *y).fold(0.0, f64::max));
    let draw = |panel: &Multiple| -> Scene {
        let lines = || panel.lines.iter().zip(INKS);
        let keys: Vec<Key> = lines().map(|((name, _), ink)| Key::solid(ink, name.clone())).collect();
        let mut drawn = Panel::new(&panel.title, &keys, [from, to], [0.0, *y.last().unwrap_or(&1.0)], &y);
        lines().for_each(|((_, points), ink)| drawn.curve(points, ink, Stroke::Solid));
        let middle = (from + to) / 2.0;
        drawn.x_axis(&[from, middle, to].map(|x| (x, format!("{x}"))), &panel.x);
        drawn.scene.alt = format!("{}: {}.", panel.title, panel.lines.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "));
        drawn.scene
    };
    Figure::tiled(name, panels.iter().map(draw).collect(), 3)
}

/// A bar.
pub struct Bar {
    /// What it is of.
    pub name: String,
    /// Its length, as a share of the mark.
    pub share: f64,
    /// What stands behind it.
    pub told: String,
    /// Which of the kinds it is (0 or 1).
    pub kind: usize,
}

/// Bars below each other, with a dashed line at 1; `kinds` are the names of the two kinds, `mark` that of the line.
pub fn bars(name: &str, title: &str, kinds: [&str; 2], mark: &str, bars: &[Bar]) -> Figure {
    const INKS: [Ink; 2] = [Ink::Robust, Ink::Natural];
    const ROW: f32 = 17.0;
    const TOP: f32 = 72.0;
    let names = bars.iter().map(|bar| text_width(&bar.name, 11.5)).fold(60.0, f32::max);
    let most = bars.iter().map(|bar| bar.share).fold(1.0, f64::max) as f32;
    let (left, long) = (names + 12.0, 420.0);
    let told = bars.iter().map(|bar| text_width(&bar.told, 11.5)).fold(0.0, f32::max);
    let keys = [0, 1].map(|kind| Key::solid(INKS[kind], kinds[kind]));
    let mut scene = chart::begin(TOP + ROW * bars.len() as f32 + 12.0, title, &keys);
    scene.width = left + long + 12.0 + told;
    let at = left + long / most;
    scene.line(vec![(at, TOP - 6.0), (at, TOP + ROW * bars.len() as f32)], Ink::Muted, 1.0, Stroke::Dashed);
    scene.label((at, TOP - 11.0), Anchor::Middle, Ink::Muted, mark);
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f32;
        let width = long * bar.share as f32 / most;
        scene.label((left - 8.0, y + 11.0), Anchor::End, Ink::Text, bar.name.clone());
        scene.bar((left, y + 2.0), (width, ROW - 5.0), INKS[bar.kind.min(1)]);
        scene.label((left + width.max(0.0) + 8.0, y + 11.0), Anchor::Start, Ink::Muted, bar.told.clone());
    }
    scene.alt = format!("{title}: {} bars.", bars.len());
    Figure::tiled(name, vec![scene], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let bar = |name: &str, share: f64| Bar { name: name.into(), share, told: format!("{share}"), kind: 0 };
        let svg = bars("b", "bars", ["a", "b"], "one", &[bar("x", 0.5), bar("y", 2.0)]).svg().unwrap();
        let widths: Vec<f64> = (svg.split("<rect class=\"f-robust\"").skip(1))
            .map(|rect| rect.split(" width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(widths, [105.0, 420.0], "{svg}");
    }

    #[test]
    fn lines_share_their_axes() {
        let panel = |title: &str, top: f64| Multiple {
            title: title.into(),
            x: "u".into(),
            lines: vec![("one".into(), vec![(-1.0, 0.0), (1.0, top)])],
        };
        let svg = multiples("m", &[panel("low", 0.5), panel("high", 1.0)]).svg().unwrap();
        let last: Vec<&str> = svg.split("<polyline class=\"s-robust\"").filter_map(|line| line.split("points=\"").nth(1)).collect();
        let heights: Vec<f64> =
            last.iter().filter_map(|points| points.split('"').next()?.split(' ').nth(1)?.split(',').nth(1)?.parse().ok()).collect();
        // Of the two curves (legends are level), the second ends higher.
        assert!(heights.windows(2).any(|pair| pair[1] < pair[0] - 50.0), "{heights:?}");
    }
}
