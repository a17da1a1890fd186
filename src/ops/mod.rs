//! Floor 3: one folder an op.
//!
//! `mod.rs` holds the contract: the geometry struct, the checks, the formula, and the one match on the device;
//! `cpu.rs` holds the loops, `gpu.rs` launches the kernels of `kernels/OP.cu`. Above this floor nobody knows which device computes.

pub mod ascent;
pub mod augment;
pub mod blend;
pub mod conv;
pub mod convex;
pub mod dropout;
pub mod flatten;
pub mod frames;
mod launch;
pub mod lif;
pub mod loss;
pub mod norm;
pub mod percentile;
pub mod pixel;
pub mod pool;
pub mod product;
pub mod reduce;
pub mod relu;
pub mod sgd;
mod vector;
mod wide;
