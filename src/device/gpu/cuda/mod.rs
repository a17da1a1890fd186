//! NVIDIA GPUs through the CUDA driver, found at run time.
//!
//! One stream computes, in the order of the calls; uploads have another, so that the next batch travels while the last
//! one is worked on. Everything that is launched waits for the uploads before it; what an upload waits for is told in
//! [`memory::Order`].

mod context;
mod driver;
mod graph;
mod memory;
mod modules;

use super::arguments;
use super::launcher::{Address, Argument, Graph, Grid, Kernel, Launcher, Memory, Stamp};
use crate::base::{Result, fail};
use context::{Context, Event, Stream};
use cudarc::driver::sys::{self, CUresult};
use driver::Driver;
use graph::{Captured, Moment, Node, Tunable};
use memory::{After, Order, Pinned, Ring};
use modules::Modules;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pieces of the staging memory for uploads, and their bytes: many small uploads must not wait for each other.
const SMALL: (usize, usize) = (64, 64 << 10);
const LARGE: (usize, usize) = (4, 8 << 20);

/// One CUDA device.
pub struct Cuda(Arc<Core>);

struct Core {
    context: Arc<Context>,
    compute: Stream,
    copy: Stream,
    pace: Pace,
    work: Mutex<Work>,
    /// Where downloads arrive.
    landing: Mutex<Option<Pinned>>,
}

/// Whether a launch is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// No: the host runs ahead.
    Ahead,
    /// `CALTROP_LAUNCH_BLOCKING=1`: yes, so that a fault is found where it happens.
    Step,
}

impl Pace {
    fn of(setting: Option<&str>) -> Pace {
        if matches!(setting, None | Some("" | "0")) { Pace::Ahead } else { Pace::Step }
    }
}

/// What the callers, on whatever threads, share.
#[derive(Default)]
struct Work {
    modules: Modules,
    order: Order,
    /// The retirements of blocks that uploads go to.
    retirements: HashMap<Address, Event>,
    /// Marks the end of the work launched so far.
    tail: Option<Event>,
    small: Option<Ring>,
    large: Option<Ring>,
    /// The moment before the recording in progress.
    begun: Option<Event>,
    /// Launches, copies and fills captured so far, while a graph is recorded.
    recorded: Option<usize>,
    /// Those among them whose arguments can be changed later.
    tunable: Vec<(Node, Tunable)>,
}

impl Work {
    fn is_recording(&self) -> bool {
        self.recorded.is_some()
    }

    fn refuse_while_recording(&self, what: &str) -> Result<()> {
        match self.recorded {
            Some(_) => Err(fail!("gpu: {what} while a graph is recorded; do it before or after")),
            None => Ok(()),
        }
    }

    /// Something goes to the compute stream.
    fn launched(&mut self) {
        self.order.launched();
        if let Some(count) = &mut self.recorded {
            *count += 1;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cuda {
    /// The device `index`.
    pub fn new(index: usize) -> Result<Cuda> {
        let context = Context::new(index)?;
        let (compute, copy) = (Stream::new(&context)?, Stream::new(&context)?);
        let pace = Pace::of(std::env::var("CALTROP_LAUNCH_BLOCKING").ok().as_deref());
        Ok(Cuda(Arc::new(Core { context, compute, copy, pace, work: Mutex::default(), landing: Mutex::default() })))
    }

    /// The shared state, with the context bound to this thread.
    fn work(&self) -> Result<MutexGuard<'_, Work>> {
        self.0.context.bind()?;
        Ok(locked(&self.0.work))
    }
}

/// One line a device.
pub fn list() -> Result<Vec<String>> {
    let driver = Driver::start()?;
    let line = |(index, (_, facts)): (usize, (_, driver::Facts))| {
        let refused = facts.check(index).err().map_or("", |_| "; too old for the kernels");
        format!("cuda:{index} ({}, driver of CUDA {}{refused})", facts.describe(), driver.version())
    };
    let devices = driver.devices()?;
    driver::any(&devices)?;
    Ok(devices.into_iter().enumerate().map(line).collect())
}

impl Core {
    /// After a launch: wait for it, if every launch is waited for. `what` is to blame.
    fn finish_launch(&self, what: &str) -> Result<()> {
        match self.pace {
            Pace::Ahead => Ok(()),
            Pace::Step => match self.compute.wait() {
                code if driver::is_fault(code) => Err(fail!("gpu: {what} failed: {code:?}")),
                code => self.context.check("wait for a launch", code),
            },
        }
    }

    fn free_and_total(&self) -> Result<Memory> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: the context is bound; writes two sizes.
        self.context.check("ask for the free memory", unsafe { sys::cuMemGetInfo_v2(&raw mut free, &raw mut total) })?;
        Ok(Memory { free: free as u64, total: total as u64 })
    }

    /// Make the copy stream wait for what an upload to `at` must not overtake.
    fn hold_back(&self, work: &mut Work, at: Address) -> Result<()> {
        let event = match work.order.upload(at) {
            After::Nothing => return Ok(()),
            After::Retirement => work.retirements.get(&at),
            After::Everything => None,
        };
        if let Some(event) = event {
            return self.copy.wait_for(event);
        }
        if work.tail.is_none() {
            work.tail = Some(Event::new(&self.context)?);
        }
        let tail = work.tail.as_ref().expect("just made");
        tail.record(&self.compute)?;
        self.copy.wait_for(tail)
    }

    /// Upload through `ring`; what is launched from now on waits for it.
    fn send(&self, ring: &mut Ring, to: Address, bytes: &[u8], piece: usize) -> Result<()> {
        for (index, part) in bytes.chunks(piece).enumerate() {
            let slot = ring.turn()?;
            // SAFETY: the slot is as long as a piece, and the device has left it.
            unsafe { std::ptr::copy_nonoverlapping(part.as_ptr(), slot.memory.start(), part.len()) };
            let (to, from) = (to.offset(index * piece), slot.memory.start().cast());
            // SAFETY: pinned memory that stays as it is until the slot's turn comes again, and a block that is long enough.
            self.context.check("upload", unsafe { sys::cuMemcpyHtoDAsync_v2(to.0, from, part.len(), self.copy.raw()) })?;
            slot.left.record(&self.copy)?;
            self.compute.wait_for(&slot.left)?;
        }
        Ok(())
    }

    fn retire(&self, work: &mut Work, at: Address) -> Result<()> {
        // A moment of a stream that is captured is none.
        work.refuse_while_recording("a retirement")?;
        let event = match work.retirements.entry(at) {
            Entry::Occupied(event) => event.into_mut(),
            Entry::Vacant(place) => place.insert(Event::new(&self.context)?),
        };
        event.record(&self.compute)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // Nothing may run while its code and its memory go. After a fault this returns at once.
        let _ = self.compute.wait();
        let _ = self.copy.wait();
        locked(&self.work).modules.clear();
    }
}

impl Launcher for Cuda {
    fn describe(&self) -> String {
        let Context { index, facts, .. } = &*self.0.context;
        format!("cuda:{index} ({})", facts.describe())
    }

    fn alloc(&self, bytes: usize) -> Result<Address> {
        let mut work = self.work()?;
        let mut at = 0;
        // SAFETY: the context is bound; writes one address.
        match unsafe { sys::cuMemAlloc_v2(&raw mut at, bytes) } {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => Err(memory::out_of_memory(bytes, self.0.free_and_total().ok())),
            code => {
                self.0.context.check("allocate memory", code)?;
                work.order.allocated(Address(at));
                Ok(Address(at))
            }
        }
    }

    fn free(&self, at: Address) {
        let Ok(mut work) = self.work() else { return };
        // The driver may, but need not, wait for the work in flight. A fault shows elsewhere.
        let _ = match &work.begun {
            Some(begun) if work.is_recording() => begun.wait(),
            _ => self.0.context.check("wait", self.0.compute.wait()),
        };
        let _ = self.0.copy.wait();
        work.order.freed(at);
        work.retirements.remove(&at);
        // SAFETY: allocated by `alloc`, freed once; the driver waits for the work in flight. After a fault the context is
        // lost, and the memory with it: nothing is left to do about a failure.
        let _ = unsafe { sys::cuMemFree_v2(at.0) };
    }

    fn upload(&self, to: Address, bytes: &[u8]) -> Result<()> {
        let mut guard = self.work()?;
        let work = &mut *guard;
        work.refuse_while_recording("an upload")?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.0.hold_back(work, to)?;
        let (ring, (slots, piece)) = if bytes.len() <= SMALL.1 { (&mut work.small, SMALL) } else { (&mut work.large, LARGE) };
        if ring.is_none() {
            *ring = Some(Ring::new(&self.0.context, slots, piece)?);
        }
        self.0.send(ring.as_mut().expect("just made"), to, bytes, piece)
    }

    fn download(&self, bytes: &mut [u8], from: Address) -> Result<()> {
        let core = &self.0;
        self.work()?.refuse_while_recording("a download")?;
        let mut landing = locked(&core.landing);
        if landing.is_none() {
            *landing = Some(Pinned::new(&core.context, LARGE.1)?);
        }
        let landing = landing.as_ref().expect("just made");
        for (index, part) in bytes.chunks_mut(landing.bytes).enumerate() {
            let (to, from) = (landing.start(), from.offset(index * landing.bytes));
            // SAFETY: pinned memory as long as a part, which nobody else uses under the lock, and a block that is long enough.
            core.context.check("download", unsafe { sys::cuMemcpyDtoHAsync_v2(to.cast(), from.0, part.len(), core.compute.raw()) })?;
            core.context.check("wait for a download", core.compute.wait())?;
            // SAFETY: both are as long as the part, and the device is done.
            unsafe { std::ptr::copy_nonoverlapping(to, part.as_mut_ptr(), part.len()) };
        }
        Ok(())
    }

    fn copy(&self, to: Address, from: Address, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let mut work = self.work()?;
        work.launched();
        // SAFETY: both lie in blocks that are long enough (the contract of copy).
        self.0.context.check("copy", unsafe { sys::cuMemcpyDtoDAsync_v2(to.0, from.0, bytes, self.0.compute.raw()) })
    }

    fn fill(&self, to: Address, word: u32, count: usize) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let mut work = self.work()?;
        work.launched();
        // SAFETY: it lies in a block that is long enough (the contract of fill).
        self.0.context.check("fill", unsafe { sys::cuMemsetD32Async(to.0, word, count, self.0.compute.raw()) })
    }

    fn launch(&self, kernel: &'static Kernel, grid: Grid, arguments: &[Argument]) -> Result<()> {
        let (core, mut work) = (&self.0, self.work()?);
        let function = work.modules.function(kernel, grid, arguments, &core.context)?;
        let mut values = [null_mut(); arguments::MOST];
        for (value, argument) in values.iter_mut().zip(arguments) {
            *value = argument.at.cast_mut().cast();
        }
        work.launched();
        core.context.launching(kernel.name());
        let Grid { blocks: [x, y, z], threads, shared } = grid;
        let (stream, values) = (core.compute.raw(), values.as_mut_ptr());
        // SAFETY: number and sizes of the arguments are those that the kernel has; their pointers are its caller's promise.
        let code = unsafe { sys::cuLaunchKernel(function, x, y, z, threads, 1, 1, shared, stream, values, null_mut()) };
        core.context.check(&format!("launch {} ({x} x {y} x {z} blocks of {threads})", kernel.name()), code)?;
        if !work.is_recording() {
            return core.finish_launch(kernel.name());
        }
        if let Some(launch) = Tunable::of(function, grid, arguments) {
            let node = core.newest_node()?;
            work.tunable.push((node, launch));
        }
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        self.work()?.refuse_while_recording("a wait")?;
        for stream in [&self.0.compute, &self.0.copy] {
            self.0.context.check("wait", stream.wait())?;
        }
        Ok(())
    }

    fn memory(&self) -> Result<Memory> {
        self.0.context.bind()?;
        self.0.free_and_total()
    }

    fn size_class(&self, bytes: usize) -> usize {
        memory::size_class(bytes)
    }

    fn renew(&self, at: Address, _bytes: usize) -> Result<()> {
        locked(&self.0.work).order.renewed(at);
        Ok(())
    }

    fn retire(&self, at: Address) {
        let mut work = locked(&self.0.work);
        if work.order.wants_retirement(at) {
            let noted = self.0.context.bind().and_then(|()| self.0.retire(&mut work, at)).is_ok();
            work.order.retired(at, noted);
        }
    }

    fn records(&self) -> bool {
        self.0.pace == Pace::Ahead
    }

    fn begin_recording(&self) -> Result<()> {
        let mut work = self.work()?;
        work.refuse_while_recording("a second recording")?;
        let begun = Event::new(&self.0.context)?;
        begun.record(&self.0.compute)?;
        work.begun = Some(begun);
        Captured::begin(&self.0)?;
        work.recorded = Some(0);
        Ok(())
    }

    fn end_recording(&self) -> Result<Box<dyn Graph>> {
        let mut work = self.work()?;
        let recorded = work.recorded.take().ok_or_else(|| fail!("gpu: no graph is being recorded"))?;
        let tunable = std::mem::take(&mut work.tunable);
        Ok(Box::new(Captured::end(&self.0, recorded, tunable)?))
    }

    fn stamp(&self) -> Result<Box<dyn Stamp>> {
        self.work()?.refuse_while_recording("a stamp")?;
        Ok(Box::new(Moment::now(&self.0)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_are_waited_for_on_demand() {
        assert_eq!([None, Some(""), Some("0")].map(Pace::of), [Pace::Ahead; 3]);
        assert_eq!(Pace::of(Some("1")), Pace::Step);
    }

    #[test]
    fn while_recording_the_host_neither_sends_nor_waits() {
        let mut work = Work::default();
        assert!(work.refuse_while_recording("an upload").is_ok());
        work.recorded = Some(0);
        work.launched();
        assert_eq!(work.recorded, Some(1));
        let text = work.refuse_while_recording("an upload").unwrap_err().to_string();
        assert_eq!(text, "gpu: an upload while a graph is recorded; do it before or after");
    }

    /// Without a GPU: a reason in one line, and no panic. With one: a description.
    #[test]
    fn a_machine_without_a_gpu_says_why() {
        match Cuda::new(0) {
            Ok(cuda) => assert!(cuda.describe().starts_with("cuda:0 (")),
            Err(error) => assert!(error.to_string().starts_with("--device cuda") && !error.to_string().contains('\n'), "{error}"),
        }
        assert_eq!(list().is_ok(), Driver::start().and_then(|driver| driver.devices()).is_ok_and(|devices| !devices.is_empty()));
    }
}
