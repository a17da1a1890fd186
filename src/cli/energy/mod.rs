//! `caltrop energy`: synaptic operations, spikes and what their arithmetic costs, on clean and on adversarial images.

mod told;

use super::args::Common;
use super::look::{LookArgs, OnslaughtArgs};
use super::outputs::{self, answer};
use super::progress::Shown;
use crate::base::{Result, file, usage};
use crate::checkpoint;
use crate::nn::{Model, Spec};
use crate::probe::{Prices, measure};
use clap::Args;
use std::path::{Path, PathBuf};
use told::Told;

/// Images that are counted unless others are asked for.
const IMAGES: usize = 1000;

/// `energy`.
#[derive(Args)]
pub struct Energy {
    /// The network and the images.
    #[command(flatten)]
    look: LookArgs,
    /// The attack.
    #[command(flatten)]
    onslaught: OnslaughtArgs,
    /// What an operation costs: 45nm (f32), 45nm-f16, 45nm-int32, 45nm-int8, 45nm-int8-sum8 (default: 45nm)
    #[arg(long, value_name = "NAME", conflicts_with_all = ["mac_pj", "ac_pj"])]
    preset: Option<String>,
    /// Picojoules a multiply-accumulate, instead of a preset's
    #[arg(long, value_name = "PJ", requires = "ac_pj", allow_negative_numbers = true)]
    mac_pj: Option<f64>,
    /// Picojoules an accumulation
    #[arg(long, value_name = "PJ", requires = "mac_pj", allow_negative_numbers = true)]
    ac_pj: Option<f64>,
    /// The ReLU network of the same architecture, measured on the same images
    #[arg(long, value_name = "CHECKPOINT")]
    ann: Option<PathBuf>,
    /// Write all numbers as JSON (without FILE or with -: to the standard output, instead of the table)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Write a row a layer as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// Count, and print or write what was counted.
pub fn energy(args: &Energy, common: &Common) -> Result<()> {
    let prices = match (args.mac_pj, args.ac_pj) {
        (Some(mac), Some(ac)) => Prices::own(mac, ac)?,
        _ => Prices::named(args.preset.as_deref().unwrap_or("45nm"))?,
    };
    let inputs: Vec<&Path> = args.look.inputs().into_iter().chain(args.ann.as_deref()).collect();
    outputs::check(&[("--json", args.json.as_deref()), ("--csv", args.csv.as_deref())], &inputs)?;
    let looked = args.look.open(IMAGES, common)?;
    let onslaught = args.onslaught.plan(&looked.model)?;
    let ann = args.ann.as_deref().map(|path| twin(path, &looked.model)).transpose()?;
    let networks: Vec<&Model> = std::iter::once(&looked.model).chain(&ann).collect();
    let mut pairs = measure(&networks, &looked.samples, onslaught.as_ref(), &Shown::new(common.quiet))?.into_iter();
    let Some(network) = pairs.next() else { return Err(usage!("--images: no image to count on")) };
    let told = Told {
        checkpoint: args.look.checkpoint.display().to_string(),
        spec: looked.model.spec(),
        source: &looked.source,
        attack: onslaught.as_ref().map(|onslaught| onslaught.words(&looked.model)),
        onslaught,
        prices,
        network,
        ann: args.ann.as_ref().map(|path| path.display().to_string()).zip(pairs.next()),
    };
    if let Some(path) = &args.csv {
        file::write(path, told.layers().csv().as_bytes())?;
    }
    answer(&told.json(), args.json.as_deref(), || told.table())
}

/// The ReLU network at `path`. Errors (usage): it spikes, or is of another architecture than `model`.
fn twin(path: &Path, model: &Model) -> Result<Model> {
    let (ann, _) = checkpoint::load(path, model.device())?;
    let (own, spec) = (ann.spec(), model.spec());
    let told = |spec: &Spec| format!("{} for {:?} images and {} classes", spec.arch, spec.input, spec.classes);
    if own.steps > 0 {
        return Err(usage!("--ann {}: a spiking network (T = {}); give the ReLU network (T = 0)", path.display(), own.steps));
    }
    if (&own.arch, own.input, own.classes) != (&spec.arch, spec.input, spec.classes) {
        return Err(usage!("--ann {}: {}, where the network is {}; give one of its architecture", path.display(), told(own), told(spec)));
    }
    Ok(ann)
}
