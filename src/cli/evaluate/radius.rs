//! How near adversarial images stay: `--norm` and `--eps`.

use super::super::args::Eval;
use crate::base::{Result, usage};
use crate::drive::Radius;
use crate::ops::pixel::Norm;
use clap::ValueEnum;

/// Which distance is bounded.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum NormArg {
    /// The largest change of a pixel
    Linf,
    /// The length of the change, over all pixels
    L2,
}

/// The radius that was asked for. Errors (usage): a size that is none.
pub fn radius(args: &Eval) -> Result<Radius> {
    let radius = match args.norm {
        NormArg::Linf => Radius::linf(args.eps.unwrap_or(8.0)),
        NormArg::L2 => Radius::l2(args.eps.unwrap_or(0.5)),
    };
    match radius.norm {
        Norm::Linf if !(0.0..=255.0).contains(&radius.size) => {
            Err(usage!("--eps {}: must be between 0 and 255 (it counts in 1/255)", radius.size))
        }
        Norm::L2 if !(0.0..f64::INFINITY).contains(&radius.size) => {
            Err(usage!("--eps {}: must be a number from 0 on (in l2 it counts in pixels of [0,1]; 0.5 is usual)", radius.size))
        }
        _ => Ok(radius),
    }
}

/// Errors (usage): no two images of `[channels,height,width]` are as far apart as `radius`.
pub fn fits(radius: Radius, [channels, height, width]: [usize; 3]) -> Result<()> {
    let most = ((channels * height * width) as f64).sqrt();
    if radius.norm == Norm::L2 && radius.size > most {
        return Err(usage!(
            "--eps {}: must be between 0 and {most:.1}, how far {channels}x{height}x{width} images can be apart in l2 (it counts in pixels of [0,1]; 0.5 is usual)",
            radius.size
        ));
    }
    Ok(())
}
