//! The CUDA driver of this machine: whether it can be used, what its codes mean, which GPUs it knows.

use crate::base::{Error, Result, ensure, fail};
use crate::device::gpu::FATBINS;
use cudarc::driver::sys::{self, CUdevice, CUdevice_attribute, CUresult};
use std::ffi::{CStr, c_char};

/// The CUDA version whose nvcc and whose interface this is; machine code of its nvcc needs a driver as new.
const CUDA: i32 = 13000;

/// The oldest GPUs that the kernels run on.
const OLDEST: (i32, i32) = (8, 0);

/// Every function of the driver that is called (`sys` panics at one that is missing).
const FUNCTIONS: &[&str] = &[
    "cuCtxSetCurrent",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventElapsedTime_v2",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncGetAttribute",
    "cuFuncGetParamInfo",
    "cuFuncSetAttribute",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphExecKernelNodeSetParams_v2",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAlloc_v2",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD32Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamGetCaptureInfo_v3",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
];

/// The result of a call of the driver that was to do `what`.
pub fn check(what: &str, code: CUresult) -> Result<()> {
    match code {
        CUresult::CUDA_SUCCESS => Ok(()),
        code => Err(fail!("gpu: cannot {what}: {code:?}")),
    }
}

/// Whether a code means that a kernel went wrong, at some time before: every later call then says it again.
pub fn is_fault(code: CUresult) -> bool {
    use CUresult::*;
    matches!(
        code,
        CUDA_ERROR_ILLEGAL_ADDRESS
            | CUDA_ERROR_LAUNCH_TIMEOUT
            | CUDA_ERROR_ASSERT
            | CUDA_ERROR_HARDWARE_STACK_ERROR
            | CUDA_ERROR_ILLEGAL_INSTRUCTION
            | CUDA_ERROR_MISALIGNED_ADDRESS
            | CUDA_ERROR_INVALID_ADDRESS_SPACE
            | CUDA_ERROR_INVALID_PC
            | CUDA_ERROR_LAUNCH_FAILED
    )
}

/// What there is to know of a GPU before it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub name: String,
    /// Compute capability.
    pub capability: (i32, i32),
    /// Bytes.
    pub memory: u64,
    /// The most shared memory of a block, bytes.
    pub shared: u32,
}

impl Facts {
    /// For a line about the device.
    pub fn describe(&self) -> String {
        let (major, minor) = self.capability;
        format!("{}, compute capability {major}.{minor}, {}", self.name, super::memory::size(self.memory))
    }

    /// Errors: a GPU that the kernels do not run on.
    pub fn check(&self, index: usize) -> Result<()> {
        let ((major, minor), (least, least_minor)) = (self.capability, OLDEST);
        ensure!(
            self.capability >= OLDEST,
            "--device cuda:{index}: {} has compute capability {major}.{minor}, the kernels need {least}.{least_minor}; use --device cpu",
            self.name
        );
        Ok(())
    }
}

/// The driver, ready for use.
pub struct Driver {
    version: i32,
}

impl Driver {
    /// Errors: a build without kernels, no driver, one that is too old, no GPU.
    pub fn start() -> Result<Driver> {
        check_kernels(FATBINS.len())?;
        // SAFETY: this opens the system's own driver library.
        let present = unsafe { sys::is_culib_present() };
        check_present(present)?;
        // SAFETY: present, so it opens.
        let library = unsafe { sys::culib() };
        // SAFETY: the symbol is looked up and not called.
        let has = |name: &str| unsafe { library.get::<*const ()>(name.as_bytes()) }.is_ok();
        check_functions(&["cuDriverGetVersion"], has)?;
        let mut version = 0;
        // SAFETY: the function is there, and writes one int.
        check_started(unsafe { sys::cuDriverGetVersion(&raw mut version) })?;
        check_version(version)?;
        check_functions(FUNCTIONS, has)?;
        // SAFETY: no conditions.
        check_started(unsafe { sys::cuInit(0) })?;
        Ok(Driver { version })
    }

    /// The newest CUDA version that it supports, for people.
    pub fn version(&self) -> String {
        spell(self.version)
    }

    /// All GPUs, in the driver's order.
    pub fn devices(&self) -> Result<Vec<(CUdevice, Facts)>> {
        let mut count = 0;
        // SAFETY: writes one int.
        check("count the GPUs", unsafe { sys::cuDeviceGetCount(&raw mut count) })?;
        (0..count).map(device).collect()
    }
}

fn device(ordinal: i32) -> Result<(CUdevice, Facts)> {
    let mut device = 0;
    // SAFETY: writes one handle.
    check("open a GPU", unsafe { sys::cuDeviceGet(&raw mut device, ordinal) })?;
    let mut name = [0 as c_char; 256];
    // SAFETY: writes at most that many bytes, a terminating zero among them.
    check("ask a GPU's name", unsafe { sys::cuDeviceGetName(name.as_mut_ptr(), name.len() as i32, device) })?;
    // SAFETY: terminated, as said.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    let mut memory = 0;
    // SAFETY: writes one size.
    check("ask a GPU's memory", unsafe { sys::cuDeviceTotalMem_v2(&raw mut memory, device) })?;
    let attribute = |which| -> Result<i32> {
        let mut value = 0;
        // SAFETY: writes one int.
        check("ask what a GPU can do", unsafe { sys::cuDeviceGetAttribute(&raw mut value, which, device) })?;
        Ok(value)
    };
    let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let shared = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
    Ok((device, Facts { name, capability: (major, minor), memory: memory as u64, shared: shared.unsigned_abs() }))
}

/// The GPU `index` of those there are.
pub fn choose(devices: Vec<(CUdevice, Facts)>, index: usize) -> Result<(CUdevice, Facts)> {
    any(&devices)?;
    let names: Vec<&str> = devices.iter().map(|(_, facts)| facts.name.as_str()).collect();
    let known = format!("{} ({})", names.len(), names.join(", "));
    let chosen = devices.into_iter().nth(index);
    let chosen = chosen.ok_or_else(|| fail!("--device cuda:{index}: no such device; this machine has {known}, counted from cuda:0"))?;
    chosen.1.check(index)?;
    Ok(chosen)
}

/// Errors: no GPU at all.
pub fn any(devices: &[(CUdevice, Facts)]) -> Result<()> {
    if devices.is_empty() { Err(no_gpu()) } else { Ok(()) }
}

fn no_gpu() -> Error {
    fail!("--device cuda: the CUDA driver finds no GPU on this machine; use --device cpu")
}

fn check_kernels(files: usize) -> Result<()> {
    ensure!(
        files > 0,
        "--device cuda: this build carries no GPU kernels: nvcc was not found; run tools/get-nvcc.sh or set NVCC, and rebuild"
    );
    Ok(())
}

fn check_present(present: bool) -> Result<()> {
    ensure!(
        present,
        "--device cuda: no CUDA driver on this machine (libcuda.so.1 not found); install NVIDIA's driver 580 or newer, or use --device cpu"
    );
    Ok(())
}

fn check_version(version: i32) -> Result<()> {
    ensure!(
        version >= CUDA,
        "--device cuda: the driver is too old: it supports CUDA {}, the kernels need {} (driver 580 or newer); update it, or use --device cpu",
        spell(version),
        spell(CUDA)
    );
    Ok(())
}

fn check_functions(names: &[&str], has: impl Fn(&str) -> bool) -> Result<()> {
    match names.iter().find(|name| !has(name)) {
        Some(name) => Err(fail!("--device cuda: the CUDA driver lacks {name}; update it (580 or newer), or use --device cpu")),
        None => Ok(()),
    }
}

fn check_started(code: CUresult) -> Result<()> {
    match code {
        CUresult::CUDA_SUCCESS => Ok(()),
        CUresult::CUDA_ERROR_NO_DEVICE => Err(no_gpu()),
        CUresult::CUDA_ERROR_STUB_LIBRARY => Err(fail!(
            "--device cuda: the libcuda found is the toolkit's stub, not a driver; take it out of LD_LIBRARY_PATH, or use --device cpu"
        )),
        code => Err(fail!("--device cuda: the CUDA driver does not start: {code:?}; look at nvidia-smi, or use --device cpu")),
    }
}

/// 13000 as 13.0.
fn spell(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(name: &str, capability: (i32, i32)) -> (CUdevice, Facts) {
        (0, Facts { name: name.into(), capability, memory: 85_899_345_920, shared: 232_448 })
    }

    fn text<T>(result: Result<T>) -> String {
        let error = result.err().expect("an error");
        assert!(error.exit_code() == 1 && !error.to_string().contains('\n'), "{error}");
        error.to_string()
    }

    #[test]
    fn what_is_missing_is_said_with_the_cure() {
        assert!(text(check_kernels(0)).ends_with("nvcc was not found; run tools/get-nvcc.sh or set NVCC, and rebuild"));
        assert!(text(check_present(false)).contains("no CUDA driver on this machine (libcuda.so.1 not found)"));
        assert!(text(check_version(12_080)).contains("supports CUDA 12.8, the kernels need 13.0"));
        assert!(text(check_functions(FUNCTIONS, |name| name != "cuFuncGetParamInfo")).contains("lacks cuFuncGetParamInfo"));
        assert!(check_kernels(1).and(check_present(true)).and(check_version(13_000)).and(check_functions(FUNCTIONS, |_| true)).is_ok());
    }

    #[test]
    fn a_driver_that_does_not_start_says_why() {
        assert!(check_started(CUresult::CUDA_SUCCESS).is_ok());
        assert!(text(check_started(CUresult::CUDA_ERROR_NO_DEVICE)).contains("finds no GPU"));
        assert!(text(check_started(CUresult::CUDA_ERROR_STUB_LIBRARY)).contains("stub"));
        assert!(text(check_started(CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)).contains("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"));
    }

    #[test]
    fn the_device_is_chosen_by_index() {
        let both = || vec![gpu("NVIDIA A", (8, 0)), gpu("NVIDIA B", (7, 5))];
        assert_eq!(choose(both(), 0).unwrap().1.name, "NVIDIA A");
        assert_eq!(
            text(choose(both(), 2)),
            "--device cuda:2: no such device; this machine has 2 (NVIDIA A, NVIDIA B), counted from cuda:0"
        );
        assert_eq!(text(choose(both(), 1)), "--device cuda:1: NVIDIA B has compute capability 7.5, the kernels need 8.0; use --device cpu");
        assert!(text(choose(vec![], 0)).contains("finds no GPU"));
        assert_eq!(gpu("NVIDIA A", (9, 0)).1.describe(), "NVIDIA A, compute capability 9.0, 80.0 GiB");
    }

    #[test]
    fn every_function_that_is_called_is_looked_for_at_the_start() {
        let sources = [
            include_str!("context.rs"),
            include_str!("graph.rs"),
            include_str!("memory.rs"),
            include_str!("mod.rs"),
            include_str!("modules.rs"),
            include_str!("driver.rs"),
        ];
        let mut called: Vec<&str> = Vec::new();
        for source in sources {
            called.extend(
                source
                    .split("sys::")
                    .skip(1)
                    .filter_map(|rest| rest.split('(').next())
                    .filter(|name| name.starts_with("cu") && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')),
            );
        }
        called.retain(|name| !["culib", "cuDriverGetVersion"].contains(name));
        called.sort_unstable();
        called.dedup();
        assert_eq!(called, FUNCTIONS);
    }

    #[test]
    fn faults_are_told_from_refusals() {
        assert!(is_fault(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS) && is_fault(CUresult::CUDA_ERROR_LAUNCH_FAILED));
        assert!(!is_fault(CUresult::CUDA_ERROR_OUT_OF_MEMORY) && !is_fault(CUresult::CUDA_ERROR_INVALID_VALUE));
        assert_eq!(text(check("make a stream", CUresult::CUDA_ERROR_INVALID_VALUE)), "gpu: cannot make a stream: CUDA_ERROR_INVALID_VALUE");
    }
}
