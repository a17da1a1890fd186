//! Caltrop: adversarially robust spiking neural networks through conversion.
//!
//! `docs/ARCHITECTURE.md` tells the floors and the invariants; each module below is one room.

pub mod attack;
pub mod autodiff;
pub mod base;
pub mod bench;
pub mod checkpoint;
pub mod cli;
pub mod convert;
pub mod data;
pub mod device;
pub mod drive;
pub mod loss;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod probe;
pub mod record;
pub mod report;
pub mod selftest;
pub mod tensor;
pub mod zoo;
