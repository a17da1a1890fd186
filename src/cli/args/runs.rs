//! What the commands take that run recipes.

use clap::Args;
use std::path::PathBuf;

/// `demo`.
#[derive(Args)]
pub struct Demo {
    /// Folder of the results; without --resume, a run that is there is replaced
    #[arg(long, default_value = "runs/demo", value_name = "DIR")]
    pub out: PathBuf,
    /// Attack all test images in the ensembles too (hours)
    #[arg(long, conflicts_with = "quick")]
    pub full: bool,
    /// A miniature: one short epoch of everything, for a first look and for CI
    #[arg(long)]
    pub quick: bool,
    /// Seed of everything
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub seed: u64,
    /// Run once a seed, each into a folder seed-S, and report mean and standard deviation
    #[arg(long, value_delimiter = ',', value_name = "S,..", conflicts_with = "seed")]
    pub seeds: Vec<u64>,
    /// Change a key of the recipe (repeatable), as stage.key=value
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Go on with an interrupted run
    #[arg(long)]
    pub resume: bool,
    /// Also write event files for TensorBoard, into OUT/tensorboard (a resumed run goes on with those it has)
    #[arg(long)]
    pub tensorboard: bool,
}

/// `run` and `train`.
#[derive(Args)]
pub struct Run {
    /// A recipe's name (see `caltrop recipes`) or a TOML file
    pub recipe: String,
    /// What `run` and `train` share.
    #[command(flatten)]
    pub options: RunOptions,
}

/// What the training commands share.
#[derive(Args)]
pub struct RunOptions {
    /// Change a key of the recipe (repeatable); `run` takes stage.key, `train` and `finetune` their stage's own keys
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder of the data set's files
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder of the results; without --resume, a run that is there is replaced (default: runs/NAME, runs/NAME-ann and
    /// runs/NAME-snn for a stage alone)
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Which epoch's network is the result: last, validation (best on held-out images), test-clean (best on clean test
    /// images, as the paper's published code) (default: the recipe's)
    #[arg(long, value_name = "HOW")]
    pub select: Option<String>,
    /// Seed of everything (default: the recipe's)
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Run once a seed, each into a folder seed-S, and report mean and standard deviation
    #[arg(long, value_delimiter = ',', value_name = "S,..", conflicts_with = "seed")]
    pub seeds: Vec<u64>,
    /// Go on with an interrupted run
    #[arg(long)]
    pub resume: bool,
    /// Also write event files for TensorBoard, into OUT/tensorboard (a resumed run goes on with those it has)
    #[arg(long)]
    pub tensorboard: bool,
}

/// `finetune`.
#[derive(Args)]
pub struct Finetune {
    /// A converted (or already finetuned) network
    pub checkpoint: PathBuf,
    /// A recipe's name or a TOML file
    pub recipe: String,
    /// Shared options.
    #[command(flatten)]
    pub options: RunOptions,
}

/// `recipes`.
#[derive(Args)]
pub struct Recipes {
    /// Print this one (a name or a TOML file)
    pub name: Option<String>,
    /// Print every setting of it, inherited ones and defaults too
    #[arg(long, requires = "name")]
    pub resolved: bool,
}
