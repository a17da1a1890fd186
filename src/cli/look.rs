//! What the commands take that look inside a network: the network, images, an attack on them.

use super::args::{Common, LensArgs};
use super::commands::{dataset_of, device, fits};
use super::evaluate::{check_steps, lens, set_steps};
use super::predict;
use crate::attack::{AUTOATTACK, Attack};
use crate::base::{Error, Result, usage};
use crate::checkpoint::{self, Meta, TensorFile};
use crate::data::Dataset;
use crate::drive::Radius;
use crate::nn::Model;
use crate::probe::{Onslaught, Samples};
use clap::Args;
use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The network and the images.
#[derive(Args)]
pub struct LookArgs {
    /// A network
    pub checkpoint: PathBuf,
    /// Images: a number N (the first N test images), indices (0,3,7..9), or a safetensors file with `images` f32 [N,C,H,W] in [0,1] (and `labels`)
    #[arg(long, value_name = "WHICH")]
    pub images: Option<String>,
    /// Folder of the data set's files
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Data set (default: the checkpoint's)
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// Run the network at another number of steps
    #[arg(long, value_name = "T")]
    pub steps: Option<usize>,
}

/// The attack.
#[derive(Args)]
pub struct OnslaughtArgs {
    /// What makes the adversarial images: pgd, fgsm, apgd-ce, square, … (see `eval`); none leaves them out
    #[arg(long, default_value = "pgd", value_name = "NAME")]
    pub attack: String,
    /// Largest change of a pixel, in 1/255
    #[arg(long, default_value_t = 8.0, value_name = "E", allow_negative_numbers = true)]
    pub eps: f64,
    /// Steps of an iterated attack (default: 10; fab-t: 100), queries of square (default: 5000)
    #[arg(long, value_name = "N")]
    pub iterations: Option<usize>,
    /// Gradients.
    #[command(flatten)]
    pub lens: LensArgs,
    /// Seed of the attack's noise
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub seed: u64,
}

/// What is looked at.
pub struct Looked {
    /// The network, at the T that was asked for.
    pub model: Model,
    /// What its checkpoint says.
    pub meta: Meta,
    /// The images.
    pub samples: Samples,
    /// Where they are from, such as `fashion-mnist-7k`, or a file.
    pub source: String,
    /// The data set, unless the images are a file's.
    pub dataset: Option<Dataset>,
}

impl LookArgs {
    /// Loads network and images: those of `--images`, else the first `default` test images (fewer where there are fewer).
    ///
    /// # Errors
    /// (usage) Words that name no images; files that do not fit.
    pub fn open(&self, default: usize, common: &Common) -> Result<Looked> {
        self.load(self.images.as_deref().map_or(Some(Wanted::First(default)), Wanted::parse), common)
    }

    /// Loads the network and one image: that of `index` among the test images, or in the file that `--images` names.
    ///
    /// # Errors
    /// (usage) An index beyond the last, `--images` that names no file; files that do not fit.
    pub fn open_one(&self, index: usize, common: &Common) -> Result<Looked> {
        let Some(file) = &self.images else { return self.load(Some(Wanted::One(index)), common) };
        if !Path::new(file).exists() {
            return Err(usage!("--images {file}: no such file; without it, --image N picks one of the test images"));
        }
        let looked = self.load(None, common)?;
        let samples = looked.samples.one(index).ok_or_else(|| beyond("--image", index, (file, "images"), looked.samples.len()))?;
        Ok(Looked { samples, ..looked })
    }

    /// The files that are read.
    pub fn inputs(&self) -> Vec<&Path> {
        std::iter::once(self.checkpoint.as_path()).chain(self.images.as_deref().map(Path::new)).collect()
    }

    /// The network, and the images `wanted` of the data set, or those of a file (None).
    fn load(&self, wanted: Option<Wanted>, common: &Common) -> Result<Looked> {
        let device = device(common)?;
        check_steps("--steps", self.steps)?;
        let (mut model, meta) = checkpoint::load(&self.checkpoint, &device)?;
        set_steps(&mut model, "--steps", self.steps)?;
        let [channels, height, width] = model.spec().input;
        let extent = [height, width, channels];
        let Some(wanted) = wanted else {
            let path = Path::new(self.images.as_deref().unwrap_or_default());
            if !path.exists() {
                return Err(usage!(
                    "--images {}: neither a file nor images; use a number (the first 4), indices (0,3,7..9), or a safetensors file",
                    path.display()
                ));
            }
            if self.dataset.is_some() || self.data.is_some() {
                return Err(usage!("--images {}: the images are this file's; leave --dataset and --data out", path.display()));
            }
            let input = TensorFile::open(path)?;
            let labelled = input.shape("labels").is_some();
            let (images, labels) = predict::read(&model, &input, labelled).map_err(|error| error.within(path.display()))?;
            let ids = (0..images.shape()[0] as u64).collect();
            let samples = Samples { extent, images: images.to_vec(), labels, ids };
            return Ok(Looked { model, meta, samples, source: path.display().to_string(), dataset: None });
        };
        let data = dataset_of(&self.checkpoint, &meta, self.dataset.as_deref(), self.data.as_deref(), common)?;
        fits(&model, &data).map_err(|error| error.within(self.checkpoint.display()))?;
        let count = data.test.len();
        let wanted = match wanted {
            Wanted::First(most) if self.images.is_none() => Wanted::First(most.min(count)),
            wanted => wanted,
        };
        let ids = wanted.indices(data.name, count)?;
        let batch = data.test.gather(&ids)?;
        let samples = Samples { extent, images: batch.images, labels: Some(batch.labels), ids: batch.ids };
        Ok(Looked { model, meta, samples, source: data.name.to_string(), dataset: Some(data) })
    }
}

impl Looked {
    /// Errors (usage): the network has no spikes, or no neurons, so `what` cannot be shown.
    pub fn must_spike(&self, args: &LookArgs, what: &str) -> Result<()> {
        match self.model.spec().steps {
            0 => Err(usage!(
                "{}: an ANN (T = 0) has no spikes, so no {what}; give a spiking network, as `caltrop convert` or `finetune` writes",
                args.checkpoint.display()
            )),
            _ if self.model.neurons().next().is_none() => {
                Err(usage!("{}: the network has no layer of neurons, so no {what}", args.checkpoint.display()))
            }
            _ => Ok(()),
        }
    }

    /// What class `k` is called.
    pub fn class_name(&self, k: usize) -> String {
        self.dataset.as_ref().map_or_else(|| k.to_string(), |data| data.class_name(k))
    }
}

impl OnslaughtArgs {
    /// The attack that was asked for (None: `none`). Errors (usage): words that name none, a radius out of range, a lens that the
    /// network does not have.
    pub fn plan(&self, model: &Model) -> Result<Option<Onslaught>> {
        if self.attack == AUTOATTACK {
            return Err(usage!("--attack {AUTOATTACK}: it is four attacks; name one of them: apgd-ce, apgd-t, fab-t, square"));
        }
        let attack = Attack::parse(&self.attack, self.iterations)?;
        if attack == Attack::Identity {
            return Ok(None);
        }
        if !(self.eps > 0.0 && self.eps <= 255.0) {
            return Err(usage!(
                "--eps {}: must be above 0 and at most 255 (it counts in 1/255); --attack none leaves the attack out",
                self.eps
            ));
        }
        super::evaluate::suits(&self.lens, model)?;
        let lens = lens(&self.lens)?;
        super::evaluate::follows(lens, attack, None)?;
        Ok(Some(Onslaught { attack, lens, radius: Radius::linf(self.eps), seed: self.seed }))
    }
}

/// Which of the test images.
enum Wanted {
    First(usize),
    One(usize),
    These(Vec<Range<usize>>),
}

impl Wanted {
    /// What `text` says (None: it is no list of images): a number of first ones, or indices and ranges between commas.
    fn parse(text: &str) -> Option<Wanted> {
        let number = |text: &str| text.trim().parse::<usize>().ok();
        if let Some(count) = number(text) {
            return Some(Wanted::First(count));
        }
        let one = |part: &str| match part.split_once("..") {
            Some((first, end)) => Some(number(first)?..number(end)?),
            None => number(part).and_then(|index| Some(index..index.checked_add(1)?)),
        };
        let parts: Option<Vec<_>> = text.split(',').filter(|part| !part.trim().is_empty()).map(one).collect();
        parts.filter(|parts| !parts.is_empty()).map(Wanted::These)
    }

    /// Their indices among `all` of the data set `name`. Errors (usage): none, or beyond the last.
    fn indices(&self, name: &str, all: usize) -> Result<Vec<usize>> {
        let indices: Vec<usize> = match self {
            Wanted::First(count) if *count > all => {
                return Err(usage!("--images {count}: {name} has {all} test images"));
            }
            Wanted::These(parts) if parts.iter().any(Range::is_empty) => {
                let part = parts.iter().find(|part| part.is_empty()).cloned().unwrap_or_default();
                return Err(usage!("--images {}..{}: no image; the second number is the one behind the last", part.start, part.end));
            }
            Wanted::These(parts) if parts.iter().any(|part| part.end > all) => {
                let beyond = parts.iter().map(|part| part.end).max().unwrap_or(all) - 1;
                return Err(self::beyond("--images", beyond, (name, "test images"), all));
            }
            Wanted::One(index) if *index >= all => return Err(beyond("--image", *index, (name, "test images"), all)),
            Wanted::First(count) => (0..*count).collect(),
            Wanted::One(index) => vec![*index],
            Wanted::These(parts) => parts.iter().cloned().flatten().collect(),
        };
        let mut known = HashSet::new();
        if let Some(twice) = indices.iter().find(|index| !known.insert(**index)) {
            return Err(usage!("--images {twice}: named twice; it would count as two images"));
        }
        match indices.is_empty() {
            true => Err(usage!("--images: no image; use a number from 1 on (the first ones), or indices with a comma (0, or 0,3,7..9)")),
            false => Ok(indices),
        }
    }
}

/// (usage) `source` has `all` (at least one) of these, and none of this index.
fn beyond(flag: &str, index: usize, (source, what): (&str, &str), all: usize) -> Error {
    usage!("{flag} {index}: {source} has {all} {what}, 0 to {}", all - 1)
}
