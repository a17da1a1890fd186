//! Parse, run, print; errors end here.

use caltrop::cli::{Cli, run};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("caltrop: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
