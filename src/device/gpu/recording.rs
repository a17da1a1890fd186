//! Work that is noted once and done many times: a CUDA graph.

use super::Gpu;
use super::launcher::Graph;
use super::pool::Pool;
use crate::base::Result;
use std::sync::{Arc, PoisonError};

/// The launches of a closure, and the memory that they work in.
///
/// The memory stays theirs while the recording lives: what the closure made, the next replay overwrites. Arrays that
/// the closure reads must outlive the recording and keep their place; replays see what they hold by then.
pub struct Recording {
    graph: Box<dyn Graph>,
    /// Kept for its blocks.
    _pool: Arc<Pool>,
}

impl Gpu {
    /// Note what `work` launches (nothing runs yet) and return its result: handles to what a replay will write.
    ///
    /// `work` must neither upload nor download. Errors: those of `work`.
    pub fn record<R>(&self, work: impl FnOnce() -> Result<R>) -> Result<(R, Recording)> {
        let own = Arc::new(Pool::new(self.inner.launcher.clone()));
        let swap = |pool: Arc<Pool>| std::mem::replace(&mut *self.inner.pool.lock().unwrap_or_else(PoisonError::into_inner), pool);
        self.launcher().begin_recording()?;
        let outer = swap(own.clone());
        let result = super::super::catch(work);
        swap(outer);
        let graph = self.launcher().end_recording();
        Ok((result?, Recording { graph: graph?, _pool: own }))
    }
}

impl Recording {
    /// Do the noted work on what the inputs hold now. A fault does not return: see [`crate::device::raise`].
    pub fn replay(&self) {
        self.graph.replay().unwrap_or_else(|error| crate::device::raise(error));
    }

    /// Launches, copies and fills in it.
    pub fn len(&self) -> usize {
        self.graph.len()
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
