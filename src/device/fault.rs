//! A device that fails in the middle of an op: out of memory, a kernel fault.
//!
//! Ops return tensors, and a launch is asynchronous, so such an error belongs to no particular call. It travels by
//! unwinding, silently, and ends where somebody [`catch`]es it (docs/adr/0006).

use crate::base::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// End the work at hand with `error`. Does not return.
pub fn raise(error: Error) -> ! {
    resume_unwind(Box::new(error))
}

/// The result of `work`, a raised error included. A panic goes on.
pub fn catch<R>(work: impl FnOnce() -> Result<R>) -> Result<R> {
    // What `work` was changing is given up with it, so no broken state is seen.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => match payload.downcast::<Error>() {
            Ok(error) => Err(*error),
            Err(payload) => resume_unwind(payload),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fail;

    #[test]
    fn a_raised_error_is_caught_as_a_result() {
        let caught = catch::<()>(|| raise(fail!("gpu: gone")));
        assert_eq!(caught.unwrap_err().to_string(), "gpu: gone");
    }

    #[test]
    fn it_crosses_threads_of_the_pool() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let caught = catch::<()>(|| pool.install(|| rayon::join(|| (), || raise(fail!("gpu: gone")))).1);
        assert_eq!(caught.unwrap_err().to_string(), "gpu: gone");
    }
}
