//! `caltrop surrogates`: what the backward pass takes for the derivative of a spike.

use super::{outputs, say};
use crate::base::{Result, file};
use crate::ops::lif::{Surrogate, SurrogateKind};
use crate::report::{Multiple, check_plot, multiples};
use clap::Args;
use std::path::PathBuf;

/// `surrogates`.
#[derive(Args)]
pub struct Surrogates {
    /// Draw their shapes (.png or .svg)
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

/// The widths that are drawn.
const GAMMAS: [f32; 3] = [0.5, 1.0, 2.0];
/// How far from the threshold.
const FAR: i32 = 2;

/// List them, and draw them where that was asked for.
pub fn surrogates(args: &Surrogates) -> Result<()> {
    args.plot.as_deref().map_or(Ok(()), check_plot)?;
    outputs::check(&[("--plot", args.plot.as_deref())], &[])?;
    say("Derivative of a spike at u = membrane - threshold; --surrogate NAME, width --gamma G:")?;
    for kind in SurrogateKind::ALL {
        say(format!("{:<6} {}", kind.name(), formula(kind)))?;
    }
    if let Some(path) = &args.plot {
        let panels: Vec<Multiple> = SurrogateKind::ALL.into_iter().map(shape).collect();
        file::write(path, &multiples("surrogates", &panels).for_file(path)?)?;
        say(path.display())?;
    }
    Ok(())
}

/// METHOD §1.
fn formula(kind: SurrogateKind) -> &'static str {
    match kind {
        SurrogateKind::Pcw => "max(0, G - |u|) / G^2        piecewise linear; the paper's choice for training, G = 1",
        SurrogateKind::Exp => "exp(-G |u|)                  exponential",
        SurrogateKind::ExpD => "0.3 exp(-G |u|)              exponential, damped",
        SurrogateKind::Rect => "1/G where |u| < G/2, else 0  rectangle",
        SurrogateKind::Ste => "1                            straight through; has no width",
    }
}

/// The curves of one.
fn shape(kind: SurrogateKind) -> Multiple {
    const POINTS: i32 = 400;
    let gammas = if kind == SurrogateKind::Ste { &GAMMAS[..1] } else { &GAMMAS[..] };
    let line = |&gamma: &f32| {
        let surrogate = Surrogate { kind, gamma };
        let at = |i: i32| f64::from(FAR * i) / f64::from(POINTS / 2);
        let points = (-POINTS / 2..=POINTS / 2).map(|i| (at(i), f64::from(surrogate.slope(at(i) as f32)))).collect();
        (if gammas.len() == 1 { "any".to_string() } else { format!("γ = {gamma}") }, points)
    };
    Multiple { title: kind.name().into(), x: "u: membrane − threshold".into(), lines: gammas.iter().map(line).collect() }
}
