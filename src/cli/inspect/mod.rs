//! `caltrop inspect`: what happens inside a spiking network, clean and attacked.

mod arrays;

use super::args::Common;
use super::look::{LookArgs, Looked, OnslaughtArgs};
use super::progress::Shown;
use super::{say, version};
use crate::base::{Result, file, usage};
use crate::checkpoint;
use crate::drive::watch;
use crate::probe::{Chosen, Site, Sites, Words, inside};
use crate::record::{Histogram, Inside, with_interval};
use crate::report::inside as report;
use arrays::Arrays;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Images, at most: what lies open at once must fit a page.
const MOST_IMAGES: usize = 64;
/// Numbers of all neurons, images and steps that are written as arrays, at most: some 600 MB of spikes, currents and membranes.
const MOST_NUMBERS: usize = 1 << 26;
/// Lines of neurons.csv, at most: some 130 MB.
const MOST_LINES: usize = 1 << 22;
/// Neurons a layer whose traces are drawn, at most.
const MOST_TRACES: usize = 64;

/// `inspect`.
#[derive(Args)]
pub struct Inspect {
    /// Network and images.
    #[command(flatten)]
    pub look: LookArgs,
    /// The attack.
    #[command(flatten)]
    pub onslaught: OnslaughtArgs,
    /// Draw the traces of neurons of this layer alone (`caltrop arch` and a wrong name list them)
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// Draw the traces of this neuron of --layer: column, row, channel (repeatable)
    #[arg(long, value_name = "X,Y,C", requires = "layer")]
    pub neuron: Vec<String>,
    /// Traces a layer, of the neurons whose spikes the attack changes most
    #[arg(long, default_value_t = 3, value_name = "K", conflicts_with = "neuron")]
    pub traces: usize,
    /// What is written into OUT
    #[arg(long, value_delimiter = ',', default_value = "html,png,csv,safetensors", value_name = "FORMAT,..")]
    pub format: Vec<Format>,
    /// Folder of the results (files of the same names are replaced)
    #[arg(long, default_value = "runs/inspect", value_name = "DIR")]
    pub out: PathBuf,
}

/// Kinds of files.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// index.html: one page, offline, with a layer to choose and a slider through time
    Html,
    /// Rasters, traces, histograms, rates a layer, as pictures
    Png,
    /// The same, as drawings
    Svg,
    /// layers.csv, neurons.csv (spikes and first spike of each), traces.csv
    Csv,
    /// inside.safetensors: spikes, currents and membranes of all neurons, [T,N,C,H,W]
    Safetensors,
    /// The same, an array a file, for numpy.load
    Npy,
}

/// Look, print the layers, and write what was asked for.
pub fn inspect(args: &Inspect, common: &Common) -> Result<()> {
    if args.traces > MOST_TRACES {
        return Err(usage!("--traces {}: at most {MOST_TRACES}", args.traces));
    }
    let looked = args.look.open(4, common)?;
    looked.must_spike(&args.look, "rasters or membranes")?;
    let Looked { model, samples, .. } = &looked;
    if samples.len() > MOST_IMAGES {
        return Err(usage!("--images: {} images; at most {MOST_IMAGES} are looked into at once", samples.len()));
    }
    let onslaught = args.onslaught.plan(model)?;
    let sites = Sites::of(model);
    let chosen = chosen(args, &sites)?;
    let wanted = |format: Format| args.format.contains(&format);
    let lines = sites.all().iter().map(Site::neurons).sum::<usize>() * samples.len() * (1 + usize::from(onslaught.is_some()));
    let (arrays, numbers) = (wanted(Format::Safetensors) || wanted(Format::Npy), lines * model.spec().steps);
    if arrays && numbers > MOST_NUMBERS {
        return Err(usage!(
            "--images: {numbers} numbers of neurons, images and steps; at most {MOST_NUMBERS} are written as arrays: look at fewer images, or leave safetensors and npy out of --format"
        ));
    }
    if wanted(Format::Csv) && lines > MOST_LINES {
        return Err(usage!(
            "--images: neurons.csv would have {lines} lines; at most {MOST_LINES}: look at fewer images, or leave csv out of --format"
        ));
    }
    file::folder(&args.out)?;
    let words = Words {
        version: version(),
        checkpoint: args.look.checkpoint.display().to_string(),
        source: looked.source.clone(),
        classes: (0..model.spec().classes).map(|k| looked.class_name(k)).collect(),
    };
    let watch = Shown::new(common.quiet);
    let mut stacks = Arrays::new(&sites, model.spec().steps);
    let inside = inside(model, samples, onslaught.as_ref(), &chosen, words, &watch, |takes| {
        if arrays {
            stacks.push(takes);
        }
    })?;
    let mut written = Vec::new();
    let mut put = |name: String, bytes: &[u8]| {
        let path = args.out.join(name);
        file::write(&path, bytes)?;
        written.push(path);
        Ok(())
    };
    if wanted(Format::Html) {
        put("index.html".into(), report::page(&inside)?.as_bytes())?;
    }
    let drawn = wanted(Format::Png) || wanted(Format::Svg);
    for figure in if drawn { report::figures(&inside) } else { Vec::new() } {
        watch::check()?;
        if wanted(Format::Png) {
            put(format!("{}.png", figure.name), &figure.png()?)?;
        }
        if wanted(Format::Svg) {
            put(format!("{}.svg", figure.name), figure.svg()?.as_bytes())?;
        }
    }
    if wanted(Format::Csv) {
        put("layers.csv".into(), report::layers(&inside).as_bytes())?;
        put("neurons.csv".into(), report::neurons(&inside).as_bytes())?;
        put("traces.csv".into(), report::traces(&inside).as_bytes())?;
    }
    if arrays {
        let arrays = stacks.named(samples, &inside);
        if wanted(Format::Safetensors) {
            let path = args.out.join("inside.safetensors");
            checkpoint::save_tensors(&path, &arrays)?;
            written.push(path);
        }
        if wanted(Format::Npy) {
            written.extend(checkpoint::save_arrays(&args.out, &arrays)?);
        }
    }
    tell(&inside)?;
    let page = written.first().filter(|_| wanted(Format::Html)).map_or(String::new(), |page| format!(": {}", page.display()));
    say(format!("{} files in {}{page}", written.len(), args.out.display()))
}

/// Whose traces are drawn. Errors (usage): no such layer or neuron.
fn chosen(args: &Inspect, sites: &Sites) -> Result<Chosen> {
    let Some(name) = &args.layer else { return Ok(Chosen::Most { each: args.traces, layer: None }) };
    let layer = sites.find(name)?;
    if args.neuron.is_empty() {
        return Ok(Chosen::Most { each: args.traces, layer: Some(layer) });
    }
    let mut places = Vec::new();
    for text in &args.neuron {
        let place = sites.all()[layer].place(text)?;
        if places.contains(&place) {
            return Err(usage!("--neuron {text}: named twice"));
        }
        places.push(place);
    }
    Ok(Chosen::These(layer, places))
}

/// The layers and the images on stdout.
fn tell(inside: &Inside) -> Result<()> {
    let longest = inside.layers.iter().map(|layer| layer.name.len()).max().unwrap_or(0).max(5);
    let attacked = inside.attack.is_some();
    let three = |words: [&str; 3]| words.map(|word| format!("{word:>10}")).concat();
    let twice = if attacked { three(["rate", "silent", "saturated"]) + &format!("{:>10}", "flipped") } else { String::new() };
    if attacked {
        say(format!("{:<width$}   attacked", "", width = longest + 52))?;
    }
    let head = format!("{:<longest$} {:>11} {:>7}{}  {twice}", "layer", "extent", "v_th", three(["rate", "silent", "saturated"]));
    say(head.trim_end())?;
    for layer in &inside.layers {
        let numbers = |take: &Histogram| {
            let shares = [take.rate(), take.silent(), take.saturated()];
            shares.map(|share| format!("{:>8.1} %", 100.0 * share)).concat()
        };
        let clean = numbers(&layer.takes[0]);
        let attacked = layer.takes.get(1).map(numbers).unwrap_or_default();
        let flipped = layer.change.map_or(String::new(), |change| format!("{:>8.1} %", 100.0 * change.flipped));
        let extent = layer.shape.map(|extent| extent.to_string()).join("x");
        let line = format!("{:<longest$} {extent:>11} {:>7.3}{clean}  {attacked}{flipped}", layer.name, layer.v_th);
        say(line.trim_end())?;
    }
    let right = |take: usize| {
        let known = inside.images.iter().filter(|image| image.label.is_some());
        let right = known.clone().filter(|image| image.label == Some(image.takes[take].predicted)).count();
        (known.count(), right)
    };
    if let (known @ 1.., clean) = right(0) {
        let told = |right: usize| with_interval(100.0 * right as f64 / known as f64, known);
        let attack = inside.attack.as_ref().map_or(String::new(), |attack| format!("; {attack}: {} %", told(right(1).1)));
        say(format!("recognised: clean {} % of {known} images{attack}", told(clean)))?;
    }
    Ok(())
}
