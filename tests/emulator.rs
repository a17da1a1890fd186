//! The emulator's own regression test: kernels with a bug each (`kernels/emulator/bugs.cu`) must be reported, their correct
//! twins must not, in both flavours and all three thread orders; handles are independent; bad launches are refused.
//! The kernels are compiled here, with `$CXX`, `c++` or `g++`; where there is none the tests say so and pass.

use std::collections::hash_map::DefaultHasher;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs, thread};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

const ORDERS: [&str; 3] = ["forward", "reverse", "random"];
const FLOATS: usize = 256;

/// What a flavour must make of a kernel.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// An error that contains this text, in every order.
    Report(&'static str),
    /// No error, but NaN somewhere, or results that depend on the order.
    Wrong,
    /// Nothing: this flavour cannot see it (or there is nothing to see).
    Silent,
}
use Expect::{Report, Silent, Wrong};

/// Name, blocks, threads a block, what the fast and what the checked flavour must do.
const BUGS: &[(&str, u32, u32, Expect, Expect)] = &[
    ("bug_no_barrier_in_loop", 1, 256, Wrong, Report("write-after-read race, shared memory")),
    ("bug_no_syncwarp", 1, 32, Wrong, Report(", shared memory byte")),
    ("bug_equal_writes", 1, 64, Silent, Report("write-after-write race, shared memory")),
    ("bug_shared_static_beyond", 1, 64, Silent, Report("index outside its array")),
    ("bug_shared_dynamic_beyond", 1, 64, Silent, Report("past dynamic shared memory (offset 256 of 256)")),
    ("bug_shared_unwritten", 1, 64, Silent, Report("read of uninitialised memory, shared memory")),
    ("bug_divergent_barrier", 1, 64, Report("divergent barrier"), Report("divergent barrier")),
    ("bug_return_before_shuffle", 1, 64, Report("deadlock"), Report("deadlock")),
    ("bug_barrier_in_branch", 1, 64, Report("deadlock"), Report("deadlock")),
    ("bug_mma_without_a_lane", 1, 32, Report("deadlock"), Report("deadlock")),
    ("bug_shuffle_from_outside", 1, 32, Report("reads lane 20, which is not in mask"), Report("reads lane 20, which is not in mask")),
    ("bug_ldmatrix_misaligned", 1, 32, Report("no multiple of 16"), Report("no multiple of 16")),
    ("bug_ldmatrix_of_global", 1, 32, Report("outside shared memory"), Report("outside shared memory")),
    ("bug_cp_async_without_barrier", 1, 64, Wrong, Report(", shared memory byte")),
    ("bug_cp_async_without_wait", 1, 64, Wrong, Report("cp.async still in flight")),
    ("bug_cp_async_misaligned", 1, 64, Report("not multiples of 16"), Report("not multiples of 16")),
    ("bug_cp_async_beyond", 1, 64, Report("0 bytes beyond an allocation of"), Report("0 bytes beyond an allocation of")),
    ("bug_global_beyond_by_one", 5, 64, Report("0 bytes beyond an allocation of"), Report("0 bytes beyond an allocation of")),
    ("bug_global_before_by_one", 1, 64, Wrong, Report("4 bytes before an allocation of 1024 bytes")),
    ("bug_global_far_before", 1, 64, Report("before an allocation of 1024 bytes"), Report("before an allocation of 1024 bytes")),
    ("bug_null_pointer", 1, 64, Report("null pointer"), Report("null pointer")),
    ("bug_misaligned_vector", 1, 32, Silent, Report("misaligned access")),
    ("bug_shift_by_all_bits", 1, 32, Silent, Report("shift by as many bits")),
    ("bug_signed_overflow", 1, 32, Silent, Report("signed overflow of a product")),
    ("bug_float_too_large", 1, 32, Silent, Report("float too large for the integer")),
    ("bug_global_writes_of_two_blocks", 2, 64, Silent, Report("write-after-write race, global memory")),
    ("bug_global_read_of_other_block", 2, 64, Wrong, Report("race, global memory")),
    ("bug_global_write_after_others_read", 2, 64, Wrong, Report("race, global memory")),
    ("bug_global_without_barrier", 2, 64, Wrong, Report("race, global memory")),
    ("ok_shared_exchange", 1, 256, Silent, Silent),
    ("ok_shared_syncwarp", 1, 32, Silent, Silent),
    ("ok_shared_dynamic", 1, 64, Silent, Silent),
    ("ok_block_sum", 1, 256, Silent, Silent),
    ("ok_cp_async", 1, 64, Silent, Silent),
    ("ok_cp_async_pending_at_end", 1, 64, Silent, Silent),
    ("ok_global_own_bytes", 2, 64, Silent, Silent),
    ("ok_global_shared_reads", 2, 64, Silent, Silent),
    ("ok_global_atomics", 2, 64, Silent, Silent),
    ("ok_global_exchange", 2, 64, Silent, Silent),
    ("ok_global_syncwarp", 2, 32, Silent, Silent),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flavour {
    Fast,
    Checked,
}

/// The functions of one flavour's library.
struct Emulator {
    new: unsafe extern "C" fn(c_int, u64, c_int) -> *mut c_void,
    delete: unsafe extern "C" fn(*mut c_void),
    error: unsafe extern "C" fn(*mut c_void) -> *const c_char,
    alloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, *mut c_void),
    launch: Launch,
}
type Launch =
    unsafe extern "C" fn(*mut c_void, *const c_char, u32, u32, u32, u32, u32, u32, u32, *const *const c_void, *const u32, c_int) -> c_int;

impl Emulator {
    fn load(path: &Path) -> Emulator {
        // SAFETY: the library was built by this test from the signatures that are named here; it is never unloaded.
        unsafe {
            let library = Box::leak(Box::new(Library::open(Some(path), RTLD_NOW | RTLD_LOCAL).expect("the library loads")));
            macro_rules! symbol {
                ($name:literal) => {
                    *library.get(concat!($name, "\0").as_bytes()).expect($name)
                };
            }
            Emulator {
                new: symbol!("emu_new"),
                delete: symbol!("emu_delete"),
                error: symbol!("emu_error"),
                alloc: symbol!("emu_alloc"),
                free: symbol!("emu_free"),
                launch: symbol!("emu_launch"),
            }
        }
    }

    fn handle(&self, order: usize, seed: u64, threads: usize) -> Handle<'_> {
        // SAFETY: plain numbers.
        let raw = unsafe { (self.new)(order as c_int, seed, threads as c_int) };
        assert!(!raw.is_null(), "emu_new({order}, {seed}, {threads})");
        Handle { emulator: self, raw }
    }
}

/// A handle, deleted when it goes.
struct Handle<'a> {
    emulator: &'a Emulator,
    raw: *mut c_void,
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `emu_new`, deleted once.
        unsafe { (self.emulator.delete)(self.raw) }
    }
}

/// An argument as bytes.
struct Arg(Vec<u8>);
fn pointer<T>(p: *mut T) -> Arg {
    Arg((p as usize).to_ne_bytes().to_vec())
}
fn int(v: u32) -> Arg {
    Arg(v.to_ne_bytes().to_vec())
}
fn float(v: f32) -> Arg {
    Arg(v.to_ne_bytes().to_vec())
}

impl Handle<'_> {
    /// `n` numbers of device memory; the emulator's memory is the host's too.
    fn alloc<T>(&self, n: usize) -> &'static mut [T] {
        // SAFETY: as many bytes as asked, aligned to 16, alive until freed; handles outlive their use in a test.
        unsafe { std::slice::from_raw_parts_mut((self.emulator.alloc)(self.raw, n * size_of::<T>()).cast(), n) }
    }

    fn launch(&self, name: &str, blocks: u32, threads: u32, shared: u32, args: &[Arg]) -> Result<(), String> {
        let name = CString::new(name).expect("no zero in a name");
        let pointers: Vec<*const c_void> = args.iter().map(|a| a.0.as_ptr().cast()).collect();
        let sizes: Vec<u32> = args.iter().map(|a| a.0.len() as u32).collect();
        // SAFETY: `args` holds as many bytes as `sizes` says; a wrong launch is refused.
        unsafe {
            let (pointers, sizes) = (pointers.as_ptr(), sizes.as_ptr());
            match (self.emulator.launch)(self.raw, name.as_ptr(), blocks, 1, 1, threads, 1, 1, shared, pointers, sizes, args.len() as c_int)
            {
                0 => Ok(()),
                _ => Err(CStr::from_ptr((self.emulator.error)(self.raw)).to_string_lossy().into_owned()),
            }
        }
    }
}

/// Runs `command`, with its output in the panic if it fails.
fn run(command: &mut Command) {
    let out = command.output().expect("the compiler starts");
    assert!(out.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&out.stderr));
}

fn compiler() -> Option<String> {
    let named = env::var("CXX").ok();
    named.into_iter().chain(["c++".into(), "g++".into()]).find(|cxx| Command::new(cxx).arg("--version").output().is_ok())
}

/// Compiles emulator and bugs to `library`; the flags are told in `kernels/emulator/README.md`.
fn build(cxx: &str, flavour: Flavour, library: &Path) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/emulator");
    let object = library.with_extension("o");
    let base = |level: &str| {
        let mut command = Command::new(cxx);
        command.args(["-std=c++20", level, "-fPIC", "-g1", "-fvisibility=hidden", "-ffp-contract=off", "-fno-strict-aliasing", "-pthread"]);
        if cfg!(target_arch = "x86_64") {
            command.arg("-march=x86-64-v3"); // as build/emulator.rs has it
        }
        if flavour == Flavour::Checked {
            command.arg("-DEMU_CHECKED=1");
        }
        command
    };
    let mut kernels = base("-O2");
    if flavour == Flavour::Checked {
        kernels.arg(concat!(
            "-fsanitize=thread,alignment,bounds,shift-exponent,",
            "integer-divide-by-zero,signed-integer-overflow,float-cast-overflow"
        ));
    }
    run(kernels.args(["-x", "c++", "-c"]).arg(folder.join("bugs.cu")).arg("-o").arg(&object));
    let sources = ["fiber", "launch", "memory", "schedule", "shadow", "warp"].map(|stem| folder.join(stem).with_extension("cpp"));
    let unfinished = library.with_extension("tmp");
    run(base("-O2").args(["-shared", "-o"]).arg(&unfinished).args(sources).arg(&object).args(["-Wl,-z,nodelete", "-ldl"]));
    fs::rename(unfinished, library).expect("renamed");
}

/// Both flavours, compiled once for each state of the sources; `None` where there is no compiler.
fn emulators() -> Option<&'static [(Flavour, Emulator); 2]> {
    static LOADED: OnceLock<Option<[(Flavour, Emulator); 2]>> = OnceLock::new();
    let load = || {
        let Some(cxx) = compiler() else {
            eprintln!("no C++ compiler: the emulator is not tested");
            return None;
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder.join("emulator")).expect("sources").map(|entry| entry.expect("entry").path()).collect();
        files.extend([folder.join("gpu.cuh"), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulator.rs")]);
        files.sort();
        let mut hasher = DefaultHasher::new();
        cxx.hash(&mut hasher);
        files.iter().for_each(|file| fs::read(file).expect("readable").hash(&mut hasher));
        let hash = hasher.finish();
        Some([Flavour::Fast, Flavour::Checked].map(|flavour| {
            let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bugs-{flavour:?}-{hash:016x}.so"));
            if !library.exists() {
                build(&cxx, flavour, &library);
            }
            (flavour, Emulator::load(&library))
        }))
    };
    LOADED.get_or_init(load).as_ref()
}

/// Runs a kernel of the table on p[i] = i, twice (launches are ordered); p afterwards, or the error.
fn run_bug(handle: &Handle, name: &str, blocks: u32, threads: u32) -> Result<Vec<f32>, String> {
    let p = handle.alloc::<f32>(FLOATS);
    for _ in 0..2 {
        (0..FLOATS).for_each(|i| p[i] = i as f32);
        handle.launch(name, blocks, threads, 4 * threads, &[pointer(p.as_mut_ptr()), int(FLOATS as u32)])?;
    }
    let result = p.to_vec();
    // SAFETY: allocated above, not used after.
    unsafe { (handle.emulator.free)(handle.raw, p.as_mut_ptr().cast()) };
    Ok(result)
}

#[test]
fn every_bug_is_caught_and_no_twin_is_blamed() {
    let Some(emulators) = emulators() else { return };
    let mut failures = Vec::new();
    for (flavour, emulator) in emulators {
        for &(name, blocks, threads, fast, checked) in BUGS {
            let expect = if *flavour == Flavour::Fast { fast } else { checked };
            let results = [0, 1, 2].map(|order| run_bug(&emulator.handle(order, 7, 1 + order % 2), name, blocks, threads));
            let bits = |r: &Result<Vec<f32>, String>| r.as_ref().map(|p| p.iter().map(|x| x.to_bits()).collect::<Vec<_>>()).ok();
            let same = bits(&results[0]) == bits(&results[1]) && bits(&results[0]) == bits(&results[2]);
            let nan = results.iter().flatten().flatten().any(|x| x.is_nan());
            for (order, result) in ORDERS.iter().zip(&results) {
                let good = match (expect, result) {
                    (Report(text), Err(error)) => error.contains(text) && error.contains(&format!("kernel {name} block (")),
                    (Wrong, Ok(_)) => nan || !same,
                    (Silent, Ok(_)) => !name.starts_with("ok_") || (same && !nan),
                    _ => false,
                };
                if !good {
                    failures.push(format!("{flavour:?} {order} {name}: expected {expect:?}, got {result:.300?}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
#[cfg(target_arch = "x86_64")] // elsewhere a division by zero is zero
fn a_division_by_zero_is_an_error() {
    let Some(emulators) = emulators() else { return };
    for (flavour, emulator) in emulators {
        let error = run_bug(&emulator.handle(0, 1, 1), "bug_division_by_zero", 1, 32).expect_err("it divides by zero");
        assert!(error.contains("integer division by zero"), "{flavour:?}: {error}");
    }
}

#[test]
fn a_report_names_file_and_line() {
    let Some([_, (_, checked)]) = emulators() else { return };
    if Command::new("addr2line").arg("--version").output().is_err() {
        return eprintln!("no addr2line: lines are not tested");
    }
    let error = run_bug(&checked.handle(0, 1, 1), "bug_global_writes_of_two_blocks", 2, 64).expect_err("a race");
    let source = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/emulator/bugs.cu")).expect("readable");
    let line = 1 + source.lines().position(|l| l.contains("KERNEL(bug_global_writes_of_two_blocks")).expect("there");
    assert!(error.contains(&format!("at bugs.cu:{line}")), "{error}");
    assert_eq!(error.split("; ").count(), 8, "at most eight reports a launch: {error}");
}

#[test]
fn bad_launches_are_refused() {
    let Some(emulators) = emulators() else { return };
    for (_, emulator) in emulators {
        let handle = emulator.handle(0, 1, 1);
        let x = handle.alloc::<f32>(64);
        let geometry = || Arg([8u32.to_ne_bytes(), 8u32.to_ne_bytes()].concat());
        x.fill(3.0);
        let p = || pointer(x.as_ptr().cast_mut());
        let refused = |threads, shared, args: &[Arg]| handle.launch("scale", 1, threads, shared, args).expect_err("refused");
        assert_eq!(handle.launch("scales", 1, 64, 0, &[]), Err("no kernel is called scales".into()));
        assert_eq!(refused(64, 0, &[geometry(), p(), p()]), "scale: wants 4 arguments, got 3");
        assert_eq!(refused(64, 0, &[geometry(), int(3), p(), float(2.0)]), "scale: argument 2 (const float* x) wants 8 bytes, got 4");
        assert_eq!(refused(64, 0, &[int(8), p(), p(), float(2.0)]), "scale: argument 1 (Geometry g) wants 8 bytes, got 4");
        assert_eq!(refused(96, 0, &[geometry(), p(), p(), float(2.0)]), "scale: a block of 96 threads, its launch bounds allow 1 to 64");
        let refusal = "scale: 232449 bytes of dynamic shared memory, a block has 232448";
        assert_eq!(refused(64, 232449, &[geometry(), p(), p(), float(2.0)]), refusal);
        assert!(handle.launch("scale", 0, 64, 0, &[geometry(), p(), p(), float(2.0)]).is_err());
        let y = handle.alloc::<f32>(64);
        assert!(y.iter().all(|v| v.to_bits() == u32::MAX), "fresh memory is 0xFF");
        handle.launch("scale", 1, 64, 0, &[geometry(), p(), pointer(y.as_mut_ptr()), float(2.0)]).expect("runs");
        assert!(y.iter().all(|&v| v == 6.0));
    }
}

/// turns[i]: when thread i ran.
fn turns(emulator: &Emulator, order: usize, seed: u64) -> Vec<u32> {
    let handle = emulator.handle(order, seed, 1);
    let (counter, turn) = (handle.alloc::<u32>(1), handle.alloc::<u32>(256));
    counter[0] = 0;
    handle.launch("turns", 4, 64, 0, &[pointer(counter.as_mut_ptr()), pointer(turn.as_mut_ptr())]).expect("runs");
    turn.to_vec()
}

#[test]
fn thread_orders_differ() {
    let Some(emulators) = emulators() else { return };
    for (_, emulator) in emulators {
        let forward: Vec<u32> = (0..256).collect();
        assert_eq!(turns(emulator, 0, 1), forward);
        assert_eq!(turns(emulator, 1, 1), forward.iter().rev().copied().collect::<Vec<_>>());
        let random = turns(emulator, 2, 1);
        assert_eq!(turns(emulator, 2, 1), random, "the same seed gives the same order");
        assert_ne!(turns(emulator, 2, 2), random, "another seed another");
        let mut sorted = random.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, forward, "every thread runs once");
        assert_ne!(random, forward);
    }
}

/// Two handles at once, each with two threads of its own, one failing all the time: neither disturbs the other.
#[test]
fn handles_do_not_disturb_each_other() {
    let Some(emulators) = emulators() else { return };
    for (_, emulator) in emulators {
        let good = || {
            let handle = emulator.handle(2, 5, 2);
            for _ in 0..100 {
                let p = run_bug(&handle, "ok_global_exchange", 4, 64).expect("no bug");
                assert!((0..FLOATS).all(|i| p[i] == 63.0 - (i % 64) as f32));
            }
        };
        let bad = || {
            let handle = emulator.handle(0, 5, 2);
            for _ in 0..100 {
                assert!(run_bug(&handle, "bug_global_beyond_by_one", 5, 64).expect_err("a fault").contains("beyond"));
            }
        };
        thread::scope(|scope| {
            scope.spawn(good);
            scope.spawn(bad);
            scope.spawn(good);
        });
    }
}

/// Where there is a C++ compiler the program carries both flavours, so that no case table is skipped unnoticed.
#[test]
fn the_program_carries_it_where_there_is_a_compiler() {
    use caltrop::device;
    if compiler().is_none() {
        return;
    }
    for flavour in [device::Flavour::Fast, device::Flavour::Checked] {
        device::Gpu::emulated(Some(1), device::Order::default(), flavour).expect("an emulator in this build");
    }
}
