//! Distances between images.

use std::fmt;

/// How far two images are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// The largest change of a number.
    Linf,
    /// The root of the sum of squared changes.
    L2,
}

impl Norm {
    /// The length of a displacement.
    pub fn length(self, displacement: impl Iterator<Item = f64>) -> f64 {
        match self {
            Norm::Linf => displacement.fold(0.0, |most, d| d.abs().max(most)),
            Norm::L2 => displacement.map(|d| d * d).sum::<f64>().sqrt(),
        }
    }

    /// The distance of two images of as many numbers.
    pub fn distance(self, a: &[f32], b: &[f32]) -> f64 {
        self.length(a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b)))
    }
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Norm::Linf => "l-inf",
            Norm::L2 => "l2",
        })
    }
}
