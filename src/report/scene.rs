//! A drawing as data: a few shapes in a few inks, written as SVG by `svg` and painted as PNG by `png`.
//!
//! Lengths are in points of the drawing; y grows downwards.

/// A colour by its meaning; each medium has its own shade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// Words and numbers.
    Text,
    /// Words of less weight.
    Muted,
    /// Grid lines.
    Grid,
    /// The robust track.
    Robust,
    /// The natural track.
    Natural,
    /// What went wrong.
    Wrong,
    /// What is right.
    Right,
    /// One of several runs, counted from 0; after [`RUNS`] of them the colours come again.
    Run(usize),
}

/// The colours of runs that are compared: those of the two tracks, then four that differ from them and from each other in
/// lightness as well as in hue, so that they stay apart where colours are not told apart (`compare::tests`).
pub(super) const RUNS: [(&str, [u8; 3]); 6] = [
    ("run1", [0x1f, 0x63, 0xb5]),
    ("run2", [0xc2, 0x57, 0x1a]),
    ("run3", [0x02, 0xa6, 0x66]),
    ("run4", [0x9f, 0x67, 0x90]),
    ("run5", [0x3f, 0x2a, 0x00]),
    ("run6", [0x33, 0x2c, 0x64]),
];

impl Ink {
    /// Every ink but those of runs.
    pub(super) const ALL: [Ink; 7] = [Ink::Text, Ink::Muted, Ink::Grid, Ink::Robust, Ink::Natural, Ink::Wrong, Ink::Right];

    /// Its name in the style sheet.
    pub(super) fn name(self) -> &'static str {
        match self {
            Ink::Text => "text",
            Ink::Muted => "muted",
            Ink::Grid => "grid",
            Ink::Robust => "robust",
            Ink::Natural => "natural",
            Ink::Wrong => "wrong",
            Ink::Right => "right",
            Ink::Run(at) => RUNS[at % RUNS.len()].0,
        }
    }

    /// Red, green and blue on white paper; the light shades of the style sheet.
    pub(super) fn rgb(self) -> [u8; 3] {
        match self {
            Ink::Text => [0x1c, 0x23, 0x2e],
            Ink::Muted => [0x5a, 0x64, 0x73],
            Ink::Grid => [0xe1, 0xe4, 0xe9],
            Ink::Robust => [0x1f, 0x63, 0xb5],
            Ink::Natural => [0xc2, 0x57, 0x1a],
            Ink::Wrong => [0xb4, 0x23, 0x2c],
            Ink::Right => [0x1d, 0x7a, 0x46],
            Ink::Run(at) => RUNS[at % RUNS.len()].1,
        }
    }
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How heavy a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stroke {
    Solid,
    Dashed,
}

/// The dashes of [`Stroke::Dashed`]: on, off.
pub(super) const DASH: [f32; 2] = [5.0, 4.0];

/// How much of its ink a [`Shape::Band`] has.
pub(super) const FAINT: f32 = 0.15;

/// Pixels of a picture, red, green and blue, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) rgb: Vec<u8>,
}

/// One thing in a drawing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Line {
        points: Vec<(f32, f32)>,
        ink: Ink,
        width: f32,
        stroke: Stroke,
    },
    Bar {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        ink: Ink,
    },
    /// A rectangle of a part of its ink: one value among many.
    Tile {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        ink: Ink,
        opacity: f32,
    },
    /// A filled outline of little weight, behind a line: how sure it is.
    Band {
        outline: Vec<(f32, f32)>,
        ink: Ink,
    },
    Dot {
        x: f32,
        y: f32,
        radius: f32,
        ink: Ink,
    },
    Text {
        x: f32,
        y: f32,
        size: f32,
        anchor: Anchor,
        weight: Weight,
        ink: Ink,
        text: String,
    },
    Picture {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        picture: Picture,
    },
}

/// A drawing and what it says in words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scene {
    pub(super) width: f32,
    pub(super) height: f32,
    /// For those who cannot see it.
    pub(super) alt: String,
    pub(super) shapes: Vec<Shape>,
}

impl Scene {
    pub(super) fn new(width: f32, height: f32) -> Scene {
        Scene { width, height, alt: String::new(), shapes: Vec::new() }
    }

    pub(super) fn line(&mut self, points: Vec<(f32, f32)>, ink: Ink, width: f32, stroke: Stroke) {
        if points.len() > 1 {
            self.shapes.push(Shape::Line { points, ink, width, stroke });
        }
    }

    pub(super) fn bar(&mut self, (x, y): (f32, f32), (width, height): (f32, f32), ink: Ink) {
        if width > 0.0 && height > 0.0 {
            self.shapes.push(Shape::Bar { x, y, width, height, ink });
        }
    }

    pub(super) fn tile(&mut self, (x, y): (f32, f32), (width, height): (f32, f32), ink: Ink, opacity: f32) {
        self.shapes.push(Shape::Tile { x, y, width, height, ink, opacity });
    }

    pub(super) fn band(&mut self, outline: Vec<(f32, f32)>, ink: Ink) {
        if outline.len() > 2 {
            self.shapes.push(Shape::Band { outline, ink });
        }
    }

    pub(super) fn dot(&mut self, (x, y): (f32, f32), radius: f32, ink: Ink) {
        self.shapes.push(Shape::Dot { x, y, radius, ink });
    }

    pub(super) fn picture(&mut self, (x, y): (f32, f32), (width, height): (f32, f32), picture: Picture) {
        self.shapes.push(Shape::Picture { x, y, width, height, picture });
    }

    /// A text of 11.5 points.
    pub(super) fn label(&mut self, at: (f32, f32), anchor: Anchor, ink: Ink, text: impl Into<String>) {
        self.text(at, 11.5, anchor, Weight::Regular, ink, text);
    }

    pub(super) fn text(&mut self, (x, y): (f32, f32), size: f32, anchor: Anchor, weight: Weight, ink: Ink, text: impl Into<String>) {
        self.shapes.push(Shape::Text { x, y, size, anchor, weight, ink, text: text.into() });
    }

    /// The scenes in rows of `columns`, one picture.
    pub(super) fn tiled(scenes: Vec<Scene>, columns: usize) -> Scene {
        const GAP: f32 = 28.0;
        let mut sheet = Scene::new(0.0, GAP);
        let mut alts = Vec::new();
        let mut scenes = scenes.into_iter().peekable();
        while scenes.peek().is_some() {
            let row: Vec<Scene> = scenes.by_ref().take(columns).collect();
            let height = row.iter().map(|scene| scene.height).fold(0.0, f32::max);
            let mut x = GAP;
            for scene in row {
                sheet.shapes.extend(scene.shapes.into_iter().map(|shape| shape.moved(x, sheet.height)));
                alts.push(scene.alt);
                x += scene.width + GAP;
            }
            sheet.width = sheet.width.max(x);
            sheet.height += height + GAP;
        }
        sheet.alt = alts.join(" ");
        sheet
    }
}

impl Shape {
    fn moved(mut self, dx: f32, dy: f32) -> Shape {
        match &mut self {
            Shape::Line { points, .. } | Shape::Band { outline: points, .. } => {
                for (x, y) in points {
                    *x += dx;
                    *y += dy;
                }
            }
            Shape::Bar { x, y, .. }
            | Shape::Tile { x, y, .. }
            | Shape::Dot { x, y, .. }
            | Shape::Text { x, y, .. }
            | Shape::Picture { x, y, .. } => {
                *x += dx;
                *y += dy;
            }
        }
        self
    }
}
