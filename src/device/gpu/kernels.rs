//! The kernel suite as build.rs found it: names, compiled for GPUs (where nvcc was found) and for the emulator (where
//! a C++ compiler was).

use super::launcher::Kernel;

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
