//! A named parameter.

use crate::ops::product::Weight;
use crate::tensor::Tensor;

/// Thresholds are kept at least this large (METHOD §1).
pub const MIN_THRESHOLD: f32 = 0.03;

/// What a parameter is, which decides how it is initialised, projected and laid out in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Convolution weight `[C_out,kh,kw,C_in]`.
    Kernel,
    /// Linear weight `[out,1,1,in]`.
    Matrix,
    /// A bias `[C]`.
    Bias,
    /// Batch-norm weight `[C]`.
    NormWeight,
    /// Batch-norm bias `[C]`.
    NormBias,
    /// A firing threshold, a scalar.
    Threshold,
    /// The mixing pair of a residual block, `[2]`.
    Mix,
}

/// A parameter: its name in a state dict, its role, its numbers, and its place in `Gradients::params`.
#[derive(Clone)]
pub struct Param {
    /// PyTorch name, such as `features.0.weight`.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Numbers.
    pub weight: Weight,
    /// Index among the model's parameters: their order in a state dict.
    pub slot: usize,
}

impl Param {
    /// A parameter without a place yet: the model gives it its slot.
    pub fn new(name: String, role: Role, value: Tensor) -> Param {
        Param { name, role, weight: Weight::new(value), slot: usize::MAX }
    }

    /// The numbers.
    pub fn value(&self) -> &Tensor {
        self.weight.value()
    }
}
