//! NVIDIA GPUs through the CUDA driver, found at run time.

use super::launcher::{Address, Graph, Grid, Kernel, Launcher, Memory, Stamp};
use crate::base::{Result, fail};

/// One CUDA device.
pub enum Cuda {}

impl Cuda {
    /// The device `index`.
    pub fn new(index: usize) -> Result<Cuda> {
        Err(fail!("--device cuda:{index}: being written"))
    }
}

/// One line a device.
pub fn list() -> Result<Vec<String>> {
    Err(fail!("--device cuda: being written"))
}

#[rustfmt::skip]
impl Launcher for Cuda {
    fn describe(&self) -> String { match *self {} }
    fn alloc(&self, _: usize) -> Result<Address> { match *self {} }
    fn free(&self, _: Address) { match *self {} }
    fn upload(&self, _: Address, _: &[u8]) -> Result<()> { match *self {} }
    fn download(&self, _: &mut [u8], _: Address) -> Result<()> { match *self {} }
    fn copy(&self, _: Address, _: Address, _: usize) -> Result<()> { match *self {} }
    fn fill(&self, _: Address, _: u32, _: usize) -> Result<()> { match *self {} }
    fn launch(&self, _: &'static Kernel, _: Grid, _: &[(*const u8, u32)]) -> Result<()> { match *self {} }
    fn wait(&self) -> Result<()> { match *self {} }
    fn memory(&self) -> Result<Memory> { match *self {} }
    fn size_class(&self, _: usize) -> usize { match *self {} }
    fn begin_recording(&self) -> Result<()> { match *self {} }
    fn end_recording(&self) -> Result<Box<dyn Graph>> { match *self {} }
    fn stamp(&self) -> Result<Box<dyn Stamp>> { match *self {} }
}
