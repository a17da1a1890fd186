//! Square (Andriushchenko et al. 2020): a random search that asks for logits alone.
//!
//! Each query changes a square of one image's perturbation and keeps the change unless the margin z_label − max_{k≠label} z_k
//! rose. (The published code keeps it where the margin fell. A spiking network's logits move in steps, and on a plateau a search
//! that refuses equals tries the same neighbours again and again.) An image whose class is no longer its label is done and leaves, so no query is spent on it. The side of the squares
//! shrinks with the share of the queries that are spent: it covers `p` of the image, p halved at fixed times (paper, section 4,
//! rescaled to the number of queries).
//!
//! l-inf: the perturbation is ±eps everywhere, one sign a channel and square; it starts as vertical stripes of random signs. Signs
//! that would change nothing are turned; the published code spends a query on them.
//! l2: it starts as a grid of square bumps, and each query moves the norm of one window into another, where it adds a bump
//! (paper, algorithm 3; the window's norms are taken channel by channel, as in the authors' first code); before the box cuts
//! it, its norm is eps.
//!
//! All draws are keyed by image and query, so an image's fate depends on no other's.

use super::host::{self, Rows};
use super::{Noise, Targets, Victim};
use crate::autodiff::Lens;
use crate::base::rng::Philox;
use crate::base::{Result, watch};
use crate::ops::loss::class;
use crate::ops::pixel::{Ball, Norm};
use crate::tensor::Tensor;

/// The budget of a Square attack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Square {
    /// Where it stays.
    pub ball: Ball,
    /// Queries an image, the start included (one more asks for the clean image's class).
    pub queries: usize,
    /// The share of the image that the first squares cover.
    pub p: f64,
}

impl Square {
    /// First squares of 0.8 of the image.
    pub fn new(ball: Ball, queries: usize) -> Square {
        Square { ball, queries, p: 0.8 }
    }

    /// The share of the image that the square of query `query` covers.
    fn share(&self, query: usize) -> f64 {
        /// After so many of 10,000 queries it is halved.
        const HALVINGS: [u128; 9] = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];
        let of_ten_thousand = query as u128 * 10_000 / self.queries.max(1) as u128;
        let halvings = HALVINGS.iter().filter(|&&after| of_ten_thousand > after).count();
        self.p / f64::from(1u32 << halvings)
    }

    /// The side of a square of query `query` in an image of this height and width: at least 1, in l2 odd and at least 3, as far as
    /// the image allows.
    fn side(&self, query: usize, height: usize, width: usize) -> usize {
        let side = (self.share(query) * (height * width) as f64).sqrt().round() as usize;
        let side = match self.ball.norm {
            Norm::Linf => side.max(1),
            Norm::L2 => side.max(3) | 1,
        };
        side.min(height).min(width)
    }
}

/// For each image its perturbation of least margin, or the first that broke it; the clean image where that is wrong already.
///
/// Errors: a label that is no class; what the victim cannot do.
pub fn square(victim: &dyn Victim, targets: &Targets, lens: Lens, budget: Square, noise: &Noise) -> Result<Tensor> {
    let logits = victim.logits(targets.images, lens)?;
    let (clean, labels) = (Rows::of(&logits), host::labels(targets.labels, logits.shape()[1])?);
    let mut adversarial = Rows::of(targets.images);
    // The images that are not broken yet, and side by side with them: clean pixels, perturbed pixels, margins.
    let mut alive: Vec<usize> = (0..labels.len()).filter(|&n| class(&clean[n]) == labels[n]).collect();
    let mut images = adversarial.gather(&alive);
    let mut best = adversarial.gather(&alive);
    let mut margins = vec![f32::INFINITY; alive.len()];
    let [height, width, channels] = [1, 2, 3].map(|axis| targets.images.shape()[axis]);
    let canvas = Canvas { budget, height, width, channels };
    for query in 0..budget.queries {
        if alive.is_empty() {
            break;
        }
        watch::check()?;
        let mut undo = Vec::with_capacity(alive.len());
        for (at, &n) in alive.iter().enumerate() {
            let draw = noise.stream(targets.ids[n], query as u64);
            undo.push(canvas.paint(&mut best[at], &images[at], query, &draw));
        }
        let logits = Rows::of(&victim.logits(&best.to_tensor(targets.images), lens)?);
        let mut broken = vec![false; alive.len()];
        for (at, &n) in alive.iter().enumerate() {
            broken[at] = class(&logits[at]) != labels[n];
            let margin = margin(&logits[at], labels[n]);
            if margin <= margins[at] || broken[at] {
                margins[at] = margin;
            } else {
                undo[at].apply(&mut best[at]);
            }
            if broken[at] {
                adversarial[n].copy_from_slice(&best[at]);
            }
        }
        if broken.contains(&true) {
            let still = |at: usize| !broken[at];
            images.retain(still);
            best.retain(still);
            let keep = |at: &usize| still(*at);
            margins = (0..alive.len()).filter(keep).map(|at| margins[at]).collect();
            alive = (0..alive.len()).filter(keep).map(|at| alive[at]).collect();
        }
    }
    for (at, &n) in alive.iter().enumerate() {
        adversarial[n].copy_from_slice(&best[at]);
    }
    Ok(adversarial.to_tensor(targets.images))
}

/// By how much the label leads.
fn margin(logits: &[f32], label: usize) -> f32 {
    let others = logits.iter().enumerate().filter(|&(k, _)| k != label).map(|(_, &z)| z);
    logits[label] - others.fold(f32::NEG_INFINITY, f32::max)
}

/// What a query overwrote: runs of numbers and where they began.
struct Undo(Vec<(usize, Vec<f32>)>);

impl Undo {
    fn apply(&self, image: &mut [f32]) {
        for (start, old) in &self.0 {
            image[*start..start + old.len()].copy_from_slice(old);
        }
    }
}

/// Where squares are painted: images `[H,W,C]`.
struct Canvas {
    budget: Square,
    height: usize,
    width: usize,
    channels: usize,
}

/// A square window of an image.
#[derive(Clone, Copy)]
struct Window {
    top: usize,
    left: usize,
    side: usize,
}

/// The places of a query's draws in its stream: first and second window, the bump's orientation, then signs.
const ROW: u64 = 0;
const COLUMN: u64 = 1;
const SECOND_ROW: u64 = 2;
const SECOND_COLUMN: u64 = 3;
const TURNED: u64 = 4;
const SIGNS: u64 = 8;

impl Canvas {
    /// Perturb `now`, which differs from `image` by what earlier queries left, as query `query` draws it.
    fn paint(&self, now: &mut [f32], image: &[f32], query: usize, draw: &Philox) -> Undo {
        match (self.budget.ball.norm, query) {
            (Norm::Linf, 0) => self.stripes(now, image, draw),
            (Norm::Linf, _) => self.fill(now, image, self.window(query, [ROW, COLUMN], draw), draw),
            (Norm::L2, 0) => self.grid(now, image, draw),
            (Norm::L2, _) => {
                let windows = [self.window(query, [ROW, COLUMN], draw), self.window(query, [SECOND_ROW, SECOND_COLUMN], draw)];
                self.exchange(now, image, windows, draw)
            }
        }
    }

    /// A window of the side of `query`, anywhere in the image.
    fn window(&self, query: usize, [row, column]: [u64; 2], draw: &Philox) -> Window {
        let side = self.budget.side(query, self.height, self.width);
        Window { top: draw.below(row, self.height - side + 1), left: draw.below(column, self.width - side + 1), side }
    }

    fn shifted(&self, pixel: f32, sign: f64) -> f32 {
        (pixel + sign as f32 * self.budget.ball.eps).clamp(0.0, 1.0)
    }

    /// One sign a column and channel.
    fn stripes(&self, now: &mut [f32], image: &[f32], draw: &Philox) -> Undo {
        let row = self.width * self.channels;
        let old = vec![(0, now.to_vec())];
        for (i, (now, &pixel)) in now.iter_mut().zip(image).enumerate() {
            *now = self.shifted(pixel, sign(draw, SIGNS + (i % row) as u64));
        }
        Undo(old)
    }

    /// One sign a channel in the window; the opposite signs where the window has these already (of squares of one pixel and channel
    /// every second one), so that no query asks for what is known.
    fn fill(&self, now: &mut [f32], image: &[f32], window: Window, draw: &Philox) -> Undo {
        let signs: Vec<f64> = (0..self.channels as u64).map(|c| sign(draw, SIGNS + c)).collect();
        let run = |y: usize| {
            let start = ((window.top + y) * self.width + window.left) * self.channels;
            start..start + window.side * self.channels
        };
        let undo = Undo((0..window.side).map(|y| (run(y).start, now[run(y)].to_vec())).collect());
        for way in [1.0, -1.0] {
            for y in 0..window.side {
                for (i, (now, &pixel)) in now[run(y)].iter_mut().zip(&image[run(y)]).enumerate() {
                    *now = self.shifted(pixel, way * signs[i % self.channels]);
                }
            }
            if undo.0.iter().any(|(start, old)| now[*start..start + old.len()] != old[..]) {
                break;
            }
        }
        undo
    }

    /// A bump in each cell of a grid of five by five.
    fn grid(&self, now: &mut [f32], image: &[f32], draw: &Philox) -> Undo {
        let side = (self.height.min(self.width) / 5).max(1);
        let (rows, columns) = (self.height / side, self.width / side);
        let (top, left) = ((self.height - rows * side) / 2, (self.width - columns * side) / 2);
        let mut delta = vec![0.0; now.len()];
        for cell in 0..rows * columns {
            let draws = SIGNS + (cell * (self.channels + 1)) as u64;
            let bump = bump(side, sign(draw, draws) > 0.0);
            let window = Window { top: top + cell / columns * side, left: left + cell % columns * side, side };
            for channel in 0..self.channels {
                let sign = sign(draw, draws + 1 + channel as u64);
                self.places(window, channel).zip(&bump).for_each(|(place, height)| delta[place] = sign * height);
            }
        }
        self.land(now, image, &delta)
    }

    /// Take the perturbation out of the second window and put its norm, with what eps leaves, into the first, where a bump
    /// is added to the shape that it has.
    fn exchange(&self, now: &mut [f32], image: &[f32], [first, second]: [Window; 2], draw: &Philox) -> Undo {
        let mut delta: Vec<f64> = now.iter().zip(image).map(|(&a, &x)| f64::from(a) - f64::from(x)).collect();
        let eps = f64::from(self.budget.ball.eps);
        let unused = (eps * eps - delta.iter().map(|d| d * d).sum::<f64>()).max(0.0) / self.channels as f64;
        let bump = bump(first.side, sign(draw, TURNED) > 0.0);
        for channel in 0..self.channels {
            let sign = sign(draw, SIGNS + channel as u64);
            let norm = |values: &[f64]| values.iter().map(|d| d * d).sum::<f64>().sqrt();
            let here: Vec<f64> = self.places(first, channel).map(|place| delta[place]).collect();
            let old = norm(&here);
            let shape: Vec<f64> = here.iter().zip(&bump).map(|(d, height)| sign * height + d / (1e-12 + old)).collect();
            let mut both = old * old;
            for place in self.places(second, channel) {
                let (y, x) = (place / self.channels / self.width, place / self.channels % self.width);
                let shared = (first.top..first.top + first.side).contains(&y) && (first.left..first.left + first.side).contains(&x);
                both += if shared { 0.0 } else { delta[place] * delta[place] };
                delta[place] = 0.0;
            }
            let scale = (unused + both).sqrt() / (1e-12 + norm(&shape));
            self.places(first, channel).zip(&shape).for_each(|(place, d)| delta[place] = d * scale);
        }
        self.land(now, image, &delta)
    }

    /// The places of one channel of a window in an image, row by row.
    fn places(&self, window: Window, channel: usize) -> impl Iterator<Item = usize> + use<> {
        let (width, channels) = (self.width, self.channels);
        (0..window.side * window.side)
            .map(move |i| ((window.top + i / window.side) * width + window.left + i % window.side) * channels + channel)
    }

    /// The image displaced by `delta`, scaled to the norm eps.
    fn land(&self, now: &mut [f32], image: &[f32], delta: &[f64]) -> Undo {
        let old = vec![(0, now.to_vec())];
        let scale = f64::from(self.budget.ball.eps) / (1e-12 + Norm::L2.length(delta.iter().copied()));
        for ((now, &pixel), d) in now.iter_mut().zip(image).zip(delta) {
            *now = (f64::from(pixel) + d * scale).clamp(0.0, 1.0) as f32;
        }
        Undo(old)
    }
}

/// −1 or 1 with equal odds.
fn sign(draw: &Philox, index: u64) -> f64 {
    if draw.word(index) >> 31 == 0 { 1.0 } else { -1.0 }
}

/// The bump of l2, `[side,side]` of norm 1: a pyramid in the upper half and its negative in the lower (paper, figure 3), or
/// the same on its side.
fn bump(side: usize, turned: bool) -> Vec<f64> {
    // A pyramid of `height` by `width`: at distance d from its middle Σ 1/(c + 1)², c from d to the last.
    let pyramid = |height: usize, width: usize| {
        let most = height.max(width) / 2;
        let level = |y: usize, x: usize| {
            let distance = y.abs_diff(height / 2).max(x.abs_diff(width / 2));
            (distance..=most).map(|c| 1.0 / ((c + 1) * (c + 1)) as f64).sum::<f64>()
        };
        let levels: Vec<f64> = (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| level(y, x)).collect();
        let norm = Norm::L2.length(levels.iter().copied());
        levels.into_iter().map(move |level| level / norm).collect::<Vec<_>>()
    };
    let upper = side / 2;
    let mut all = if upper > 0 { pyramid(upper, side) } else { Vec::new() };
    all.extend(pyramid(side - upper, side).into_iter().map(|level| -level));
    let norm = Norm::L2.length(all.iter().copied());
    (0..side * side).map(|i| if turned { all[i % side * side + i / side] } else { all[i] } / norm).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Purpose;

    #[test]
    fn the_sides_follow_the_paper_s_schedule() {
        let budget = Square::new(Ball::linf(0.1), 10_000);
        let side = |query| budget.side(query, 28, 28);
        // round(sqrt(p · 784)), p = 0.8, halved after 10, 50, 200, …
        assert_eq!([0, 10, 11, 50, 51, 201, 501, 1001, 2001, 4001, 6001, 8001].map(side), [25, 25, 18, 18, 13, 9, 6, 4, 3, 2, 2, 1]);
        let shorter = Square::new(Ball::linf(0.1), 1000);
        assert_eq!((shorter.side(1, 28, 28), shorter.side(2, 28, 28), shorter.side(801, 28, 28)), (25, 18, 1));
        let odd = Square { ball: Ball::l2(0.1), ..budget };
        assert_eq!((odd.side(0, 28, 28), odd.side(11, 28, 28), odd.side(9000, 28, 28), odd.side(9000, 2, 2)), (25, 19, 3, 2));
    }

    #[test]
    fn a_bump_has_norm_one_two_signs_and_two_orientations() {
        for side in 1..12 {
            let upright = bump(side, false);
            assert!((Norm::L2.length(upright.iter().copied()) - 1.0).abs() < 1e-12);
            assert!(upright.iter().enumerate().all(|(i, &height)| (height > 0.0) == (i / side < side / 2) && height != 0.0), "{side}");
            let turned = bump(side, true);
            assert!((0..side * side).all(|i| turned[i] == upright[i % side * side + i / side]));
        }
    }

    #[test]
    fn a_query_changes_its_window_alone_and_undo_takes_it_back() {
        let budget = Square::new(Ball::linf(0.1), 100);
        let canvas = Canvas { budget, height: 9, width: 7, channels: 3 };
        let image: Vec<f32> = (0..9 * 7 * 3).map(|i| i as f32 / 188.0).collect();
        let mut now = image.clone();
        let draw = |query| Philox::stream(1, Purpose::Test, &[query]);
        canvas.paint(&mut now, &image, 0, &draw(0));
        let striped = now.clone();
        let undo = canvas.paint(&mut now, &image, 40, &draw(40));
        let window = canvas.window(40, [ROW, COLUMN], &draw(40));
        for (i, (a, b)) in now.iter().zip(&striped).enumerate() {
            let (y, x) = (i / 21, i / 3 % 7);
            let inside = (window.top..window.top + window.side).contains(&y) && (window.left..window.left + window.side).contains(&x);
            assert!(inside || a == b, "number {i}");
        }
        assert_ne!(now, striped);
        undo.apply(&mut now);
        assert_eq!(now, striped);
    }

    /// Where the box cuts nothing, every perturbation of l2 has norm eps, query after query.
    #[test]
    fn l2_keeps_the_norm() {
        let budget = Square::new(Ball::l2(0.3), 200);
        let canvas = Canvas { budget, height: 11, width: 8, channels: 3 };
        let image = vec![0.5; 11 * 8 * 3];
        let mut now = image.clone();
        for query in 0..200 {
            canvas.paint(&mut now, &image, query, &Philox::stream(2, Purpose::Test, &[query as u64]));
            let distance = Norm::L2.distance(&now, &image);
            assert!((distance - 0.3).abs() < 1e-5, "query {query}: {distance}");
        }
    }
}
