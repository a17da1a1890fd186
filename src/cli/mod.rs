//! Floor 10: typed words → a checked plan → `drive`.

mod anytime;
mod arch;
mod args;
mod bench;
mod commands;
mod completions;
mod data;
mod doctor;
mod energy;
mod evaluate;
mod import;
mod inspect;
mod look;
mod outputs;
mod predict;
mod progress;
mod recipes;
mod report;
mod run;
mod selftest;
mod sheet;
mod surrogates;
mod trace;

pub use args::Cli;

use crate::base::{Error, Kind, Result, fail};
use args::Command;
use clap::Parser;
use std::io::Write;

/// The program's version: number, commit, and the CPU's vector instructions.
pub fn version() -> String {
    format!("{} ({}, cpu {})", env!("CARGO_PKG_VERSION"), env!("CALTROP_COMMIT"), crate::device::Isa::detect())
}

/// What was typed. Help and the version are printed here and end the program.
///
/// Errors (usage): what cannot be understood, in one line.
pub fn parse() -> Result<Cli> {
    Cli::try_parse().map_err(|error| if error.use_stderr() && error.kind() != HELP { one_line(&error) } else { error.exit() })
}

/// `caltrop` alone: the help, as an error.
const HELP: clap::error::ErrorKind = clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;

/// What clap says in paragraphs, and whose help to ask.
fn one_line(error: &clap::Error) -> Error {
    let text = error.render().to_string();
    let (said, usage) = text.split_once("Usage: ").unwrap_or((&text, ""));
    let mut line = String::new();
    for part in said.lines().map(|part| part.trim().trim_start_matches("error: ")) {
        if part.is_empty() || part.starts_with("For more information") {
            continue;
        }
        line += if line.is_empty() {
            ""
        } else if line.ends_with(':') {
            " "
        } else {
            "; "
        };
        line += part;
    }
    let is_word = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
    let command: Vec<&str> = usage.split_whitespace().take_while(is_word).collect();
    Error::usage(format!("{line}; see {} --help", if command.is_empty() { "caltrop".into() } else { command.join(" ") }))
}

/// Print a line of results; a reader that has read enough (`| head`) is no error.
///
/// Errors: stdout cannot be written, such as on a full disk.
pub fn say(text: impl std::fmt::Display) -> Result<()> {
    let mut out = std::io::stdout();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => Err(fail!("cannot write to the standard output: {cause}")),
        _ => Ok(()),
    }
}

/// The columns of the terminal that results are printed on; without one no line is too long.
fn columns() -> usize {
    terminal_size::terminal_size_of(std::io::stdout()).map_or(usize::MAX, |(width, _)| usize::from(width.0))
}

/// The error of a command that has saved nothing on its way, unless it says otherwise.
fn afresh(error: Error) -> Error {
    match error.kind() {
        Kind::Interrupted if error.to_string() == "interrupted" => {
            Error::new(Kind::Interrupted, "interrupted; nothing was written, start the same command again")
        }
        _ => error,
    }
}

/// Do what was typed.
pub fn run(cli: Cli) -> Result<()> {
    progress::stop_on_ctrl_c();
    let common = cli.common;
    match cli.command {
        Command::Demo(args) => run::demo(&args, &common),
        Command::Run(args) => run::run(&args, &common),
        Command::Train(args) => run::train(&args, &common),
        Command::Finetune(args) => run::finetune(&args, &common),
        Command::Convert(args) => commands::convert(&args, &common).map_err(afresh),
        Command::Eval(args) => evaluate::eval(&args, &common).map_err(afresh),
        Command::Predict(args) => predict::predict(&args, &common).map_err(afresh),
        Command::Inspect(args) => inspect::inspect(&args, &common).map_err(afresh),
        Command::Trace(args) => trace::trace(&args, &common).map_err(afresh),
        Command::Energy(args) => energy::energy(&args, &common).map_err(afresh),
        Command::Anytime(args) => anytime::anytime(&args, &common).map_err(afresh),
        Command::Doctor(args) => doctor::doctor(&args, &common).map_err(afresh),
        Command::Report(args) => report::report(&args, &common),
        Command::Import(args) => import::import(&args, &common),
        Command::Export(args) => import::export(&args, &common),
        Command::Arch(args) => arch::arch(&args),
        Command::Bench(args) => bench::bench(&args, &common).map_err(afresh),
        Command::Selftest(args) => selftest::selftest(&args, &common).map_err(afresh),
        Command::Data(args) => data::data(&args, &common),
        Command::Devices => commands::devices(&common),
        Command::Recipes(args) => recipes::list(&args),
        Command::Surrogates(args) => surrogates::surrogates(&args),
        Command::Completions(args) => completions::completions(&args),
    }
}
