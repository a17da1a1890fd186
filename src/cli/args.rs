//! What can be typed.

use super::bench::Bench;
use super::data::Data;
use super::evaluate::NormArg;
use crate::device;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Adversarially robust spiking neural networks through conversion.
#[derive(Parser)]
#[command(name = "caltrop", version = super::version(), about, max_term_width = 110, arg_required_else_help = true,
    after_help = "Start here: caltrop demo      Every command explains itself: caltrop COMMAND --help")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
}

/// What every command takes.
#[derive(Args)]
pub struct Common {
    /// Device that computes: auto, cpu, cuda[:N], emulated
    #[arg(long, global = true, default_value = "auto", value_name = "NAME", help_heading = "Everywhere")]
    pub device: String,
    /// Worker threads (default: one a core)
    #[arg(long, global = true, value_name = "N", help_heading = "Everywhere")]
    pub threads: Option<usize>,
    /// Number format of the products
    #[arg(long, global = true, default_value = "f32", help_heading = "Everywhere")]
    pub precision: Precision,
    /// Print results alone
    #[arg(long, short, global = true, help_heading = "Everywhere")]
    pub quiet: bool,
}

/// Number formats.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats
    F32,
    /// bfloat16 products
    Bf16,
}

impl From<Precision> for device::Precision {
    fn from(typed: Precision) -> Self {
        match typed {
            Precision::F32 => device::Precision::F32,
            Precision::Bf16 => device::Precision::Bf16,
        }
    }
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Run the whole method on embedded images: train, convert, finetune, attack, report
    #[command(after_help = "Example:\n  caltrop demo\n  caltrop demo --quick --out runs/quick")]
    Demo(Demo),
    /// Run a recipe from beginning to end
    #[command(
        after_help = "Example:\n  caltrop run fashion-mnist-7k --set ann.epochs=1 --out runs/short\n  caltrop run cifar10-vgg11-trades --data ~/data/cifar-10-batches-bin --seeds 0,1,2"
    )]
    Run(Run),
    /// Run a recipe's ANN stage alone
    #[command(after_help = "Example:\n  caltrop train fashion-mnist-7k --set epochs=1 --out runs/ann")]
    Train(Run),
    /// Run a recipe's SNN stage alone, from a converted network
    #[command(after_help = "Example:\n  caltrop finetune converted.safetensors fashion-mnist-7k --set epochs=1 --out runs/snn")]
    Finetune(Finetune),
    /// Convert a trained ANN to a spiking network: transplant, calibrate thresholds, scale
    #[command(after_help = "Example:\n  caltrop convert runs/demo/ann.safetensors --steps 8 --out snn.safetensors")]
    Convert(Convert),
    /// Measure accuracy, clean and under attack
    #[command(
        after_help = "Example:\n  caltrop eval runs/demo/snn.safetensors --attack pgd --iterations 20 --ensemble --eps 16 --images 125 --json out.json"
    )]
    Eval(Eval),
    /// Logits, spikes and gradients of given images
    #[command(
        after_help = "Example:\n  caltrop predict runs/demo/snn.safetensors --images in.safetensors --gradients --out out.safetensors"
    )]
    Predict(Predict),
    /// Make a checkpoint of a PyTorch state dict (.pth of torch.save, or safetensors)
    #[command(
        after_help = "Example:\n  caltrop import weights.pth --arch vgg11 --classes 10 --input 3x32x32 --steps 8 --bias --out net.safetensors\n  caltrop import weights.safetensors --arch vgg:16,A,32,A,64/256 --classes 10 --input 1x28x28 --mean 0.286 --std 0.353 --out net.safetensors"
    )]
    Import(Import),
    /// Write a checkpoint's state dict with PyTorch's names and layouts
    #[command(after_help = "Example:\n  caltrop export runs/demo/snn.safetensors --format torch --out weights.safetensors")]
    Export(Export),
    /// List the architectures, or print one: layers, shapes, parameters, operations, memory
    #[command(
        after_help = "Example:\n  caltrop arch\n  caltrop arch vgg11 --batch 64 --steps 8\n  caltrop arch vgg:16,A,32,A,64/256 --input 1x28x28 --json"
    )]
    Arch(Arch),
    /// Measure how fast this machine computes
    #[command(
        after_help = "Example:\n  caltrop bench kernels --ops conv,lif --steps 0,8 --batch 16\n  caltrop bench network --arch vgg11 --mode train --batch 16"
    )]
    Bench(Bench),
    /// Check that a device computes right: every op against naive f64 oracles, every kernel building block alone
    #[command(
        after_help = "Example:\n  caltrop selftest --device cuda\n  caltrop selftest --device cuda --ops conform,conv --json selftest.json"
    )]
    Selftest(Selftest),
    /// Data sets: download one, say what lies in a folder
    #[command(after_help = "Example:\n  caltrop data get cifar10\n  caltrop data check data/cifar10")]
    Data(Data),
    /// List the devices of this machine
    #[command(after_help = "Example:\n  caltrop devices")]
    Devices,
    /// List the recipes that the program carries, or print one
    #[command(
        after_help = "Example:\n  caltrop recipes\n  caltrop recipes cifar10-vgg11-trades --resolved\n  caltrop recipes fashion-mnist-7k > my.toml"
    )]
    Recipes(Recipes),
}

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

/// `convert`.
#[derive(Args)]
pub struct Convert {
    /// A trained ANN
    pub checkpoint: PathBuf,
    /// Folder of the data set's files (default: the data set named in the checkpoint, if embedded)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Data set of the calibration images (default: the checkpoint's)
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// Percentile of the input currents that becomes the threshold
    #[arg(long, default_value_t = 99.7, value_name = "P")]
    pub percentile: f64,
    /// Factor on the thresholds
    #[arg(long, default_value_t = 0.3, value_name = "F")]
    pub scale: f64,
    /// Steps of the calibration runs
    #[arg(long, default_value_t = 100, value_name = "T")]
    pub calibration_steps: usize,
    /// Images a calibration batch
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub batch: usize,
    /// Calibration batches (fewer where the training images do not suffice)
    #[arg(long, default_value_t = 11, value_name = "N")]
    pub batches: usize,
    /// Steps of the spiking network
    #[arg(long, default_value_t = 8, value_name = "T")]
    pub steps: usize,
    /// Share of the membrane that survives a step (default: the checkpoint's)
    #[arg(long, value_name = "L", allow_negative_numbers = true)]
    pub leak: Option<f32>,
    /// What a membrane does when it fires: hard, soft (default: the checkpoint's)
    #[arg(long, value_name = "HOW")]
    pub reset: Option<String>,
    /// Seed of the choice of images
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub seed: u64,
    /// The checkpoint to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

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

/// `import`.
#[derive(Args)]
pub struct Import {
    /// The state dict: what torch.save wrote (no code of it is run), or safetensors
    pub weights: PathBuf,
    /// Architecture: vgg11, resnet20, wrn16_4, or a plan such as vgg:16,A,32,A,64/256 (`caltrop arch` lists them)
    #[arg(long, value_name = "NAME")]
    pub arch: String,
    /// Number of classes
    #[arg(long, value_name = "K")]
    pub classes: usize,
    /// Image size
    #[arg(long, value_name = "CxHxW")]
    pub input: String,
    /// Steps of the spiking network; 0 is an ANN
    #[arg(long, default_value_t = 0, value_name = "T")]
    pub steps: usize,
    /// The products have biases
    #[arg(long)]
    pub bias: bool,
    /// Mean a channel, subtracted inside the network (default: CIFAR-10's)
    #[arg(long, value_delimiter = ',', value_name = "M,..", allow_negative_numbers = true)]
    pub mean: Option<Vec<f32>>,
    /// Standard deviation a channel (default: CIFAR-10's)
    #[arg(long, value_delimiter = ',', value_name = "S,..", allow_negative_numbers = true)]
    pub std: Option<Vec<f32>>,
    /// Running statistics may be absent with `batch`
    #[arg(long, default_value = "running", value_name = "WHICH")]
    pub statistics: StatisticsArg,
    /// Dropout probability, for finetuning
    #[arg(long, default_value_t = 0.2, value_name = "P")]
    pub dropout: f32,
    /// Share of the membrane that survives a step
    #[arg(long, default_value_t = 1.0, value_name = "L")]
    pub leak: f32,
    /// What a membrane does when it fires: hard, soft
    #[arg(long, default_value = "hard", value_name = "HOW")]
    pub reset: String,
    /// Data set that `eval` and `convert` use by default
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// The checkpoint to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// `export`.
#[derive(Args)]
pub struct Export {
    /// A network
    pub checkpoint: PathBuf,
    /// File format: torch
    #[arg(long, default_value = "torch", value_name = "NAME")]
    pub format: String,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// `arch`.
#[derive(Args)]
pub struct Arch {
    /// Architecture: vgg11, resnet20, wrn16_4, or a plan such as vgg:16,A,32,A,64/256 (default: list them)
    pub name: Option<String>,
    /// Number of classes (default: 10; 200 for vgg11_tin)
    #[arg(long, value_name = "K")]
    pub classes: Option<usize>,
    /// Image size (default: 3x32x32; 3x64x64 for vgg11_tin)
    #[arg(long, value_name = "CxHxW")]
    pub input: Option<String>,
    /// Images a step, for the memory
    #[arg(long, default_value_t = 64, value_name = "B")]
    pub batch: usize,
    /// Steps of the spiking network; 0 is an ANN
    #[arg(long, default_value_t = 8, value_name = "T")]
    pub steps: usize,
    /// The products have biases
    #[arg(long)]
    pub bias: bool,
    /// Write the result as JSON (without FILE or with -: to the standard output, instead of the table)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<PathBuf>,
}

/// `selftest`.
#[derive(Args)]
pub struct Selftest {
    /// Ops: conv, lif, norm, relu, pool, flatten, frames, dropout, convex, loss, pixel, sgd, augment, percentile, blend, reduce, conform (default: all; conform, the building blocks, on GPUs)
    #[arg(long, value_delimiter = ',', value_name = "OP,..")]
    pub ops: Option<Vec<String>>,
    /// Write every comparison as JSON (without FILE or with -: to the standard output, instead of the table)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<PathBuf>,
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
