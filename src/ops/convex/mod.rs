//! The learnable pair of a residual block: y = c₀·a + c₁·b.
//!
//! Contract: results are written (`=`). Where a is held (F = 1) and b runs over steps, a is repeated, and its
//! gradient is the sum over steps (and the other way round).

mod cpu;
mod gpu;

use crate::base::{Result, ensure};
use crate::device::Device;
use crate::tensor::Tensor;

/// Gradients of the pair.
pub struct Gradients {
    /// Of a, its shape.
    pub da: Tensor,
    /// Of b, its shape.
    pub db: Tensor,
    /// Of (c₀, c₁), `[2]`.
    pub dc: Tensor,
}

/// y `[N,H,W,F,C]`, F the larger of a's and b's; `c` is `[2]`. Errors: shapes that differ beyond that.
pub fn forward(a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
    check(a, b, c)?;
    match a.device() {
        Device::Gpu(gpu) => Ok(gpu::forward(gpu, a, b, c)),
        Device::Cpu(cpu) => Ok(cpu::forward(cpu, a, b, c)),
    }
}

/// Gradients for dy `[N,H,W,F,C]`. Errors: as forward.
pub fn backward(dy: &Tensor, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Gradients> {
    check(a, b, c)?;
    let frames = a.shape()[3].max(b.shape()[3]);
    ensure!(
        dy.shape().count() == a.shape().count() / a.shape()[3] * frames && dy.shape()[3] == frames,
        "convex: the gradient {} does not fit {} and {}",
        dy.shape(),
        a.shape(),
        b.shape()
    );
    match a.device() {
        Device::Gpu(gpu) => Ok(gpu::backward(gpu, dy, a, b, c)),
        Device::Cpu(cpu) => Ok(cpu::backward(cpu, dy, a, b, c)),
    }
}

fn check(a: &Tensor, b: &Tensor, c: &Tensor) -> Result<()> {
    let (p, q) = (a.shape(), b.shape());
    let fits = [0, 1, 2, 4].iter().all(|&axis| p[axis] == q[axis]) && (p[3] == q[3] || p[3] == 1 || q[3] == 1);
    ensure!(fits, "convex: cannot mix {p} with {q}");
    ensure!(c.shape().count() == 2, "convex: the pair wants 2 numbers, got {}", c.shape());
    Ok(())
}
