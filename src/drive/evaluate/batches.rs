//! As many images at a time as a device holds.

use crate::base::{Kind, Result};
use crate::device::catch;
use std::ops::Range;

/// Do `work` on the indices below `count`, at most `most` at a time; where a device has no memory for so many, on half as
/// many, `work` being told that it is asked again. Returns how many at a time it was in the end.
pub fn in_batches(count: usize, most: usize, mut work: impl FnMut(Range<usize>, Again) -> Result<()>) -> Result<usize> {
    let (mut size, mut start, mut again) = (most, 0, Again::No);
    while start < count {
        let end = (start + size).min(count);
        match catch(|| work(start..end, again)) {
            Ok(()) => (start, again) = (end, Again::No),
            Err(error) if error.kind() == Kind::Memory && size > 1 => (size, again) = (size / 2, Again::Yes),
            Err(error) => return Err(error),
        }
    }
    Ok(size)
}

/// Whether the last try failed for want of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It did not.
    No,
    /// It did.
    Yes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Error;
    use crate::device::raise;

    #[test]
    fn a_batch_that_does_not_fit_is_halved_and_nothing_is_done_twice() {
        let mut done = Vec::new();
        let mut tries = Vec::new();
        let size = in_batches(10, 8, |range, again| {
            tries.push((range.len(), again));
            if range.len() > 3 {
                raise(Error::new(Kind::Memory, "gpu: out of memory"));
            }
            done.extend(range);
            Ok(())
        });
        assert_eq!((size.unwrap(), done), (2, (0..10).collect()));
        assert_eq!(tries[..4], [(8, Again::No), (4, Again::Yes), (2, Again::Yes), (2, Again::No)]);
    }

    #[test]
    fn another_error_or_a_single_image_that_does_not_fit_ends_it() {
        let memory = in_batches(3, 4, |_, _| Err(Error::new(Kind::Memory, "gpu: out of memory")));
        assert_eq!(memory.unwrap_err().kind(), Kind::Memory);
        let mut tries = 0;
        let failed = in_batches(3, 4, |_, _| {
            tries += 1;
            Err(Error::failed("broken"))
        });
        assert_eq!((failed.unwrap_err().to_string().as_str(), tries), ("broken", 1));
    }
}
