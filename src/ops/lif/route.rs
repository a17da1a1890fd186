//! From a neuron's pixels to the upstream gradient that belongs to them.

use super::Spread;
use crate::base::Shape;
use std::ops::Range;

/// Where the gradient of a pixel lies.
#[derive(Clone, Copy)]
pub struct Route {
    spread: Spread,
    height: usize,
    width: usize,
}

impl Route {
    /// For a current of this shape `[N,H,W,F,C]`.
    pub fn new(current: Shape, spread: Spread) -> Route {
        Route { spread, height: current[1], width: current[2] }
    }

    /// The share of the gradient that a pixel receives.
    #[inline(always)]
    pub fn share(&self) -> f32 {
        match self.spread {
            Spread::Plain => 1.0,
            Spread::Quarters => 0.25,
        }
    }

    /// Each of `pixels` with the pixel of the gradient that it belongs to (None: a last odd row or column, which no
    /// pool covers).
    #[inline(always)]
    pub fn walk(self, pixels: Range<usize>) -> impl Iterator<Item = (usize, Option<usize>)> {
        // Counters instead of divisions: this runs for every pixel.
        let (mut w, mut h) = (pixels.start % self.width.max(1), pixels.start / self.width.max(1) % self.height.max(1));
        let mut n = pixels.start / (self.width * self.height).max(1);
        pixels.map(move |pixel| {
            let (half_height, half_width) = (self.height / 2, self.width / 2);
            let to = match self.spread {
                Spread::Plain => Some(pixel),
                Spread::Quarters if h / 2 < half_height && w / 2 < half_width => Some((n * half_height + h / 2) * half_width + w / 2),
                Spread::Quarters => None,
            };
            w += 1;
            if w == self.width {
                (w, h) = (0, h + 1);
                if h == self.height {
                    (h, n) = (0, n + 1);
                }
            }
            (pixel, to)
        })
    }
}
