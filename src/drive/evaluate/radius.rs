//! How far an adversarial image may be from its clean one, as people say it.

use crate::ops::pixel::{Ball, Norm};
use std::fmt;

/// A norm, and a radius in its usual unit: l-inf counts in 1/255, l2 in pixels of `[0,1]` (RobustBench's 8/255 and 0.5).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Radius {
    /// The norm.
    pub norm: Norm,
    /// How many units.
    pub size: f64,
}

impl Radius {
    /// So many 255ths for each pixel.
    pub fn linf(size: f64) -> Radius {
        Radius { norm: Norm::Linf, size }
    }

    /// So much for the whole image.
    pub fn l2(size: f64) -> Radius {
        Radius { norm: Norm::L2, size }
    }

    /// The ball of this radius.
    pub fn ball(self) -> Ball {
        Ball { norm: self.norm, eps: (self.size / self.units(1.0)) as f32 }
    }

    /// A distance in pixels of `[0,1]` in the unit of this radius.
    pub fn units(self, pixels: f64) -> f64 {
        match self.norm {
            Norm::Linf => 255.0 * pixels,
            Norm::L2 => pixels,
        }
    }

    /// By how much a distance between images of `numbers` numbers may exceed [`Radius::ball`]'s through rounding alone. In l-inf
    /// x ± eps rounds by half a unit in the last place of 1 at most. In l2 each number of an image may be off by a unit in that place,
    /// which adds up to √numbers of them, and a change of length eps is scaled to its length by factors of 24 bits, at most four.
    pub fn rounding(self, numbers: usize) -> f64 {
        let last = f64::from(f32::EPSILON);
        match self.norm {
            Norm::Linf => last,
            Norm::L2 => last * ((numbers as f64).sqrt() + 2.0 * self.size),
        }
    }
}

impl fmt::Display for Radius {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.norm {
            Norm::Linf => write!(f, "{}/255", self.size),
            Norm::L2 => write!(f, "{} {}", self.norm, self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_norm_has_its_unit_and_its_words() {
        let (linf, l2) = (Radius::linf(8.0), Radius::l2(0.5));
        assert_eq!((linf.to_string(), l2.to_string()), ("8/255".into(), "l2 0.5".into()));
        assert_eq!((linf.ball(), l2.ball()), (Ball::linf(8.0 / 255.0), Ball::l2(0.5)));
        assert_eq!((linf.units(0.1), l2.units(0.1)), (25.5, 0.1));
    }
}
