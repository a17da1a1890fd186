//! Floor 10: typed words → a checked plan → `drive`.

mod args;
mod commands;
mod evaluate;
mod import;
mod predict;
mod progress;
mod recipes;

pub use args::Cli;

use crate::base::Result;
use args::Command;

/// The program's version: number, commit, and the CPU's vector instructions.
pub fn version() -> String {
    format!("{} ({}, cpu {})", env!("CARGO_PKG_VERSION"), env!("CALTROP_COMMIT"), crate::device::Isa::detect())
}

/// Do what was typed.
pub fn run(cli: Cli) -> Result<()> {
    progress::stop_on_ctrl_c();
    let common = cli.common;
    match cli.command {
        Command::Demo(args) => commands::demo(&args, &common),
        Command::Run(args) => commands::run_recipe(&args, &common),
        Command::Train(args) => commands::train(&args, &common),
        Command::Finetune(args) => commands::finetune(&args, &common),
        Command::Convert(args) => commands::convert(&args, &common),
        Command::Eval(args) => evaluate::eval(&args, &common),
        Command::Predict(args) => predict::predict(&args, &common),
        Command::Import(args) => import::import(&args, &common),
        Command::Export(args) => import::export(&args, &common),
        Command::Devices => commands::devices(&common),
        Command::Recipes(args) => recipes::list(&args),
    }
}
