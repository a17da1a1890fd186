//! Judges of the program: naive f64 oracles, an independent f64 tape, the parity data, closeness.
//!
//! Nothing here but `devices` and `program` (the ways in and out) and `victims` (what attacks are tried on) looks at the program: each judge is written from the equations alone.
//! `naive` (layers), `neuron`, `losses` are direct formulas, which `caltrop selftest` carries too; `tape` differentiates
//! elementary operations and `network` builds whole networks on it; `tests/oracle.rs` holds them against each other,
//! against finite differences and against the parity data.

// Each test binary compiles this folder and uses a part of it.
#![allow(dead_code, unused_imports)]
// An oracle reads like the formula: plain indices, all extents as arguments.
#![allow(clippy::needless_range_loop, clippy::too_many_arguments)]
// `!(diff <= tol)` fails on NaN, which is the point.
#![allow(clippy::neg_cmp_op_on_partial_ord)]

pub mod close;
pub mod datasets;
pub mod devices;
pub mod named;
pub mod network;
pub mod outcome;
pub mod parity;
pub mod plan;
pub mod program;
pub mod tape;
pub mod victims;

pub use caltrop::selftest::naive::{self, losses, neuron};
