//! `caltrop data`: the files of the data sets.

use super::args::Common;
use super::progress::Shown;
use super::say;
use crate::base::Result;
use crate::data::fetch;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `data`.
#[derive(Args)]
pub struct Data {
    /// What to do.
    #[command(subcommand)]
    what: What,
}

/// What `data` does.
#[derive(Subcommand)]
enum What {
    /// Download a data set from its official address, check and unpack it; a broken download goes on where it stopped
    #[command(
        after_help = "A file is NAME.part until its size and MD5 sum are right; Ctrl-C leaves the part, and the same command goes on from it.\n\nExample:\n  caltrop data get cifar10\n  caltrop data get svhn --out ~/data/svhn --from https://mirror.example/svhn/"
    )]
    Get(Get),
}

/// `data get`.
#[derive(Args)]
struct Get {
    /// Data set: cifar10, cifar100, svhn, tinyimagenet, mnist, fashion-mnist
    name: String,
    /// Folder that --data takes later (default: data/NAME)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A mirror: the address of a folder with the files under their official names
    #[arg(long, value_name = "URL")]
    from: Option<String>,
}

/// Do it.
pub fn data(args: &Data, common: &Common) -> Result<()> {
    match &args.what {
        What::Get(args) => get(args, common),
    }
}

fn get(args: &Get, common: &Common) -> Result<()> {
    let package = fetch::package(&args.name)?;
    let dir = args.out.clone().unwrap_or_else(|| PathBuf::from("data").join(package.name));
    fetch::get(package, args.from.as_deref(), &dir, &Shown::new(common.quiet))?;
    say(format!("{} is complete: --data {}", package.name, dir.display()))
}
