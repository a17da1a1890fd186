//! Convolution and linear layers: linear in the signal, so they run on whatever frames arrive.

use super::{Param, Role};
use crate::autodiff::{Fire, Frames, Grad, Gradients, Keep, Pass, Saved, Signal, Statistics, Want};
use crate::base::{Result, Shape, fail};
use crate::ops::lif::Spread;
use crate::ops::{conv, frames, pool};
use crate::tensor::{Data, Tensor};

/// y = w ∗ x + b. A linear layer has a 1x1 kernel.
#[derive(Clone)]
pub struct Product {
    /// `[C_out,kh,kw,C_in]`.
    pub weight: Param,
    /// `[C_out]`.
    pub bias: Option<Param>,
    /// Stride.
    pub stride: usize,
    /// Padding.
    pub pad: usize,
}

impl Product {
    /// What it is, such as `conv 3x3, stride 2` or `linear`.
    pub fn kind(&self) -> String {
        let shape = self.weight.value().shape();
        match (self.weight.role, [shape[1], shape[2]], self.stride) {
            (Role::Matrix, ..) => "linear".to_string(),
            (_, [height, width], 1) => format!("conv {height}x{width}"),
            (_, [height, width], stride) => format!("conv {height}x{width}, stride {stride}"),
        }
    }

    pub(super) fn forward(&self, x: Signal, pass: &Pass) -> Result<(Signal, Saved)> {
        let bias = self.bias.as_ref().map(Param::value);
        let y =
            conv::forward(&x.data, &self.weight.weight, bias, self.stride, self.pad).map_err(|error| error.within(&self.weight.name))?;
        Ok((Signal { data: Data::Real(y), frames: x.frames }, self.saved(x.data, x.frames, pass)))
    }

    /// What a pass keeps of this product's input.
    pub(super) fn saved(&self, x: Data, frames: Frames, pass: &Pass) -> Saved {
        let shape = x.shape();
        Saved::Product { x: (pass.keep == Keep::All).then_some(x), shape, frames }
    }

    pub(super) fn backward(
        &self,
        (x, shape): (&Option<Data>, Shape),
        pass: &Pass,
        dy: Grad,
        want: Want,
        gradients: &mut Gradients,
    ) -> Result<Grad> {
        let dy = pooled(dy, shape, self);
        if want.params() {
            self.weight.weight.forget();
            let Some(x) = x else {
                return Err(fail!("{}: the trace keeps no input; a weight gradient needs Keep::All", self.weight.name));
            };
            let steps = x.frames();
            // A gradient that is the same at every step belongs to each of x's frames.
            let all = if dy.shape()[3] == steps { dy.clone() } else { frames::repeat(&dy, steps, 1.0) };
            let dw = conv::backward_weight(x, &all, self.weight.value().shape(), self.stride, self.pad)?;
            gradients.params[self.weight.slot] = Some(dw);
            if let Some(bias) = &self.bias {
                gradients.params[bias.slot] = Some(conv::backward_bias(&all));
            }
        }
        if self.weight.slot == 0 && !want.input() {
            return Ok(Grad::plain(dy)); // the first layer of all: nobody asks below
        }
        let exact = pass.statistics == Statistics::Batch && pass.fire != Fire::Relu; // thresholds learn
        let backward = if exact { conv::backward_input_direct } else { conv::backward_input };
        let dx = backward(&dy, &self.weight.weight, shape, self.stride, self.pad)?;
        if want.params() {
            self.weight.weight.forget();
        }
        Ok(Grad::plain(dx))
    }
}

/// Spells out a pool's gradient (a pool right behind a product, without a neuron between).
fn pooled(dy: Grad, input: Shape, product: &Product) -> Tensor {
    match dy.spread {
        Spread::Plain => dy.tensor,
        Spread::Quarters => {
            let kernel = product.weight.value().shape();
            let out = |axis: usize, side: usize| (input[axis] + 2 * product.pad - side) / product.stride + 1;
            pool::spread(&dy.tensor, Shape::new(&[input[0], out(1, kernel[1]), out(2, kernel[2]), 1, kernel[0]]))
        }
    }
}
