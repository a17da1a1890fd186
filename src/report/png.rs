//! A scene painted on white, smooth, with its own font: no system fonts, no system libraries.
//!
//! Every shape is a set of polygons whose exact coverage `ab_glyph_rasterizer` computes.

use super::scene::{Anchor, DASH, FAINT, Picture, Scene, Shape, Stroke, Weight};
use crate::base::{Result, fail};
use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use ab_glyph_rasterizer::Rasterizer;
use image::ImageEncoder;

/// Pixels a point.
const SCALE: f32 = 2.0;

const REGULAR: &[u8] = include_bytes!("../../assets/inter/Inter-Regular.otf");
const BOLD: &[u8] = include_bytes!("../../assets/inter/Inter-SemiBold.otf");

/// The scene as a PNG file, two pixels a point.
pub(super) fn paint(scene: &Scene) -> Result<Vec<u8>> {
    let (width, height) = ((scene.width * SCALE).ceil() as usize, (scene.height * SCALE).ceil() as usize);
    let mut canvas =
        Canvas { picture: Picture { width, height, rgb: vec![255; width * height * 3] }, fonts: [font(REGULAR)?, font(BOLD)?] };
    for shape in &scene.shapes {
        canvas.shape(shape);
    }
    encode(&canvas.picture)
}

/// A picture as a PNG file.
pub(super) fn encode(picture: &Picture) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new_with_quality(
        &mut bytes,
        image::codecs::png::CompressionType::Best,
        image::codecs::png::FilterType::Adaptive,
    )
    .write_image(&picture.rgb, picture.width as u32, picture.height as u32, image::ExtendedColorType::Rgb8)
    .map_err(|cause| fail!("cannot encode a {}x{} picture: {cause}", picture.width, picture.height))?;
    Ok(bytes)
}

/// A picture as a `data:` address.
pub(super) fn data_uri(picture: &Picture) -> Result<String> {
    Ok(format!("data:image/png;base64,{}", base64(&encode(picture)?)))
}

/// The width of a text in points.
pub(super) fn text_width(text: &str, size: f32) -> f32 {
    font(REGULAR).map_or(text.chars().count() as f32 * size * 0.56, |font| advance(&font, text, size))
}

fn font(bytes: &'static [u8]) -> Result<FontRef<'static>> {
    FontRef::try_from_slice(bytes).map_err(|cause| fail!("the embedded font cannot be read: {cause}"))
}

/// `ab_glyph` scales by line height; a text size is an em.
fn px_scale(font: &FontRef, size: f32) -> PxScale {
    let em = font.units_per_em().unwrap_or(1000.0);
    PxScale::from(size * font.height_unscaled() / em)
}

fn advance(font: &FontRef, text: &str, size: f32) -> f32 {
    let scaled = font.as_scaled(px_scale(font, size));
    let glyphs: Vec<_> = text.chars().map(|c| font.glyph_id(c)).collect();
    let kerning: f32 = glyphs.windows(2).map(|pair| scaled.kern(pair[0], pair[1])).sum();
    glyphs.iter().map(|&glyph| scaled.h_advance(glyph)).sum::<f32>() + kerning
}

struct Canvas {
    picture: Picture,
    fonts: [FontRef<'static>; 2],
}

impl Canvas {
    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Line { points, ink, width, stroke } => {
                let pieces = match stroke {
                    Stroke::Solid => vec![points.clone()],
                    Stroke::Dashed => dashes(points),
                };
                for piece in pieces {
                    // Segments with round joints, all wound the same way, so that overlaps count once.
                    let segments = piece.windows(2).map(|ends| segment(ends[0], ends[1], width / 2.0));
                    let joints = piece[1..piece.len() - 1].iter().map(|&joint| disc(joint, width / 2.0));
                    self.fill(&segments.chain(joints).collect::<Vec<_>>(), ink.rgb());
                }
            }
            Shape::Band { outline, ink } => self.fill_with(std::slice::from_ref(outline), ink.rgb(), FAINT),
            Shape::Bar { x, y, width, height, ink } => {
                self.fill(&[vec![(*x, *y), (x + width, *y), (x + width, y + height), (*x, y + height)]], ink.rgb());
            }
            Shape::Tile { x, y, width, height, ink, opacity } => {
                let corners = vec![(*x, *y), (x + width, *y), (x + width, y + height), (*x, y + height)];
                self.fill_with(&[corners], ink.rgb(), *opacity);
            }
            Shape::Dot { x, y, radius, ink } => self.fill(&[disc((*x, *y), *radius)], ink.rgb()),
            Shape::Text { x, y, size, anchor, weight, ink, text } => self.text((*x, *y), *size, *anchor, *weight, ink.rgb(), text),
            Shape::Picture { x, y, width, height, picture } => self.paste((*x, *y), (*width, *height), picture),
        }
    }

    /// Fills the union of polygons given in points.
    fn fill(&mut self, polygons: &[Vec<(f32, f32)>], rgb: [u8; 3]) {
        self.fill_with(polygons, rgb, 1.0);
    }

    /// As [`Canvas::fill`], leaving what is below to be seen.
    fn fill_with(&mut self, polygons: &[Vec<(f32, f32)>], rgb: [u8; 3], opacity: f32) {
        let corners = || polygons.iter().flatten().map(|&(x, y)| (x * SCALE, y * SCALE));
        let (left, top) = corners().fold((f32::MAX, f32::MAX), |(l, t), (x, y)| (l.min(x), t.min(y)));
        let (right, bottom) = corners().fold((0.0_f32, 0.0_f32), |(r, b), (x, y)| (r.max(x), b.max(y)));
        let (left, top) = (left.floor().max(0.0), top.floor().max(0.0));
        let (width, height) = ((right - left).ceil() as usize + 1, (bottom - top).ceil() as usize + 1);
        let mut raster = Rasterizer::new(width, height);
        for polygon in polygons {
            for (at, &(x0, y0)) in polygon.iter().enumerate() {
                let (x1, y1) = polygon[(at + 1) % polygon.len()];
                raster.draw_line(
                    ab_glyph_rasterizer::point(x0 * SCALE - left, y0 * SCALE - top),
                    ab_glyph_rasterizer::point(x1 * SCALE - left, y1 * SCALE - top),
                );
            }
        }
        raster.for_each_pixel_2d(|x, y, coverage| {
            self.blend(left as i64 + i64::from(x), top as i64 + i64::from(y), coverage.min(1.0) * opacity, rgb);
        });
    }

    fn text(&mut self, (x, y): (f32, f32), size: f32, anchor: Anchor, weight: Weight, rgb: [u8; 3], text: &str) {
        let font = self.fonts[usize::from(weight == Weight::Bold)].clone();
        let size = size * SCALE;
        let shift = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => 0.5,
            Anchor::End => 1.0,
        };
        let mut pen = x * SCALE - shift * advance(&font, text, size);
        let scale = px_scale(&font, size);
        let mut last = None;
        for id in text.chars().map(|c| font.glyph_id(c)) {
            let scaled = font.as_scaled(scale);
            pen += last.map_or(0.0, |last| scaled.kern(last, id));
            if let Some(outline) = font.outline_glyph(id.with_scale_and_position(scale, point(pen, y * SCALE))) {
                let bounds = outline.px_bounds();
                let (left, top) = (bounds.min.x as i64, bounds.min.y as i64);
                outline.draw(|x, y, coverage| self.blend(left + i64::from(x), top + i64::from(y), coverage, rgb));
            }
            pen += scaled.h_advance(id);
            last = Some(id);
        }
    }

    /// Enlarges a picture without smoothing.
    fn paste(&mut self, (x, y): (f32, f32), (width, height): (f32, f32), picture: &Picture) {
        let (left, top) = ((x * SCALE).round() as i64, (y * SCALE).round() as i64);
        let (width, height) = ((width * SCALE).round() as usize, (height * SCALE).round() as usize);
        for row in 0..height {
            for column in 0..width {
                let from = (row * picture.height / height * picture.width + column * picture.width / width) * 3;
                let rgb = [picture.rgb[from], picture.rgb[from + 1], picture.rgb[from + 2]];
                self.blend(left + column as i64, top + row as i64, 1.0, rgb);
            }
        }
    }

    fn blend(&mut self, x: i64, y: i64, coverage: f32, rgb: [u8; 3]) {
        let (width, height) = (self.picture.width as i64, self.picture.height as i64);
        if coverage > 0.0 && (0..width).contains(&x) && (0..height).contains(&y) {
            let at = (y * width + x) as usize * 3;
            for (under, over) in self.picture.rgb[at..at + 3].iter_mut().zip(rgb) {
                let (u, o) = (f32::from(*under), f32::from(over));
                *under = (u + (o - u) * coverage.min(1.0)).round() as u8;
            }
        }
    }
}

/// A segment as a rectangle, wound clockwise.
fn segment((x0, y0): (f32, f32), (x1, y1): (f32, f32), half: f32) -> Vec<(f32, f32)> {
    let length = (x1 - x0).hypot(y1 - y0).max(1e-6);
    let (nx, ny) = ((y1 - y0) / length * half, -(x1 - x0) / length * half);
    vec![(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)]
}

/// A disc as a polygon, wound clockwise.
fn disc((x, y): (f32, f32), radius: f32) -> Vec<(f32, f32)> {
    (0..32).map(|k| k as f32 / 32.0 * std::f32::consts::TAU).map(|a| (x + radius * a.cos(), y + radius * a.sin())).collect()
}

/// The dashes along a path.
fn dashes(points: &[(f32, f32)]) -> Vec<Vec<(f32, f32)>> {
    let mut pieces = Vec::new();
    let (mut phase, mut left) = (0, DASH[0]);
    let mut piece = vec![points[0]];
    for ends in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let mut along = 0.0;
        while length - along > left {
            along += left;
            let at = (x0 + (x1 - x0) * along / length, y0 + (y1 - y0) * along / length);
            if phase == 0 {
                piece.push(at);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![at];
            }
            phase = 1 - phase;
            left = DASH[phase];
        }
        left -= length - along;
        if phase == 0 {
            piece.push((x1, y1));
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

/// RFC 4648, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0_u32, |word, (at, &byte)| word | u32::from(byte) << (16 - 8 * at));
        for digit in 0..4 {
            let place = (word >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit <= chunk.len() { DIGITS[place] as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::scene::Ink;

    #[test]
    fn base64_gives_the_published_answers() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn shapes_and_text_leave_their_ink_where_they_should() {
        let mut scene = Scene::new(100.0, 40.0);
        scene.bar((10.0, 10.0), (20.0, 10.0), Ink::Robust);
        scene.line(vec![(50.0, 0.0), (50.0, 40.0)], Ink::Wrong, 2.0, Stroke::Solid);
        scene.text((60.0, 30.0), 20.0, Anchor::Start, Weight::Bold, Ink::Text, "I");
        let bytes = paint(&scene).unwrap();
        let image = image::load_from_memory(&bytes).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (200, 80));
        assert_eq!(image.get_pixel(40, 30).0, Ink::Robust.rgb());
        assert_eq!(image.get_pixel(100, 40).0, Ink::Wrong.rgb());
        assert_eq!(image.get_pixel(5, 5).0, [255; 3]);
        assert!((120..140).any(|x| image.get_pixel(x, 45).0 == Ink::Text.rgb()), "the letter is missing");
    }

    #[test]
    fn dashes_cover_on_of_on_plus_off() {
        let pieces = dashes(&[(0.0, 0.0), (30.0, 0.0), (90.0, 0.0)]);
        let on: f32 = pieces.iter().map(|p| p.last().unwrap().0 - p[0].0).sum();
        assert!((on - 50.0).abs() < 0.1, "{on}");
    }
}
