//! Floor 2: contiguous arrays on a device, and the forms in which activations travel.
//!
//! Everything is channels-last. Activations are `[N, H, W, F, C]`: F is the number of stored frames, next to
//! the channels, so that the T steps of one pixel lie together (docs/adr/0001).

use crate::base::Shape;
use crate::device::{Address, Buffer, Device, OnGpu, OnGpuMut};
use bytemuck::Pod;
use std::ops::Range;
use std::sync::Arc;

/// A contiguous array on a device. Clones share memory until one of them is written.
pub struct Array<T> {
    device: Device,
    shape: Shape,
    data: Arc<Buffer<T>>,
}

/// An array of `f32`, the type of every weight, current and gradient.
pub type Tensor = Array<f32>;

impl<T> Clone for Array<T> {
    fn clone(&self) -> Self {
        Array { device: self.device.clone(), shape: self.shape, data: self.data.clone() }
    }
}

impl<T: Pod + Default> Array<T> {
    /// An array with unspecified contents, for an op to fill.
    pub fn unspecified(device: &Device, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Array { device: device.clone(), shape, data: Arc::new(Buffer::unspecified(device, shape.count())) }
    }

    /// An array of `value`.
    pub fn full(device: &Device, shape: impl Into<Shape>, value: T) -> Self {
        let mut array = Self::unspecified(device, shape);
        array.buffer_mut().fill(value);
        array
    }

    /// An array of zeros.
    pub fn zeros(device: &Device, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Array { device: device.clone(), shape, data: Arc::new(Buffer::zeroed(device, shape.count())) }
    }

    /// An array of a shape and no elements, for who looks at shapes alone. Panics (a bug) where they are asked for.
    pub fn absent(device: &Device, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Array { device: device.clone(), shape, data: Arc::new(Buffer::absent(shape.count())) }
    }

    /// An array with these elements, in row-major order. Panics (a bug) when their number is not the shape's.
    pub fn from_slice(device: &Device, shape: impl Into<Shape>, elements: &[T]) -> Self {
        let mut array = Self::unspecified(device, shape);
        array.buffer_mut().write(elements);
        array
    }

    /// The extents.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The device that holds it.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The elements as a vector on the host. Waits for the device, so no step of a training loop calls it.
    pub fn to_vec(&self) -> Vec<T> {
        self.data.to_vec()
    }

    /// The elements, for code that runs on the host.
    pub(crate) fn host(&self) -> &[T] {
        self.data.host()
    }

    /// The elements, writable; copied first where another handle shares them.
    pub(crate) fn host_mut(&mut self) -> &mut [T] {
        self.buffer_mut().host_mut()
    }

    /// Replace the elements where they are: what was recorded on a GPU finds them there. Panics (a bug) when their number
    /// differs, or when another handle shares the memory.
    pub fn overwrite(&mut self, elements: &[T]) {
        let shape = self.shape;
        Arc::get_mut(&mut self.data).unwrap_or_else(|| panic!("overwriting {shape}, which is shared")).write(elements);
    }

    /// [`Array::overwrite`] with the elements of `from`, on the same device.
    pub fn overwrite_with(&mut self, from: &Self) {
        assert!(Arc::get_mut(&mut self.data).is_some(), "overwriting {}, which is shared", self.shape);
        self.assign(from);
    }

    /// Replace the elements by those of `from`, as many and on the same device: where they are, unless another handle shares
    /// the memory.
    pub fn assign(&mut self, from: &Self) {
        assert_eq!(self.shape.count(), from.shape.count(), "{} assigned to {}", from.shape, self.shape);
        let count = self.data.len();
        self.buffer_mut().copy_from(0, &from.data, 0, count);
    }

    /// A copy in memory of its own.
    #[must_use]
    pub fn copied(&self) -> Self {
        let mut copy = Self::unspecified(&self.device, self.shape);
        copy.assign(self);
        copy
    }

    /// The memory, writable; copied first where another handle shares it.
    fn buffer_mut(&mut self) -> &mut Buffer<T> {
        if Arc::get_mut(&mut self.data).is_none() {
            let mut own = Buffer::unspecified(&self.device, self.shape.count());
            own.copy_from(0, &self.data, 0, self.data.len());
            self.data = Arc::new(own);
        }
        Arc::get_mut(&mut self.data).expect("just made its own")
    }

    /// The same elements under another shape of as many elements. Panics (a bug) otherwise.
    #[must_use]
    pub fn reshaped(mut self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(self.shape.count(), shape.count(), "{} reshaped to {shape}", self.shape);
        self.shape = shape;
        self
    }

    /// The rows (indices of the first axis) in `rows`. Panics (a bug) where there are fewer.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        if rows == (0..self.shape[0]) {
            return self.clone();
        }
        let mut part = Self::unspecified(&self.device, self.shape.with_rows(rows.len()));
        part.fill_rows(0, self, rows);
        part
    }

    /// The rows `rows`, in that order, as often as they are named. Panics (a bug) where there are fewer.
    #[must_use]
    pub fn gather(&self, rows: &[usize]) -> Self {
        let mut some = Self::unspecified(&self.device, self.shape.with_rows(rows.len()));
        rows.iter().enumerate().for_each(|(at, &row)| some.fill_rows(at, self, row..row + 1));
        some
    }

    /// The rows of all `parts`, one after the other. Panics (a bug) without a part, or where their rows differ in shape.
    pub fn joined(parts: &[Self]) -> Self {
        let first = &parts[0];
        if parts.len() == 1 {
            return first.clone();
        }
        let mut all = Self::unspecified(&first.device, first.shape.with_rows(parts.iter().map(|part| part.shape[0]).sum()));
        let mut at = 0;
        for part in parts {
            assert_eq!(part.shape.with_rows(0), first.shape.with_rows(0), "rows of {} joined to rows of {}", part.shape, first.shape);
            all.fill_rows(at, part, 0..part.shape[0]);
            at += part.shape[0];
        }
        all
    }

    /// Overwrite the rows from `at` on with the rows `rows` of `from`, whose rows are as long.
    fn fill_rows(&mut self, at: usize, from: &Self, rows: Range<usize>) {
        assert!(rows.start <= rows.end && rows.end <= from.shape[0], "rows {rows:?} of {}", from.shape);
        let row: usize = self.shape.extents()[1..].iter().product();
        let (place, source) = (at * row, rows.start * row);
        self.buffer_mut().copy_from(place, &from.data, source, rows.len() * row);
    }
}

impl<T: Pod> OnGpu for Array<T> {
    fn address(&self) -> Address {
        self.data.address()
    }
}

impl<T: Pod + Default> OnGpuMut for Array<T> {
    fn address_mut(&mut self) -> Address {
        self.buffer_mut().address_mut()
    }
}

/// An activation `[N, H, W, F, C]` in the form that its maker wrote it.
#[derive(Clone)]
pub enum Data {
    /// Numbers, `[N, H, W, F, C]`.
    Real(Tensor),
    /// Spikes as bits: `[N, H, W, ceil(T/8), C]` bytes, bit t % 8 of plane t / 8 is step t.
    Spikes {
        /// The bytes.
        codes: Array<u8>,
        /// T, the number of steps (F of the activation).
        steps: usize,
    },
    /// 2x2-pooled spikes: as `Spikes` with a nibble 0..=4 a step, worth a quarter each.
    Quarters {
        /// The nibbles, eight a word.
        codes: Array<u32>,
        /// T, the number of steps (F of the activation).
        steps: usize,
    },
}

impl Data {
    /// The shape `[N, H, W, F, C]` of the activation, whatever its form.
    pub fn shape(&self) -> Shape {
        match self {
            Data::Real(tensor) => tensor.shape(),
            Data::Spikes { codes, steps } => with_frames(codes.shape(), *steps),
            Data::Quarters { codes, steps } => with_frames(codes.shape(), *steps),
        }
    }

    /// The number of stored frames F.
    pub fn frames(&self) -> usize {
        self.shape()[3]
    }

    /// The device that holds it.
    pub fn device(&self) -> &Device {
        match self {
            Data::Real(tensor) => tensor.device(),
            Data::Spikes { codes, .. } => codes.device(),
            Data::Quarters { codes, .. } => codes.device(),
        }
    }
}

/// The number of eight-step planes that hold `steps` steps.
pub fn planes(steps: usize) -> usize {
    steps.div_ceil(8)
}

fn with_frames(shape: Shape, frames: usize) -> Shape {
    Shape::new(&[shape[0], shape[1], shape[2], frames, shape[4]])
}
