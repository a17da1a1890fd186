//! Caltrop: adversarially robust spiking neural networks through conversion.
//!
//! `docs/ARCHITECTURE.md` tells the floors and the invariants; each module below is one room.

#![deny(missing_docs)]

pub mod attack;
pub mod autodiff;
pub mod base;
pub mod bench;
pub mod checkpoint;
#[allow(rustdoc::broken_intra_doc_links)] // its doc comments are help texts, whose brackets are no links
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
