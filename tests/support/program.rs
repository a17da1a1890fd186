//! The judge's networks as the program's: any list of layers, residual blocks of any widths included.

use caltrop::base::Shape;
use caltrop::checkpoint::{self, Require, TensorFile};
use caltrop::device::Device;
use caltrop::nn::{Block, Layer, Model, Neuron, Norm, Origin, Param, Product, Role, Spec};
use caltrop::ops::norm::Moments;
use caltrop::tensor::Tensor;
use safetensors::{Dtype, tensor::TensorView};

use super::network::{Layer as Plan, StateDict, parts};

/// The network of `plan` with the parameters of `dict`. A linear layer is preceded by a flatten.
pub fn model(device: &Device, spec: Spec, plan: &[Plan], dict: &StateDict) -> Model {
    let layers = plan.iter().flat_map(|layer| build(device, &spec, layer)).collect();
    let mut model = Model::new(device, spec, layers);
    fill(&mut model, dict);
    model
}

/// Pours `dict` into `model`.
pub fn fill(model: &mut Model, dict: &StateDict) {
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let tensors: Vec<_> = dict.iter().map(|(name, (shape, values))| (name, shape.clone(), bytes(values))).collect();
    let views = tensors.iter().map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let file = TensorFile::parse(safetensors::serialize(views, None).unwrap()).unwrap();
    checkpoint::fill(model, &file, Require::Everything).unwrap();
}

fn param(device: &Device, name: String, role: Role, shape: &[usize]) -> Param {
    Param::new(name, role, Tensor::zeros(device, Shape::new(shape)))
}

fn norm(device: &Device, layer: &Plan) -> Norm {
    let Plan::Norm { name, c } = layer else { panic!("{layer:?} is no norm") };
    Norm {
        weight: param(device, format!("{name}.weight"), Role::NormWeight, &[*c]),
        bias: param(device, format!("{name}.bias"), Role::NormBias, &[*c]),
        running: Moments { mean: Tensor::zeros(device, [*c]), variance: Tensor::zeros(device, [*c]) },
        batches: 0,
    }
}

fn neuron(device: &Device, spec: &Spec, norm: Option<Norm>, layer: &Plan) -> Layer {
    let Plan::Neuron { name } = layer else { panic!("{layer:?} is no neuron") };
    let v_th = param(device, format!("{name}.v_th"), Role::Threshold, &[]);
    Layer::Neuron(Neuron { norm, v_th, leak: spec.leak, reset: spec.reset })
}

fn build(device: &Device, spec: &Spec, layer: &Plan) -> Vec<Layer> {
    match layer {
        Plan::Conv { name, c_in, c_out, kernel, stride } => {
            let weight = param(device, format!("{name}.weight"), Role::Kernel, &[*c_out, *kernel, *kernel, *c_in]);
            vec![Layer::Product(Product { weight, bias: None, stride: *stride, pad: kernel / 2 })]
        }
        Plan::Linear { name, fan_in, out } => {
            let weight = param(device, format!("{name}.weight"), Role::Matrix, &[*out, 1, 1, *fan_in]);
            let bias = spec.bias.then(|| param(device, format!("{name}.bias"), Role::Bias, &[*out]));
            vec![Layer::Flatten, Layer::Product(Product { weight, bias, stride: 1, pad: 0 })]
        }
        Plan::Norm { .. } => vec![Layer::Norm(norm(device, layer))],
        Plan::Neuron { .. } => vec![neuron(device, spec, None, layer)],
        Plan::Pool => vec![Layer::AveragePool],
        Plan::GlobalPool => vec![Layer::GlobalPool],
        Plan::Residual { name, .. } | Plan::Wide { name, .. } => block(device, spec, layer, name),
    }
}

fn block(device: &Device, spec: &Spec, layer: &Plan, name: &str) -> Vec<Layer> {
    let parts = parts(layer);
    let [_, conv1, bn1, act1, conv2, bn2, act2, shortcut @ ..] = &parts[..] else { panic!("a block has seven parts") };
    let one = |layer: &Plan| build(device, spec, layer).remove(0);
    let (bn1, shortcut) = (norm(device, bn1), shortcut.iter().map(one).collect::<Vec<_>>());
    let comb = param(device, format!("{name}.convex.comb"), Role::Mix, &[2]);
    if let Plan::Residual { .. } = layer {
        let branch = vec![one(conv1), neuron(device, spec, Some(bn1), act1), one(conv2), one(bn2)];
        let block = Block { stem: Vec::new(), branch, shortcut, origin: Origin::Input, comb };
        return vec![Layer::Block(block), one(act2)];
    }
    let origin = if shortcut.is_empty() { Origin::Input } else { Origin::Stem };
    let stem = vec![neuron(device, spec, Some(bn1), act1)];
    let branch = vec![one(conv1), neuron(device, spec, Some(norm(device, bn2)), act2), one(conv2)];
    vec![Layer::Block(Block { stem, branch, shortcut, origin, comb })]
}
