//! A scene as inline SVG: inks are classes of the page's style sheet, so it follows light and dark.

use super::png;
use super::scene::{Anchor, DASH, FAINT, Ink, RUNS, Scene, Shape, Stroke, Weight};
use crate::base::Result;
use std::fmt::Write;

/// The scene as an `<svg>` element that fills its column.
pub(super) fn write(scene: &Scene) -> Result<String> {
    let mut svg =
        format!("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", round(scene.width), round(scene.height), escape(&scene.alt));
    for shape in &scene.shapes {
        // Writing to a String cannot fail.
        let _ = match shape {
            Shape::Line { points, ink, width, stroke } => {
                let points = places(points);
                let dash = match stroke {
                    Stroke::Solid => String::new(),
                    Stroke::Dashed => format!(" stroke-dasharray=\"{} {}\"", DASH[0], DASH[1]),
                };
                write!(svg, "<polyline class=\"s-{}\" stroke-width=\"{width}\"{dash} points=\"{points}\"/>", ink.name())
            }
            Shape::Band { outline, ink } => {
                write!(svg, "<polygon class=\"f-{}\" fill-opacity=\"{FAINT}\" points=\"{}\"/>", ink.name(), places(outline))
            }
            Shape::Bar { x, y, width, height, ink } => write!(
                svg,
                "<rect class=\"f-{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
                ink.name(),
                round(*x),
                round(*y),
                round(*width),
                round(*height)
            ),
            Shape::Tile { x, y, width, height, ink, opacity } => {
                let (ink, [x, y, width, height]) = (ink.name(), [*x, *y, *width, *height].map(round));
                write!(
                    svg,
                    "<rect class=\"f-{ink}\" fill-opacity=\"{opacity:.3}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
                )
            }
            Shape::Dot { x, y, radius, ink } => {
                write!(svg, "<circle class=\"f-{}\" cx=\"{}\" cy=\"{}\" r=\"{radius}\"/>", ink.name(), round(*x), round(*y))
            }
            Shape::Text { x, y, size, anchor, weight, ink, text } => {
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => " text-anchor=\"middle\"",
                    Anchor::End => " text-anchor=\"end\"",
                };
                let bold = if *weight == Weight::Bold { " font-weight=\"600\"" } else { "" };
                let (x, y, ink) = (round(*x), round(*y), ink.name());
                write!(svg, "<text class=\"f-{ink}\" x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{anchor}{bold}>{}</text>", escape(text))
            }
            Shape::Picture { x, y, width, height, picture } => {
                let (data, x, y) = (png::data_uri(picture)?, round(*x), round(*y));
                write!(svg, "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" href=\"{data}\"/>")
            }
        };
    }
    svg.push_str("</svg>");
    Ok(svg)
}

/// The scene as an SVG file of its own, in the colours of white paper.
pub(super) fn file(scene: &Scene) -> Result<String> {
    let [width, height] = [scene.width, scene.height].map(|length| length.ceil());
    let rule = |ink: Ink| {
        let [r, g, b] = ink.rgb();
        format!(".f-{0}{{fill:#{r:02x}{g:02x}{b:02x}}}.s-{0}{{stroke:#{r:02x}{g:02x}{b:02x}}}", ink.name())
    };
    let style: String = Ink::ALL.into_iter().chain((0..RUNS.len()).map(Ink::Run)).map(rule).collect();
    let root = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"Inter, sans-serif\" style=\"background:#fff\""
    );
    let drawn = write(scene)?.replacen("<svg", &root, 1);
    Ok(drawn.replacen('>', &format!("><style>polyline{{fill:none}}{style}</style>"), 1) + "\n")
}

/// Points as SVG lists them.
fn places(points: &[(f32, f32)]) -> String {
    points.iter().map(|(x, y)| format!("{},{}", round(*x), round(*y))).collect::<Vec<_>>().join(" ")
}

/// A length to a tenth of a point.
fn round(length: f32) -> f32 {
    (length * 10.0).round() / 10.0
}

/// Text for HTML, in elements and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
