//! Floor 5: layers that own parameters, and the model that strings them together.

mod dropout;
mod model;
mod neuron;
mod param;
mod product;
mod unit;

pub use dropout::Dropout;
pub use model::{Activity, Model, Spec};
pub use neuron::{Neuron, Norm};
pub use param::{MIN_THRESHOLD, Param, Role};
pub use product::Product;

/// One layer of a network.
#[derive(Clone)]
#[allow(clippy::large_enum_variant)] // a network has a few dozen layers, most of them the large kinds
pub enum Layer {
    /// A convolution or a linear layer.
    Product(Product),
    /// Batch norm (if any) and neuron, one unit.
    Neuron(Neuron),
    /// 2x2 average pool.
    AveragePool,
    /// Mean over the image.
    GlobalPool,
    /// Pixels into features.
    Flatten,
    /// Dropout.
    Dropout(Dropout),
}
