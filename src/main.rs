//! Parse, run, print; errors end here.

use caltrop::cli::{parse, run};
use caltrop::device::catch;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match catch(|| parse().and_then(run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "caltrop: {error}"); // nobody is left to hear that stderr is closed
            ExitCode::from(error.exit_code())
        }
    }
}
