//! VGG: [convolution 3x3, batch norm, neuron]* with 2x2 average pools, then [linear, neuron, dropout]*, linear.

use crate::base::{Result, usage};
use crate::device::Device;
use crate::nn::{Dropout, Layer, Neuron, Norm, Param, Product, Role, Spec};
use crate::ops::norm::Moments;
use crate::tensor::Tensor;

/// The named plans.
pub const NAMES: [&str; 4] = ["vgg11", "vgg16", "vgg11_tin", "vgg:PLAN/HIDDEN"];

/// One entry of the feature extractor.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Conv(usize),
    Pool,
}

/// A VGG as data.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    features: Vec<Stage>,
    hidden: Vec<usize>,
    /// Mean over the image instead of flattening all pixels, and no dropout (vgg11_tin).
    head: Head,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Head {
    Flatten,
    GlobalPool,
}

/// The plan called `arch`: a name, or `vgg:16,A,32,A,64/256` (features/hidden). None: no VGG.
pub fn plan(arch: &str) -> Result<Option<Plan>> {
    let (text, head) = match arch {
        "vgg11" => ("64,A,128,256,A,512,512,512,A,512,512/4096,4096", Head::Flatten),
        "vgg16" => ("64,64,A,128,128,A,256,256,256,A,512,512,512,A,512,512,512,A/4096,4096", Head::Flatten),
        "vgg11_tin" => ("64,A,128,A,256,256,A,512,512,A,512,512/4096", Head::GlobalPool),
        _ => match arch.strip_prefix("vgg:") {
            Some(text) => (text, Head::Flatten),
            None => return Ok(None),
        },
    };
    let wrong = |part: &str| usage!("arch {arch}: \"{part}\" is no width; write a plan such as vgg:16,A,32,A,64/256 (features/hidden)");
    let width = |part: &str| part.trim().parse::<usize>().ok().filter(|&w| w > 0 && w <= 1 << 20).ok_or_else(|| wrong(part));
    let (features, hidden) = text.split_once('/').unwrap_or((text, ""));
    let features = features.split(',').map(|part| if part.trim() == "A" { Ok(Stage::Pool) } else { width(part).map(Stage::Conv) });
    let hidden = hidden.split(',').filter(|part| !part.trim().is_empty()).map(width);
    Ok(Some(Plan { features: features.collect::<Result<_>>()?, hidden: hidden.collect::<Result<_>>()?, head }))
}

/// More parameters than this (1 GiB of them) are a slip of the hand.
const MOST_PARAMETERS: usize = 1 << 28;

/// Errors (usage) where `plan` has more parameters than memory should be asked for.
fn check_size(plan: &Plan, spec: &Spec) -> Result<()> {
    let [mut channels, mut height, mut width] = spec.input;
    let mut count: usize = 0;
    for stage in &plan.features {
        match *stage {
            Stage::Conv(out) => {
                count = count.saturating_add(out.saturating_mul(9 * channels));
                channels = out;
            }
            Stage::Pool => (height, width) = (height / 2, width / 2),
        }
    }
    let mut inputs = if plan.head == Head::GlobalPool { channels } else { channels.saturating_mul(height * width) };
    for &out in plan.hidden.iter().chain([&spec.classes]) {
        count = count.saturating_add(inputs.saturating_mul(out));
        inputs = out;
    }
    if count > MOST_PARAMETERS {
        let [channels, height, width] = spec.input;
        return Err(usage!(
            "arch {}: {count} weights for images of {channels}x{height}x{width}, at most {MOST_PARAMETERS}; use smaller ones",
            spec.arch
        ));
    }
    Ok(())
}

/// The layers of `plan` for `spec`, parameters zero. Errors (usage): more pools than the image can halve, a size beyond reason.
pub fn layers(device: &Device, plan: &Plan, spec: &Spec) -> Result<Vec<Layer>> {
    check_size(plan, spec)?;
    let [mut channels, mut height, mut width] = spec.input;
    let mut maker = Maker { device, spec, layers: Vec::new(), index: 0, part: "features" };
    for stage in &plan.features {
        match *stage {
            Stage::Conv(out) => {
                maker.product(Role::Kernel, [out, 3, 3, channels]);
                maker.neuron(Some(out));
                channels = out;
            }
            Stage::Pool => {
                if height < 2 || width < 2 {
                    return Err(usage!("arch {}: images of {}x{} are too small for its pools", spec.arch, spec.input[1], spec.input[2]));
                }
                (height, width) = (height / 2, width / 2);
                maker.push(Layer::AveragePool);
            }
        }
    }
    (maker.part, maker.index) = ("classifier", 0);
    let mut inputs = channels * height * width;
    if plan.head == Head::GlobalPool {
        maker.push(Layer::GlobalPool);
        inputs = channels;
    }
    maker.push(Layer::Flatten);
    for (index, &out) in plan.hidden.iter().enumerate() {
        maker.product(Role::Matrix, [out, 1, 1, inputs]);
        maker.neuron(None);
        if plan.head == Head::Flatten {
            maker.push(Layer::Dropout(Dropout { p: spec.dropout, index: index as u64 }));
        }
        inputs = out;
    }
    maker.product(Role::Matrix, [spec.classes, 1, 1, inputs]);
    Ok(maker.layers)
}

/// Counts state-dict indices as PyTorch's Sequential does.
struct Maker<'a> {
    device: &'a Device,
    spec: &'a Spec,
    layers: Vec<Layer>,
    index: usize,
    part: &'static str,
}

impl Maker<'_> {
    fn push(&mut self, layer: Layer) {
        self.layers.push(layer);
        self.index += 1;
    }

    fn param(&self, offset: usize, leaf: &str, role: Role, shape: &[usize]) -> Param {
        let name = format!("{}.{}.{leaf}", self.part, self.index + offset);
        Param::new(name, role, Tensor::zeros(self.device, crate::base::Shape::new(shape)))
    }

    fn product(&mut self, role: Role, shape: [usize; 4]) {
        let weight = self.param(0, "weight", role, &shape);
        let bias = self.spec.bias.then(|| self.param(0, "bias", Role::Bias, &shape[..1]));
        self.push(Layer::Product(Product { weight, bias, stride: 1, pad: shape[1] / 2 }));
    }

    fn neuron(&mut self, norm: Option<usize>) {
        let norm = norm.map(|channels| Norm {
            weight: self.param(0, "weight", Role::NormWeight, &[channels]),
            bias: self.param(0, "bias", Role::NormBias, &[channels]),
            running: Moments { mean: Tensor::zeros(self.device, [channels]), variance: Tensor::full(self.device, [channels], 1.0) },
            batches: 0,
        });
        self.index += usize::from(norm.is_some());
        let v_th = self.param(0, "v_th", Role::Threshold, &[]);
        self.push(Layer::Neuron(Neuron { norm, v_th, leak: self.spec.leak, reset: self.spec.reset }));
    }
}
