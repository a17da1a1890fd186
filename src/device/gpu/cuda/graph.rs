//! CUDA graphs and moments.

use super::context::Event;
use super::{Core, locked};
use crate::base::{Result, ensure, fail};
use crate::device::gpu::launcher::{Argument, Graph, Grid, Stamp, Tuning};
use cudarc::driver::sys::{self, CUfunction, CUgraph, CUgraphExec, CUgraphNode, CUresult, CUstreamCaptureMode, CUstreamCaptureStatus};
use std::any::Any;
use std::ptr::{null, null_mut};
use std::sync::Arc;

/// A node of a graph.
pub struct Node(CUgraphNode);

// SAFETY: a handle, which means something only together with its graph.
unsafe impl Send for Node {}

/// A launch with dials among its arguments: all that is needed to say it again.
pub struct Tunable {
    function: CUfunction,
    grid: Grid,
    values: Vec<(Vec<u8>, Tuning)>,
}

// SAFETY: a function is a handle that the driver lets any thread use.
unsafe impl Send for Tunable {}

impl Tunable {
    /// Of this launch; None where no argument is a dial.
    pub fn of(function: CUfunction, grid: Grid, arguments: &[Argument]) -> Option<Tunable> {
        arguments.iter().any(|argument| argument.tuning == Tuning::Dial).then(|| {
            // SAFETY: a launch's arguments point to readable values of their sizes.
            let values = arguments.iter().map(|argument| (unsafe { argument.value() }.to_vec(), argument.tuning));
            Tunable { function, grid, values: values.collect() }
        })
    }

    /// Turn the dials that are at `from`; returns their number.
    fn turn(&mut self, from: &[u8], to: &[u8]) -> usize {
        let dials = self.values.iter_mut().filter(|(value, tuning)| *tuning == Tuning::Dial && value == from);
        dials.map(|(value, _)| value.copy_from_slice(to)).count()
    }
}

impl Core {
    /// The node of the last launch that was captured: the one that the next would depend on.
    pub(super) fn newest_node(&self) -> Result<Node> {
        let mut status = CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
        let (mut id, mut graph, mut nodes, mut edges, mut count) = (0, null_mut(), null(), null(), 0);
        // SAFETY: a live stream; every pointer but those of the places written is null.
        let code = unsafe {
            let stream = self.compute.raw();
            let (id, graph, nodes) = (&raw mut id, &raw mut graph, &raw mut nodes);
            sys::cuStreamGetCaptureInfo_v3(stream, &raw mut status, id, graph, nodes, &raw mut edges, &raw mut count)
        };
        self.context.check("look at a recording", code)?;
        ensure!(count == 1 && !nodes.is_null(), "gpu: a recording has {count} ends where one was expected");
        // SAFETY: as many nodes as `count` says.
        Ok(Node(unsafe { *nodes }))
    }
}

/// Captured work, ready to be launched.
pub struct Captured {
    core: Arc<Core>,
    /// Null where nothing was captured.
    raw: CUgraphExec,
    /// Its nodes are what `tunable` refers to.
    graph: CUgraph,
    tunable: Vec<(Node, Tunable)>,
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
    pub fn end(core: &Arc<Core>, len: usize, tunable: Vec<(Node, Tunable)>) -> Result<Captured> {
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
        let captured = Captured { core: core.clone(), raw, graph, tunable, len };
        core.context.check("end a recording", made)?;
        Ok(captured)
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

    fn turn(&mut self, from: &[u8], to: &[u8]) -> Result<usize> {
        self.core.context.bind()?;
        let mut turned = 0;
        for (node, launch) in &mut self.tunable {
            let here = launch.turn(from, to);
            turned += here;
            if here == 0 {
                continue;
            }
            let mut values: Vec<_> = launch.values.iter_mut().map(|(value, _)| value.as_mut_ptr().cast()).collect();
            let Grid { blocks: [x, y, z], threads, shared } = launch.grid;
            let said = sys::CUDA_KERNEL_NODE_PARAMS {
                func: launch.function,
                gridDimX: x,
                gridDimY: y,
                gridDimZ: z,
                blockDimX: threads,
                blockDimY: 1,
                blockDimZ: 1,
                sharedMemBytes: shared,
                kernelParams: values.as_mut_ptr(),
                extra: null_mut(),
                kern: null_mut(),
                ctx: null_mut(),
            };
            // SAFETY: a node of the graph that this was made of, and values that live through the call.
            let code = unsafe { sys::cuGraphExecKernelNodeSetParams_v2(self.raw, node.0, &raw const said) };
            self.core.context.check("turn a dial of a recording", code)?;
        }
        Ok(turned)
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        let _ = self.core.context.bind();
        if !self.raw.is_null() {
            // SAFETY: made once, destroyed once; the driver lets a launch in flight finish.
            let _ = unsafe { sys::cuGraphExecDestroy(self.raw) };
        }
        if !self.graph.is_null() {
            // SAFETY: made once, destroyed once.
            let _ = unsafe { sys::cuGraphDestroy(self.graph) };
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
