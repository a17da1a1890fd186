//! A folder of one's own to run the program in, and small inputs to give it.

use flate2::{Compression, write::GzEncoder};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_caltrop");

/// A network of [`House::nets`]: 2 channels of 4x6, one convolution of 3, a pool, 5 hidden, 3 classes.
pub const ARCH: &str = "--arch vgg:3,A/5 --classes 3 --input 2x4x6 --mean 0.4,0.5 --std 0.2,0.3";

/// A recipe of a second on the data of [`House::data`].
pub const RECIPE: &str = r#"
arch = "vgg:4,A/8"
dataset = "mnist"
[ann]
epochs = 2
batch = 32
attack_steps = 2
eps = 4
[convert]
batches = 2
batch = 16
calibration_steps = 10
[snn]
epochs = 2
batch = 32
steps = 4
eps = 4
[eval]
ann = ["pgd3:30"]
snn = ["ensemble-fgsm:20"]
curve = [0, 8]
curve_attack = "pgd2:20"
"#;

/// A temporary folder, removed at the end. Everything runs in it, by relative names.
pub struct House {
    pub root: PathBuf,
}

/// What a run of the program left.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program speaks UTF-8");
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl House {
    pub fn new(name: &str) -> House {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("caltrop-cli-{name}-{}-{unique}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        House { root }
    }

    /// The program with the words of `line`.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(line.split_whitespace()).current_dir(&self.root);
        command
    }

    pub fn run(&self, line: &str) -> Said {
        self.command(line).output().unwrap().into()
    }

    /// As [`House::run`] with little memory to be had, where the system can say so.
    pub fn run_small(&self, line: &str) -> Said {
        if cfg!(not(target_os = "linux")) {
            return self.run(line);
        }
        self.run_within(6_000_000, line)
    }

    /// As [`House::run`] with so many kB of addresses, on Linux.
    pub fn run_within(&self, memory: usize, line: &str) -> Said {
        let script = format!("ulimit -v {memory}; exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, PROGRAM]).args(line.split_whitespace()).current_dir(&self.root);
        shell.output().unwrap().into()
    }

    /// Runs and expects success.
    #[track_caller]
    pub fn good(&self, line: &str) -> Said {
        let said = self.run(line);
        assert_eq!(said.code, Some(0), "caltrop {line}\n{}", said.err);
        said
    }

    /// Runs and expects `code`, one line that holds all of `words`, and a folder in which nothing came, went or changed.
    #[track_caller]
    pub fn refused(&self, code: i32, line: &str, words: &[&str]) {
        let before = self.everything();
        let said = self.run_small(line);
        let place = format!("caltrop {line}\n[{:?}] {}", said.code, said.err);
        assert_eq!(said.code, Some(code), "{place}");
        assert_eq!(said.err.lines().count(), 1, "more or less than one line: {place}");
        assert!(said.err.starts_with("caltrop: ") && said.err.ends_with('\n'), "{place}");
        assert_eq!(said.out, "", "{place}");
        for word in words {
            assert!(said.err.contains(word), "nothing about \"{word}\": {place}");
        }
        let after = self.everything();
        assert!(before == after, "the folder changed: {place}\n{:?}\n{:?}", before.keys(), after.keys());
    }

    /// Every file below the folder, and its bytes.
    pub fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(at: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in std::fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    found.insert(path.clone(), Vec::new());
                    walk(&path, found);
                } else {
                    found.insert(path.clone(), std::fs::read(&path).unwrap());
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(&self.root, &mut found);
        found
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.root.join(name)).unwrap_or_else(|cause| panic!("{name}: {cause}"))
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    pub fn has(&self, name: &str) -> bool {
        self.root.join(name).exists()
    }

    /// Writes a safetensors file.
    pub fn tensors(&self, name: &str, tensors: &[T]) {
        let views = tensors.iter().map(|t| (t.name.clone(), TensorView::new(t.dtype, t.shape.clone(), &t.bytes).unwrap()));
        self.write(name, safetensors::serialize(views, None).unwrap());
    }

    /// The state dict `weights`, and the networks `ann` and `snn` (T = 4) of it.
    pub fn nets(&self) {
        self.tensors("weights", &state_dict());
        self.good(&format!("import weights {ARCH} --out ann"));
        self.good(&format!("import weights {ARCH} --steps 4 --out snn"));
    }

    /// `count` images for [`House::nets`], with labels.
    pub fn images(&self, name: &str, count: usize) {
        let labels: Vec<i64> = (0..count as i64).map(|i| i % 3).collect();
        self.tensors(name, &[T::floats("images", &[count, 2, 4, 6], &pixels(count * 48)), T::longs("labels", &[count], &labels)]);
    }

    /// A folder `data` of 8x8 images, 200 for training and 60 for testing, in which a bright spot tells the class.
    pub fn data(&self) {
        for (stem, count) in [("train", 200), ("t10k", 60)] {
            let labels: Vec<u8> = (0..count).map(|i| (i * 7 % 10) as u8).collect();
            let noise = numbers(count * 64);
            let pixel = |i: usize| {
                let (class, at) = (usize::from(labels[i / 64]), i % 64);
                let near = (at % 8).abs_diff(class % 5 + 1) <= 1 && (at / 8).abs_diff(class / 5 * 4 + 2) <= 1;
                (noise[i] * 90.0) as u8 + if near { 150 } else { 0 }
            };
            let pixels: Vec<u8> = (0..count * 64).map(pixel).collect();
            self.write(&format!("data/{stem}-images-idx3-ubyte"), idx(&[count, 8, 8], &pixels));
            self.write(&format!("data/{stem}-labels-idx1-ubyte.gz"), gzip(&idx(&[count], &labels)));
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// A tensor to be written.
#[derive(Clone)]
pub struct T {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    pub bytes: Vec<u8>,
}

impl T {
    pub fn floats(name: &str, shape: &[usize], values: &[f32]) -> T {
        T { name: name.into(), shape: shape.into(), dtype: Dtype::F32, bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }

    pub fn doubles(name: &str, shape: &[usize], values: &[f64]) -> T {
        T { name: name.into(), shape: shape.into(), dtype: Dtype::F64, bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }

    pub fn longs(name: &str, shape: &[usize], values: &[i64]) -> T {
        T { name: name.into(), shape: shape.into(), dtype: Dtype::I64, bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }

    pub fn ints(name: &str, shape: &[usize], values: &[i32]) -> T {
        T { name: name.into(), shape: shape.into(), dtype: Dtype::I32, bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }
}

/// A tensor that was read: shape, dtype, bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    pub bytes: Vec<u8>,
}

impl Read {
    pub fn floats(&self) -> Vec<f32> {
        assert_eq!(self.dtype, Dtype::F32);
        self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    pub fn longs(&self) -> Vec<i64> {
        assert_eq!(self.dtype, Dtype::I64);
        self.bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
    }
}

/// The tensors of a safetensors file.
pub fn open(bytes: &[u8]) -> BTreeMap<String, Read> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let read = |view: TensorView| Read { shape: view.shape().to_vec(), dtype: view.dtype(), bytes: view.data().to_vec() };
    file.tensors().into_iter().map(|(name, view)| (name, read(view))).collect()
}

/// Numbers in [0, 1), the same every time.
pub fn numbers(count: usize) -> Vec<f32> {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..count).map(|_| next()).collect()
}

fn pixels(count: usize) -> Vec<f32> {
    numbers(count).into_iter().map(|x| (x * 255.0).round() / 255.0).collect()
}

/// The state dict of [`ARCH`] without biases, in PyTorch's order.
pub fn state_dict() -> Vec<T> {
    let signed = |name: &str, shape: &[usize], size: f32, salt: usize| {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = numbers(count + salt)[salt..].iter().map(|x| size * (2.0 * x - 1.0)).collect();
        T::floats(name, shape, &values)
    };
    vec![
        signed("features.0.weight", &[3, 2, 3, 3], 0.4, 1),
        T::floats("features.1.weight", &[3], &[0.8, 1.1, 0.9]),
        T::floats("features.1.bias", &[3], &[0.2, 0.1, 0.3]),
        T::floats("features.1.running_mean", &[3], &[0.1, -0.2, 0.0]),
        T::floats("features.1.running_var", &[3], &[1.0, 0.7, 1.3]),
        T::longs("features.1.num_batches_tracked", &[], &[17]),
        T::floats("features.2.v_th", &[], &[0.4]),
        signed("classifier.1.weight", &[5, 18], 0.6, 2),
        T::floats("classifier.2.v_th", &[], &[0.35]),
        signed("classifier.4.weight", &[3, 5], 0.9, 3),
    ]
}

/// An IDX file of bytes.
pub fn idx(extents: &[usize], bytes: &[u8]) -> Vec<u8> {
    let header = std::iter::once(0x0800 + extents.len() as u32).chain(extents.iter().map(|&extent| extent as u32));
    header.flat_map(u32::to_be_bytes).chain(bytes.iter().copied()).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
