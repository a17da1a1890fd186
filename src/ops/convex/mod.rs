//! The learnable pair of a residual block: y = c₀·a + c₁·b.
//!
//! Contract: results are written (`=`). Where a is held (F = 1) and b runs over steps, a is repeated, and its
//! gradient is the sum over steps (and the other way round). The members' gradients have the same bits with and without
//! that of the pair.

mod cpu;
mod gpu;

use crate::base::{Result, Shape, ensure};
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

/// Gradients of a and b alone, which ask for neither: `frames` are theirs, each 1 (held, or where dy has one) or dy's.
/// Errors: other frames.
pub fn backward_members(dy: &Tensor, frames: [usize; 2], c: &Tensor) -> Result<[Tensor; 2]> {
    let steps = dy.shape()[3];
    let fit = frames.iter().all(|&f| f == 1 || f == steps);
    ensure!(fit, "convex: a gradient of {steps} frames for members of {} and {}", frames[0], frames[1]);
    match dy.device() {
        Device::Gpu(gpu) => Ok(gpu::backward_members(gpu, dy, frames, c)),
        Device::Cpu(cpu) => Ok(cpu::backward_members(cpu, dy, frames, c)),
    }
}

/// `shape` with other frames.
fn framed(shape: Shape, frames: usize) -> Shape {
    Shape::new(&[shape[0], shape[1], shape[2], frames, shape[4]])
}

fn check(a: &Tensor, b: &Tensor, c: &Tensor) -> Result<()> {
    let (p, q) = (a.shape(), b.shape());
    let fits = [0, 1, 2, 4].iter().all(|&axis| p[axis] == q[axis]) && (p[3] == q[3] || p[3] == 1 || q[3] == 1);
    ensure!(fits, "convex: cannot mix {p} with {q}");
    ensure!(c.shape().count() == 2, "convex: the pair wants 2 numbers, got {}", c.shape());
    Ok(())
}
