//! Freed memory, waiting for the next buffer of its size.

use super::{Address, Launcher};
use crate::base::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Blocks of one launcher. Work is ordered, so a freed block may be handed out while a kernel still reads it: whoever
/// writes it comes later.
pub struct Pool {
    launcher: Arc<dyn Launcher>,
    free: Mutex<HashMap<usize, Vec<Address>>>,
    /// Where a recording's pool takes blocks from, and gives them back to at its end.
    outer: Option<Arc<Pool>>,
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
        Pool { launcher, free: Mutex::default(), outer: None }
    }

    /// A pool of a recording. A block that came to it stays: noted work refers to it even while it is free.
    pub fn within(outer: Arc<Pool>) -> Pool {
        Pool { launcher: outer.launcher.clone(), free: Mutex::default(), outer: Some(outer) }
    }

    /// At least `bytes` of unspecified contents. A failure does not return: see [`crate::device::raise`].
    pub fn take(self: &Arc<Pool>, bytes: usize) -> Block {
        let size = self.launcher.size_class(bytes.max(1));
        let recycled = self.recycled(size).or_else(|| self.outer.as_ref()?.recycled(size));
        let address = match recycled {
            Some(address) => self.launcher.renew(address, size).map(|()| address),
            None => self.alloc(size),
        };
        let address = address.unwrap_or_else(|error: Error| crate::device::raise(error));
        Block { pool: self.clone(), address, size }
    }

    fn recycled(&self, size: usize) -> Option<Address> {
        self.free().get_mut(&size)?.pop()
    }

    /// New memory; where none is left, the blocks that wait for a taker go back to the system first.
    fn alloc(&self, size: usize) -> Result<Address> {
        self.launcher.alloc(size).or_else(|_| {
            self.outer.as_deref().unwrap_or(self).empty();
            self.launcher.alloc(size)
        })
    }

    /// Give back to the system what waits for a taker.
    pub fn empty(&self) {
        self.waiting().for_each(|(_, address)| self.launcher.free(address));
    }

    /// Every block that waits, with its size; they are no longer the pool's.
    fn waiting(&self) -> impl Iterator<Item = (usize, Address)> {
        let waiting = std::mem::take(&mut *self.free());
        waiting.into_iter().flat_map(|(size, addresses)| addresses.into_iter().map(move |address| (size, address)))
    }

    fn give(&self, size: usize, address: Address) {
        self.launcher.retire(address);
        self.free().entry(size).or_default().push(address);
    }

    fn free(&self) -> MutexGuard<'_, HashMap<usize, Vec<Address>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The launcher whose memory it is.
    pub fn launcher(&self) -> &dyn Launcher {
        &*self.launcher
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        match &self.outer {
            // Retired once more: replays have used them since.
            Some(outer) => self.waiting().for_each(|(size, address)| outer.give(size, address)),
            None => self.empty(),
        }
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
        self.pool.give(self.size, self.address);
    }
}
