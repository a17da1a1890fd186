//! The parity data: `tests/parity/`, or the folder named by `CALTROP_PARITY`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};

/// A tensor in PyTorch's layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

/// One parity file, read whole.
#[derive(Debug)]
pub struct Parity {
    tensors: BTreeMap<String, Tensor>,
    /// The seed of the file's named tensors.
    pub seed: u64,
    file: PathBuf,
}

/// The folder that is read.
pub fn folder() -> PathBuf {
    match std::env::var_os("CALTROP_PARITY") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parity"),
    }
}

impl Parity {
    /// Reads `STEM.safetensors`.
    #[track_caller]
    pub fn open(stem: &str) -> Self {
        let file = folder().join(format!("{stem}.safetensors"));
        let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let seed = header.metadata().as_ref().and_then(|m| m.get("seed")).and_then(|s| s.parse().ok());
        let seed = seed.unwrap_or_else(|| panic!("{}: no seed in the metadata", file.display()));
        let views = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let tensors = views
            .iter()
            .map(|(key, view)| (key.to_string(), Tensor { shape: view.shape().to_vec(), data: numbers(view.dtype(), view.data()) }))
            .collect();
        Parity { tensors, seed, file }
    }

    /// The tensor under `key`; panics where there is none.
    #[track_caller]
    pub fn get(&self, key: &str) -> &Tensor {
        self.find(key).unwrap_or_else(|| panic!("{}: no tensor {key}", self.file.display()))
    }

    /// The values under `key`.
    #[track_caller]
    pub fn data(&self, key: &str) -> &[f64] {
        &self.get(key).data
    }

    /// The tensor under `key`, if there is one.
    pub fn find(&self, key: &str) -> Option<&Tensor> {
        self.tensors.get(key)
    }

    /// Every key, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The keys `prefix…suffix`, each as what stands between.
    pub fn between<'a>(&'a self, prefix: &'a str, suffix: &'a str) -> impl Iterator<Item = &'a str> {
        self.keys().filter_map(move |key| key.strip_prefix(prefix)?.strip_suffix(suffix))
    }
}

/// `float32-floor.json`: case → quantity → how far PyTorch's float32 is from the file.
pub fn floors() -> BTreeMap<String, BTreeMap<String, f64>> {
    let file = folder().join("float32-floor.json");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    fn each<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|&chunk| f(chunk)).collect()
    }
    match dtype {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        Dtype::I32 => each(bytes, |b| f64::from(i32::from_le_bytes(b))),
        Dtype::U8 => each(bytes, |b: [u8; 1]| f64::from(b[0])),
        other => panic!("parity: dtype {other:?} is not read"),
    }
}
