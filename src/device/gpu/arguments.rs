//! A launch being put together.

use super::launcher::{Argument, Tuning};
use super::{Address, Grid, Kernel, Launcher};
use crate::base::fail;
use crate::device::raise;
use bytemuck::Pod;

/// The most arguments that a kernel may have.
pub(super) const MOST: usize = 32;
/// Room for their values, in 8-byte words.
const WORDS: usize = 64;

/// Something whose numbers lie in a GPU's memory.
pub trait OnGpu {
    /// Where.
    fn address(&self) -> Address;
}

/// Something whose numbers a kernel may write.
pub trait OnGpuMut {
    /// Where; nobody else reads it there.
    fn address_mut(&mut self) -> Address;
}

/// A launch: its arguments, in order, each 8-byte aligned.
#[must_use = "nothing runs before go()"]
pub struct Launch<'a> {
    launcher: &'a dyn Launcher,
    kernel: &'static Kernel,
    grid: Grid,
    words: [u64; WORDS],
    used: usize,
    places: [(u32, u32, Tuning); MOST],
    count: usize,
}

impl<'a> Launch<'a> {
    pub(super) fn new(launcher: &'a dyn Launcher, kernel: &'static Kernel, grid: Grid) -> Launch<'a> {
        Launch { launcher, kernel, grid, words: [0; WORDS], used: 0, places: [(0, 0, Tuning::Fixed); MOST], count: 0 }
    }

    /// A pointer that is read.
    pub fn array(self, array: &impl OnGpu) -> Self {
        let address = array.address();
        self.value(address)
    }

    /// A pointer that is written.
    pub fn array_mut(self, array: &mut impl OnGpuMut) -> Self {
        let address = array.address_mut();
        self.value(address)
    }

    /// A pointer that is read, or null.
    pub fn optional(self, array: Option<&impl OnGpu>) -> Self {
        let address = array.map(OnGpu::address).unwrap_or_default();
        self.value(address)
    }

    /// A pointer that is written, or null.
    pub fn optional_mut(self, array: Option<&mut impl OnGpuMut>) -> Self {
        let address = array.map(OnGpuMut::address_mut).unwrap_or_default();
        self.value(address)
    }

    /// A value: a scalar or a geometry struct.
    pub fn value<T: Pod>(self, value: T) -> Self {
        self.put(value, Tuning::Fixed)
    }

    /// A value that differs from step to step: replays of a recording turn it ([`super::Recording::turn`]).
    pub fn dial<T: Pod>(self, value: T) -> Self {
        self.put(value, Tuning::Dial)
    }

    fn put<T: Pod>(mut self, value: T, tuning: Tuning) -> Self {
        let bytes = size_of::<T>();
        let words = bytes.div_ceil(8);
        assert!(align_of::<T>() <= 8 && self.count < MOST && self.used + words <= WORDS, "arguments of {}", self.kernel.name());
        bytemuck::cast_slice_mut::<u64, u8>(&mut self.words[self.used..self.used + words])[..bytes]
            .copy_from_slice(bytemuck::bytes_of(&value));
        self.places[self.count] = (self.used as u32, bytes as u32, tuning);
        self.count += 1;
        self.used += words;
        self
    }

    /// Launch (a grid without blocks: nothing to do). A refusal does not return: see [`crate::device::raise`].
    pub fn go(self) {
        if self.grid.is_empty() {
            return;
        }
        let (name, given) = (self.kernel.name(), self.count);
        if given != self.kernel.args || self.grid.threads > self.kernel.threads || self.grid.threads == 0 {
            raise(fail!(
                "gpu: {name} was launched with {given} arguments and {} threads a block; it has {} and at most {}",
                self.grid.threads,
                self.kernel.args,
                self.kernel.threads
            ));
        }
        let mut arguments = [Argument { at: std::ptr::null(), bytes: 0, tuning: Tuning::Fixed }; MOST];
        for (argument, &(word, bytes, tuning)) in arguments.iter_mut().zip(&self.places[..given]) {
            *argument = Argument { at: self.words[word as usize..].as_ptr().cast::<u8>(), bytes, tuning };
        }
        self.launcher.launch(self.kernel, self.grid, &arguments[..given]).unwrap_or_else(|error| raise(error));
    }
}
