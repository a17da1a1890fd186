//! What stands before a layer of neurons, found by going through layers and trace together.

use crate::autodiff::{Member, Saved};
use crate::base::{Result, Shape, ensure, fail};
use crate::nn::{Block, Layer, Neuron, Norm, Origin, Param, Product};
use crate::ops::norm::{self, Affine};
use crate::ops::pool;
use crate::tensor::{Data, Tensor};
use std::fmt;
use std::rc::Rc;

/// Where a signal comes from, with what the trace kept on its way.
pub(super) enum Source<'a> {
    /// The normalised pixels.
    Pixels,
    /// The spikes of a layer of neurons.
    Neuron(&'a Neuron),
    /// A product of `x`.
    Product { product: &'a Product, x: &'a Data, of: Way<'a> },
    /// A norm with no neuron behind it, of `y`.
    Norm { norm: &'a Norm, affine: &'a Affine, y: &'a Tensor, of: Way<'a> },
    /// c₀·shortcut + c₁·branch.
    Sum { block: &'a Block, members: &'a [Member; 2], of: [Way<'a>; 2] },
    /// 2x2 means.
    Pooled(Way<'a>),
    /// Means over the image.
    Mean(Way<'a>),
    /// Pixels of `shape` `[N,H,W,F,C]`, folded into features.
    Flat { shape: Shape, of: Way<'a> },
}

/// A source that several signals may share.
pub(super) type Way<'a> = Rc<Source<'a>>;

/// A layer of neurons and what drives it.
pub(super) struct Driven<'a> {
    /// The current before the norm, `[1,H,W,F,C]`.
    pub y: &'a Tensor,
    /// The norm's map.
    pub affine: Option<&'a Affine>,
    /// `[1,H,W,T,C]`.
    pub spikes: &'a Data,
    /// Where the current comes from.
    pub source: Way<'a>,
    /// The layer.
    pub neuron: &'a Neuron,
}

/// The layer of neurons `name` in `layers`, whose trace with [`crate::autodiff::Keep::All`] is `saved`. Errors: no such layer, a trace
/// that keeps too little.
pub(super) fn driven<'a>(layers: &'a [Layer], saved: &'a [Saved], name: &str) -> Result<Driven<'a>> {
    let mut walk = Walk { name, found: None };
    walk.along(layers, saved, Rc::new(Source::Pixels))?;
    walk.found.ok_or_else(|| fail!("{name}: no such layer of neurons"))
}

struct Walk<'a, 'n> {
    name: &'n str,
    found: Option<Driven<'a>>,
}

impl<'a> Walk<'a, '_> {
    fn along(&mut self, layers: &'a [Layer], saved: &'a [Saved], mut source: Way<'a>) -> Result<Way<'a>> {
        ensure!(saved.len() == layers.len(), "model: a trace of {} layers for {}", saved.len(), layers.len());
        for (layer, saved) in layers.iter().zip(saved) {
            source = self.layer(layer, saved, source)?;
        }
        Ok(source)
    }

    fn layer(&mut self, layer: &'a Layer, saved: &'a Saved, of: Way<'a>) -> Result<Way<'a>> {
        Ok(match (layer, saved) {
            (Layer::Product(product), Saved::Product { x: Some(x), .. }) => Rc::new(Source::Product { product, x, of }),
            (Layer::Norm(norm), Saved::Norm { y: Some(y), affine, .. }) => Rc::new(Source::Norm { norm, affine, y, of }),
            (Layer::Neuron(neuron), Saved::Neuron { y: Some(y), affine, spikes: Some(spikes), .. }) => {
                if neuron.name() == self.name {
                    self.found = Some(Driven { y, affine: affine.as_ref(), spikes, source: of, neuron });
                }
                Rc::new(Source::Neuron(neuron))
            }
            (Layer::Block(block), Saved::Block { stem, branch, shortcut, members }) => {
                let behind = self.along(&block.stem, stem, of.clone())?;
                let start = if block.origin == Origin::Input { of } else { behind.clone() };
                let along = self.along(&block.branch, branch, behind)?;
                let across = self.along(&block.shortcut, shortcut, start)?;
                Rc::new(Source::Sum { block, members, of: [across, along] })
            }
            (Layer::AveragePool, _) => Rc::new(Source::Pooled(of)),
            (Layer::GlobalPool, _) => Rc::new(Source::Mean(of)),
            (Layer::Flatten, Saved::Shape(shape)) => Rc::new(Source::Flat { shape: *shape, of }),
            // Off: an evaluation drops nothing.
            (Layer::Dropout(_), Saved::Mask { stream: None, .. }) => of,
            _ => return Err(fail!("step mode: the trace keeps too little; it wants a spiking forward in eval mode with Keep::All")),
        })
    }
}

/// The numbers `[1,H,W,F,C]` of a member of a sum.
pub(super) fn numbers(member: &Member, of: &Source) -> Result<Tensor> {
    match (&member.data, of) {
        (Some(data), _) => Ok(pool::numbers(data)),
        (None, Source::Norm { affine, y, .. }) => norm::apply(y, affine),
        _ => Err(fail!("step mode: the trace keeps no member of the sum")),
    }
}

/// The name of a parameter's layer.
fn stem(param: &Param) -> &str {
    param.name.rsplit_once('.').map_or(&*param.name, |(stem, _)| stem)
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Source::Pixels => f.write_str("the pixels"),
            Source::Neuron(neuron) => f.write_str(neuron.name()),
            Source::Product { product, .. } => f.write_str(stem(&product.weight)),
            Source::Norm { norm, .. } => f.write_str(stem(&norm.weight)),
            Source::Sum { block, .. } => write!(f, "the sum {}", block.comb.name.trim_end_matches(".convex.comb")),
            Source::Pooled(of) => write!(f, "{of}, pooled 2x2"),
            Source::Mean(of) => write!(f, "{of}, its mean over the image"),
            Source::Flat { of, .. } => write!(f, "{of}"),
        }
    }
}
