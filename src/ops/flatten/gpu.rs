//! Exchanging the two middle axes on a GPU: `kernels/flatten.cu`.

use crate::base::Shape;
use crate::device::{Gpu, kernel};
use crate::ops::launch::{THREADS, Tiling};
use crate::tensor::Array;
use bytemuck::Pod;

/// `[n, a, b, c]` → `[n, b, a, c]`, labelled `shape`.
pub fn exchange<T: Pod + Default>(gpu: &Gpu, x: &Array<T>, [n, a, b, c]: [usize; 4], shape: Shape) -> Array<T> {
    let bytes = c * size_of::<T>();
    let unit = [16, 4].into_iter().find(|unit| bytes.is_multiple_of(*unit)).unwrap_or(1);
    let (tiling, grid) = Tiling::single(n * a * b, bytes / unit, THREADS);
    let mut y = Array::unspecified(x.device(), shape);
    let launch = gpu.run(&kernel::flatten_exchange, grid).value(tiling).array(x).array_mut(&mut y);
    launch.value(a as u32).value(b as u32).value(unit as u32).go();
    y
}
