//! Files of `torch.save`: a zip archive with a pickle (the tensors' names, shapes and places) and one entry a storage.
//!
//! Only tensors come out. The pickle is read as data (`base::pickle`), so no code of the file is ever run.

mod archive;
mod numbers;
mod view;

use super::container::Kind;
use crate::base::pickle::{self, NUMPY, Value};
use crate::base::{Error, Result, ensure, fail};
use archive::Archive;
use numbers::Dtype;
use std::collections::BTreeMap;
use view::{Storages, View};

/// The first bytes of a zip archive.
const ZIP: &[u8] = b"PK\x03\x04";

/// The first bytes of what `torch.save` wrote before PyTorch 1.6: a pickle of its magic number.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// The cure where a file holds more, or another thing, than a state dict.
const CURE: &str = "save the state dict alone: torch.save(model.state_dict(), FILE)";

/// Where people put the state dict among other things.
const NESTED: [&str; 6] = ["state_dict", "model_state_dict", "model", "net", "network", "weights"];

/// What may occur in the pickle: tensors, and plain values that training scripts put beside them.
const GLOBALS: [&str; 14] = [
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.storage.UntypedStorage",
    "torch.Size",
    "torch.device",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "builtins.dict",
    "builtins.list",
    "builtins.set",
    "builtins.int",
    "builtins.float",
];

/// Whether `bytes` begin like a file of `torch.save`, of either age.
pub fn is_torch(bytes: &[u8]) -> bool {
    bytes.starts_with(ZIP) || bytes.starts_with(LEGACY)
}

/// The tensors of a file.
pub struct StateDict {
    tensors: BTreeMap<String, View>,
    storages: Storages,
    /// What was done to find them, for the user.
    pub notes: Vec<String>,
}

impl StateDict {
    /// The state dict in the bytes of a file. Errors: no whole archive, the old format, no state dict, more than plain
    /// numbers, a tensor that reaches beyond its storage.
    pub fn parse(bytes: &[u8]) -> Result<StateDict> {
        ensure!(
            !bytes.starts_with(LEGACY),
            "a PyTorch file of before 1.6; save it again with a newer one: torch.save(torch.load(FILE, weights_only=True), OUT)"
        );
        let mut archive = Archive::open(bytes)?;
        let data = archive.pickle()?;
        let dtypes: Vec<String> = Dtype::globals().collect();
        let globals: Vec<&str> = GLOBALS.into_iter().chain(NUMPY).chain(dtypes.iter().map(String::as_str)).collect();
        let cured = |error: Error| fail!("{error}; {CURE}");
        let pickle = pickle::parse(&data, &globals).map_err(cured)?;
        let (entries, notes) = find(pickle.root())?;
        let (mut tensors, mut storages) = (BTreeMap::new(), Storages::default());
        for (name, tensor) in entries {
            let view = View::of(tensor, &mut storages, &mut archive).map_err(|error| error.within(format!("tensor {name}")))?;
            tensors.insert(name, view);
        }
        let mut dict = StateDict { tensors, storages, notes };
        dict.notes.extend(dict.narrowed());
        Ok(dict)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of tensor `name`.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.get(name).map(|view| view.shape.clone())
    }

    /// The dtype of tensor `name` as it comes out: every float is F32, every integer I64.
    pub fn dtype(&self, name: &str) -> Option<&'static str> {
        self.tensors.get(name).map(|view| view.dtype.read_as())
    }

    /// The numbers of tensor `name`, in row-major order.
    pub fn numbers(&self, name: &str) -> Option<Kind> {
        self.tensors.get(name).map(|view| view.numbers(&self.storages))
    }

    /// Which floats were not f32.
    fn narrowed(&self) -> Option<String> {
        let mut names: Vec<&str> =
            self.tensors.values().filter(|view| view.dtype.read_as() == "F32").map(|view| view.dtype.name()).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| *name != "float32");
        (!names.is_empty()).then(|| format!("{} read as float32", names.join(" and ")))
    }
}

type Named<'p> = Vec<(String, Value<'p>)>;

/// The tensors of the state dict in `root` (itself, or one level below), and what was passed over.
fn find(root: Value<'_>) -> Result<(Named<'_>, Vec<String>)> {
    ensure!(root.entries().is_some(), "the file holds {}, a dict of tensors is wanted; {CURE}", root.kind());
    let tensors = |value: Value| -> bool { value.entries().is_some_and(|mut entries| entries.any(|(_, value)| view::is_tensor(value))) };
    let mut notes = Vec::new();
    let dict = if tensors(root) {
        root
    } else {
        let found = NESTED.iter().find_map(|key| root.get(key).filter(|value| tensors(*value)).map(|value| (key, value)));
        let keys: Vec<String> = root.entries().into_iter().flatten().filter_map(|(key, _)| key.text().map(str::to_string)).collect();
        let (key, dict) = found.ok_or_else(|| fail!("no tensors in the file's dict ({}); {CURE}", super::layout::list(&keys)))?;
        notes.push(format!("taken from \"{key}\""));
        dict
    };
    let mut named = Vec::new();
    let mut others = Vec::new();
    for (key, value) in dict.entries().into_iter().flatten() {
        let name = key.text().ok_or_else(|| fail!("a state dict with {} as a name; {CURE}", key.kind()))?.to_string();
        if view::is_tensor(value) { named.push((name, value)) } else { others.push(name) }
    }
    if !others.is_empty() {
        notes.push(format!("no tensors and left out: {}", super::layout::list(&others)));
    }
    Ok((named, notes))
}

#[cfg(test)]
mod tests;
