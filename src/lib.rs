//! Caltrop: adversarially robust spiking neural networks through conversion.
//!
//! `docs/ARCHITECTURE.md` tells the floors and the invariants; each module below is one room.

pub mod base;
pub mod device;
pub mod ops;
pub mod tensor;
