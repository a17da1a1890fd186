//! Floor 5: layers that own parameters, and the model that strings them together.
//!
//! A network is a list of layers. One kind, the residual [`Block`], has lists of layers inside; [`Layer::leaves`] walks
//! through all that have none.

mod block;
mod dropout;
mod geometry;
mod layer;
mod model;
mod neuron;
mod norm;
mod param;
mod product;
mod sequence;
mod unit;

pub use block::{Block, Origin};
pub use dropout::Dropout;
pub use geometry::{Geometry, Memory, Operands, Row};
pub use layer::Layer;
pub use model::{Activity, Fired, Membranes, Model, Spec};
pub use neuron::Neuron;
pub use norm::Norm;
pub use param::{MIN_THRESHOLD, Param, Role};
pub use product::Product;
