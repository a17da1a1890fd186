//! Memory: what is told when there is none, pinned staging for uploads, and what an upload has to wait for.

use super::context::{Context, Event};
use crate::base::{Error, Kind, Result};
use crate::device::cpu::size_class as eighths;
use crate::device::gpu::launcher::{Address, Memory};
use cudarc::driver::sys;
use std::collections::HashMap;
use std::ptr::null_mut;
use std::sync::Arc;

/// Bytes for people: 1.2 GiB.
pub fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..0x400 => return format!("{bytes} bytes"),
        0x400..0x10_0000 => (0x400, "KiB"),
        0x10_0000..0x4000_0000 => (0x10_0000, "MiB"),
        _ => (0x4000_0000, "GiB"),
    };
    format!("{:.1} {name}", bytes as f64 / f64::from(unit))
}

/// No room for `bytes`; `there` is what the driver says of its memory, if it does.
pub fn out_of_memory(bytes: usize, there: Option<Memory>) -> Error {
    let room = there.map_or(String::new(), |Memory { free, total }| format!(", {} free of {}", size(free), size(total)));
    let text = format!(
        "gpu: out of memory: asked for {}{room}; lower the batch size (--set ann.batch=..., --batch) or the steps T",
        size(bytes as u64)
    );
    Error::new(Kind::Memory, text)
}

/// The granularity of the device's memory.
const GRAIN: usize = 256;

/// Rounds up to an eighth of a power of two, so that a short last batch finds the blocks of a full one.
pub fn size_class(bytes: usize) -> usize {
    eighths(bytes.div_ceil(GRAIN)) * GRAIN
}

/// Host memory that the device reads and writes by itself.
pub struct Pinned {
    context: Arc<Context>,
    at: *mut u8,
    pub bytes: usize,
}

// SAFETY: owned memory like a Vec's.
unsafe impl Send for Pinned {}

impl Pinned {
    pub fn new(context: &Arc<Context>, bytes: usize) -> Result<Pinned> {
        let mut at = null_mut();
        // SAFETY: the caller has bound the context; writes one pointer.
        let code = unsafe { sys::cuMemHostAlloc(&raw mut at, bytes, sys::CU_MEMHOSTALLOC_PORTABLE) };
        context.check(&format!("pin {} of host memory", size(bytes as u64)), code)?;
        Ok(Pinned { context: context.clone(), at: at.cast(), bytes })
    }

    pub fn start(&self) -> *mut u8 {
        self.at
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: allocated once, freed once.
        let _ = unsafe { sys::cuMemFreeHost(self.at.cast()) };
    }
}

/// Pinned memory that uploads pass through in turn.
pub struct Ring {
    slots: Vec<Slot>,
    next: usize,
}

/// One of its pieces, and the moment when the last upload has left it.
pub struct Slot {
    pub memory: Pinned,
    pub left: Event,
    used: bool,
}

impl Ring {
    pub fn new(context: &Arc<Context>, slots: usize, bytes: usize) -> Result<Ring> {
        let slot = |_| Ok(Slot { memory: Pinned::new(context, bytes)?, left: Event::new(context)?, used: false });
        Ok(Ring { slots: (0..slots).map(slot).collect::<Result<_>>()?, next: 0 })
    }

    /// The next piece, once the upload before has left it.
    pub fn turn(&mut self) -> Result<&mut Slot> {
        let count = self.slots.len();
        let slot = &mut self.slots[self.next];
        if slot.used {
            slot.left.wait()?;
        }
        slot.used = true;
        self.next = (self.next + 1) % count;
        Ok(slot)
    }
}

/// What an upload has to wait for, so that nothing still reads (or writes) what it overwrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// New memory.
    Nothing,
    /// The moment when the block went back to the pool.
    Retirement,
    /// Everything launched so far.
    Everything,
}

/// Keeps track of the blocks that uploads go to. All else happens in the order of one stream and needs no care.
///
/// A batch's images go to a block that the pool hands out again and again. Its readers are those of the batch before,
/// launched before it went back to the pool: only for them must the next upload wait, not for the work launched since.
#[derive(Debug, Default)]
pub struct Order {
    /// Counts launches, copies, fills, replays.
    tick: u64,
    /// The block taken last, when, and what an upload to it waits for while nothing else was launched.
    taken: Option<(Address, u64, After)>,
    /// Blocks that were uploaded to, and whether the moment of their retirement is known.
    targets: HashMap<Address, bool>,
}

impl Order {
    /// Something was launched that may use any block.
    pub fn launched(&mut self) {
        self.tick += 1;
    }

    /// A new block.
    pub fn allocated(&mut self, at: Address) {
        self.taken = Some((at, self.tick, After::Nothing));
    }

    /// A block was taken from the pool.
    pub fn renewed(&mut self, at: Address) {
        let after = if self.targets.get(&at) == Some(&true) { After::Retirement } else { After::Everything };
        self.taken = Some((at, self.tick, after));
    }

    /// Whether a block's retirement is a moment to remember.
    pub fn wants_retirement(&self, at: Address) -> bool {
        self.targets.contains_key(&at)
    }

    /// A block went back to the pool, and the moment was noted or could not be.
    pub fn retired(&mut self, at: Address, noted: bool) {
        if let Some(known) = self.targets.get_mut(&at) {
            *known = noted;
        }
    }

    /// What an upload to `at`, which happens now, waits for.
    pub fn upload(&mut self, at: Address) -> After {
        self.targets.insert(at, false);
        match self.taken.take() {
            Some((taken, tick, after)) if taken == at && tick == self.tick => after,
            _ => After::Everything,
        }
    }

    /// A block is gone.
    pub fn freed(&mut self, at: Address) {
        self.targets.remove(&at);
        self.taken = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_spelt_for_people() {
        assert_eq!([size(12), size(100 << 10), size(3 << 20), size(85_899_345_920)], ["12 bytes", "100.0 KiB", "3.0 MiB", "80.0 GiB"]);
    }

    #[test]
    fn out_of_memory_says_what_was_asked_what_there_is_and_what_to_lower() {
        let there = Memory { free: 858_993_459, total: 84_932_558_029 };
        assert_eq!(
            out_of_memory(1_288_490_189, Some(there)).to_string(),
            "gpu: out of memory: asked for 1.2 GiB, 819.2 MiB free of 79.1 GiB; lower the batch size (--set ann.batch=..., --batch) or the steps T"
        );
        assert!(out_of_memory(usize::MAX, None).to_string().starts_with("gpu: out of memory: asked for 17179869184.0 GiB; lower"));
    }

    #[test]
    fn blocks_are_at_most_an_eighth_too_long() {
        for bytes in [1, 255, 256, 257, 5_000, 1 << 20, (1 << 20) + 1, 150_994_944, 3_000_000_001] {
            let class = size_class(bytes);
            assert!(
                class >= bytes && class.is_multiple_of(GRAIN) && (class - bytes < GRAIN || class as f64 <= bytes as f64 * 1.25),
                "{bytes}: {class}"
            );
            assert_eq!(size_class(class), class);
        }
    }

    const A: Address = Address(256);
    const B: Address = Address(512);

    #[test]
    fn an_upload_to_new_memory_waits_for_nothing() {
        let mut order = Order::default();
        order.launched();
        order.allocated(A);
        assert_eq!(order.upload(A), After::Nothing);
        assert_eq!(order.upload(A), After::Everything, "again, in place");
    }

    #[test]
    fn an_upload_to_a_recycled_block_waits_for_its_last_readers_alone() {
        let mut order = Order::default();
        order.allocated(A);
        order.upload(A);
        order.launched();
        assert!(order.wants_retirement(A) && !order.wants_retirement(B));
        order.retired(A, true);
        order.launched();
        order.renewed(A);
        assert_eq!(order.upload(A), After::Retirement);
        order.retired(A, false);
        order.renewed(A);
        assert_eq!(order.upload(A), After::Everything, "a retirement that could not be noted");
    }

    #[test]
    fn an_upload_to_a_block_that_may_be_in_use_waits_for_everything() {
        let mut order = Order::default();
        order.allocated(A);
        order.launched();
        assert_eq!(order.upload(A), After::Everything, "a launch since");
        order.renewed(B);
        assert_eq!(order.upload(B), After::Everything, "never uploaded to before, so its retirement is unknown");
        order.retired(B, true);
        order.renewed(B);
        order.allocated(A);
        assert_eq!(order.upload(B), After::Everything, "another block was taken since");
        order.retired(B, true);
        order.freed(B);
        order.renewed(B);
        assert_eq!(order.upload(B), After::Everything, "freed, so forgotten");
    }
}
