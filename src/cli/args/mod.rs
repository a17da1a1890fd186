//! What can be typed.

mod answers;
mod networks;
mod runs;

pub use answers::{Eval, LensArgs, Predict, StatisticsArg};
pub use networks::{Arch, Convert, Export, Import};
pub use runs::{Demo, Finetune, Recipes, Run, RunOptions};

use super::anytime::Anytime;
use super::bench::Bench;
use super::completions::Completions;
use super::data::Data;
use super::doctor::Doctor;
use super::energy::Energy;
use super::inspect::Inspect;
use super::report::Compared;
use super::selftest::Selftest;
use super::surrogates::Surrogates;
use super::trace::Trace;
use crate::device;
use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// See inside a spiking network: rasters, membranes, firing rates, clean beside attacked
    #[command(
        after_help = "Example:\n  caltrop inspect runs/demo/snn.safetensors --images 4 --attack pgd --eps 16\n  caltrop inspect runs/demo/snn.safetensors --images 0,7 --layer features.7 --neuron 5,6,12 --format html,npy"
    )]
    Inspect(Inspect),
    /// Step through time for one neuron: its inputs, current, membrane, spikes and resets, clean and attacked
    #[command(
        after_help = "Examples:\n  caltrop trace runs/demo/snn.safetensors --image 3 --layer features.5 --neuron 7,3,12\n  caltrop trace runs/demo/snn.safetensors --layer features.5 --attack pgd --eps 8 --step"
    )]
    Trace(Trace),
    /// Count synaptic operations, spikes and the energy of their arithmetic, on clean and on adversarial images
    #[command(
        after_help = "Without --images, the first 1000 test images. Counts are NeuroBench's: a MAC or AC is effective where neither input nor weight is\nexactly zero (a black pixel is not zero once it is normalised); padding is no operation.\n\nExample:\n  caltrop energy runs/demo/snn.safetensors --ann runs/demo/ann.safetensors\n  caltrop energy runs/demo/snn.safetensors --attack none --preset 45nm-int8 --csv layers.csv"
    )]
    Energy(Energy),
    /// Accuracy of a spiking network after each of its steps, and at other numbers of steps, clean and attacked
    #[command(
        after_help = "Without --images, the first 1000 test images. The adversarial images are made against all T steps; with --sweep against each T.\n\nExample:\n  caltrop anytime runs/demo/snn.safetensors --plot anytime.png\n  caltrop anytime runs/demo/snn.safetensors --sweep 1,2,4,8,16 --report anytime.html"
    )]
    Anytime(Anytime),
    /// Find out why a conversion is bad: a sweep over percentile, scale and T, every layer beside the ANN's, and advice
    #[command(
        after_help = "Batch norm's running statistics are lost in a conversion and come back with finetuning. Accuracies here are of networks whose statistics\nwere estimated again on the calibration images; what the file does as `convert` writes it is told beside it.\n\nExample:\n  caltrop doctor runs/demo/ann.safetensors --report doctor.html\n  caltrop doctor ann.safetensors --finetuned snn.safetensors --percentiles 99,99.9 --scales 0.2,0.4 --steps 8 --cell best"
    )]
    Doctor(Doctor),
    /// Compare runs on one page, or write one run's page again
    #[command(
        after_help = "Example:\n  caltrop report runs/demo runs/short runs/seeds --names demo,short,seeds\n  caltrop report runs/demo"
    )]
    Report(Compared),
    /// Make a checkpoint of a PyTorch state dict (.pth of torch.save, or safetensors) or a NIR graph
    #[command(
        after_help = "Example:\n  caltrop import weights.pth --arch vgg11 --classes 10 --input 3x32x32 --steps 8 --bias --out net.safetensors\n  caltrop import weights.safetensors --arch vgg:16,A,32,A,64/256 --classes 10 --input 1x28x28 --mean 0.286 --std 0.353 --out net.safetensors\n  caltrop import net.nir --out net.safetensors\n  caltrop import foreign.nir --arch vgg:16,A,32,A,64/256 --steps 8 --dialect snntorch --out net.safetensors"
    )]
    Import(Import),
    /// Write a checkpoint as a state dict with PyTorch's names and layouts, or a spiking one as a NIR graph
    #[command(
        after_help = "Example:\n  caltrop export runs/demo/snn.safetensors --format torch --out weights.safetensors\n  caltrop export runs/demo/snn.safetensors --format nir --dialect snntorch --out net.nir"
    )]
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
    /// List the surrogate gradients, and draw their shapes
    #[command(after_help = "Example:\n  caltrop surrogates --plot surrogates.png")]
    Surrogates(Surrogates),
    /// Print what completes commands and options on the tab key of a shell
    #[command(after_help = "Where to put it:
  bash        caltrop completions bash > ~/.local/share/bash-completion/completions/caltrop
  zsh         caltrop completions zsh > ~/.zfunc/_caltrop
  fish        caltrop completions fish > ~/.config/fish/completions/caltrop.fish
  powershell  caltrop completions powershell >> $PROFILE
  elvish      caltrop completions elvish >> ~/.config/elvish/rc.elv
They hold in shells that are started afterwards; zsh wants fpath+=~/.zfunc in ~/.zshrc, before compinit.

Example:
  caltrop completions bash > ~/.local/share/bash-completion/completions/caltrop")]
    Completions(Completions),
}
