//! From a neuron's pixels to the upstream gradient that belongs to them.

use super::{Spread, Upstream};
use crate::base::Shape;
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

/// [`Route`] and the extents around it, as kernels want them (`Route` in kernels/route.cuh).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Geometry {
    /// N.
    pub images: u32,
    /// H of the current.
    pub height: u32,
    /// W of the current.
    pub width: u32,
    /// C.
    pub channels: u32,
    /// Frames stored of the current, 1 or T.
    pub frames: u32,
    /// Frames stored of the gradient, 1 or T.
    pub gradient_frames: u32,
    /// 1 where the gradient belongs to 2x2 pools above the current.
    pub quarters: u32,
    /// T.
    pub steps: u32,
}

impl Geometry {
    /// For a current of this shape `[N,H,W,F,C]` and an upstream gradient that fits it.
    pub fn new(current: Shape, upstream: Upstream, steps: usize) -> Geometry {
        let [images, height, width, frames, channels] = [0, 1, 2, 3, 4].map(|axis| current[axis] as u32);
        let (gradient_frames, quarters) = (upstream.gradient.shape()[3] as u32, u32::from(upstream.spread == Spread::Quarters));
        Geometry { images, height, width, channels, frames, gradient_frames, quarters, steps: steps as u32 }
    }
}

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
