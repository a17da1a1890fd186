//! Layers one behind the other: what a network is, and what each way through a block is.

use super::{Layer, unit};
use crate::autodiff::{Credit, Grad, Gradients, Pass, Saved, Signal, Want};
use crate::base::{Result, ensure};

/// The signal behind `layers`, and what the pass keeps of each.
pub(super) fn forward(mut layers: &[Layer], mut signal: Signal, pass: &Pass) -> Result<(Signal, Vec<Saved>)> {
    let mut saved = Vec::with_capacity(layers.len());
    while let [layer, rest @ ..] = layers {
        if let (Layer::Product(product), Some(next)) = (layer, rest.first())
            && let Some(after) = unit::After::of(next)
        {
            let (next, kept) = unit::forward(product, after, signal, pass)?;
            (signal, layers) = (next, &rest[1..]);
            saved.extend(kept);
            continue;
        }
        let (next, kept) = layer.forward(signal, pass)?;
        (signal, layers) = (next, rest);
        saved.push(kept);
    }
    Ok((signal, saved))
}

/// The gradient in front of `layers`, that of the signal behind them being `grad`; parameters' are entered.
pub(super) fn backward(
    layers: &[Layer],
    saved: &[Saved],
    pass: &Pass,
    mut grad: Grad,
    credit: Credit,
    want: Want,
    gradients: &mut Gradients,
) -> Result<Grad> {
    ensure!(saved.len() == layers.len(), "model: a trace of {} layers for {}", saved.len(), layers.len());
    for (layer, saved) in layers.iter().zip(saved).rev() {
        grad = layer.backward(saved, pass, grad, credit, want, gradients)?;
    }
    Ok(grad)
}
