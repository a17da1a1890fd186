//! Panels: a title, a legend, a frame with ticks, and where a value lies in it.

use super::png::text_width;
use super::scene::{Anchor, Ink, Scene, Stroke, Weight};

/// The width of every panel; two stand side by side on a desk, one on a phone.
pub(super) const WIDTH: f32 = 440.0;
const LEFT: f32 = 42.0;
const RIGHT: f32 = 16.0;

/// A panel with a frame for values.
pub(super) struct Panel {
    pub(super) scene: Scene,
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
    x: [f64; 2],
    y: [f64; 2],
}

/// An entry of a legend.
pub(super) struct Key {
    pub(super) ink: Ink,
    pub(super) stroke: Stroke,
    pub(super) text: String,
}

impl Key {
    pub(super) fn solid(ink: Ink, text: impl Into<String>) -> Key {
        Key { ink, stroke: Stroke::Solid, text: text.into() }
    }
}

/// Begins a panel: title and legend at the top.
pub(super) fn begin(height: f32, title: &str, legend: &[Key]) -> Scene {
    let mut scene = Scene::new(WIDTH, height);
    scene.text((0.0, 15.0), 14.0, Anchor::Start, Weight::Bold, Ink::Text, title);
    let mut x = 0.0;
    for Key { ink, stroke, text } in legend {
        scene.line(vec![(x, 33.5), (x + 18.0, 33.5)], *ink, 3.0, *stroke);
        scene.label((x + 24.0, 37.5), Anchor::Start, Ink::Muted, text.clone());
        x += 24.0 + text_width(text, 11.5) + 18.0;
    }
    scene
}

impl Panel {
    /// A panel of 304 points whose frame spans `x` and `y`, with horizontal grid lines at the ticks of y.
    pub(super) fn new(title: &str, legend: &[Key], x: [f64; 2], y: [f64; 2], y_ticks: &[f64]) -> Panel {
        let scene = begin(304.0, title, legend);
        let mut panel = Panel { scene, left: LEFT, top: 66.0, right: WIDTH - RIGHT, bottom: 260.0, x, y };
        let digits = if y_ticks.iter().all(|tick| tick.fract() == 0.0) { 0 } else { 1 + usize::from(y[1] - y[0] < 1.0) };
        for &tick in y_ticks {
            let at = panel.at(x[0], tick).1;
            panel.scene.line(vec![(LEFT, at), (WIDTH - RIGHT, at)], Ink::Grid, 1.0, Stroke::Solid);
            panel.scene.label((LEFT - 8.0, at + 4.0), Anchor::End, Ink::Muted, format!("{tick:.digits$}"));
        }
        panel
    }

    /// Where a value lies.
    pub(super) fn at(&self, x: f64, y: f64) -> (f32, f32) {
        let along = |v: f64, [from, to]: [f64; 2], low: f32, high: f32| low + ((v - from) / (to - from)) as f32 * (high - low);
        (along(x, self.x, self.left, self.right), along(y.clamp(self.y[0], self.y[1]), self.y, self.bottom, self.top))
    }

    /// Where its frame begins and ends, from above.
    pub(super) fn height(&self) -> [f32; 2] {
        [self.top, self.bottom]
    }

    /// Ticks of x, each with its label, and what they count.
    pub(super) fn x_axis(&mut self, ticks: &[(f64, String)], name: &str) {
        for (tick, text) in ticks {
            let at = self.at(*tick, self.y[0]);
            self.scene.label((at.0, self.bottom + 17.0), Anchor::Middle, Ink::Muted, text.clone());
        }
        self.scene.label(((self.left + self.right) / 2.0, self.bottom + 36.0), Anchor::Middle, Ink::Muted, name);
    }

    /// A line through values, with dots where they are few; values that are no number leave a gap.
    pub(super) fn curve(&mut self, points: &[(f64, f64)], ink: Ink, stroke: Stroke) {
        for piece in points.split(|(_, y)| !y.is_finite()) {
            let places: Vec<(f32, f32)> = piece.iter().map(|&(x, y)| self.at(x, y)).collect();
            if piece.len() <= 20 {
                places.iter().for_each(|&place| self.scene.dot(place, 3.2, ink));
            }
            self.scene.line(places, ink, 2.2, stroke);
        }
    }

    /// How sure a curve is: the area between the bounds at each x. Bounds that are no number leave a gap.
    pub(super) fn band(&mut self, bounds: &[(f64, [f64; 2])], ink: Ink) {
        for piece in bounds.split(|(_, bounds)| !bounds.iter().all(|y| y.is_finite())) {
            let low = piece.iter().map(|&(x, [low, _])| self.at(x, low));
            let high = piece.iter().rev().map(|&(x, [_, high])| self.at(x, high));
            let outline = low.chain(high).collect();
            self.scene.band(outline, ink);
        }
    }

    /// A dashed vertical line with a word above it.
    pub(super) fn mark(&mut self, x: f64, word: &str) {
        let at = self.at(x, self.y[0]).0;
        self.scene.line(vec![(at, self.top - 2.0), (at, self.bottom)], Ink::Muted, 1.0, Stroke::Dashed);
        let half = text_width(word, 11.5) / 2.0;
        self.scene.label((at.clamp(half, WIDTH - half), self.top - 8.0), Anchor::Middle, Ink::Muted, word);
    }
}

/// Round numbers from 0 to at least `max`, about four steps of 1, 2 or 5 times a power of ten.
pub(super) fn ticks(max: f64) -> Vec<f64> {
    let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
    let power = 10.0_f64.powf((max / 4.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|unit| unit * power).into_iter().find(|step| max / step <= 5.0).unwrap_or(10.0 * power);
    (0..=(max / step).ceil() as usize).map(|k| k as f64 * step).collect()
}

/// At most about eight whole numbers of 1..=n.
pub(super) fn counts(n: usize) -> Vec<usize> {
    let step = [1, 2, 5, 10, 20, 25, 50, 100, 200].into_iter().find(|step| n / step <= 9).unwrap_or(n.div_ceil(8));
    (1..=n).filter(|k| k % step == 0 || (step <= 2 && *k == 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_maximum() {
        assert_eq!(ticks(100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(1.31), [0.0, 0.5, 1.0, 1.5]);
        assert_eq!(ticks(f64::NAN).len(), 6);
        assert_eq!(counts(9), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(counts(260).len(), 5);
    }
}
