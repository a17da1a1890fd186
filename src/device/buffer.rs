//! Memory of a device, recycled: a training step after the first allocates nothing.

use super::cpu::{Block, Recycler};
use super::gpu::{self, Address, OnGpu, OnGpuMut};
use super::{Device, raise};
use bytemuck::Pod;
use std::marker::PhantomData;
use std::sync::Arc;

/// `len` numbers of type `T` on one device. Dropping it gives its memory back to the device's pool.
pub struct Buffer<T> {
    place: Place,
    len: usize,
    kind: PhantomData<T>,
}

enum Place {
    Host {
        block: Block,
        home: Arc<Recycler>,
    },
    Gpu(gpu::Block),
    /// Nowhere: a length and no numbers.
    Absent,
}

/// What is wrong where numbers are asked of [`Buffer::absent`].
const ABSENT: &str = "numbers were asked of a buffer that has none";

impl<T: Pod> Buffer<T> {
    /// A buffer with unspecified contents (whatever its memory held before).
    pub fn unspecified(device: &Device, len: usize) -> Self {
        let bytes = len * size_of::<T>();
        let place = match device {
            Device::Cpu(cpu) => {
                let home = cpu.recycler();
                Place::Host { block: home.take(bytes), home }
            }
            Device::Gpu(gpu) => Place::Gpu(gpu.pool().take(bytes)),
        };
        Buffer { place, len, kind: PhantomData }
    }

    /// A buffer of zeros.
    pub fn zeroed(device: &Device, len: usize) -> Self {
        let Device::Cpu(cpu) = device else {
            let mut buffer = Self::unspecified(device, len);
            buffer.fill(T::zeroed());
            return buffer;
        };
        let home = cpu.recycler();
        Buffer { place: Place::Host { block: home.take_zeroed(len * size_of::<T>()), home }, len, kind: PhantomData }
    }

    /// A buffer of a length and no numbers, for who looks at shapes alone. Panics (a bug) where they are asked for.
    pub fn absent(len: usize) -> Self {
        Buffer { place: Place::Absent, len, kind: PhantomData }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements, for the loops of the CPU. Panics (a bug) on another device.
    pub fn host(&self) -> &[T] {
        match &self.place {
            Place::Host { block, .. } => &bytemuck::cast_slice(block)[..self.len],
            Place::Gpu(_) => panic!("host memory was asked of a buffer on a GPU"),
            Place::Absent => panic!("{ABSENT}"),
        }
    }

    /// The elements, writable, for the loops of the CPU. Panics (a bug) on another device.
    pub fn host_mut(&mut self) -> &mut [T] {
        match &mut self.place {
            Place::Host { block, .. } => &mut bytemuck::cast_slice_mut(block)[..self.len],
            Place::Gpu(_) => panic!("host memory was asked of a buffer on a GPU"),
            Place::Absent => panic!("{ABSENT}"),
        }
    }

    /// The elements as a vector on the host; on a GPU this waits for the work that makes them.
    pub fn to_vec(&self) -> Vec<T> {
        match &self.place {
            Place::Host { .. } | Place::Absent => self.host().to_vec(),
            Place::Gpu(block) => {
                let mut elements = vec![T::zeroed(); self.len];
                block.launcher().download(bytemuck::cast_slice_mut(&mut elements), block.address()).unwrap_or_else(|error| raise(error));
                elements
            }
        }
    }

    /// Replace the contents. Panics (a bug) when the number of elements differs.
    pub fn write(&mut self, elements: &[T]) {
        assert_eq!(self.len, elements.len(), "elements of a buffer");
        match &mut self.place {
            Place::Host { .. } | Place::Absent => self.host_mut().copy_from_slice(elements),
            Place::Gpu(block) => {
                block.launcher().upload(block.address(), bytemuck::cast_slice(elements)).unwrap_or_else(|error| raise(error));
            }
        }
    }

    /// Fill with `value`.
    pub fn fill(&mut self, value: T) {
        match &mut self.place {
            Place::Host { .. } | Place::Absent => self.host_mut().fill(value),
            Place::Gpu(block) => {
                // A word of the value, or a word's worth, repeated; the block is whole words long.
                let (bytes, mut word) = (bytemuck::bytes_of(&value), [0u8; 4]);
                word.chunks_exact_mut(size_of::<T>().min(4)).for_each(|part| part.copy_from_slice(&bytes[..part.len()]));
                assert!(bytes.len() <= 4 || bytes.chunks(4).all(|part| part == word), "fill with a wide value of several words");
                let words = (self.len * size_of::<T>()).div_ceil(4);
                block.launcher().fill(block.address(), u32::from_ne_bytes(word), words).unwrap_or_else(|error| raise(error));
            }
        }
    }

    /// Copy `from[start..start + len]` to `at..` of this buffer, both on one device. Panics (a bug) out of bounds.
    pub fn copy_from(&mut self, at: usize, from: &Buffer<T>, start: usize, len: usize) {
        assert!(at + len <= self.len && start + len <= from.len, "copy of {len} elements");
        let size = size_of::<T>();
        match (&mut self.place, &from.place) {
            (Place::Gpu(to), Place::Gpu(source)) => {
                let (to_address, from_address) = (to.address().offset(at * size), source.address().offset(start * size));
                to.launcher().copy(to_address, from_address, len * size).unwrap_or_else(|error| raise(error));
            }
            _ => self.host_mut()[at..at + len].copy_from_slice(&from.host()[start..start + len]),
        }
    }

    fn place_on_gpu(&self) -> Address {
        match &self.place {
            Place::Gpu(block) => block.address(),
            Place::Host { .. } => panic!("a kernel was given a buffer on the CPU"),
            Place::Absent => panic!("{ABSENT}"),
        }
    }
}

impl<T: Pod> OnGpu for Buffer<T> {
    fn address(&self) -> Address {
        self.place_on_gpu()
    }
}

impl<T: Pod> OnGpuMut for Buffer<T> {
    fn address_mut(&mut self) -> Address {
        self.place_on_gpu()
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Place::Host { block, home } = &mut self.place {
            home.give(std::mem::take(block));
        }
    }
}
