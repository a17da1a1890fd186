//! Networks as graphs of NIR, the Neuromorphic Intermediate Representation (Pedersen et al. 2024, neuroir.org), and back.
//! docs/nir.md has the mapping and its conventions.

mod channels;
mod dialect;
mod export;
mod graph;
mod hdf5;
mod import;
#[cfg(test)]
mod tests;

pub use dialect::{DIALECTS, Dialect};

use super::container::{Kind, TensorFile, serialise};
use super::{Meta, Require, layout};
use crate::base::{Error, Result, ensure, fail, file, usage};
use crate::device::Device;
use crate::nn::{Model, Role, Spec};
use crate::ops::lif::Reset;
use crate::zoo;
use channels::Channels;
use graph::{Graph, Node, extents};
use import::near;
use std::io::Read;
use std::path::Path;

/// The key of a graph's metadata that names its dialect.
const DIALECT: &str = "dialect";

/// Write `model` to `path` as a NIR graph for the importer of `dialect`. Errors: an ANN, a leak or reset that it cannot say, a path that
/// cannot be written.
pub fn export_nir(path: &Path, model: &Model, meta: &Meta, dialect: &'static Dialect) -> Result<()> {
    file::write(path, &hdf5::write(&export::graph(model, meta, dialect)?)?)
}

/// Whether `path` is an HDF5 file, as a NIR graph is. What is no regular file (a pipe) can be read once only, and is none.
pub fn is_nir(path: &Path) -> bool {
    if !std::fs::metadata(path).is_ok_and(|known| known.is_file()) {
        return false;
    }
    let mut start = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(hdf5::SIGNATURE.len() as u64).read_to_end(&mut start));
    read.is_ok() && start == hdf5::SIGNATURE
}

/// What is said of a graph that does not say it itself. Of extents, classes, dialect and reset both must say the same; T and dropout may
/// be others than the graph's.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Architecture.
    pub arch: Option<String>,
    /// T.
    pub steps: Option<usize>,
    /// Classes.
    pub classes: Option<usize>,
    /// Channels, height, width.
    pub input: Option<[usize; 3]>,
    /// Dropout probability.
    pub dropout: Option<f32>,
    /// Reset, in a dialect whose neurons may have either.
    pub reset: Option<Reset>,
    /// Whose dialect the graph is in.
    pub dialect: Option<&'static Dialect>,
}

/// The network of the NIR graph in `path`, and what is known of it. Errors: no HDF5, truncated, no graph, a cycle, an edge or node
/// that is missing or unknown, a node that does not fit the architecture (named), NaN, something that has to be said.
pub fn import_nir(path: &Path, said: &Said, device: &Device) -> Result<(Model, Meta)> {
    let bytes = std::fs::read(path).map_err(|cause| Error::io("cannot read", path, &cause))?;
    read(bytes, said, device).map_err(|error| error.within(path.display()))
}

/// [`import_nir`] of bytes.
pub fn read(bytes: Vec<u8>, said: &Said, device: &Device) -> Result<(Model, Meta)> {
    let graph = hdf5::read(bytes)?;
    graph.check()?;
    let told = graph.said.contains_key("format").then(|| Meta::from_map(&graph.said)).transpose()?;
    let (own, meta) = told.map_or((None, Meta::default()), |(spec, meta)| (Some(spec), meta));
    let dialect = match (said.dialect, graph.said.get(DIALECT)) {
        (Some(dialect), Some(own)) if dialect.name != own => {
            return Err(usage!("--dialect {}: the graph says that its dialect is {own}; leave --dialect out", dialect.name));
        }
        (Some(dialect), _) => dialect,
        (None, Some(name)) => Dialect::named(name)?,
        (None, None) => &DIALECTS[0],
    };
    let spec = blank_spec(&graph, said, own.as_ref())?;
    let own_reset = own.as_ref().map(|own| own.reset);
    if let Some(reset) = said.reset {
        match own_reset {
            Some(own) if own != reset => return Err(usage!("--reset {reset}: the graph has {own}; leave --reset out")),
            None if !dialect.can(reset) => return Err(usage!("--reset {reset}: in the dialect {} every reset is hard", dialect.name)),
            _ => {}
        }
    }
    // With biases at first, so that they have a place; they go where all are 0.
    let found = import::fit(&graph, &zoo::blank(device, Spec { bias: true, ..spec.clone() })?, dialect)?;
    let spec = filled_spec(spec, own.as_ref(), &found)?;
    let mut model = zoo::blank(device, spec)?;
    let tensors: Vec<_> = layout::tensors(&model)
        .into_iter()
        .map(|(name, shape, kind)| match found.numbers.get(&name) {
            Some(values) => (name, shape, Kind::Floats(values.clone())),
            None => (name, shape, kind),
        })
        .collect();
    let tensors = TensorFile::parse(serialise(&tensors, &Default::default())?)?;
    layout::fill(&mut model, &tensors, Require::Everything)?;
    Ok((model, meta))
}

/// What is known before a node is looked at: mean, deviation, leak and bias are not.
fn blank_spec(graph: &Graph, said: &Said, own: Option<&Spec>) -> Result<Spec> {
    let shape = |name: &str| match &graph.nodes[name] {
        Node::Input(shape) | Node::Output(shape) => shape.clone(),
        _ => Vec::new(),
    };
    let pixels = shape(graph.only("Input", |node| matches!(node, Node::Input(_)))?);
    let logits = shape(graph.only("Output", |node| matches!(node, Node::Output(_)))?);
    let input: [usize; 3] = pixels
        .clone()
        .try_into()
        .map_err(|_| fail!("the Input is {}; images of channels x height x width are wanted", extents(&pixels)))?;
    const MOST: usize = 1 << 20;
    let sizes = input.iter().chain(&logits);
    ensure!(
        sizes.clone().all(|extent| (1..=MOST).contains(extent)),
        "the Input is {}, the Output {}; extents from 1 to {MOST} are wanted",
        extents(&input),
        extents(&logits)
    );
    ensure!(logits.len() == 1, "the Output is {}; one number a class is wanted", extents(&logits));
    let same = |flag: &str, typed: Option<String>, found: String| match typed {
        Some(typed) if typed != found => Err(usage!("{flag} {typed}: the graph has {found}; leave {flag} out")),
        _ => Ok(()),
    };
    same("--input", said.input.map(|input| extents(&input)), extents(&input))?;
    same("--classes", said.classes.map(|classes| classes.to_string()), logits[0].to_string())?;
    let arch = said.arch.clone().or(own.map(|own| own.arch.clone()));
    let arch = arch.ok_or_else(|| usage!("--arch is needed: the graph was not written by Caltrop, so it does not name an architecture"))?;
    let steps = said.steps.or(own.map(|own| own.steps)).filter(|&steps| steps > 0);
    let steps = steps.ok_or_else(|| usage!("--steps is needed, 1 or more: a NIR graph does not say for how many an image is shown"))?;
    Ok(Spec {
        arch,
        classes: logits[0],
        input,
        mean: vec![0.0; input[0]],
        std: vec![1.0; input[0]],
        bias: own.is_some_and(|own| own.bias),
        steps,
        leak: 1.0,
        reset: own.map(|own| own.reset).or(said.reset).unwrap_or_default(),
        dropout: said.dropout.or(own.map(|own| own.dropout)).unwrap_or(0.2),
    })
}

/// With what the nodes say; what the writer said of itself holds where the nodes say the same but for rounding.
fn filled_spec(spec: Spec, own: Option<&Spec>, found: &import::Found) -> Result<Spec> {
    let Channels { scale, shift } = &found.pixels;
    ensure!(scale.iter().all(|&scale| scale > 0.0), "pixels are multiplied by {scale:?} before the first layer; they must be positive");
    let mut std: Vec<f32> = scale.iter().map(|scale| (1.0 / scale) as f32).collect();
    let mut mean: Vec<f32> = shift.iter().zip(scale).map(|(shift, scale)| (-shift / scale) as f32).collect();
    let mut leak = found.leak.unwrap_or(1.0) as f32;
    if let Some(own) = own {
        let close =
            |said: &[f32], found: &[f32]| said.len() == found.len() && said.iter().zip(found).all(|(&said, &found)| near(said, found));
        if close(&own.std, &std) && close(&own.mean, &mean) {
            (mean, std) = (own.mean.clone(), own.std.clone());
        }
        // A leak comes out of a time constant, which rounds by its distance from 1.
        if (own.leak - leak).abs() <= 1e-6 {
            leak = own.leak;
        }
    }
    let used = |role: Role, name: &str| role == Role::Bias && found.numbers.get(name).is_some_and(|bias| bias.iter().any(|&b| b != 0.0));
    let all = zoo::blank(&Device::cpu(Some(1))?, Spec { bias: true, ..spec.clone() })?;
    let bias = spec.bias || all.params().iter().any(|param| used(param.role, &param.name));
    Ok(Spec { mean, std, leak, bias, ..spec })
}
