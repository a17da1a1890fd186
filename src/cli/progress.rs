//! Progress on stderr: a bar on a terminal, plain lines otherwise, nothing when quiet. And Ctrl-C.

use crate::drive::Watch;
use crate::drive::watch;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// A watch that shows.
pub struct Shown {
    bar: Mutex<Option<Bar>>,
    look: Look,
}

/// A bar, which counts in parts of a unit, so that it moves within one.
struct Bar {
    bar: ProgressBar,
    /// Whole units that are done.
    done: u64,
    /// Whether there is a line for remarks below it.
    remarked: bool,
}

/// Parts of a unit.
const PARTS: u64 = 1000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Bar,
    Lines,
    Nothing,
}

impl Shown {
    /// For this terminal, or nothing when `quiet`.
    pub fn new(quiet: bool) -> Shown {
        let look = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Look::Nothing,
            (false, true) => Look::Bar,
            (false, false) => Look::Lines,
        };
        Shown { bar: Mutex::new(None), look }
    }

    fn with(&self, work: impl FnOnce(&mut Option<Bar>)) {
        work(&mut self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl Watch for Shown {
    fn begin(&self, what: &str, total: u64) {
        if self.look == Look::Bar && total > 0 {
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(Some(total * PARTS), target).with_style(style(LINE)).with_prefix(what.to_string());
            self.with(|slot| *slot = Some(Bar { bar, done: 0, remarked: false }));
        }
    }

    fn advance(&self, units: u64) {
        self.with(|slot| {
            if let Some(bar) = slot {
                bar.done += units;
                bar.bar.set_position(bar.done * PARTS);
            }
        });
    }

    fn within(&self, share: f64, units: u64) {
        self.with(|slot| {
            if let Some(bar) = slot {
                bar.bar.set_position(bar.done * PARTS + (share * (units * PARTS) as f64) as u64);
            }
        });
    }

    fn remark(&self, text: &str) {
        self.with(|slot| {
            if let Some(bar) = slot {
                if !bar.remarked {
                    bar.bar.set_style(style(&format!("{LINE}\n  {{wide_msg}}")));
                    bar.remarked = true;
                }
                bar.bar.set_message(text.to_string());
            }
        });
    }

    fn end(&self, line: &str) {
        self.with(|slot| {
            if let Some(bar) = slot.take() {
                bar.bar.finish_and_clear();
            }
        });
        if self.look != Look::Nothing && !line.is_empty() {
            say(line);
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.with(|slot| {
            if let Some(bar) = slot.take() {
                bar.bar.finish_and_clear();
            }
        });
    }
}

/// The bar by itself.
const LINE: &str = "{prefix} {wide_bar:.cyan/dim} {counts}  {rate}  eta {eta}";

/// A bar that counts in whole units.
fn style(template: &str) -> ProgressStyle {
    // Writing to the line's own buffer does not fail.
    let counts = |state: &ProgressState, line: &mut dyn std::fmt::Write| {
        let _ = write!(line, "{}/{}", state.pos() / PARTS, state.len().unwrap_or(0) / PARTS);
    };
    let rate = |state: &ProgressState, line: &mut dyn std::fmt::Write| {
        let _ = write!(line, "{:.1}/s", state.per_sec() / PARTS as f64);
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("counts", counts).with_key("rate", rate)
}

/// A line on stderr, if it is open.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}"); // progress that nobody reads stops no work
}

/// The first Ctrl-C (or SIGTERM, or a terminal that is closed) asks the work to stop at the next safe point, the second stops
/// the program.
pub fn stop_on_ctrl_c() {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let immune = is_immune_to_hangups();
    let handled = ctrlc::set_handler(|| {
        if COUNT.fetch_add(1, Ordering::Relaxed) == 0 {
            watch::request_stop();
            say("\nstopping at the next safe point; Ctrl-C again stops at once");
        } else {
            std::process::exit(1);
        }
    });
    // Without a handler Ctrl-C still ends the program; only the saving is lost.
    let _ = handled;
    if immune {
        ignore_hangups();
    }
}

/// Whether `nohup` or its like started the program: then it outlives its terminal.
#[cfg(unix)]
fn is_immune_to_hangups() -> bool {
    // SAFETY: a zeroed sigaction is a valid one, and with no new action sigaction only writes the old one to it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGHUP, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(unix)]
fn ignore_hangups() {
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}

#[cfg(not(unix))]
fn is_immune_to_hangups() -> bool {
    false
}

#[cfg(not(unix))]
fn ignore_hangups() {}
