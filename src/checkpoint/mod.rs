//! Floor 7: networks as safetensors files with PyTorch's names and layouts, describing themselves in metadata; what
//! `torch.save` wrote is read too. Spiking networks as NIR graphs, and back.

mod container;
mod layout;
mod meta;
mod nir;
mod npy;
mod torch;

pub use container::{Kind, Named, TensorFile};
pub use layout::{channels_first, channels_last};
pub use meta::{FORMAT, Meta};
pub use nir::{DIALECTS, Dialect, Said, export_nir, import_nir, is_nir};
pub use npy::save_arrays;

use crate::base::{Result, ensure, fail, file};
use crate::data::hex;
use crate::device::Device;
use crate::nn::{Model, Spec};
use crate::zoo;
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::path::Path;

/// Which tensors a state dict must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Require {
    /// Everything of the network (v_th may be absent at T = 0, `num_batches_tracked` always).
    Everything,
    /// As before, but running statistics may be absent (kept at mean 0, variance 1).
    NoStatistics,
}

/// Write `model` and what is known of it to `path`: to a temporary file, fsynced, renamed.
///
/// Errors: the path cannot be written.
pub fn save(path: &Path, model: &Model, meta: &Meta) -> Result<()> {
    let bytes = container::serialise(&layout::tensors(model), &meta.to_map(model.spec()))?;
    file::write(path, &bytes)
}

/// [`save`], with what else a training state needs to go on: `more`, whose keys get a prefix of their own.
pub fn save_state(path: &Path, model: &Model, meta: &Meta, more: &BTreeMap<&str, String>) -> Result<()> {
    let mut map = meta.to_map(model.spec());
    map.extend(more.iter().map(|(key, value)| (format!("{STATE}{key}"), value.clone())));
    file::write(path, &container::serialise(&layout::tensors(model), &map)?)
}

/// The prefix of what only a training state has in its metadata.
const STATE: &str = "state.";

/// Write the state dict alone, as PyTorch has it: no metadata.
pub fn export(path: &Path, model: &Model) -> Result<()> {
    file::write(path, &container::serialise(&layout::tensors(model), &BTreeMap::new())?)
}

/// Write any tensors to `path`, as [`save`] does.
pub fn save_tensors(path: &Path, tensors: &[Named]) -> Result<()> {
    file::write(path, &container::serialise(tensors, &BTreeMap::new())?)
}

/// The network in the checkpoint `path`. Errors: no such file, truncated, foreign, tensors missing, left over, of
/// another shape or dtype (all named at once), NaN.
pub fn load(path: &Path, device: &Device) -> Result<(Model, Meta)> {
    load_state(path, device).map(|(model, meta, _)| (model, meta))
}

/// [`load`], and what [`save_state`] wrote beside (nothing in a plain checkpoint).
pub fn load_state(path: &Path, device: &Device) -> Result<(Model, Meta, BTreeMap<String, String>)> {
    let tensors = TensorFile::open(path)?;
    let (spec, meta) = Meta::from_map(tensors.metadata()).map_err(|error| error.within(path.display()))?;
    let mut model = zoo::blank(device, spec).map_err(|error| fail!("{}: {error}", path.display()))?;
    layout::fill(&mut model, &tensors, Require::Everything).map_err(|error| error.within(path.display()))?;
    let more = tensors.metadata().iter().filter_map(|(key, value)| Some((key.strip_prefix(STATE)?.to_string(), value.clone())));
    Ok((model, meta, more.collect()))
}

/// The network `spec` with the PyTorch state dict in `path` (safetensors or `torch.save`), and what was done to read it.
/// Errors: as [`load`]; a file that is a checkpoint of another architecture is a foreign state dict like any other.
pub fn import(path: &Path, spec: Spec, require: Require, device: &Device) -> Result<(Model, Vec<String>)> {
    let mut tensors = TensorFile::open(path)?;
    tensors.unwrap_names();
    let mut model = zoo::blank(device, spec)?;
    layout::fill(&mut model, &tensors, require).map_err(|error| {
        let cure = layout::bias_cure(&model, &tensors).map(|cure| format!("; {cure}")).unwrap_or_default();
        fail!("{}: {error}{cure}", path.display())
    })?;
    Ok((model, tensors.notes()))
}

/// Fill `model` from a state dict in memory (tests and library users).
pub fn fill(model: &mut Model, tensors: &TensorFile, require: Require) -> Result<()> {
    layout::fill(model, tensors, require)
}

/// The tensors of `model` in PyTorch's order and layout: (name, shape, values).
pub fn state_dict(model: &Model) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let tensors = layout::tensors(model);
    tensors.into_iter().filter_map(|(name, shape, values)| Some((name, shape, values.floats()?))).collect()
}

/// A checksum of the names, shapes and values of [`state_dict`], as 32 hexadecimal digits. It finds networks that were mixed up
/// or changed, whatever their files say of them, and is no defence against forgery (MD5).
pub fn fingerprint(model: &Model) -> String {
    let mut sum = Md5::new();
    for (name, shape, values) in state_dict(model) {
        sum.update(format!("{name} {shape:?}\n"));
        sum.update(bytemuck::cast_slice::<f32, u8>(&values));
    }
    hex(&sum.finalize())
}

/// Gradients by parameter slot in PyTorch's layout: (name, shape, values), None where there is none.
pub fn gradients(model: &Model, params: &[Option<crate::tensor::Tensor>]) -> Result<Vec<(String, Option<Vec<f32>>)>> {
    ensure!(params.len() == model.params().len(), "checkpoint: {} gradients for {} parameters", params.len(), model.params().len());
    Ok(layout::gradients(model, params))
}
