//! CUDA graphs and moments.

use super::context::Event;
use super::{Core, locked};
use crate::base::{Result, fail};
use crate::device::gpu::launcher::{Graph, Stamp};
use cudarc::driver::sys::{self, CUgraph, CUgraphExec, CUresult, CUstreamCaptureMode};
use std::any::Any;
use std::ptr::null_mut;
use std::sync::Arc;

/// Captured work, ready to be launched.
pub struct Captured {
    core: Arc<Core>,
    /// Null where nothing was captured.
    raw: CUgraphExec,
    len: usize,
}

// SAFETY: a handle that the driver lets any thread use; launches of it are serialised by the lock of the core.
unsafe impl Send for Captured {}
// SAFETY: as above.
unsafe impl Sync for Captured {}

impl Captured {
    /// Begin capturing the compute stream, whose lock the caller holds and whose context it has bound. Relaxed, so that
    /// memory can be allocated meanwhile.
    pub fn begin(core: &Core) -> Result<()> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: a live stream, not capturing.
        core.context.check("begin a recording", unsafe { sys::cuStreamBeginCapture_v2(core.compute.raw(), mode) })
    }

    /// End it; whatever happens, the stream works again as before.
    pub fn end(core: &Arc<Core>, len: usize) -> Result<Captured> {
        let mut graph: CUgraph = null_mut();
        // SAFETY: a live stream, capturing; writes one handle (null when the capture has failed).
        let ended = unsafe { sys::cuStreamEndCapture(core.compute.raw(), &raw mut graph) };
        let mut raw = null_mut();
        let made = match ended {
            CUresult::CUDA_SUCCESS if len > 0 => {
                // SAFETY: the graph just made; writes one handle.
                unsafe { sys::cuGraphInstantiateWithFlags(&raw mut raw, graph, 0) }
            }
            code => code,
        };
        if !graph.is_null() {
            // SAFETY: made above, destroyed once; the executable graph does not need it.
            let _ = unsafe { sys::cuGraphDestroy(graph) };
        }
        core.context.check("end a recording", made)?;
        Ok(Captured { core: core.clone(), raw, len })
    }
}

impl Graph for Captured {
    fn replay(&self) -> Result<()> {
        let core = &self.core;
        core.context.bind()?;
        let mut work = locked(&core.work);
        work.refuse_while_recording("a replay")?;
        if self.raw.is_null() {
            return Ok(());
        }
        work.order.launched();
        core.context.launching("a replayed recording");
        // SAFETY: both live, of one context.
        core.context.check("replay a recording", unsafe { sys::cuGraphLaunch(self.raw, core.compute.raw()) })?;
        core.finish_launch("a kernel of a recording")
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            let _ = self.core.context.bind();
            // SAFETY: made once, destroyed once; the driver lets a launch in flight finish.
            let _ = unsafe { sys::cuGraphExecDestroy(self.raw) };
        }
    }
}

/// An event of the compute stream.
pub struct Moment {
    core: Arc<Core>,
    event: Event,
}

impl Moment {
    /// Now, in the order of the compute stream.
    pub fn now(core: &Arc<Core>) -> Result<Moment> {
        let event = Event::timed(&core.context)?;
        event.record(&core.compute)?;
        Ok(Moment { core: core.clone(), event })
    }
}

impl Stamp for Moment {
    fn since(&self, earlier: &dyn Stamp) -> Result<f64> {
        let earlier = earlier.as_any().downcast_ref::<Moment>().filter(|earlier| Arc::ptr_eq(&earlier.core, &self.core));
        let earlier = earlier.ok_or_else(|| fail!("gpu: stamps of two devices"))?;
        self.core.context.bind()?;
        locked(&self.core.work).refuse_while_recording("reading a stamp")?;
        earlier.event.wait()?;
        self.event.wait()?;
        self.event.since(&earlier.event)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
