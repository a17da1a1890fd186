//! The safetensors container.

use crate::base::{Result, ensure, fail};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// The numbers of a tensor in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// f32.
    Floats(Vec<f32>),
    /// i64.
    Integers(Vec<i64>),
}

impl Kind {
    /// The numbers, if they are f32.
    pub fn floats(self) -> Option<Vec<f32>> {
        if let Kind::Floats(values) = self { Some(values) } else { None }
    }
}

/// A tensor: name, shape, numbers.
pub type Named = (String, Vec<usize>, Kind);

/// The bytes of a safetensors file with these tensors; the same tensors and metadata make the same bytes.
pub fn serialise(tensors: &[Named], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let views = tensors.iter().map(|(name, shape, values)| {
        let (dtype, bytes): (Dtype, &[u8]) = match values {
            Kind::Floats(values) => (Dtype::F32, bytemuck::cast_slice(values)),
            Kind::Integers(values) => (Dtype::I64, bytemuck::cast_slice(values)),
        };
        let view = TensorView::new(dtype, shape.clone(), bytes).map_err(|cause| fail!("safetensors: {name}: {cause}"))?;
        Ok((name.clone(), view))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let bytes = safetensors::serialize(views, None).map_err(|cause| fail!("safetensors: {cause}"))?;
    if metadata.is_empty() { Ok(bytes) } else { described(&bytes, metadata) }
}

/// The file `bytes` with metadata, sorted: the crate writes it in the order of a hash map, which differs every time.
fn described(bytes: &[u8], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let (start, _) = SafeTensors::read_metadata(bytes).map_err(|cause| fail!("safetensors: {cause}"))?;
    let (header, data) = bytes[LENGTH..].split_at(start);
    let said = serde_json::to_string(metadata).map_err(|cause| fail!("safetensors: {cause}"))?;
    let rest = header.trim_ascii().strip_prefix(b"{").unwrap_or_default();
    let comma = if rest == b"}" { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{said}{comma}").into_bytes();
    header.extend_from_slice(rest);
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    Ok([&(header.len() as u64).to_le_bytes()[..], &header, data].concat())
}

/// Bytes in front of the header: its length.
const LENGTH: usize = 8;

/// A safetensors file in memory.
pub struct TensorFile {
    bytes: Vec<u8>,
    metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// The file at `path`. Errors: missing, unreadable, truncated, no safetensors file.
    pub fn open(path: &Path) -> Result<TensorFile> {
        let bytes = std::fs::read(path).map_err(|cause| fail!("cannot read {}: {cause}", path.display()))?;
        Self::parse(bytes).map_err(|error| error.within(path.display()))
    }

    /// A file's bytes. Errors: truncated, no safetensors file.
    pub fn parse(bytes: Vec<u8>) -> Result<TensorFile> {
        let foreign = |cause: &dyn std::fmt::Display| {
            fail!("no whole safetensors file ({cause}, {} bytes); save the state dict with safetensors", bytes.len())
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|cause| foreign(&cause))?;
        SafeTensors::deserialize(&bytes).map_err(|cause| foreign(&cause))?;
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(TensorFile { bytes, metadata })
    }

    /// The string metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The names of its tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.view().names().into_iter().map(str::to_string).collect();
        names.sort();
        names
    }

    /// The shape of tensor `name`.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.view().tensor(name).ok().map(|view| view.shape().to_vec())
    }

    /// The dtype of tensor `name`, as written in the file.
    pub fn dtype(&self, name: &str) -> Option<String> {
        self.view().tensor(name).ok().map(|view| view.dtype().to_string())
    }

    /// The f32 numbers of tensor `name`. Errors: missing, another dtype.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let tensors = self.view();
        let view = tensors.tensor(name).map_err(|_| self.missing(name))?;
        ensure!(view.dtype() == Dtype::F32, "tensor {name} is {}, F32 is wanted; convert it first", view.dtype());
        Ok(bytemuck::pod_collect_to_vec(view.data()))
    }

    /// The integers of tensor `name` (i64 or i32). Errors: missing, another dtype.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        let tensors = self.view();
        let view = tensors.tensor(name).map_err(|_| self.missing(name))?;
        match view.dtype() {
            Dtype::I64 => Ok(bytemuck::pod_collect_to_vec(view.data())),
            Dtype::I32 => Ok(bytemuck::pod_collect_to_vec::<u8, i32>(view.data()).into_iter().map(i64::from).collect()),
            other => Err(fail!("tensor {name} is {other}, I64 or I32 is wanted; convert it first")),
        }
    }

    fn missing(&self, name: &str) -> crate::base::Error {
        fail!("no tensor \"{name}\"; the file holds {}", crate::checkpoint::layout::list(&self.names()))
    }

    fn view(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("parsed once already")
    }
}
