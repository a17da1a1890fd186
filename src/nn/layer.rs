//! One layer of a network: its parameters, forward, backward, and the layers inside it.

use super::neuron::through_pool;
use super::{Block, Dropout, Neuron, Norm, Param, Product};
use crate::autodiff::{Credit, Grad, Gradients, Pass, Saved, Signal, Want};
use crate::base::{Result, Shape};
use crate::ops::{flatten, pool};
use crate::tensor::Data;

/// One layer of a network.
#[derive(Clone)]
#[allow(clippy::large_enum_variant)] // a network has a few dozen layers, most of them the large kinds
pub enum Layer {
    /// A convolution or a linear layer.
    Product(Product),
    /// Batch norm (if any) and neuron, one unit.
    Neuron(Neuron),
    /// Batch norm with no neuron behind it.
    Norm(Norm),
    /// A residual block, with layers inside.
    Block(Block),
    /// 2x2 average pool.
    AveragePool,
    /// Mean over the image.
    GlobalPool,
    /// Pixels into features.
    Flatten,
    /// Dropout.
    Dropout(Dropout),
}

impl Layer {
    /// The layers without layers inside, in the order of computation: itself, or those of a block (its stem, branch and
    /// shortcut).
    pub fn leaves(&self) -> Vec<&Layer> {
        match self {
            Layer::Block(Block { stem, branch, shortcut, .. }) => {
                stem.iter().chain(branch).chain(shortcut).flat_map(Layer::leaves).collect()
            }
            leaf => vec![leaf],
        }
    }

    /// [`Layer::leaves`], writable.
    pub fn leaves_mut(&mut self) -> Vec<&mut Layer> {
        match self {
            Layer::Block(Block { stem, branch, shortcut, .. }) => {
                stem.iter_mut().chain(branch).chain(shortcut).flat_map(Layer::leaves_mut).collect()
            }
            leaf => vec![leaf],
        }
    }

    /// The parameters of the layer and of those inside it.
    pub fn params(&self) -> Vec<&Param> {
        match self {
            Layer::Product(product) => std::iter::once(&product.weight).chain(&product.bias).collect(),
            Layer::Neuron(neuron) => {
                let norm = neuron.norm.iter().flat_map(|norm| [&norm.weight, &norm.bias]);
                norm.chain(std::iter::once(&neuron.v_th)).collect()
            }
            Layer::Norm(norm) => vec![&norm.weight, &norm.bias],
            Layer::Block(Block { stem, branch, shortcut, comb, .. }) => {
                stem.iter().chain(branch).chain(shortcut).flat_map(Layer::params).chain(std::iter::once(comb)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// [`Layer::params`], writable.
    pub fn params_mut(&mut self) -> Vec<&mut Param> {
        match self {
            Layer::Product(product) => std::iter::once(&mut product.weight).chain(&mut product.bias).collect(),
            Layer::Neuron(neuron) => {
                let norm = neuron.norm.iter_mut().flat_map(|norm| [&mut norm.weight, &mut norm.bias]);
                norm.chain(std::iter::once(&mut neuron.v_th)).collect()
            }
            Layer::Norm(norm) => vec![&mut norm.weight, &mut norm.bias],
            Layer::Block(Block { stem, branch, shortcut, comb, .. }) => {
                stem.iter_mut().chain(branch).chain(shortcut).flat_map(Layer::params_mut).chain(std::iter::once(comb)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The normalisation of a leaf.
    pub fn norm(&self) -> Option<&Norm> {
        match self {
            Layer::Neuron(neuron) => neuron.norm.as_ref(),
            Layer::Norm(norm) => Some(norm),
            _ => None,
        }
    }

    /// [`Layer::norm`], writable.
    pub fn norm_mut(&mut self) -> Option<&mut Norm> {
        match self {
            Layer::Neuron(neuron) => neuron.norm.as_mut(),
            Layer::Norm(norm) => Some(norm),
            _ => None,
        }
    }

    /// The signal behind this layer, and what the pass keeps of it.
    pub fn forward(&self, x: Signal, pass: &Pass) -> Result<(Signal, Saved)> {
        let shape: Shape = x.data.shape();
        let frames = x.frames;
        match self {
            Layer::Product(product) => product.forward(x, pass),
            Layer::Neuron(neuron) => neuron.forward(x, pass),
            Layer::Norm(norm) => norm.forward(x, pass),
            Layer::Block(block) => block.forward(x, pass),
            Layer::AveragePool => Ok((Signal { data: pool::average(&x.data)?, frames }, Saved::Shape(shape))),
            Layer::GlobalPool => Ok((Signal { data: Data::Real(pool::global(&x.data)), frames }, Saved::Shape(shape))),
            Layer::Flatten => Ok((Signal { data: flatten::forward(x.data), frames }, Saved::Shape(shape))),
            Layer::Dropout(dropout) => dropout.forward(x, pass),
        }
    }

    pub(super) fn backward(
        &self,
        saved: &Saved,
        pass: &Pass,
        dy: Grad,
        credit: Credit,
        want: Want,
        gradients: &mut Gradients,
    ) -> Result<Grad> {
        match (self, saved) {
            (Layer::Product(product), Saved::Product { x, shape, .. }) => product.backward((x, *shape), pass, dy, want, gradients),
            (Layer::Neuron(neuron), saved) => neuron.backward(saved, pass, dy, credit, want, gradients),
            (Layer::Norm(norm), saved) => norm.backward(saved, pass, dy, want, gradients),
            (Layer::Block(block), saved) => block.backward(saved, pass, dy, credit, want, gradients),
            (Layer::AveragePool, Saved::Shape(shape)) => Ok(through_pool(dy, *shape)),
            (Layer::GlobalPool, Saved::Shape(shape)) => Ok(Grad::plain(pool::global_backward(&dy.tensor, *shape))),
            (Layer::Flatten, Saved::Shape(shape)) => Ok(Grad::plain(flatten::backward(dy.tensor, *shape))),
            (Layer::Dropout(dropout), Saved::Mask { stream, frames }) => dropout.backward(*stream, *frames, dy),
            _ => Err(crate::base::fail!("model: the trace belongs to another network")),
        }
    }
}
