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
pub(super) mod rounding;
mod split;
mod transposed;

pub use kernel::{Rows, Run, Segments, Sink, TILE_ROWS, multiply, tile};
pub use panels::{PANEL, Panels};
pub use split::Side;
pub use transposed::{Outer, Turned, accumulate, reduce};

use crate::device::{Cpu, Gpu};
use crate::tensor::{Array, Tensor};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// A layout of a weight that some product wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Panels of the forward product.
    Forward,
    /// Panels of the input gradient.
    Backward,
    /// Transformed panels of the input gradient.
    WinogradBackward,
    /// Panels of the input gradient of stride 2: the taps of pixels on even rows and even columns.
    PhaseEvenEven,
    /// On even rows and odd columns.
    PhaseEvenOdd,
    /// On odd rows and even columns.
    PhaseOddEven,
    /// On odd rows and odd columns.
    PhaseOddOdd,
}

/// How many there are.
const LAYOUTS: usize = Layout::PhaseOddOdd as usize + 1;

/// A weight with the layouts that products want, packed at first use and forgotten when the weight changes.
pub struct Weight {
    value: Tensor,
    packed: [RwLock<Option<Arc<Panels>>>; LAYOUTS],
    rounded: OnceLock<Box<Weight>>,
    /// Terms on a GPU: forward and backward, in three and in one.
    split: [OnceLock<Array<u16>>; 4],
}

impl Clone for Weight {
    fn clone(&self) -> Self {
        Weight::new(self.value.clone())
    }
}

impl Weight {
    /// A weight `[C_out, kh, kw, C_in]` or `[out, in]` (or any other parameter, which is never packed).
    pub fn new(value: Tensor) -> Self {
        Weight { value, packed: Default::default(), rounded: OnceLock::new(), split: Default::default() }
    }

    /// The numbers.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The numbers, writable; packed copies are dropped.
    pub fn value_mut(&mut self) -> &mut Tensor {
        (self.packed, self.rounded, self.split) = Default::default();
        &mut self.value
    }

    /// The numbers have changed where they are: drop packed copies.
    pub fn changed(&mut self) {
        self.value_mut();
    }

    /// Replace the numbers.
    pub fn set(&mut self, value: Tensor) {
        *self = Weight::new(value);
    }

    /// The weight rounded to bf16, for products in that precision on the CPU.
    pub(super) fn rounded(&self, cpu: &Cpu) -> &Weight {
        self.rounded.get_or_init(|| Box::new(Weight::new(rounding::rounded(cpu, &self.value))))
    }

    /// The weight in `terms` (1 or 3) bf16 terms, as products on a GPU's tensor cores read it (kernels/product.cu).
    pub(super) fn split(&self, gpu: &Gpu, side: Side, terms: usize) -> &Array<u16> {
        self.split[side as usize * 2 + usize::from(terms == 1)].get_or_init(|| split::split(gpu, &self.value, side, terms))
    }

    pub(super) fn panels(&self, layout: Layout, pack: impl FnOnce() -> Panels) -> Arc<Panels> {
        let slot = &self.packed[layout as usize];
        if let Some(panels) = &*slot.read().unwrap_or_else(PoisonError::into_inner) {
            return panels.clone();
        }
        slot.write().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| Arc::new(pack())).clone()
    }

    /// Drop the packed copies before the numbers change: who trains needs their memory, each as large as the weight, for its
    /// gradients. A product that comes after all packs again.
    pub fn forget(&self) {
        for slot in &self.packed {
            *slot.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        if let Some(rounded) = self.rounded.get() {
            rounded.forget();
        }
    }
}
