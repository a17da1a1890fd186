//! Files of named tensors: safetensors, read and written; PyTorch's own, read.

use super::torch::{self, StateDict};
use crate::base::{Error, Result, ensure, fail, nature};
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
    /// u8.
    Bytes(Vec<u8>),
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
            Kind::Bytes(values) => (Dtype::U8, values),
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
/// No header is longer (safetensors' own limit).
const MOST_HEADER: usize = 100_000_000;

/// A file of named tensors in memory: safetensors, or what `torch.save` wrote. Its first bytes say which.
pub struct TensorFile {
    source: Source,
    metadata: BTreeMap<String, String>,
    /// What the names in the file have in front of ours.
    prefix: String,
}

enum Source {
    Safetensors(Vec<u8>),
    Torch(StateDict),
}

/// What wrappers (DataParallel, torch.compile, Lightning) put before every name.
const WRAPPERS: [&str; 4] = ["module.", "_orig_mod.", "model.", "net."];

impl TensorFile {
    /// The file at `path`. Errors: missing, unreadable, truncated, neither safetensors nor a state dict of PyTorch.
    pub fn open(path: &Path) -> Result<TensorFile> {
        ensure!(!path.is_dir(), "{} is a folder; name a file in it", path.display());
        let bytes = std::fs::read(path).map_err(|cause| fail!("cannot read {}: {cause}", path.display()))?;
        Self::parse(bytes).map_err(|error| error.within(path.display()))
    }

    /// A file's bytes. Errors: truncated, neither safetensors nor a state dict of PyTorch.
    pub fn parse(bytes: Vec<u8>) -> Result<TensorFile> {
        if torch::is_torch(&bytes) {
            let source = Source::Torch(StateDict::parse(&bytes)?);
            return Ok(TensorFile { source, metadata: BTreeMap::new(), prefix: String::new() });
        }
        let broken = |cause| broken(&bytes, &cause);
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
        SafeTensors::deserialize(&bytes).map_err(broken)?;
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(TensorFile { source: Source::Safetensors(bytes), metadata, prefix: String::new() })
    }

    /// Drop what wrappers of a network put before every name (`module.`), from now on.
    pub fn unwrap_names(&mut self) {
        while let names = self.names()
            && let Some(wrapper) = WRAPPERS.into_iter().find(|wrapper| names.iter().all(|name| name.starts_with(wrapper)))
            && !names.is_empty()
        {
            self.prefix += wrapper;
        }
    }

    /// What was done to read the file beyond reading it, in words.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = if let Source::Torch(dict) = &self.source { dict.notes.clone() } else { Vec::new() };
        if !self.prefix.is_empty() {
            notes.push(format!("names without \"{}\"", self.prefix));
        }
        notes
    }

    /// The string metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The names of its tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let whole: Vec<String> = match &self.source {
            Source::Safetensors(bytes) => view(bytes).names().into_iter().map(str::to_string).collect(),
            Source::Torch(dict) => dict.names().map(str::to_string).collect(),
        };
        let mut names: Vec<String> = whole.iter().filter_map(|name| name.strip_prefix(&self.prefix)).map(str::to_string).collect();
        names.sort();
        names
    }

    /// The shape of tensor `name`.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        match &self.source {
            Source::Safetensors(bytes) => view(bytes).tensor(&self.whole(name)).ok().map(|view| view.shape().to_vec()),
            Source::Torch(dict) => dict.shape(&self.whole(name)),
        }
    }

    /// The dtype of tensor `name`: as written in a safetensors file, as read (F32, I64) from PyTorch's.
    pub fn dtype(&self, name: &str) -> Option<String> {
        match &self.source {
            Source::Safetensors(bytes) => view(bytes).tensor(&self.whole(name)).ok().map(|view| view.dtype().to_string()),
            Source::Torch(dict) => dict.dtype(&self.whole(name)).map(str::to_string),
        }
    }

    /// The f32 numbers of tensor `name`. Errors: missing, another dtype.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>> {
        match self.numbers(name)? {
            (Some(Kind::Floats(values)), _) => Ok(values),
            (_, dtype) => Err(fail!("tensor {name} is {dtype}, F32 is wanted; convert it first")),
        }
    }

    /// The integers of tensor `name` (i64, i32 or u8). Errors: missing, another dtype.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        match self.numbers(name)? {
            (Some(Kind::Integers(values)), _) => Ok(values),
            (Some(Kind::Bytes(values)), _) => Ok(values.into_iter().map(i64::from).collect()),
            (_, dtype) => Err(fail!("tensor {name} is {dtype}, I64, I32 or U8 is wanted; convert it first")),
        }
    }

    /// The numbers of tensor `name`, where they are of a kind that is read, and its dtype. Errors: missing.
    fn numbers(&self, name: &str) -> Result<(Option<Kind>, String)> {
        let dtype = self.dtype(name).ok_or_else(|| self.missing(name))?;
        let numbers = match &self.source {
            Source::Torch(dict) => dict.numbers(&self.whole(name)),
            Source::Safetensors(bytes) => {
                let tensors = view(bytes);
                let view = tensors.tensor(&self.whole(name)).map_err(|_| self.missing(name))?;
                match view.dtype() {
                    Dtype::F32 => Some(Kind::Floats(bytemuck::pod_collect_to_vec(view.data()))),
                    Dtype::I64 => Some(Kind::Integers(bytemuck::pod_collect_to_vec(view.data()))),
                    Dtype::I32 => {
                        Some(Kind::Integers(bytemuck::pod_collect_to_vec::<u8, i32>(view.data()).into_iter().map(i64::from).collect()))
                    }
                    Dtype::U8 => Some(Kind::Bytes(view.data().to_vec())),
                    _ => None,
                }
            }
        };
        Ok((numbers, dtype))
    }

    fn missing(&self, name: &str) -> crate::base::Error {
        fail!("no tensor \"{name}\"; the file holds {}", crate::checkpoint::layout::list(&self.names()))
    }

    /// The name in the file.
    fn whole(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Why `bytes` are no whole safetensors file: cut, corrupt (`cause` says how), or something else.
///
/// Such a file is a header's length, the header (JSON, so it begins with a brace) and the numbers, to which the header points.
fn broken(bytes: &[u8], cause: &dyn std::fmt::Display) -> Error {
    const CURE: &str = "copy or download it again";
    let held = bytes.len();
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else {
        return fail!("truncated: {held} bytes, where a safetensors file begins with {LENGTH} of its header's length; {CURE}");
    };
    if rest.first() != Some(&b'{') && !(rest.is_empty() && nature(bytes).is_none()) {
        let text = || std::str::from_utf8(bytes).is_ok().then_some("a text file");
        let seems = nature(bytes).or_else(text).unwrap_or("something that is not known");
        return fail!("no safetensors file and none of torch.save's, but {seems}; tensors are read as these two write them");
    }
    let length = u64::from_le_bytes(*length);
    let Some(end) = usize::try_from(length).ok().filter(|&length| length <= MOST_HEADER).map(|length| LENGTH + length) else {
        return fail!("a corrupt safetensors file (a header of {length} bytes, at most {MOST_HEADER}); {CURE}");
    };
    let Some(header) = bytes.get(LENGTH..end) else {
        return fail!("truncated: {held} bytes of at least {end}, where its header ends; {CURE}");
    };
    let ends = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(header)
        .map(|header| header.values().filter_map(|tensor| tensor["data_offsets"][1].as_u64()).max().unwrap_or(0));
    match ends.map(|last| last.saturating_add(end as u64)) {
        Ok(wanted) if (held as u64) < wanted => fail!("truncated: {held} bytes of {wanted}; {CURE}"),
        Ok(wanted) if held as u64 > wanted => fail!("{held} bytes, where its header speaks of {wanted}: something was added; {CURE}"),
        _ => fail!("a corrupt safetensors file ({cause}, {held} bytes); {CURE}"),
    }
}

fn view(bytes: &[u8]) -> SafeTensors<'_> {
    SafeTensors::deserialize(bytes).expect("parsed once already")
}
