//! Waiting for Enter between the steps.

use crate::base::{Result, fail, watch};
use std::io::{BufRead, IsTerminal, Write};

/// Whether somebody reads along and can answer.
pub fn possible() -> bool {
    std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

/// Waits for Enter. False: no more is wanted (q, the end of the input, or Ctrl-C).
///
/// Errors: terminals that cannot be read or written.
pub fn wait(quiet: bool) -> Result<bool> {
    if !quiet {
        let mut out = std::io::stdout();
        let prompt = write!(out, "\nEnter: the next step, q: quit ").and_then(|()| out.flush());
        prompt.map_err(|cause| fail!("cannot write to the standard output: {cause}"))?;
    }
    while !ready()? {
        if watch::check().is_err() {
            return Ok(false);
        }
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).map_err(|cause| fail!("cannot read the standard input: {cause}"))?;
    Ok(read > 0 && !line.trim().eq_ignore_ascii_case("q"))
}

/// Milliseconds between two looks whether Ctrl-C was pressed.
#[cfg(unix)]
const PATIENCE: i32 = 100;

/// Whether a line can be read without waiting, soon.
#[cfg(unix)]
fn ready() -> Result<bool> {
    let mut input = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd that lives through the call.
    match unsafe { libc::poll(&mut input, 1, PATIENCE) } {
        found if found >= 0 => Ok(found > 0),
        _ => match std::io::Error::last_os_error() {
            cause if cause.kind() == std::io::ErrorKind::Interrupted => Ok(false),
            cause => Err(fail!("cannot read the standard input: {cause}")),
        },
    }
}

/// Reading waits by itself; a second Ctrl-C ends it.
#[cfg(not(unix))]
fn ready() -> Result<bool> {
    Ok(true)
}
