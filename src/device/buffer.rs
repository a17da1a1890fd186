//! Memory of a device, recycled: a training step after the first allocates nothing.

use super::Device;
use super::cpu::{Block, Recycler};
use bytemuck::Pod;
use std::marker::PhantomData;
use std::sync::Arc;

/// `len` numbers of type `T` on one device. Dropping it gives its memory back to the device's pool.
pub struct Buffer<T> {
    block: Block,
    home: Arc<Recycler>,
    len: usize,
    kind: PhantomData<T>,
}

impl<T: Pod> Buffer<T> {
    /// A buffer with unspecified contents (whatever its memory held before).
    pub fn unspecified(device: &Device, len: usize) -> Self {
        let Device::Cpu(cpu) = device;
        let home = cpu.recycler();
        let block = home.take(len * size_of::<T>());
        Buffer { block, home, len, kind: PhantomData }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements, for code that runs on the host.
    pub fn host(&self) -> &[T] {
        &bytemuck::cast_slice(&self.block)[..self.len]
    }

    /// The elements, writable, for code that runs on the host.
    pub fn host_mut(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.block)[..self.len]
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.block));
    }
}
