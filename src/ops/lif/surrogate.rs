//! Surrogate derivatives of the spike (METHOD §1), chosen at backward time.

use crate::base::{Error, Result, suggest, usage};
use crate::ops::wide::{Lanes, Wide, exp};
use bytemuck::{Pod, Zeroable};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// The shape of a surrogate derivative σ'(u), u = membrane − threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SurrogateKind {
    /// Piecewise linear: max(0, γ − |u|) / γ².
    Pcw,
    /// exp(−γ·|u|).
    Exp,
    /// 0.3 · exp(−γ·|u|).
    ExpD,
    /// [|u| < γ/2] / γ.
    Rect,
    /// Straight through: 1.
    Ste,
}

impl SurrogateKind {
    /// All of them.
    pub const ALL: [SurrogateKind; 5] =
        [SurrogateKind::Pcw, SurrogateKind::Exp, SurrogateKind::ExpD, SurrogateKind::Rect, SurrogateKind::Ste];

    /// The name in the literature and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SurrogateKind::Pcw => "PCW",
            SurrogateKind::Exp => "EXP",
            SurrogateKind::ExpD => "EXP-D",
            SurrogateKind::Rect => "RECT",
            SurrogateKind::Ste => "STE",
        }
    }
}

impl FromStr for SurrogateKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let found = SurrogateKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| usage!("surrogate {text}: no such surrogate{}", suggest(text, SurrogateKind::ALL.map(SurrogateKind::name))))
    }
}

/// A surrogate with its sharpness or width γ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surrogate {
    /// Shape.
    pub kind: SurrogateKind,
    /// γ > 0 (not read by STE).
    pub gamma: f32,
}

impl Default for Surrogate {
    /// PCW with γ = 1, the paper's choice for training and attacks.
    fn default() -> Self {
        Surrogate { kind: SurrogateKind::Pcw, gamma: 1.0 }
    }
}

impl Surrogate {
    /// A surrogate. Errors (usage): γ that is not a positive number.
    pub fn new(kind: SurrogateKind, gamma: f32) -> Result<Self> {
        if !(gamma > 0.0 && gamma.is_finite()) {
            return Err(usage!("--gamma {gamma}: a surrogate's width must be a positive number, such as 1"));
        }
        Ok(Surrogate { kind, gamma })
    }

    /// For a kernel.
    pub(super) fn coded(self) -> Coded {
        let gamma = self.gamma;
        let (kind, width, height) = match self.kind {
            SurrogateKind::Pcw => (0, gamma, 1.0 / (gamma * gamma)),
            SurrogateKind::Exp => (1, gamma, 1.0),
            SurrogateKind::ExpD => (1, gamma, 0.3),
            SurrogateKind::Rect => (2, gamma / 2.0, 1.0 / gamma),
            SurrogateKind::Ste => (3, gamma, 1.0),
        };
        Coded { kind, width, height }
    }

    /// Run `work` with the derivative as a function.
    pub(super) fn with<R>(self, work: impl WithSlope<R>) -> R {
        let gamma = self.gamma;
        match self.kind {
            SurrogateKind::Pcw => work.run(Pcw { gamma, scale: 1.0 / (gamma * gamma) }),
            SurrogateKind::Exp => work.run(Exponential { gamma, scale: 1.0 }),
            SurrogateKind::ExpD => work.run(Exponential { gamma, scale: 0.3 }),
            SurrogateKind::Rect => work.run(Rect { half: gamma / 2.0, height: 1.0 / gamma }),
            SurrogateKind::Ste => work.run(Ste),
        }
    }

    /// σ'(u).
    pub fn slope(self, u: f32) -> f32 {
        struct At(f32);
        impl WithSlope<f32> for At {
            fn run<S: Slope>(self, slope: S) -> f32 {
                let mut lanes = [0.0; 1];
                slope.at(Lanes::splat(self.0), Place { pixel: 0, step: 0, channels: &(0..1) }).store(&mut lanes);
                lanes[0]
            }
        }
        self.with(At(u))
    }
}

/// A surrogate as kernels want it (`Surrogate` in kernels/surrogate.cuh).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Coded {
    kind: u32,
    width: f32,
    height: f32,
}

impl fmt::Display for Surrogate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.kind {
            SurrogateKind::Ste => f.write_str("STE"),
            kind => write!(f, "{} γ={}", kind.name(), self.gamma),
        }
    }
}

/// Whose slope is asked for, where neurons have different ones.
pub(super) struct Place<'a> {
    /// The pixel in `[N,H,W]`.
    pub pixel: usize,
    /// t.
    pub step: usize,
    /// The channels, at most as many as a vector has lanes.
    pub channels: &'a Range<usize>,
}

/// σ' as a function of u, compiled into the loops.
pub(super) trait Slope: Copy + Sync + Send {
    /// σ'(u) of the neurons at a place.
    fn at<V: Wide>(&self, u: V, place: Place) -> V;
}

/// Work that wants a [`Slope`]: a closure generic over it.
pub(super) trait WithSlope<R> {
    /// Do it.
    fn run<S: Slope>(self, slope: S) -> R;
}

#[derive(Clone, Copy)]
struct Pcw {
    gamma: f32,
    scale: f32,
}
impl Slope for Pcw {
    #[inline(always)]
    fn at<V: Wide>(&self, u: V, _: Place) -> V {
        V::splat(self.gamma).sub(u.abs()).max(V::splat(0.0)).mul(V::splat(self.scale))
    }
}

#[derive(Clone, Copy)]
struct Exponential {
    gamma: f32,
    scale: f32,
}
impl Slope for Exponential {
    #[inline(always)]
    fn at<V: Wide>(&self, u: V, _: Place) -> V {
        exp(u.abs().mul(V::splat(-self.gamma))).mul(V::splat(self.scale))
    }
}

#[derive(Clone, Copy)]
struct Rect {
    half: f32,
    height: f32,
}
impl Slope for Rect {
    #[inline(always)]
    fn at<V: Wide>(&self, u: V, _: Place) -> V {
        V::splat(self.height).select(u.abs().lt(V::splat(self.half)), V::splat(0.0))
    }
}

#[derive(Clone, Copy)]
struct Ste;
impl Slope for Ste {
    #[inline(always)]
    fn at<V: Wide>(&self, _: V, _: Place) -> V {
        V::splat(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_exact_to_rounding() {
        let surrogate = Surrogate { kind: SurrogateKind::Exp, gamma: 1.0 };
        for i in 0..870_000 {
            let u = (i as f32) * 1e-4;
            let want = f64::from(-u).exp();
            let got = f64::from(surrogate.slope(u));
            assert!((got - want).abs() / want < 3e-7, "exp(-{u}): {got} against {want}");
        }
    }

    #[test]
    fn names_round_trip_and_a_typo_is_helped() {
        for kind in SurrogateKind::ALL {
            assert_eq!(kind.name().parse::<SurrogateKind>().unwrap(), kind);
        }
        assert!("PCV".parse::<SurrogateKind>().unwrap_err().to_string().contains("\"PCW\""));
    }
}
