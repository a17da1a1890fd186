//! Layers with their parameters, blank or of no memory, numbered as they are made: the order of a state dict.

use crate::base::Shape;
use crate::device::Device;
use crate::nn::{Layer, Neuron, Norm, Param, Product, Role, Spec};
use crate::ops::norm::Moments;
use crate::tensor::Tensor;

/// What parameters are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// What they are before anything is drawn: weights 0, thresholds and norm weights 1, pairs ½ and ½.
    Blank,
    /// No memory: their shapes are all that is wanted.
    Absent,
}

/// Makes the layers of a network, for [`Model::new`](crate::nn::Model::new); a name is a layer's prefix in the state dict, whose
/// order is that in which they are made. Weights and biases are 0 (until [`draw`](super::draw)), norm weights and thresholds 1,
/// mixing pairs ½ and ½.
pub struct Maker<'a> {
    device: &'a Device,
    spec: &'a Spec,
    numbers: Numbers,
    made: usize,
}

impl<'a> Maker<'a> {
    /// For a network of `spec` on `device`.
    pub fn new(device: &'a Device, spec: &'a Spec) -> Maker<'a> {
        Maker::of(device, spec, Numbers::Blank)
    }

    /// Whose parameters are made of `numbers`.
    pub(super) fn of(device: &'a Device, spec: &'a Spec, numbers: Numbers) -> Maker<'a> {
        Maker { device, spec, numbers, made: 0 }
    }

    fn param(&mut self, name: String, role: Role, shape: &[usize]) -> Param {
        let shape = Shape::new(shape);
        let value = match (self.numbers, role) {
            (Numbers::Absent, _) => Tensor::absent(self.device, shape),
            (Numbers::Blank, Role::NormWeight | Role::Threshold) => Tensor::full(self.device, shape, 1.0),
            (Numbers::Blank, Role::Mix) => Tensor::full(self.device, shape, 0.5),
            (Numbers::Blank, _) => Tensor::zeros(self.device, shape),
        };
        let mut param = Param::new(name, role, value);
        param.slot = self.made;
        self.made += 1;
        param
    }

    /// A convolution without a bias, zeros around it so that stride 1 keeps the image's size.
    pub fn conv(&mut self, name: &str, [inputs, outputs]: [usize; 2], kernel: usize, stride: usize) -> Layer {
        let weight = self.param(format!("{name}.weight"), Role::Kernel, &[outputs, kernel, kernel, inputs]);
        Layer::Product(Product { weight, bias: None, stride, pad: kernel / 2 })
    }

    /// A convolution 3x3 with a bias where the network has them.
    pub fn conv_biased(&mut self, name: &str, [inputs, outputs]: [usize; 2]) -> Layer {
        let weight = self.param(format!("{name}.weight"), Role::Kernel, &[outputs, 3, 3, inputs]);
        Layer::Product(Product { weight, bias: self.bias(name, outputs), stride: 1, pad: 1 })
    }

    /// A linear layer, with a bias where the network has them.
    pub fn linear(&mut self, name: &str, [inputs, outputs]: [usize; 2]) -> Layer {
        let weight = self.param(format!("{name}.weight"), Role::Matrix, &[outputs, 1, 1, inputs]);
        Layer::Product(Product { weight, bias: self.bias(name, outputs), stride: 1, pad: 0 })
    }

    fn bias(&mut self, name: &str, outputs: usize) -> Option<Param> {
        self.spec.bias.then(|| self.param(format!("{name}.bias"), Role::Bias, &[outputs]))
    }

    /// A batch norm.
    pub fn norm(&mut self, name: &str, channels: usize) -> Norm {
        Norm {
            weight: self.param(format!("{name}.weight"), Role::NormWeight, &[channels]),
            bias: self.param(format!("{name}.bias"), Role::NormBias, &[channels]),
            running: Moments { mean: Tensor::zeros(self.device, [channels]), variance: Tensor::full(self.device, [channels], 1.0) },
            batches: 0,
        }
    }

    /// A threshold.
    pub fn threshold(&mut self, name: &str) -> Param {
        self.param(format!("{name}.v_th"), Role::Threshold, &[])
    }

    /// A layer of neurons with this threshold, behind `norm`.
    pub fn neuron(&self, norm: Option<Norm>, v_th: Param) -> Layer {
        Layer::Neuron(Neuron { norm, v_th, leak: self.spec.leak, reset: self.spec.reset })
    }

    /// The mixing pair of a block.
    pub fn pair(&mut self, name: &str) -> Param {
        self.param(format!("{name}.convex.comb"), Role::Mix, &[2])
    }
}
