//! VGG: [convolution 3x3, batch norm, neuron]* with 2x2 average pools, then [linear, neuron, dropout]*, linear.

use super::maker::Maker;
use crate::base::{Result, usage};
use crate::nn::{Dropout, Layer, Spec};

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
    let wrong = |part: &str| {
        let what = match (text.trim(), part.trim()) {
            ("", _) => "no width is given behind \"vgg:\"".to_string(),
            (_, "") => "a width is missing, beside a comma or before the slash".to_string(),
            _ => format!("\"{part}\" is no width"),
        };
        usage!("arch {arch}: {what}; write a plan such as vgg:16,A,32,A,64/256 (features/hidden; A is a 2x2 average pool)")
    };
    let width = |part: &str| part.trim().parse::<usize>().ok().filter(|&w| w > 0 && w <= 1 << 20).ok_or_else(|| wrong(part));
    let (features, hidden) = text.split_once('/').unwrap_or((text, ""));
    let features = features.split(',').map(|part| if part.trim() == "A" { Ok(Stage::Pool) } else { width(part).map(Stage::Conv) });
    let hidden = hidden.split(',').filter(|part| !part.trim().is_empty()).map(width);
    Ok(Some(Plan { features: features.collect::<Result<_>>()?, hidden: hidden.collect::<Result<_>>()?, head }))
}

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
    super::check_weights(spec, count)
}

/// The layers of `plan` for `spec`, made by `maker`. Errors (usage): more pools than the image can halve, a size beyond reason.
pub fn layers(maker: Maker, plan: &Plan, spec: &Spec) -> Result<Vec<Layer>> {
    check_size(plan, spec)?;
    let [mut channels, mut height, mut width] = spec.input;
    let mut row = Row { maker, layers: Vec::new(), index: 0, part: "features" };
    for stage in &plan.features {
        match *stage {
            Stage::Conv(out) => {
                let conv = row.maker.conv_biased(&row.name(), [channels, out]);
                row.push(conv);
                row.neuron(Some(out));
                channels = out;
            }
            Stage::Pool => {
                if height < 2 || width < 2 {
                    return Err(usage!("arch {}: images of {}x{} are too small for its pools", spec.arch, spec.input[1], spec.input[2]));
                }
                (height, width) = (height / 2, width / 2);
                row.push(Layer::AveragePool);
            }
        }
    }
    (row.part, row.index) = ("classifier", 0);
    let mut inputs = channels * height * width;
    if plan.head == Head::GlobalPool {
        row.push(Layer::GlobalPool);
        inputs = channels;
    }
    row.push(Layer::Flatten);
    for (index, &out) in plan.hidden.iter().enumerate() {
        row.linear([inputs, out]);
        row.neuron(None);
        if plan.head == Head::Flatten {
            row.push(Layer::Dropout(Dropout { p: spec.dropout, index: index as u64 }));
        }
        inputs = out;
    }
    row.linear([inputs, spec.classes]);
    Ok(row.layers)
}

/// Counts state-dict indices as PyTorch's Sequential does.
struct Row<'a> {
    maker: Maker<'a>,
    layers: Vec<Layer>,
    index: usize,
    part: &'static str,
}

impl Row<'_> {
    fn name(&self) -> String {
        format!("{}.{}", self.part, self.index)
    }

    fn push(&mut self, layer: Layer) {
        self.layers.push(layer);
        self.index += 1;
    }

    fn linear(&mut self, extents: [usize; 2]) {
        let linear = self.maker.linear(&self.name(), extents);
        self.push(linear);
    }

    fn neuron(&mut self, normalised: Option<usize>) {
        let norm = normalised.map(|channels| self.maker.norm(&self.name(), channels));
        self.index += usize::from(norm.is_some());
        let v_th = self.maker.threshold(&self.name());
        self.push(self.maker.neuron(norm, v_th));
    }
}
