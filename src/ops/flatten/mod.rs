//! Pixels into features: `[N,H,W,F,C]` → `[N,1,1,F,H·W·C]`, feature (h·W + w)·C + c.
//!
//! Contract: results are written (`=`). One stored frame, or one plane of codes, moves nothing.

mod cpu;
mod gpu;

use crate::base::Shape;
use crate::device::Device;
use crate::tensor::{Array, Data, Tensor};
use bytemuck::Pod;

/// The activation with its pixels folded into the features.
pub fn forward(x: Data) -> Data {
    match x {
        Data::Real(x) => Data::Real(fold(x)),
        Data::Spikes { codes, steps } => Data::Spikes { codes: fold(codes), steps },
        Data::Quarters { codes, steps } => Data::Quarters { codes: fold(codes), steps },
    }
}

/// The gradient with its features unfolded to the pixels of `shape` (x's, its F that of `dy`).
pub fn backward(dy: Tensor, shape: Shape) -> Tensor {
    let shape = Shape::new(&[shape[0], shape[1], shape[2], dy.shape()[3], shape[4]]);
    let pixels = shape[1] * shape[2];
    if shape[3] == 1 || pixels == 1 {
        return dy.reshaped(shape);
    }
    match dy.device() {
        Device::Gpu(gpu) => gpu::exchange(gpu, &dy, [shape[0], shape[3], pixels, shape[4]], shape),
        Device::Cpu(cpu) => cpu::exchange(cpu, &dy, [shape[0], shape[3], pixels, shape[4]], shape),
    }
}

fn fold<T: Pod + Default + Send + Sync>(x: Array<T>) -> Array<T> {
    let shape = x.shape();
    let pixels = shape[1] * shape[2];
    let folded = Shape::new(&[shape[0], 1, 1, shape[3], pixels * shape[4]]);
    if shape[3] == 1 || pixels == 1 {
        return x.reshaped(folded);
    }
    match x.device() {
        Device::Gpu(gpu) => gpu::exchange(gpu, &x, [shape[0], pixels, shape[3], shape[4]], folded),
        Device::Cpu(cpu) => cpu::exchange(cpu, &x, [shape[0], pixels, shape[3], shape[4]], folded),
    }
}
