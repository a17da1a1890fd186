//! What the commands take that make networks, or write or list them.

use super::StatisticsArg;
use clap::Args;
use std::path::PathBuf;

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

/// `import`.
#[derive(Args)]
pub struct Import {
    /// The state dict: what torch.save wrote (no code of it is run), or safetensors; or a NIR graph
    pub weights: PathBuf,
    /// Architecture: vgg11, resnet20, wrn16_4, or a plan such as vgg:16,A,32,A,64/256 (`caltrop arch` lists them)
    #[arg(long, value_name = "NAME")]
    pub arch: Option<String>,
    /// Number of classes (a NIR graph has it)
    #[arg(long, value_name = "K")]
    pub classes: Option<usize>,
    /// Image size (a NIR graph has it)
    #[arg(long, value_name = "CxHxW")]
    pub input: Option<String>,
    /// Steps of the spiking network; 0 is an ANN (default: 0)
    #[arg(long, value_name = "T")]
    pub steps: Option<usize>,
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
    /// Dropout probability, for finetuning (default: 0.2)
    #[arg(long, value_name = "P")]
    pub dropout: Option<f32>,
    /// Share of the membrane that survives a step (default: 1; a NIR graph has it)
    #[arg(long, value_name = "L")]
    pub leak: Option<f32>,
    /// What a membrane does when it fires: hard, soft (default: hard)
    #[arg(long, value_name = "HOW")]
    pub reset: Option<String>,
    /// Whose NIR the graph is, where it was not written by Caltrop: standard, snntorch, spikingjelly, norse, sinabs
    #[arg(long, value_name = "NAME")]
    pub dialect: Option<String>,
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
    /// File format: torch, nir
    #[arg(long, default_value = "torch", value_name = "NAME")]
    pub format: String,
    /// Whose NIR to write: standard, snntorch, spikingjelly, norse, sinabs (default: standard)
    #[arg(long, value_name = "NAME")]
    pub dialect: Option<String>,
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
