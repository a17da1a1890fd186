//! Freed memory, waiting for the next buffer of its size.

use super::{Address, Launcher};
use crate::base::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Blocks of one launcher. Work is ordered, so a freed block may be handed out while a kernel still reads it: whoever
/// writes it comes later.
pub struct Pool {
    launcher: Arc<dyn Launcher>,
    free: Mutex<HashMap<usize, Vec<Address>>>,
}

/// A block of a pool; dropping it gives it back.
pub struct Block {
    pool: Arc<Pool>,
    address: Address,
    size: usize,
}

impl Pool {
    /// An empty pool.
    pub fn new(launcher: Arc<dyn Launcher>) -> Pool {
        Pool { launcher, free: Mutex::default() }
    }

    /// At least `bytes` of unspecified contents. A failure does not return: see [`crate::device::raise`].
    pub fn take(self: &Arc<Pool>, bytes: usize) -> Block {
        let size = self.launcher.size_class(bytes.max(1));
        let recycled = self.free.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&size).and_then(Vec::pop);
        let address = match recycled {
            Some(address) => self.launcher.renew(address, size).map(|()| address),
            None => self.alloc(size),
        };
        let address = address.unwrap_or_else(|error: Error| crate::device::raise(error));
        Block { pool: self.clone(), address, size }
    }

    /// New memory; where none is left, the blocks that wait here go back to the system first.
    fn alloc(&self, size: usize) -> Result<Address> {
        self.launcher.alloc(size).or_else(|_| {
            self.empty();
            self.launcher.alloc(size)
        })
    }

    fn empty(&self) {
        let waiting = std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_values().flatten().for_each(|address| self.launcher.free(address));
    }

    /// The launcher whose memory it is.
    pub fn launcher(&self) -> &dyn Launcher {
        &*self.launcher
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.empty();
    }
}

impl Block {
    /// Where it begins.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The launcher whose memory it is.
    pub fn launcher(&self) -> &dyn Launcher {
        self.pool.launcher()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).entry(self.size).or_default().push(self.address);
    }
}
