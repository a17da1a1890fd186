//! Between our layouts and PyTorch's: this room alone knows both.
//!
//! Convolutions `[C_out,kh,kw,C_in]` ↔ `[C_out,C_in,kh,kw]`; linear `[out,1,1,in]` ↔ `[out,in]`, the first linear's
//! columns (pixel, channel) ↔ (channel, pixel); scalars are 0-dim.

use super::Require;
use super::container::{Kind, Named, TensorFile};
use crate::base::{Result, ensure, fail};
use crate::nn::{Block, Layer, MIN_THRESHOLD, Model, Norm, Param, Role};
use crate::ops::norm::Moments;
use crate::tensor::Tensor;

/// Images `[n,H,W,C]`, `pixels` = H·W each, as PyTorch has them, `[n,C,H,W]`.
pub fn channels_first(images: &[f32], channels: usize, pixels: usize) -> Vec<f32> {
    exchanged(images, pixels, channels)
}

/// PyTorch's images `[n,C,H,W]`, `pixels` = H·W each, as ours, `[n,H,W,C]`.
pub fn channels_last(images: &[f32], channels: usize, pixels: usize) -> Vec<f32> {
    exchanged(images, channels, pixels)
}

/// `[n,a,b]` → `[n,b,a]`.
fn exchanged(images: &[f32], a: usize, b: usize) -> Vec<f32> {
    images.chunks_exact(a * b).flat_map(|image| (0..a * b).map(|i| image[i % a * b + i / a])).collect()
}

/// How a flatten folded the columns of the linear layer behind it.
#[derive(Debug, Clone, Copy)]
struct Fold {
    channels: usize,
    pixels: usize,
}

/// For every parameter, the fold of its columns.
fn folds(model: &Model) -> Vec<Option<Fold>> {
    let mut walk = Walk { extents: model.spec().input, pending: None, folds: vec![None; model.params().len()] };
    walk.along(model.layers());
    walk.folds
}

struct Walk {
    /// Channels, height and width of the signal.
    extents: [usize; 3],
    pending: Option<Fold>,
    folds: Vec<Option<Fold>>,
}

impl Walk {
    fn along(&mut self, layers: &[Layer]) {
        for layer in layers {
            let [channels, height, width] = self.extents;
            match layer {
                Layer::Product(product) => {
                    let shape = product.weight.value().shape();
                    let out = |side: usize, kernel: usize| (side + 2 * product.pad - kernel) / product.stride + 1;
                    self.extents = [shape[0], out(height, shape[1]), out(width, shape[2])];
                    self.folds[product.weight.slot] = self.pending.take();
                }
                // Both ways of a block end at the same extents, and no flatten stands before or inside one.
                Layer::Block(Block { stem, branch, .. }) => {
                    self.along(stem);
                    self.along(branch);
                }
                Layer::AveragePool => self.extents = [channels, height / 2, width / 2],
                Layer::GlobalPool => self.extents = [channels, 1, 1],
                Layer::Flatten => {
                    self.pending = (height * width > 1).then_some(Fold { channels, pixels: height * width });
                    self.extents = [channels * height * width, 1, 1];
                }
                Layer::Neuron(_) | Layer::Norm(_) | Layer::Dropout(_) => {}
            }
        }
    }
}

/// PyTorch's shape of a parameter.
pub fn torch_shape(param: &Param) -> Vec<usize> {
    let shape = param.value().shape();
    match param.role {
        Role::Kernel => vec![shape[0], shape[3], shape[1], shape[2]],
        Role::Matrix => vec![shape[0], shape[3]],
        _ => shape.extents().to_vec(),
    }
}

/// For every element in our order, its index in PyTorch's.
fn torch_index(param: &Param, fold: Option<Fold>) -> Vec<usize> {
    let shape = param.value().shape();
    match (param.role, fold) {
        (Role::Kernel, _) => {
            let (taps, inputs) = (shape[1] * shape[2], shape[3]);
            (0..shape.count()).map(|i| (i / (taps * inputs) * inputs + i % inputs) * taps + i / inputs % taps).collect()
        }
        (Role::Matrix, Some(Fold { channels, pixels })) => {
            let inputs = channels * pixels;
            (0..shape.count()).map(|i| i / inputs * inputs + i % channels * pixels + i % inputs / channels).collect()
        }
        _ => (0..shape.count()).collect(),
    }
}

fn to_torch(param: &Param, fold: Option<Fold>, values: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    torch_index(param, fold).into_iter().zip(values).for_each(|(index, &value)| out[index] = value);
    out
}

/// The state dict of `model`: parameters by slot, running statistics behind their norm's bias.
pub fn tensors(model: &Model) -> Vec<Named> {
    let folds = folds(model);
    let mut named = Vec::new();
    for param in model.params() {
        let values = to_torch(param, folds[param.slot], &param.value().to_vec());
        named.push((param.name.clone(), torch_shape(param), Kind::Floats(values)));
        if let Some(norm) = model.norms().find(|norm| norm.bias.slot == param.slot) {
            let floats = |leaf, tensor: &Tensor| (buffer(norm, leaf), vec![tensor.shape().count()], Kind::Floats(tensor.to_vec()));
            named.push(floats("running_mean", &norm.running.mean));
            named.push(floats("running_var", &norm.running.variance));
            named.push((buffer(norm, "num_batches_tracked"), vec![], Kind::Integers(vec![norm.batches as i64])));
        }
    }
    named
}

/// The name of a norm's running statistic.
fn buffer(norm: &Norm, leaf: &str) -> String {
    format!("{}{leaf}", norm.weight.name.trim_end_matches("weight"))
}

/// Gradients in PyTorch's layout.
pub fn gradients(model: &Model, gradients: &[Option<Tensor>]) -> Vec<(String, Option<Vec<f32>>)> {
    let folds = folds(model);
    let one = |param: &Param| gradients[param.slot].as_ref().map(|g| to_torch(param, folds[param.slot], &g.to_vec()));
    model.params().into_iter().map(|param| (param.name.clone(), one(param))).collect()
}

/// Fill `model` from a state dict. Errors name every tensor that is wrong.
pub fn fill(model: &mut Model, file: &TensorFile, require: Require) -> Result<()> {
    check(model, file, require)?;
    let device = model.device().clone();
    let folds = folds(model);
    for param in model.params_mut() {
        if file.shape(&param.name).is_none() {
            continue; // v_th at T = 0, allowed by `check`
        }
        let mut values = file.floats(&param.name)?;
        if param.role == Role::Threshold {
            values.iter_mut().for_each(|v_th| *v_th = v_th.max(MIN_THRESHOLD));
        }
        let ours: Vec<f32> = torch_index(param, folds[param.slot]).into_iter().map(|index| values[index]).collect();
        let shape = param.value().shape();
        param.weight.set(Tensor::from_slice(&device, shape, &ours));
    }
    for norm in model.norms_mut() {
        let read = |name: String, old: &Tensor| match file.shape(&name) {
            Some(_) => Ok(Tensor::from_slice(&device, old.shape(), &file.floats(&name)?)),
            None => Ok(old.clone()),
        };
        norm.running = Moments {
            mean: read(buffer(norm, "running_mean"), &norm.running.mean)?,
            variance: read(buffer(norm, "running_var"), &norm.running.variance)?,
        };
        let batches = buffer(norm, "num_batches_tracked");
        norm.batches = match file.shape(&batches) {
            Some(_) => file.integers(&batches)?.first().copied().unwrap_or(0).max(0) as u64,
            None => 0,
        };
    }
    Ok(())
}

/// Every tensor missing, left over, of another shape or dtype, or with a NaN, in one line.
fn check(model: &Model, file: &TensorFile, require: Require) -> Result<()> {
    let wanted = tensors(model);
    let optional = |name: &str| {
        name.ends_with(".num_batches_tracked")
            || (name.ends_with(".v_th") && model.spec().steps == 0)
            || (require == Require::NoStatistics && (name.ends_with(".running_mean") || name.ends_with(".running_var")))
    };
    let (mut missing, mut shapes, mut dtypes, mut broken) = (vec![], vec![], vec![], vec![]);
    for (name, shape, kind) in &wanted {
        let Some(found) = file.shape(name) else {
            if !optional(name) {
                missing.push(name.clone());
            }
            continue;
        };
        let same = found == *shape || shape.is_empty() && found == [1];
        if !same {
            shapes.push(format!("{name} {} (wanted {})", extents(&found), extents(shape)));
        }
        let (dtype, fits) = match kind {
            Kind::Floats(_) => ("F32", file.dtype(name).as_deref() == Some("F32")),
            Kind::Bytes(_) => ("U8", file.dtype(name).as_deref() == Some("U8")),
            Kind::Integers(_) => ("I64", matches!(file.dtype(name).as_deref(), Some("I64" | "I32"))),
        };
        if !fits {
            dtypes.push(format!("{name} {} (wanted {dtype})", file.dtype(name).unwrap_or_default()));
        } else if same && dtype == "F32" && file.floats(name)?.iter().any(|x| !x.is_finite()) {
            broken.push(name.clone());
        }
    }
    let extra: Vec<String> = file.names().into_iter().filter(|name| !wanted.iter().any(|(wanted, ..)| wanted == name)).collect();
    let parts =
        [("missing", missing), ("left over", extra), ("other shape", shapes), ("other dtype", dtypes), ("NaN or infinity in", broken)];
    let parts: Vec<String> =
        parts.iter().filter(|(_, names)| !names.is_empty()).map(|(what, names)| format!("{what}: {}", list(names))).collect();
    ensure!(parts.is_empty(), "the tensors do not fit {} (bias {}): {}", model.spec().arch, model.spec().bias, parts.join("; "));
    let negative = wanted.iter().filter(|(name, ..)| name.ends_with(".running_var")).map(|(name, ..)| name);
    for name in negative {
        if file.shape(name).is_some() && file.floats(name)?.iter().any(|&v| v < 0.0) {
            return Err(fail!("tensor {name} holds a negative variance"));
        }
    }
    Ok(())
}

/// What to say where `model` has biases and none of them is in the file, or the other way round.
pub fn bias_cure(model: &Model, file: &TensorFile) -> Option<&'static str> {
    let weights = model.params().into_iter().filter(|param| matches!(param.role, Role::Kernel | Role::Matrix));
    let biases = weights.filter_map(|param| param.name.strip_suffix("weight").map(|stem| format!("{stem}bias")));
    let there = biases.into_iter().any(|bias| file.shape(&bias).is_some());
    match (model.spec().bias, there) {
        (false, true) => Some("the weights come with biases: give --bias"),
        (true, false) => Some("the weights come without biases: leave --bias out"),
        _ => None,
    }
}

fn extents(shape: &[usize]) -> String {
    if shape.is_empty() { "scalar".into() } else { shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x") }
}

/// Names, all of them up to a dozen.
pub fn list(names: &[String]) -> String {
    const MOST: usize = 12;
    match names.len() {
        0 => "nothing".into(),
        n if n <= MOST => names.join(", "),
        n => format!("{} and {} more", names[..MOST].join(", "), n - MOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::container::serialise;
    use crate::device::Device;
    use crate::nn::Spec;
    use crate::ops::lif::Reset;
    use crate::zoo;

    fn model(arch: &str, seed: u64) -> Model {
        let spec = Spec {
            arch: arch.into(),
            classes: 5,
            input: [2, 9, 8],
            mean: vec![0.5; 2],
            std: vec![0.25; 2],
            bias: true,
            steps: 4,
            leak: 1.0,
            reset: Reset::Hard,
            dropout: 0.0,
        };
        zoo::build(&Device::cpu(Some(1)).expect("one thread"), spec, seed).expect(arch)
    }

    fn norm(name: &str) -> Vec<String> {
        ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"].map(|leaf| format!("{name}.{leaf}")).to_vec()
    }

    #[test]
    fn a_block_s_tensors_come_in_pytorch_s_order() {
        let one = |name: &str| vec![name.to_string()];
        let residual = [one("conv1.weight"), one("conv2.weight"), norm("bn1"), norm("bn2"), one("act1.v_th"), one("act2.v_th")];
        let shortcut = [one("convex.comb"), one("shortcut.0.weight"), norm("shortcut.1")];
        let wide = [norm("bn1"), one("act1.v_th"), one("conv1.weight"), norm("bn2"), one("act2.v_th"), one("conv2.weight")];
        let wide_shortcut = [one("convShortcut.weight"), one("convex.comb")];
        for (arch, prefix, wanted) in [
            ("resnet8", "features.4.", [&residual[..], &shortcut[..]].concat().concat()),
            ("resnet8", "features.3.", [&residual[..], &shortcut[..1]].concat().concat()),
            ("wrn10_2", "features.1.", [&wide[..], &wide_shortcut[..]].concat().concat()),
            ("wrn10_1", "features.1.", [&wide[..], &wide_shortcut[1..]].concat().concat()),
        ] {
            let tensors = tensors(&model(arch, 0));
            let inside: Vec<&str> = tensors.iter().filter_map(|(name, ..)| name.strip_prefix(prefix)).collect();
            assert_eq!(inside, wanted, "{arch}");
            let shape = |name: &str| tensors.iter().find(|(found, ..)| found == name).map(|(_, shape, _)| shape.clone());
            assert_eq!(shape(&format!("{prefix}act1.v_th")), Some(vec![]), "a threshold is 0-dim");
            assert_eq!(shape(&format!("{prefix}convex.comb")), Some(vec![2]));
        }
        let heads = [("resnet8", "features.5.act2.v_th"), ("wrn10_2", "features.5.v_th")];
        for (arch, before) in heads {
            let names: Vec<String> = tensors(&model(arch, 0)).into_iter().map(|(name, ..)| name).collect();
            assert_eq!(names[names.len() - 2..], ["classifier.1.weight", "classifier.1.bias"]);
            assert!(names.iter().any(|name| name == before), "{arch} has no {before}");
        }
    }

    #[test]
    fn what_a_residual_network_writes_fills_another_to_the_bit() {
        for arch in ["resnet14", "wrn16_2"] {
            let (mut one, mut other) = (model(arch, 1), model(arch, 2));
            for (index, norm) in one.norms_mut().enumerate() {
                norm.running.mean = Tensor::full(norm.weight.value().device(), norm.weight.value().shape(), index as f32 - 0.3);
                norm.batches = index as u64;
            }
            let written = tensors(&one);
            assert!(written != tensors(&other));
            let file = TensorFile::parse(serialise(&written, &Default::default()).expect("bytes")).expect("a file");
            fill(&mut other, &file, Require::Everything).expect(arch);
            assert!(written == tensors(&other), "{arch}");
        }
    }
}
