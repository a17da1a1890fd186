//! A GPU in use: its primary context, two streams, events.

use super::driver::{self, Driver, Facts};
use crate::base::{Error, Result, fail};
use cudarc::driver::sys::{self, CUcontext, CUdevice, CUevent, CUevent_flags, CUresult, CUstream, CUstream_flags};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A GPU's primary context. Every use binds it to the calling thread first, so it may come from any.
pub struct Context {
    device: CUdevice,
    raw: CUcontext,
    /// Tells contexts apart where a handle is used again.
    id: u64,
    pub index: usize,
    pub facts: Facts,
    /// What was launched last: the first to suspect when a fault shows.
    last: Mutex<Option<&'static str>>,
}

// SAFETY: a context is a handle that the driver lets any thread use.
unsafe impl Send for Context {}
// SAFETY: as above; the driver locks for itself.
unsafe impl Sync for Context {}

thread_local! {
    /// The context that is bound to this thread; 0 is none.
    static BOUND: Cell<u64> = const { Cell::new(0) };
}

impl Context {
    /// The GPU `index`. Errors: those of [`Driver::start`], no such GPU, one that cannot be used.
    pub fn new(index: usize) -> Result<Arc<Context>> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let (device, facts) = driver::choose(Driver::start()?.devices()?, index)?;
        let mut raw = null_mut();
        // SAFETY: a device of the driver's; writes one handle.
        let code = unsafe { sys::cuDevicePrimaryCtxRetain(&raw mut raw, device) };
        if code != CUresult::CUDA_SUCCESS {
            return Err(unusable(index, &facts.name, code));
        }
        Ok(Arc::new(Context { device, raw, id: IDS.fetch_add(1, Ordering::Relaxed), index, facts, last: Mutex::default() }))
    }

    /// Make it the calling thread's.
    pub fn bind(&self) -> Result<()> {
        if BOUND.get() != self.id {
            // SAFETY: retained, so alive.
            driver::check("bind the context of a GPU", unsafe { sys::cuCtxSetCurrent(self.raw) })?;
            BOUND.set(self.id);
        }
        Ok(())
    }

    /// Remember what is being launched.
    pub fn launching(&self, name: &'static str) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
    }

    /// The result of a call that was to do `what`. A kernel's fault shows at any later call, and is told as one.
    pub fn check(&self, what: &str, code: CUresult) -> Result<()> {
        if driver::is_fault(code) {
            return Err(fault(code, *self.last.lock().unwrap_or_else(PoisonError::into_inner)));
        }
        driver::check(what, code)
    }
}

fn unusable(index: usize, name: &str, code: CUresult) -> Error {
    fail!("--device cuda:{index}: {name} cannot be used ({code:?}): another program may hold it; look at nvidia-smi, or use --device cpu")
}

fn fault(code: CUresult, last: Option<&'static str>) -> Error {
    match last {
        Some(name) => fail!("gpu: a kernel failed ({code:?}): {name}, or one launched before it; CALTROP_LAUNCH_BLOCKING=1 finds it"),
        None => fail!("gpu: the device failed before anything was launched ({code:?}); look at nvidia-smi, and try again"),
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once, released once. Nobody is left who could act on a failure.
        let _ = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
    }
}

/// A queue of work, independent of every other.
pub struct Stream {
    context: Arc<Context>,
    raw: CUstream,
}

// SAFETY: a stream is a handle that the driver lets any thread use.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    pub fn new(context: &Arc<Context>) -> Result<Stream> {
        context.bind()?;
        let mut raw = null_mut();
        // SAFETY: a context is bound; writes one handle.
        context.check("make a stream", unsafe { sys::cuStreamCreate(&raw mut raw, CUstream_flags::CU_STREAM_NON_BLOCKING as u32) })?;
        Ok(Stream { context: context.clone(), raw })
    }

    pub fn raw(&self) -> CUstream {
        self.raw
    }

    /// Wait until all that was asked of it is done.
    pub fn wait(&self) -> CUresult {
        // SAFETY: alive, of the context that the caller has bound.
        unsafe { sys::cuStreamSynchronize(self.raw) }
    }

    /// What is asked of it from now on waits for `event`.
    pub fn wait_for(&self, event: &Event) -> Result<()> {
        // SAFETY: both live, of one context, which the caller has bound.
        self.context.check("order two streams", unsafe { sys::cuStreamWaitEvent(self.raw, event.raw, 0) })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: made by cuStreamCreate, destroyed once; the driver finishes its work first.
        let _ = unsafe { sys::cuStreamDestroy_v2(self.raw) };
    }
}

/// A moment in a stream.
pub struct Event {
    context: Arc<Context>,
    raw: CUevent,
}

// SAFETY: an event is a handle that the driver lets any thread use.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// For order alone.
    pub fn new(context: &Arc<Context>) -> Result<Event> {
        Event::with(context, CUevent_flags::CU_EVENT_DISABLE_TIMING)
    }

    /// For time as well.
    pub fn timed(context: &Arc<Context>) -> Result<Event> {
        Event::with(context, CUevent_flags::CU_EVENT_DEFAULT)
    }

    fn with(context: &Arc<Context>, flags: CUevent_flags) -> Result<Event> {
        context.bind()?;
        let mut raw = null_mut();
        // SAFETY: a context is bound; writes one handle.
        context.check("make an event", unsafe { sys::cuEventCreate(&raw mut raw, flags as u32) })?;
        Ok(Event { context: context.clone(), raw })
    }

    /// The moment when all that was asked of `stream` is done. Who waited for an earlier moment still does.
    pub fn record(&self, stream: &Stream) -> Result<()> {
        // SAFETY: both live, of one context, which the caller has bound.
        self.context.check("mark a moment", unsafe { sys::cuEventRecord(self.raw, stream.raw) })
    }

    /// Wait for it here.
    pub fn wait(&self) -> Result<()> {
        // SAFETY: alive, of the context that the caller has bound.
        self.context.check("wait for a moment", unsafe { sys::cuEventSynchronize(self.raw) })
    }

    /// Seconds since `earlier`; both are in the past.
    pub fn since(&self, earlier: &Event) -> Result<f64> {
        let mut milliseconds = 0.0;
        // SAFETY: both live and timed; writes one float.
        self.context.check("tell the time", unsafe { sys::cuEventElapsedTime_v2(&raw mut milliseconds, earlier.raw, self.raw) })?;
        Ok(f64::from(milliseconds) / 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: made by cuEventCreate, destroyed once; the driver waits where it must.
        let _ = unsafe { sys::cuEventDestroy_v2(self.raw) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_the_last_launch_and_the_way_to_find_it() {
        let text = |last| fault(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, last).to_string();
        assert_eq!(
            text(Some("relu_forward")),
            "gpu: a kernel failed (CUDA_ERROR_ILLEGAL_ADDRESS): relu_forward, or one launched before it; CALTROP_LAUNCH_BLOCKING=1 finds it"
        );
        assert!(
            unusable(1, "NVIDIA A", CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE)
                .to_string()
                .starts_with("--device cuda:1: NVIDIA A cannot be used (")
        );
        assert!(text(None).contains("before anything was launched"));
    }
}
