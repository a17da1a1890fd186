//! `caltrop completions`.

use super::args::Cli;
use super::say;
use crate::base::{Result, fail};
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

/// `completions`.
#[derive(Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// Print what makes the shell complete commands, options and file names.
pub fn completions(args: &Completions) -> Result<()> {
    let (mut command, mut script) = (Cli::command(), Vec::new());
    let name = command.get_name().to_string();
    generate(args.shell, &mut command, name, &mut script);
    let text = String::from_utf8(script).map_err(|cause| fail!("completions: {cause}"))?;
    say(text.trim_end())
}
