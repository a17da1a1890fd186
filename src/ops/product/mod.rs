//! The dense core of the CPU: rows times packed weights, for convolutions and linear layers, all directions.
//!
//! One micro-kernel of 8 rows by 32 columns. A row is read where it lies, as runs of numbers from its own start: a
//! patch of a padded image is kh runs of a few pixels, never copied out (so a convolution of any kernel, stride and
//! padding, on numbers or on spike codes, is the same product). The weights lie in panels of 32 columns. Each result is one chain of fused multiply-adds in the
//! order of the depth, whoever computes it: its bits depend neither on threads nor on how rows are grouped.
//!
//! docs/adr/0002 says why this is not the `gemm` crate over im2col.

mod kernel;
mod panels;
mod transposed;

pub use kernel::{Rows, Run, Sink, TILE_ROWS, multiply};
pub use panels::{PANEL, Panels};
pub use transposed::{Outer, accumulate};

use crate::tensor::Tensor;
use std::sync::OnceLock;

/// A weight with the layouts that products want, packed at first use and forgotten when the weight changes.
pub struct Weight {
    value: Tensor,
    forward: OnceLock<Panels>,
    backward: OnceLock<Panels>,
}

impl Clone for Weight {
    fn clone(&self) -> Self {
        Weight::new(self.value.clone())
    }
}

impl Weight {
    /// A weight `[C_out, kh, kw, C_in]` or `[out, in]` (or any other parameter, which is never packed).
    pub fn new(value: Tensor) -> Self {
        Weight { value, forward: OnceLock::new(), backward: OnceLock::new() }
    }

    /// The numbers.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The numbers, writable; packed copies are dropped.
    pub fn value_mut(&mut self) -> &mut Tensor {
        self.forward.take();
        self.backward.take();
        &mut self.value
    }

    /// Replace the numbers.
    pub fn set(&mut self, value: Tensor) {
        *self = Weight::new(value);
    }

    pub(super) fn forward_panels(&self, pack: impl FnOnce() -> Panels) -> &Panels {
        self.forward.get_or_init(pack)
    }

    pub(super) fn backward_panels(&self, pack: impl FnOnce() -> Panels) -> &Panels {
        self.backward.get_or_init(pack)
    }
}
