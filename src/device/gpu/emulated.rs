//! The emulator: the kernels, compiled by a C++ compiler, on threads of this machine (`kernels/emulator`).

use super::kernels::{CHECKED, EMULATOR};
use super::launcher::{Address, Argument, Graph, Grid, Kernel, Launcher, Memory, Stamp, Tuning};
use crate::base::{Error, Kind, Result, ensure, fail, usage};
use libloading::{Library, Symbol};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// In which order the threads of a block run when any of them could. Results must not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By their number.
    #[default]
    Forward,
    /// The last first.
    Reverse,
    /// Drawn with this seed.
    Random(u64),
}

/// How the kernels were compiled for the emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavour {
    /// For speed.
    #[default]
    Fast,
    /// With every access checked: races, bounds, memory that nobody wrote.
    Checked,
}

/// `emu_*` of one shared object; each device has a handle of its own.
struct Module {
    /// Kept loaded: the functions below point into it.
    _library: Library,
    new: unsafe extern "C" fn(c_int, u64, c_int) -> *mut c_void,
    delete: unsafe extern "C" fn(*mut c_void),
    error: unsafe extern "C" fn(*mut c_void) -> *const c_char,
    alloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, *mut c_void),
    #[allow(clippy::type_complexity)] // the C signature
    launch:
        unsafe extern "C" fn(*mut c_void, *const c_char, u32, u32, u32, u32, u32, u32, u32, *mut *mut c_void, *const u32, c_int) -> c_int,
}

impl Module {
    /// Each flavour is loaded once.
    fn get(flavour: Flavour) -> Result<&'static Module> {
        static MODULES: [OnceLock<Result<Module>>; 2] = [const { OnceLock::new() }; 2];
        let code = match flavour {
            Flavour::Fast => EMULATOR,
            Flavour::Checked => CHECKED,
        };
        let code = code.ok_or_else(|| {
            fail!("--device emulated: this build carries no emulator: no C++ compiler was found; install g++ or set CXX, and rebuild")
        })?;
        MODULES[flavour as usize].get_or_init(|| Module::load(code)).as_ref().map_err(Error::clone)
    }

    fn load(code: &[u8]) -> Result<Module> {
        ensure!(able(), "--device emulated: this processor lacks AVX2 and its like, which the emulator is compiled for; use --device cpu");
        let refused = |cause: &dyn std::fmt::Display| fail!("--device emulated: cannot load the emulator: {cause}");
        let file = Code::new(code).map_err(|cause| refused(&cause))?;
        // SAFETY: the object is our own; it has no initialisers that rely on the host.
        let library = unsafe { Library::new(file.path()) }.map_err(|cause| refused(&cause))?;
        macro_rules! function {
            ($name:literal) => {{
                // SAFETY: the signature is that of kernels/emulator.
                let symbol: Symbol<_> = unsafe { library.get($name) }.map_err(|cause| refused(&cause))?;
                *symbol
            }};
        }
        Ok(Module {
            new: function!(b"emu_new"),
            delete: function!(b"emu_delete"),
            error: function!(b"emu_error"),
            alloc: function!(b"emu_alloc"),
            free: function!(b"emu_free"),
            launch: function!(b"emu_launch"),
            _library: library,
        })
    }
}

/// Whether this processor has the instructions that build/emulator.rs compiles for (x86-64-v3). Nothing of the library may
/// run before this is known.
#[cfg(target_arch = "x86_64")]
fn able() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("movbe")
}

#[cfg(not(target_arch = "x86_64"))]
fn able() -> bool {
    true
}

/// A file that holds the shared object while it is loaded: it lives in memory, and vanishes when closed.
#[cfg(target_os = "linux")]
struct Code(std::fs::File);

#[cfg(target_os = "linux")]
impl Code {
    fn new(code: &[u8]) -> std::io::Result<Code> {
        use std::io::Write;
        use std::os::fd::FromRawFd;
        // SAFETY: a C string and a flag; the result is checked, and owned by nobody else.
        let fd = unsafe { libc::memfd_create(c"caltrop-emulator".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: just opened.
        let mut file = unsafe { std::fs::File::from_raw_fd(fd) };
        file.write_all(code)?;
        Ok(Code(file))
    }

    fn path(&self) -> std::path::PathBuf {
        use std::os::fd::AsRawFd;
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

#[cfg(not(target_os = "linux"))]
struct Code;

#[cfg(not(target_os = "linux"))]
impl Code {
    fn new(_: &[u8]) -> std::io::Result<Code> {
        Err(std::io::Error::other("only Linux is supported"))
    }

    fn path(&self) -> std::path::PathBuf {
        unreachable!("never made")
    }
}

/// One emulator: its threads, its memory, its errors.
pub struct Emulated {
    handle: Arc<Handle>,
    threads: usize,
    flavour: Flavour,
    notes: Mutex<Option<Vec<Note>>>,
}

struct Handle {
    module: &'static Module,
    /// One launch at a time.
    raw: Mutex<Raw>,
}

struct Raw(*mut c_void);

// SAFETY: the handle has no thread of its own to insist on; the mutex around it lets one thread in at a time.
unsafe impl Send for Raw {}

impl Drop for Handle {
    fn drop(&mut self) {
        let raw = self.raw.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: made by emu_new, deleted once.
        unsafe { (self.module.delete)(raw.0) };
    }
}

impl Handle {
    /// Do what was noted.
    fn perform(&self, note: &Note) -> Result<()> {
        match note {
            Note::Launch { kernel, grid, arguments } => {
                let raw = self.raw.lock().unwrap_or_else(PoisonError::into_inner);
                let mut pointers: Vec<*mut c_void> = arguments.iter().map(|bytes| bytes.as_ptr().cast_mut().cast()).collect();
                let sizes: Vec<u32> = arguments.iter().map(|bytes| bytes.len).collect();
                let Grid { blocks: [x, y, z], threads, shared } = *grid;
                let (values, sizes, count) = (pointers.as_mut_ptr(), sizes.as_ptr(), arguments.len() as c_int);
                // SAFETY: the emulator checks number and sizes of the arguments against the kernel's, and that every
                // address in it is one that it gave out.
                let code =
                    unsafe { (self.module.launch)(raw.0, kernel.name.as_ptr(), x, y, z, threads, 1, 1, shared, values, sizes, count) };
                if code == 0 {
                    return Ok(());
                }
                // SAFETY: a C string that lives until the next launch of this handle, which the lock holds off.
                let text = unsafe { CStr::from_ptr((self.module.error)(raw.0)) };
                Err(fail!("gpu: {}", text.to_string_lossy()))
            }
            Note::Copy { to, from, bytes } => {
                // SAFETY: both ranges lie in buffers (the pool's blocks are at least as long as their buffers).
                unsafe { std::ptr::copy(from.0 as *const u8, to.0 as *mut u8, *bytes) };
                Ok(())
            }
            Note::Fill { to, word, count } => {
                // SAFETY: as above; blocks are aligned to 16 bytes.
                unsafe { std::slice::from_raw_parts_mut(to.0 as *mut u32, *count) }.fill(*word);
                Ok(())
            }
        }
    }
}

/// A piece of work.
#[derive(Clone)]
enum Note {
    Launch { kernel: &'static Kernel, grid: Grid, arguments: Vec<Value> },
    Copy { to: Address, from: Address, bytes: usize },
    Fill { to: Address, word: u32, count: usize },
}

/// The most 8-byte words of an argument.
const VALUE_WORDS: usize = 16;

/// The bytes of an argument, aligned.
#[derive(Clone)]
struct Value {
    words: [u64; VALUE_WORDS],
    len: u32,
    tuning: Tuning,
}

impl Value {
    fn as_ptr(&self) -> *const u64 {
        self.words.as_ptr()
    }

    fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len as usize]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len as usize]
    }
}

impl Emulated {
    /// An emulator on `threads` threads (None: one a core).
    pub fn new(threads: Option<usize>, order: Order, flavour: Flavour) -> Result<Emulated> {
        let module = Module::get(flavour)?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.unwrap_or_else(cores);
        if threads == 0 {
            return Err(usage!("--threads 0: at least one thread is needed"));
        }
        let (mode, seed) = match order {
            Order::Forward => (0, 0),
            Order::Reverse => (1, 0),
            Order::Random(seed) => (2, seed),
        };
        // SAFETY: plain numbers in, a handle out.
        let raw = unsafe { (module.new)(mode, seed, threads as c_int) };
        ensure!(!raw.is_null(), "--device emulated: the emulator did not start with {threads} threads; try --threads 1");
        Ok(Emulated { handle: Arc::new(Handle { module, raw: Mutex::new(Raw(raw)) }), threads, flavour, notes: Mutex::new(None) })
    }

    /// Do the work now, or note it while recording.
    fn order(&self, note: Note) -> Result<()> {
        match &mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(notes) => notes.push(note),
            None => return self.handle.perform(&note),
        }
        Ok(())
    }

    fn not_while_recording(&self, what: &str) -> Result<()> {
        let recording = self.notes.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        ensure!(!recording, "gpu: {what} while a graph is recorded; do it before or after");
        Ok(())
    }
}

impl Launcher for Emulated {
    fn describe(&self) -> String {
        let checked = if self.flavour == Flavour::Checked { ", every access checked" } else { "" };
        format!("emulated GPU ({} threads{checked})", self.threads)
    }

    fn alloc(&self, bytes: usize) -> Result<Address> {
        let raw = self.handle.raw.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: a number in, an address out.
        let at = unsafe { (self.handle.module.alloc)(raw.0, bytes) };
        if at.is_null() {
            let text = format!("gpu: out of memory: {bytes} bytes were asked of the emulator; lower the batch size or the steps T");
            return Err(Error::new(Kind::Memory, text));
        }
        Ok(Address(at as u64))
    }

    fn free(&self, at: Address) {
        let raw = self.handle.raw.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: an address of emu_alloc, freed once: the pool hands each block to one owner.
        unsafe { (self.handle.module.free)(raw.0, at.0 as *mut c_void) };
    }

    fn upload(&self, to: Address, bytes: &[u8]) -> Result<()> {
        self.not_while_recording("an upload")?;
        // SAFETY: `to` is a block at least as long; launches are synchronous, so nobody reads it now.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.0 as *mut u8, bytes.len()) };
        Ok(())
    }

    fn download(&self, bytes: &mut [u8], from: Address) -> Result<()> {
        self.not_while_recording("a download")?;
        // SAFETY: as for an upload.
        unsafe { std::ptr::copy_nonoverlapping(from.0 as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn copy(&self, to: Address, from: Address, bytes: usize) -> Result<()> {
        self.order(Note::Copy { to, from, bytes })
    }

    fn fill(&self, to: Address, word: u32, count: usize) -> Result<()> {
        self.order(Note::Fill { to, word, count })
    }

    fn launch(&self, kernel: &'static Kernel, grid: Grid, arguments: &[Argument]) -> Result<()> {
        let value = |argument: &Argument| {
            let mut value = Value { words: [0; VALUE_WORDS], len: argument.bytes, tuning: argument.tuning };
            assert!(argument.bytes as usize <= VALUE_WORDS * 8, "{}: an argument of {} bytes", kernel.name(), argument.bytes);
            // SAFETY: it points to a readable value of that size (the contract of launch).
            value.bytes_mut().copy_from_slice(unsafe { argument.value() });
            value
        };
        self.order(Note::Launch { kernel, grid, arguments: arguments.iter().map(value).collect() })
    }

    fn wait(&self) -> Result<()> {
        self.not_while_recording("a wait")
    }

    fn memory(&self) -> Result<Memory> {
        // The machine's own; nobody is refused by this number.
        Ok(Memory { free: u64::MAX, total: u64::MAX })
    }

    /// Exact, so that the guard page begins where the buffer ends.
    fn size_class(&self, bytes: usize) -> usize {
        bytes
    }

    /// What was there is gone: a kernel that does not write what it should leaves NaN.
    fn renew(&self, at: Address, bytes: usize) -> Result<()> {
        // SAFETY: a block of that size, owned by the caller alone.
        unsafe { std::ptr::write_bytes(at.0 as *mut u8, 0xFF, bytes) };
        Ok(())
    }

    fn begin_recording(&self) -> Result<()> {
        self.not_while_recording("a second recording")?;
        *self.notes.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
        Ok(())
    }

    fn end_recording(&self) -> Result<Box<dyn Graph>> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner).take();
        let notes = notes.ok_or_else(|| fail!("gpu: no graph is being recorded"))?;
        Ok(Box::new(Notes { handle: self.handle.clone(), notes }))
    }

    fn stamp(&self) -> Result<Box<dyn Stamp>> {
        Ok(Box::new(Moment(Instant::now())))
    }
}

/// Noted work of an emulator.
struct Notes {
    handle: Arc<Handle>,
    notes: Vec<Note>,
}

impl Graph for Notes {
    fn replay(&self) -> Result<()> {
        self.notes.iter().try_for_each(|note| self.handle.perform(note))
    }

    fn turn(&mut self, from: &[u8], to: &[u8]) -> Result<usize> {
        let arguments =
            self.notes.iter_mut().filter_map(|note| if let Note::Launch { arguments, .. } = note { Some(arguments) } else { None });
        let dials = arguments.flatten().filter(|value| value.tuning == Tuning::Dial && value.bytes() == from);
        Ok(dials.map(|value| value.bytes_mut().copy_from_slice(to)).count())
    }

    fn len(&self) -> usize {
        self.notes.len()
    }
}

/// Launches are synchronous, so the host's clock is the emulator's.
struct Moment(Instant);

impl Stamp for Moment {
    fn since(&self, earlier: &dyn Stamp) -> Result<f64> {
        let earlier = earlier.as_any().downcast_ref::<Moment>().ok_or_else(|| fail!("gpu: stamps of two devices"))?;
        Ok(self.0.duration_since(earlier.0).as_secs_f64())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
