//! Work that is noted once and done many times: a CUDA graph.

use super::Gpu;
use super::launcher::Graph;
use super::pool::Pool;
use crate::base::Result;
use bytemuck::Pod;
use std::sync::Arc;

/// The launches of a closure, and the memory that they work in.
///
/// The memory stays theirs while the recording lives: what the closure made, the next replay overwrites. Arrays that
/// the closure reads must outlive the recording and keep their place; replays see what they hold by then.
pub struct Recording {
    graph: Box<dyn Graph>,
    /// Kept for its blocks.
    _pool: Arc<Pool>,
}

/// Memory for recordings that are replayed one after the other: what one leaves free, the next works in.
#[derive(Clone)]
pub struct Workspace {
    gpu: Gpu,
    pool: Arc<Pool>,
}

impl Gpu {
    /// A workspace without recordings.
    pub fn workspace(&self) -> Workspace {
        Workspace { gpu: self.clone(), pool: Arc::new(Pool::within(self.pool())) }
    }

    /// [`Workspace::record`] in a workspace of its own.
    pub fn record<R>(&self, work: impl FnOnce() -> Result<R>) -> Result<(R, Recording)> {
        self.workspace().record(work)
    }
}

impl Workspace {
    /// Note what `work` launches (nothing runs yet) and return its result: handles to what a replay will write.
    ///
    /// While it runs, no other thread may use this GPU. `work` must neither upload nor download, and what it launches should
    /// have run once before (its kernels are then loaded, and its memory waits in the pool). Errors: those of `work`, or it cannot be recorded.
    pub fn record<R>(&self, work: impl FnOnce() -> Result<R>) -> Result<(R, Recording)> {
        let launcher = self.gpu.launcher();
        launcher.begin_recording()?;
        let session = Session::new(self);
        let result = super::super::catch(work);
        drop(session);
        let graph = launcher.end_recording();
        Ok((result?, Recording { graph: graph?, _pool: self.pool.clone() }))
    }
}

/// While it lives, memory comes from the workspace.
struct Session<'a> {
    gpu: &'a Gpu,
    outer: Arc<Pool>,
}

impl<'a> Session<'a> {
    fn new(workspace: &'a Workspace) -> Session<'a> {
        let Workspace { gpu, pool } = workspace;
        let outer = gpu.pool();
        gpu.set_pool(pool.clone());
        Session { gpu, outer }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.gpu.set_pool(self.outer.clone());
        if std::thread::panicking() {
            // A bug in the work: the device is given back as it was.
            let _ = self.gpu.launcher().end_recording();
        }
    }
}

impl Recording {
    /// Do the noted work on what the inputs hold now. A fault does not return: see [`crate::device::raise`].
    pub fn replay(&self) {
        self.graph.replay().unwrap_or_else(|error| crate::device::raise(error));
    }

    /// Give the value `to` to every dial ([`super::Launch::dial`]) that is at `from`, for the replays to come. Returns how
    /// many there were.
    pub fn turn<T: Pod>(&mut self, from: T, to: T) -> usize {
        self.graph.turn(bytemuck::bytes_of(&from), bytemuck::bytes_of(&to)).unwrap_or_else(|error| crate::device::raise(error))
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
