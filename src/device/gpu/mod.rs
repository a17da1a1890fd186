//! A GPU: memory from a pool, kernels by name, and one function through which every launch goes.
//!
//! Two launchers stand behind it: CUDA, and an emulator that runs the very same kernels on the CPU. Nothing above
//! this room knows which. Launches are asynchronous and ordered; only a download waits.

mod arguments;
mod cuda;
mod emulated;
mod kernels;
mod launcher;
mod pool;
mod recording;

pub use arguments::{Launch, OnGpu, OnGpuMut};
pub use emulated::{Flavour, Order};
pub use kernels::{ALL as KERNELS, FATBINS, kernel};
pub use launcher::{Address, Argument, Grid, Kernel, Launcher, Memory};
pub(super) use pool::Block;
pub use recording::{Recording, Workspace};

use super::Precision;
use crate::base::Result;
use pool::Pool;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A GPU device: a cheap handle, cloned freely.
#[derive(Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
    precision: Precision,
}

struct Inner {
    launcher: Arc<dyn Launcher>,
    /// The pool that new buffers come from; another one while a graph is recorded.
    pool: Mutex<Arc<Pool>>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl Gpu {
    /// The CUDA device `index`.
    ///
    /// Errors: a build without kernels, no driver or one too old, no such device, a GPU older than sm_80.
    pub fn cuda(index: usize) -> Result<Gpu> {
        Ok(Gpu::of(cuda::Cuda::new(index)?))
    }

    /// The emulator on `threads` threads of this machine (None: one a core).
    ///
    /// Errors: a build without an emulator.
    pub fn emulated(threads: Option<usize>, order: Order, flavour: Flavour) -> Result<Gpu> {
        Ok(Gpu::of(emulated::Emulated::new(threads, order, flavour)?))
    }

    /// One line for each CUDA device of this machine. Errors: as [`Gpu::cuda`].
    pub fn list() -> Result<Vec<String>> {
        cuda::list()
    }

    fn of(launcher: impl Launcher + 'static) -> Gpu {
        let launcher: Arc<dyn Launcher> = Arc::new(launcher);
        let pool = Mutex::new(Arc::new(Pool::new(launcher.clone())));
        Gpu { inner: Arc::new(Inner { launcher, pool }), precision: Precision::F32 }
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        self.inner.launcher.describe()
    }

    /// The same GPU and memory, computing products in `precision`.
    #[must_use]
    pub fn with_precision(&self, precision: Precision) -> Gpu {
        Gpu { precision, ..self.clone() }
    }

    /// The precision of products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The launcher behind it.
    pub fn launcher(&self) -> &dyn Launcher {
        &*self.inner.launcher
    }

    /// The pool that buffers come from now.
    pub(super) fn pool(&self) -> Arc<Pool> {
        self.inner.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_pool(&self, pool: Arc<Pool>) {
        *self.inner.pool.lock().unwrap_or_else(PoisonError::into_inner) = pool;
    }

    /// Start a launch of `kernel`: give it its arguments in order, then [`Launch::go`].
    pub fn run(&self, kernel: &'static Kernel, grid: Grid) -> Launch<'_> {
        Launch::new(self.launcher(), kernel, grid)
    }

    /// Give memory that nobody holds back to the system. Waits.
    pub fn trim(&self) {
        self.wait();
        self.pool().empty();
    }

    /// Wait until all that was launched is done. A fault of an earlier launch is raised here at the latest.
    pub fn wait(&self) {
        self.launcher().wait().unwrap_or_else(|error| super::raise(error));
    }
}
