//! The kernels on the device: a file is loaded when the first of its kernels is launched.

use super::context::Context;
use super::driver::Facts;
use super::memory::size;
use crate::base::{Error, Result, ensure, fail};
use crate::device::gpu::launcher::{Argument, Grid, Kernel};
use crate::device::gpu::{FATBINS, arguments};
use cudarc::driver::sys::{self, CUfunction, CUfunction_attribute, CUmodule, CUresult};
use std::collections::HashMap;
use std::ptr::null_mut;

/// Shared memory that a block gets without asking, bytes.
const SHARED: u32 = 48 << 10;
/// The most blocks along x, y, z.
const BLOCKS: [u32; 3] = [i32::MAX as u32, 65_535, 65_535];

/// What is loaded. The caller has bound the context for every call.
#[derive(Default)]
pub struct Modules {
    files: HashMap<&'static str, Module>,
    /// By the address of the kernel's entry in the table, which is its own.
    functions: HashMap<usize, Function>,
}

/// Unloaded by [`Modules::clear`].
struct Module(CUmodule);

// SAFETY: a module is a handle that the driver lets any thread use.
unsafe impl Send for Module {}

struct Function {
    raw: CUfunction,
    /// Bytes of each argument.
    arguments: Vec<usize>,
    /// Shared memory that it declares, bytes.
    fixed: u32,
    /// Dynamic shared memory that it may be launched with by now, bytes.
    allowed: u32,
}

// SAFETY: a function is a handle that the driver lets any thread use.
unsafe impl Send for Function {}

impl Modules {
    /// The kernel, ready for a launch like this. Errors: a GPU that it is not compiled for, arguments of other sizes,
    /// more blocks or shared memory than there can be.
    pub fn function(&mut self, kernel: &'static Kernel, grid: Grid, given: &[Argument], context: &Context) -> Result<CUfunction> {
        let key = std::ptr::from_ref(kernel) as usize;
        if !self.functions.contains_key(&key) {
            let function = Function::find(self.module(kernel.file, context)?, kernel, context)?;
            self.functions.insert(key, function);
        }
        let function = self.functions.get_mut(&key).expect("just inserted");
        check_arguments(kernel.name(), &function.arguments, given)?;
        check_blocks(kernel.name(), grid)?;
        function.allow(kernel, grid.shared, context)?;
        Ok(function.raw)
    }

    fn module(&mut self, file: &'static str, context: &Context) -> Result<CUmodule> {
        if let Some(module) = self.files.get(file) {
            return Ok(module.0);
        }
        let image = FATBINS.iter().find(|(name, _)| *name == file);
        let (_, image) = image.ok_or_else(|| fail!("gpu: this build carries no kernels/{file}.cu for GPUs; rebuild"))?;
        let mut raw = null_mut();
        // SAFETY: a fatbin of nvcc's, whose header tells its length.
        match unsafe { sys::cuModuleLoadData(&raw mut raw, image.as_ptr().cast()) } {
            CUresult::CUDA_SUCCESS => {}
            code => return Err(refused_module(file, code, &context.facts)),
        }
        self.files.insert(file, Module(raw));
        Ok(raw)
    }

    /// Unload everything.
    pub fn clear(&mut self) {
        self.functions.clear();
        for (_, module) in self.files.drain() {
            // SAFETY: loaded once, unloaded once, and its functions are forgotten.
            let _ = unsafe { sys::cuModuleUnload(module.0) };
        }
    }
}

impl Function {
    fn find(module: CUmodule, kernel: &Kernel, context: &Context) -> Result<Function> {
        let what = || format!("find the kernel {}", kernel.name());
        let mut raw = null_mut();
        // SAFETY: a loaded module and a terminated name; writes one handle.
        context.check(&what(), unsafe { sys::cuModuleGetFunction(&raw mut raw, module, kernel.name.as_ptr()) })?;
        let mut arguments = Vec::with_capacity(kernel.args);
        loop {
            let (mut offset, mut bytes) = (0, 0);
            // SAFETY: a function of a loaded module; writes two sizes.
            match unsafe { sys::cuFuncGetParamInfo(raw, arguments.len(), &raw mut offset, &raw mut bytes) } {
                CUresult::CUDA_SUCCESS => arguments.push(bytes),
                // So it answers behind the last one.
                CUresult::CUDA_ERROR_INVALID_VALUE => break,
                code => context.check(&what(), code)?,
            }
        }
        let mut fixed = 0;
        let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES;
        // SAFETY: as above; writes one int.
        context.check(&what(), unsafe { sys::cuFuncGetAttribute(&raw mut fixed, attribute, raw) })?;
        let fixed = fixed.unsigned_abs();
        Ok(Function { raw, arguments, fixed, allowed: SHARED.saturating_sub(fixed) })
    }

    /// Permit launches with `shared` bytes of dynamic shared memory.
    fn allow(&mut self, kernel: &Kernel, shared: u32, context: &Context) -> Result<()> {
        if shared <= self.allowed {
            return Ok(());
        }
        check_shared(kernel.name(), self.fixed, shared, &context.facts)?;
        let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: a function of a loaded module, and an amount that the device has.
        let code = unsafe { sys::cuFuncSetAttribute(self.raw, attribute, shared as i32) };
        context.check(&format!("give {} {shared} bytes of shared memory", kernel.name()), code)?;
        self.allowed = shared;
        Ok(())
    }
}

fn refused_module(file: &str, code: CUresult, facts: &Facts) -> Error {
    let (major, minor) = facts.capability;
    match code {
        CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU
        | CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        | CUresult::CUDA_ERROR_JIT_COMPILER_NOT_FOUND
        | CUresult::CUDA_ERROR_JIT_COMPILATION_DISABLED
        | CUresult::CUDA_ERROR_INVALID_PTX => {
            fail!(
                "gpu: kernels/{file}.cu was not compiled for compute capability {major}.{minor} ({code:?}); rebuild with CALTROP_ARCHS unset"
            )
        }
        code => fail!("gpu: cannot load kernels/{file}.cu: {code:?}"),
    }
}

fn check_arguments(name: &str, wants: &[usize], given: &[Argument]) -> Result<()> {
    ensure!(wants.len() == given.len(), "gpu: {name} was given {} arguments, it has {}", given.len(), wants.len());
    ensure!(given.len() <= arguments::MOST, "gpu: {name} has {} arguments, the most is {}", given.len(), arguments::MOST);
    let wrong = wants.iter().zip(given).position(|(&wants, given)| wants != given.bytes as usize);
    match wrong {
        Some(at) => Err(fail!("gpu: {name} was given {} bytes for its argument {}, which has {}", given[at].bytes, at + 1, wants[at])),
        None => Ok(()),
    }
}

fn check_blocks(name: &str, grid: Grid) -> Result<()> {
    let [x, y, z] = grid.blocks;
    let fits = grid.blocks.iter().zip(BLOCKS).all(|(&blocks, most)| blocks <= most);
    ensure!(
        fits,
        "gpu: {name} would need {x} x {y} x {z} blocks, the most is {} x {} x {}; lower the batch size",
        BLOCKS[0],
        BLOCKS[1],
        BLOCKS[2]
    );
    Ok(())
}

fn check_shared(name: &str, fixed: u32, dynamic: u32, facts: &Facts) -> Result<()> {
    let needs = u64::from(fixed) + u64::from(dynamic);
    ensure!(
        needs <= u64::from(facts.shared),
        "gpu: {name} needs {} of shared memory a block, {} has {}; use --device cpu",
        size(needs),
        facts.name,
        size(u64::from(facts.shared))
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::gpu::launcher::Tuning;

    fn facts() -> Facts {
        Facts { name: "NVIDIA A".into(), capability: (8, 6), memory: 24 << 30, shared: 99 << 10 }
    }

    #[test]
    fn arguments_of_another_size_are_named() {
        let given =
            |sizes: &[u32]| sizes.iter().map(|&bytes| Argument { at: std::ptr::null(), bytes, tuning: Tuning::Fixed }).collect::<Vec<_>>();
        assert!(check_arguments("k", &[8, 4], &given(&[8, 4])).is_ok());
        let text = |sizes: &[u32]| check_arguments("k", &[8, 4], &given(sizes)).unwrap_err().to_string();
        assert_eq!(text(&[8, 8]), "gpu: k was given 8 bytes for its argument 2, which has 4");
        assert_eq!(text(&[8]), "gpu: k was given 1 arguments, it has 2");
    }

    #[test]
    fn a_grid_or_a_block_that_cannot_be_is_refused() {
        assert!(check_blocks("k", Grid::of([1 << 20, 65_535, 1], 32)).is_ok());
        assert!(check_blocks("k", Grid::of([1, 65_536, 1], 32)).unwrap_err().to_string().contains("1 x 65536 x 1"));
        assert!(check_shared("k", 1 << 10, 98 << 10, &facts()).is_ok());
        let text = check_shared("k", 1 << 10, 99 << 10, &facts()).unwrap_err().to_string();
        assert_eq!(text, "gpu: k needs 100.0 KiB of shared memory a block, NVIDIA A has 99.0 KiB; use --device cpu");
    }

    #[test]
    fn a_file_that_cannot_be_loaded_says_for_which_gpu() {
        let text = refused_module("relu", CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU, &facts()).to_string();
        assert!(text.contains("kernels/relu.cu was not compiled for compute capability 8.6"), "{text}");
        assert_eq!(
            refused_module("relu", CUresult::CUDA_ERROR_FILE_NOT_FOUND, &facts()).to_string(),
            "gpu: cannot load kernels/relu.cu: CUDA_ERROR_FILE_NOT_FOUND"
        );
    }
}
