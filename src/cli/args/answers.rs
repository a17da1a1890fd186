//! What the commands take that ask a network.

use super::super::evaluate::NormArg;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// How gradients are taken.
#[derive(Args)]
pub struct LensArgs {
    /// Surrogate of backpropagation through time: PCW, EXP, EXP-D, RECT, STE (default: PCW)
    #[arg(long, value_name = "NAME", group = "shape", conflicts_with = "lens")]
    pub surrogate: Option<String>,
    /// The width or sharpness of the surrogate, or of that of --credit hart (default: 1)
    #[arg(long, value_name = "G", requires = "shape", allow_negative_numbers = true)]
    pub gamma: Option<f32>,
    /// How credit returns: bptt, rate (BPTR), pdsg, hart, assg
    #[arg(long, value_name = "NAME", group = "shape", conflicts_with = "lens")]
    pub credit: Option<String>,
    /// Another network of the same weights to take gradients from: act (ReLU)
    #[arg(long, value_name = "NAME")]
    pub lens: Option<String>,
}

/// `eval`.
#[derive(Args)]
pub struct Eval {
    /// A network
    pub checkpoint: PathBuf,
    /// Folder of the data set's files
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Data set (default: the checkpoint's)
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// none, noise, gaussian, fgsm, rfgsm, pgd, tpgd, pgd-targeted, sa-pgd, apgd-ce, apgd-dlr, apgd-t, fab-t, square, autoattack
    #[arg(long, value_name = "NAME")]
    pub attack: String,
    /// Attack with all 19 gradient variants; an image is robust only if it survives each
    #[arg(long)]
    pub ensemble: bool,
    /// Hand only survivors to the next member of the ensemble
    #[arg(long)]
    pub fast: bool,
    /// What --eps bounds: the largest change of a pixel (linf), or the length of the change over the whole image (l2)
    #[arg(long, default_value = "linf", value_name = "NORM")]
    pub norm: NormArg,
    /// Radius: of linf in 1/255 (default: 8), of l2 in pixels of [0,1] (default: 0.5)
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub eps: Option<f64>,
    /// Steps of an iterated attack (default: 10; fab-t: 100), queries of square (default: 5000)
    #[arg(long, value_name = "N")]
    pub iterations: Option<usize>,
    /// Runs of an attack that draws, each on what the last left right
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub restarts: usize,
    /// Transfer: make the adversarial images on this network, of any T, and judge them on CHECKPOINT
    #[arg(long, value_name = "CHECKPOINT")]
    pub source: Option<PathBuf>,
    /// Run the source at another number of steps
    #[arg(long, value_name = "T", requires = "source")]
    pub source_steps: Option<usize>,
    /// Expectation over transformation: mean gradients over so many forwards (default: 1)
    #[arg(long, value_name = "K")]
    pub eot: Option<usize>,
    /// Gradients.
    #[command(flatten)]
    pub lens: LensArgs,
    /// Evaluate at another number of steps
    #[arg(long, value_name = "T")]
    pub steps: Option<usize>,
    /// The first so many test images (default: all)
    #[arg(long, value_name = "N")]
    pub images: Option<usize>,
    /// Seed of the noise
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub seed: u64,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the adversarial images (safetensors: images [N,C,H,W], labels, survived)
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Draw the first images clean, attacked, and their difference x10 (PNG)
    #[arg(long, value_name = "FILE")]
    pub grid: Option<PathBuf>,
    /// Write a page of it all (HTML in one file)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Leave out the honesty checks
    #[arg(long)]
    pub no_checks: bool,
    /// Honesty checks: also PGD of 10, 100 and 1000 steps on a few images (slow)
    #[arg(long)]
    pub curve: bool,
    /// Go on with an evaluation that was interrupted or killed (the same command, and this)
    #[arg(long)]
    pub resume: bool,
}

/// `predict`.
#[derive(Args)]
pub struct Predict {
    /// A network
    pub checkpoint: PathBuf,
    /// Safetensors with `images` f32 [N,C,H,W] in [0,1] (and `labels` for --gradients)
    #[arg(long, value_name = "FILE")]
    pub images: PathBuf,
    /// Predict at another number of steps
    #[arg(long, value_name = "T")]
    pub steps: Option<usize>,
    /// Also the gradient of the mean cross-entropy with respect to the images
    #[arg(long)]
    pub gradients: bool,
    /// Batch norm's statistics
    #[arg(long, default_value = "running", value_name = "WHICH")]
    pub statistics: StatisticsArg,
    /// Gradients.
    #[command(flatten)]
    pub lens: LensArgs,
    /// The safetensors file to write: logits [N,K]; with spikes logits_t [T,N,K] and spikes; dimages [N,C,H,W]
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Which statistics.
#[derive(Clone, Copy, ValueEnum)]
pub enum StatisticsArg {
    /// The running ones
    Running,
    /// The batch's own
    Batch,
}
