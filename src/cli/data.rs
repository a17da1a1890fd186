//! `caltrop data`: the files of the data sets.

use super::args::Common;
use super::progress::Shown;
use super::say;
use crate::base::{Result, file};
use crate::data::{self, Dataset, Images, Spec, fetch};
use crate::report::{Row, mosaic};
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
    /// Say what lies in a folder: files, images of each class, brightness; and draw some images of each class
    #[command(
        after_help = "Example:\n  caltrop data check ~/data/cifar-10-batches-bin\n  caltrop data check ~/data --dataset cifar10 --out cifar10.png"
    )]
    Check(Check),
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

/// `data check`.
#[derive(Args)]
struct Check {
    /// Folder of the data set's files
    dir: PathBuf,
    /// cifar10, cifar100, svhn, tinyimagenet, mnist, fashion-mnist, folder (default: the one that lies there)
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// The picture of some images of each class, a PNG file (default: mosaic-NAME.png, here)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Counts of single classes are told of no more than these.
const FEW_CLASSES: usize = 20;
/// Classes that the mosaic shows at most.
const MOST_ROWS: usize = 200;

/// Do it.
pub fn data(args: &Data, common: &Common) -> Result<()> {
    match &args.what {
        What::Get(args) => get(args, common),
        What::Check(args) => check(args, common),
    }
}

/// `caltrop data get`.
fn get(args: &Get, common: &Common) -> Result<()> {
    let package = fetch::package(&args.name)?;
    let dir = args.out.clone().unwrap_or_else(|| PathBuf::from("data").join(package.name));
    fetch::get(package, args.from.as_deref(), &dir, &Shown::new(common.quiet))?;
    say(format!("{} is complete: --data {}", package.name, dir.display()))
}

/// `caltrop data check`.
fn check(args: &Check, common: &Common) -> Result<()> {
    let name = match &args.dataset {
        Some(name) => data::spec(name)?.name,
        None => data::recognise(&args.dir)?,
    };
    let spec = data::spec(name)?;
    let out = args.out.clone().unwrap_or_else(|| format!("mosaic-{name}.png").into());
    file::writable(&out)?;
    let set = data::load_watched(name, Some(&args.dir), &Shown::new(common.quiet))?;
    say(format!("{name} in {}", args.dir.display()))?;
    set.files.iter().try_for_each(|file| say(format!("  {file}")))?;
    for (split, images, which) in [("train", &set.train, 0), ("test", &set.test, 1)] {
        say(format!("{split:<8} {}", described(images, spec.official.map(|counts| counts[which]))))?;
    }
    classes(&set)?;
    brightness(&set, spec)?;
    file::write(&out, &picture(&set)?)?;
    say(format!("{:<8} {}", "mosaic", out.display()))
}

/// Count and size of images, and how many the official set has if that is another number.
fn described(images: &Images, official: Option<usize>) -> String {
    let colour = if images.channels == 1 { "grey" } else { "colour" };
    let wanted = match official {
        Some(count) if count != images.len() => format!("; the official set has {}", data::commas(count)),
        _ => String::new(),
    };
    format!("{} images of {}x{}, {colour}{wanted}", data::commas(images.len()), images.height, images.width)
}

/// How many images each class has, or the fewest and the most.
fn classes(set: &Dataset) -> Result<()> {
    let [train, test] = [set.train.counts(), set.test.counts()];
    let count = train.len();
    if count <= FEW_CLASSES {
        let wide = set.class_names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("class".len());
        say(format!("\n{:<wide$} {:>9} {:>9}", "class", "train", "test"))?;
        for (class, name) in set.class_names.iter().enumerate() {
            say(format!("{name:<wide$} {:>9} {:>9}", data::commas(train[class]), data::commas(test[class])))?;
        }
        return say("");
    }
    let range = |counts: &[usize]| match (counts.iter().min(), counts.iter().max()) {
        (Some(least), Some(most)) if least < most => format!("{} to {}", data::commas(*least), data::commas(*most)),
        (Some(each), _) => data::commas(*each),
        (None, _) => "no".to_string(),
    };
    say(format!("{:<8} {count}, each with {} training and {} test images", "classes", range(&train), range(&test)))
}

/// Mean and standard deviation of the training pixels beside those that networks normalise by.
fn brightness(set: &Dataset, spec: &Spec) -> Result<()> {
    let channels: &[&str] = if set.train.channels == 3 { &["red", "green", "blue"] } else { &["grey"] };
    say(format!("{:<8} {:>8} {:>14} {:>8} {:>14}", "channel", "mean", "normalised by", "std", "normalised by"))?;
    for (channel, (mean, std)) in set.train.statistics().iter().enumerate() {
        let name = channels.get(channel).copied().unwrap_or("other");
        say(format!("{name:<8} {mean:>8.4} {:>14.4} {std:>8.4} {:>14.4}", set.mean[channel], set.std[channel]))?;
    }
    if spec.name == "cifar10" {
        say("         (the std that the paper uses is the mean of the images' own, hence smaller)")?;
    }
    Ok(())
}

/// The first images of each class.
fn picture(set: &Dataset) -> Result<Vec<u8>> {
    let images = &set.train;
    let each = if images.classes <= FEW_CLASSES { 12 } else { 5 };
    let shown = images.classes.min(MOST_ROWS);
    let mut rows: Vec<Row> = set.class_names.iter().take(shown).map(|name| Row { name, images: Vec::new() }).collect();
    for (id, &label) in images.labels.iter().enumerate() {
        if let Some(row) = rows.get_mut(usize::from(label)).filter(|row| row.images.len() < each) {
            row.images.push(images.image(id));
        }
    }
    let rest = if shown < images.classes { format!(" of {}", data::commas(images.classes)) } else { String::new() };
    let title = format!("{}: the first training images of {shown}{rest} classes", set.name);
    mosaic(&title, [images.height, images.width, images.channels], &rows)
}
