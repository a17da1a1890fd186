//! Windows of an image: of its own size after padding, or of any size, resized.

use super::units;
use crate::base::rng::Philox;

/// The window at `down` rows and `right` columns of the image with `pad` zeros on each side, row by row: zeros, a run of the
/// image, zeros.
pub(super) fn padded(raw: &[u8], [height, width, channels]: [usize; 3], pad: usize, [down, right]: [usize; 2], out: &mut [f32]) {
    let row = width * channels;
    // Columns that lie before the image, and columns of the image that lie before the window.
    let (before, skipped) = (pad.saturating_sub(right).min(width), right.saturating_sub(pad).min(width));
    let run = (width - before.max(skipped)) * channels;
    for (y, out) in out.chunks_exact_mut(row).enumerate() {
        match (y + down).checked_sub(pad).filter(|&y| y < height) {
            Some(y) => {
                let (start, rest) = out.split_at_mut(before * channels);
                let (middle, end) = rest.split_at_mut(run);
                start.fill(0.0);
                units(&raw[y * row + skipped * channels..][..run], middle);
                end.fill(0.0);
            }
            None => out.fill(0.0),
        }
    }
}

/// A window of an image: first row and column, and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    top: usize,
    left: usize,
    height: usize,
    width: usize,
}

/// Share of the area, and width over height, of a window (METHOD §7).
const SCALE: [f64; 2] = [0.08, 1.0];
const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
/// Windows that are drawn before the largest central one is taken.
const TRIES: u64 = 10;

impl Window {
    /// torchvision's rule: up to ten times an area and, uniform in its logarithm, a ratio, until the window fits, then its
    /// place; after the tenth the largest window in the middle that has a ratio within the bounds. Try k has draws 2k and
    /// 2k + 1, the place has 20 and 21.
    fn random(height: usize, width: usize, draws: Philox) -> Window {
        let area = (height * width) as f64;
        for k in 0..TRIES {
            let within = |[low, high]: [f64; 2], draw: u64| low + (high - low) * f64::from(draws.uniform(draw));
            let (area, ratio) = (area * within(SCALE, 2 * k), within(RATIO.map(f64::ln), 2 * k + 1).exp());
            // Sides are rounded as Python rounds.
            let [w, h] = [(area * ratio).sqrt(), (area / ratio).sqrt()].map(|side| side.round_ties_even() as usize);
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let place = |draw: u64, room: usize| draws.below(2 * TRIES + draw, room + 1);
                return Window { top: place(0, height - h), left: place(1, width - w), height: h, width: w };
            }
        }
        let side = |side: f64, most: usize| (side.round_ties_even() as usize).clamp(1, most);
        let (h, w) = match width as f64 / height as f64 {
            ratio if ratio < RATIO[0] => (side(width as f64 / RATIO[0], height), width),
            ratio if ratio > RATIO[1] => (height, side(height as f64 * RATIO[1], width)),
            _ => (height, width),
        };
        Window { top: (height - h) / 2, left: (width - w) / 2, height: h, width: w }
    }
}

/// A random window, brought to the image's size: along rows, then along columns, in f32 and never rounded to 8 bits (Pillow
/// rounds after each of the two, and so differs by up to one level of 255). Pixels stay in [0, 1]; the whole image is itself.
///
/// The antialiased filter is a triangle that reaches as far as a pixel of the coarser of the two grids. A window is never larger
/// than the image, so the coarser one is the window's, and a pixel is made of its two neighbours.
pub(super) fn resized(raw: &[u8], [height, width, channels]: [usize; 3], draws: Philox, out: &mut [f32]) {
    let window = Window::random(height, width, draws);
    bilinear(raw, [height, width, channels], window, out);
}

fn bilinear(raw: &[u8], [height, width, channels]: [usize; 3], window: Window, out: &mut [f32]) {
    let (row, columns) = (width * channels, taps(window.width, width));
    let (mut wide, mut line) = (vec![0.0; window.height * row], vec![0.0; window.width * channels]);
    for (y, wide) in wide.chunks_exact_mut(row).enumerate() {
        let from = &raw[((window.top + y) * width + window.left) * channels..][..line.len()];
        line.iter_mut().zip(from).for_each(|(line, &pixel)| *line = pixel.into());
        match channels {
            1 => along_row::<1>(&line, &columns, wide),
            3 => along_row::<3>(&line, &columns, wide),
            _ => (0..row).for_each(|i| {
                let (tap, c) = (&columns[i / channels], i % channels);
                wide[i] = tap.mix(line[tap.first * channels + c], line[tap.second * channels + c]);
            }),
        }
    }
    for (tap, out) in taps(window.height, height).iter().zip(out.chunks_exact_mut(row)) {
        let (first, second) = (&wide[tap.first * row..][..row], &wide[tap.second * row..][..row]);
        for ((out, &first), &second) in out.iter_mut().zip(first).zip(second) {
            *out = (tap.mix(first, second) / 255.0).min(1.0);
        }
    }
}

/// One row of the window, as wide as the image; of a number of channels that is known, a pixel's are mixed at once.
fn along_row<const C: usize>(line: &[f32], columns: &[Tap], wide: &mut [f32]) {
    let line = line.as_chunks::<C>().0;
    for (wide, tap) in wide.as_chunks_mut::<C>().0.iter_mut().zip(columns) {
        let (first, second) = (&line[tap.first], &line[tap.second]);
        for (c, wide) in wide.iter_mut().enumerate() {
            *wide = tap.mix(first[c], second[c]);
        }
    }
}

/// Two neighbours, and the share of the second.
struct Tap {
    first: usize,
    second: usize,
    share: f32,
}

impl Tap {
    #[inline]
    fn mix(&self, first: f32, second: f32) -> f32 {
        first * (1.0 - self.share) + second * self.share
    }
}

/// What each of `to` pixels is made of, of `from` ≤ `to`: the neighbours of its centre; beyond the border, the last pixel.
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    let tap = |at: usize| {
        let centre = ((at as f64 + 0.5) * scale - 0.5).clamp(0.0, (from - 1) as f64);
        let first = centre as usize;
        Tap { first, second: (first + 1).min(from - 1), share: (centre - first as f64) as f32 }
    };
    (0..to).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Purpose;

    fn pixels(count: usize) -> Vec<u8> {
        let draws = Philox::stream(5, Purpose::Test, &[]);
        (0..count as u64).map(|i| draws.below(i, 256) as u8).collect()
    }

    /// The definition: every pixel of the window, weighted by a triangle around the result's centre that reaches as far as a
    /// pixel of the coarser grid; weights sum to 1.
    fn naive(raw: &[u8], [height, width, channels]: [usize; 3], window: Window, at: [usize; 3]) -> f64 {
        let weights = |at: usize, from: usize, to: usize| {
            let scale = from as f64 / to as f64;
            let centre = (at as f64 + 0.5) * scale;
            let weight = |i: usize| (1.0 - ((i as f64 + 0.5 - centre) / scale.max(1.0)).abs()).max(0.0);
            let all: f64 = (0..from).map(weight).sum();
            (0..from).map(|i| weight(i) / all).collect::<Vec<f64>>()
        };
        let (down, across) = (weights(at[0], window.height, height), weights(at[1], window.width, width));
        let mut sum = 0.0;
        for (y, wy) in down.iter().enumerate() {
            for (x, wx) in across.iter().enumerate() {
                let pixel = raw[((window.top + y) * width + window.left + x) * channels + at[2]];
                sum += wy * wx * f64::from(pixel) / 255.0;
            }
        }
        sum
    }

    #[test]
    fn a_window_is_resized_by_the_antialiased_triangle() {
        for extents @ [height, width, channels] in [[1, 1, 1], [9, 7, 1], [6, 11, 2], [16, 16, 3]] {
            let raw = pixels(height * width * channels);
            let all = (1..=height).flat_map(|h| (1..=width).map(move |w| (h, w)));
            for window in all.map(|(h, w)| Window { top: (height - h) / 2, left: width - w, height: h, width: w }) {
                let mut out = vec![f32::NAN; raw.len()];
                bilinear(&raw, extents, window, &mut out);
                for (i, &got) in out.iter().enumerate() {
                    let at = [i / channels / width, i / channels % width, i % channels];
                    let want = naive(&raw, extents, window, at);
                    assert!((f64::from(got) - want).abs() <= 3e-7, "{extents:?} {window:?} at {at:?}: {got}, not {want}");
                    assert!((0.0..=1.0).contains(&got), "{extents:?} {window:?} at {at:?}: {got}");
                }
            }
        }
    }

    #[test]
    fn the_whole_image_is_itself_and_white_stays_white() {
        let (raw, mut out, mut plain) = (pixels(8 * 9 * 3), vec![0.0; 216], vec![0.0; 216]);
        bilinear(&raw, [8, 9, 3], Window { top: 0, left: 0, height: 8, width: 9 }, &mut out);
        units(&raw, &mut plain);
        assert_eq!(out, plain);
        for (height, width) in (1..=8).flat_map(|h| (1..=9).map(move |w| (h, w))) {
            bilinear(&[255; 216], [8, 9, 3], Window { top: 0, left: 0, height, width }, &mut out);
            assert!(out.iter().all(|&p| (1.0 - 2e-7..=1.0).contains(&p)), "{height}x{width}");
        }
    }

    /// Quantile, area, ratio of 4,000,000 windows of 64x64 images by torchvision's rule, in NumPy.
    const QUANTILES: [(f64, f64, f64); 5] =
        [(0.05, 0.1206, 0.775), (0.25, 0.2813, 0.875), (0.5, 0.4819, 1.0), (0.75, 0.6836, 1.1429), (0.95, 0.8638, 1.2903)];

    #[test]
    fn windows_have_the_areas_and_ratios_of_torchvision() {
        let draws = Philox::stream(1, Purpose::Test, &[]);
        let windows: Vec<Window> = (0..20_000).map(|i| Window::random(64, 64, draws.fork(Purpose::Augment, i))).collect();
        let (mut areas, mut ratios) = (Vec::new(), Vec::new());
        for &Window { top, left, height, width } in &windows {
            assert!(top + height <= 64 && left + width <= 64);
            areas.push((height * width) as f64 / 4096.0);
            ratios.push(width as f64 / height as f64);
            assert!((0.075..=1.0).contains(areas.last().unwrap()) && (0.7..=1.43).contains(ratios.last().unwrap()));
        }
        areas.sort_by(f64::total_cmp);
        ratios.sort_by(f64::total_cmp);
        let quantile = |sorted: &[f64], q: f64| sorted[(q * sorted.len() as f64) as usize];
        for (q, area, ratio) in QUANTILES {
            assert!((quantile(&areas, q) - area).abs() < 0.012, "area {q}: {}", quantile(&areas, q));
            assert!((quantile(&ratios, q) - ratio).abs() < 0.012, "ratio {q}: {}", quantile(&ratios, q));
        }
        let rows: std::collections::BTreeSet<usize> = windows.iter().filter(|w| w.height == 40).map(|w| w.top).collect();
        assert!(rows.iter().copied().eq(0..=24), "{rows:?}");
    }

    #[test]
    fn where_no_window_fits_the_middle_is_taken() {
        let draws = Philox::stream(1, Purpose::Test, &[]);
        // 1 x 1000: a window of a ratio of at most 4/3 has 80 pixels or more, which no row holds.
        assert_eq!(Window::random(1, 1000, draws), Window { top: 0, left: 499, height: 1, width: 1 });
        assert_eq!(Window::random(1000, 1, draws), Window { top: 499, left: 0, height: 1, width: 1 });
        assert_eq!(Window::random(8, 1000, draws), Window { top: 0, left: 494, height: 8, width: 11 });
        assert_eq!(Window::random(1000, 8, draws), Window { top: 494, left: 0, height: 11, width: 8 });
        assert_eq!(Window::random(1, 1, draws), Window { top: 0, left: 0, height: 1, width: 1 });
    }
}
