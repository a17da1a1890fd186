//! Floor 9: how fast it is. The ops at the layers of known networks, whole networks step by step, and the machine's
//! ceilings measured in the same run, so that every figure stands beside what it could be.
//!
//! Nothing here changes what is computed; a device is matched on only to read its clock and its memory.

mod ceilings;
mod clock;
mod data;
mod entries;
mod facts;
mod kernels;
mod layers;
mod loader;
mod network;
mod rates;

pub use ceilings::Ceilings;
pub use clock::{Caches, Clock, Timing};
pub use entries::{Case, ENTRIES, Entry, OPS, Work};
pub use facts::Facts;
pub use kernels::{Kernels, Row, Sweep, kernels, time};
pub use layers::{LAYERS, Layer, NETWORKS, Reads, Seat};
pub use loader::{Load, Loaded, load};
pub use network::{MODES, Mode, Network, Plan, images, largest_batch, network, stage};
pub use rates::{RATES, Rate, SILENT, rates, settle};
