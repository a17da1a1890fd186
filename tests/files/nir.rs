//! Graphs of NIR: what is written comes back as the network that it was, and what others write is read.

use caltrop::autodiff::{Keep, Pass};
use caltrop::base::Result;
use caltrop::checkpoint::{self, DIALECTS, Dialect, Meta, Said, TensorFile};
use caltrop::device::Device;
use caltrop::nn::{Layer, Model, Role, Spec};
use caltrop::ops::lif::Reset;
use caltrop::ops::norm::Moments;
use caltrop::tensor::Tensor;
use caltrop::zoo;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of this test's, gone with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("caltrop-nir-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn cpu() -> Device {
    Device::cpu(Some(1)).expect("one thread")
}

fn spec(arch: &str, bias: bool, leak: f32) -> Spec {
    Spec {
        arch: arch.into(),
        classes: 5,
        input: [3, 8, 8],
        mean: vec![0.4914, 0.4822, 0.4465],
        std: vec![0.2023, 0.1994, 0.2010],
        bias,
        steps: 4,
        leak,
        reset: Reset::Hard,
        dropout: 0.1,
    }
}

/// Numbers between -1 and 1 that repeat late.
fn noise(seed: &mut u64) -> f32 {
    *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// A network none of whose numbers is 0 or 1.
fn model(spec: Spec) -> Model {
    let device = cpu();
    let mut model = zoo::build(&device, spec, 3).expect("a network");
    let mut seed = 5;
    for param in model.params_mut() {
        let (middle, spread) = match param.role {
            Role::NormWeight => (1.0, 0.4),
            Role::Bias | Role::NormBias => (0.1, 0.3),
            Role::Threshold => (0.5, 0.2),
            Role::Mix => (0.6, 0.3),
            Role::Kernel | Role::Matrix => continue,
        };
        let shape = param.value().shape();
        let values: Vec<f32> = (0..shape.count()).map(|_| middle + spread * noise(&mut seed)).collect();
        param.weight.set(Tensor::from_slice(&device, shape, &values));
    }
    for norm in model.norms_mut() {
        let channels = norm.weight.value().shape().count();
        let draw = |seed: &mut u64, middle: f32, spread: f32| {
            let values: Vec<f32> = (0..channels).map(|_| middle + spread * noise(seed)).collect();
            Tensor::from_slice(&device, [channels], &values)
        };
        norm.running = Moments { mean: draw(&mut seed, 0.0, 0.3), variance: draw(&mut seed, 0.8, 0.4) };
    }
    model
}

/// Logits of every step, `[N,1,1,T,K]`.
fn logits(model: &Model, images: &Tensor) -> Vec<f32> {
    let (_, trace) = model.forward(images, &Pass::eval(model.spec().fire(), Keep::Spikes)).expect("logits");
    trace.steps.to_vec()
}

fn pictures(count: usize, [channels, height, width]: [usize; 3]) -> Tensor {
    let mut seed = 9;
    let pixels: Vec<f32> = (0..count * channels * height * width).map(|_| 0.5 + 0.5 * noise(&mut seed)).collect();
    Tensor::from_slice(&cpu(), [count, height, width, channels], &pixels)
}

fn through(model: &Model, dialect: &'static Dialect, path: &Path) -> Result<Model> {
    let meta = Meta { dataset: Some("cifar10".into()), seed: 4, ..Meta::default() };
    checkpoint::export_nir(path, model, &meta, dialect)?;
    assert!(checkpoint::is_nir(path));
    let (back, told) = checkpoint::import_nir(path, &Said::default(), &cpu())?;
    assert_eq!(told, meta);
    Ok(back)
}

#[test]
fn a_network_comes_back_from_every_dialect() {
    let folder = Folder::new("round");
    let path = folder.file("net.nir");
    for arch in ["vgg:8,A,6,A/12", "resnet8", "wrn10_1", "wrn10_2"] {
        for (bias, leak) in [(true, 1.0), (false, 0.9)] {
            let one = model(spec(arch, bias, leak));
            let images = pictures(4, one.spec().input);
            let before = logits(&one, &images);
            assert!(before.iter().any(|z| (z - before[0]).abs() > 0.01), "{arch}: logits that differ are wanted");
            for dialect in DIALECTS.iter().filter(|dialect| leak == 1.0 || dialect.name != "sinabs") {
                let other = through(&one, dialect, &path).unwrap_or_else(|error| panic!("{arch}, {}: {error}", dialect.name));
                assert_eq!(one.spec(), other.spec(), "{arch}, {}", dialect.name);
                assert_eq!(one.thresholds(), other.thresholds(), "{arch}, {}", dialect.name);
                let after = logits(&other, &images);
                assert_eq!(before.len(), after.len());
                // Folding rounds otherwise; with these numbers no spike falls on the other side of its threshold.
                for (at, (a, b)) in before.iter().zip(&after).enumerate() {
                    assert!((a - b).abs() <= 1e-4, "{arch}, bias {bias}, leak {leak}, {}: logit {at} is {b}, not {a}", dialect.name);
                }
            }
        }
    }
}

#[test]
fn a_second_round_changes_nothing() {
    let folder = Folder::new("twice");
    for arch in ["vgg:8,A,6,A/12", "resnet8", "wrn10_2"] {
        for dialect in &DIALECTS {
            let leak = if dialect.name == "sinabs" { 1.0 } else { 0.9 };
            let once = through(&model(spec(arch, true, leak)), dialect, &folder.file("one.nir")).expect(arch);
            let twice = through(&once, dialect, &folder.file("two.nir")).expect(arch);
            for ((name, shape, a), (other, _, b)) in checkpoint::state_dict(&once).into_iter().zip(checkpoint::state_dict(&twice)) {
                assert_eq!(name, other);
                let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs() / a.abs().max(1e-3)).fold(0.0, f32::max);
                assert!(worst <= 1e-6, "{arch}, {}: {name} {shape:?} moved by {worst}", dialect.name);
            }
        }
    }
}

#[test]
fn what_the_python_package_wrote_is_read() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/nir");
    let said = Said { arch: Some("vgg:4,A,6,A".into()), steps: Some(6), ..Said::default() };
    let (model, _) = checkpoint::import_nir(&data.join("foreign.nir"), &said, &cpu()).expect("a network");
    let Spec { classes, input, leak, bias, ref mean, ref std, .. } = *model.spec();
    assert_eq!((classes, input, bias), (3, [2, 8, 8], true));
    assert_eq!((mean.as_slice(), std.as_slice()), (&[0.0, 0.0][..], &[1.0, 1.0][..]));
    assert!((leak - 0.8).abs() < 1e-6);
    let judge = TensorFile::open(&data.join("foreign.safetensors")).expect("logits");
    let images = checkpoint::channels_last(&judge.floats("images").expect("images"), 2, 64);
    let found = logits(&model, &Tensor::from_slice(&cpu(), [6, 8, 8, 2], &images));
    let wanted = judge.floats("logits_t").expect("logits"); // [T,N,K]
    for image in 0..6 {
        for t in 0..6 {
            for class in 0..3 {
                let (a, b) = (wanted[(t * 6 + image) * 3 + class], found[(image * 6 + t) * 3 + class]);
                assert!((a - b).abs() <= 1e-5, "image {image}, step {t}, class {class}: {b}, NumPy has {a}");
            }
        }
    }
    assert!(model.layers().iter().any(|layer| matches!(layer, Layer::Neuron(neuron) if neuron.norm.is_some())));
}

/// What the program says, as (exit code, its one line on stderr).
fn caltrop(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_caltrop")).args(arguments).output().expect("the program");
    let text = String::from_utf8(output.stderr).expect("text");
    (output.status.code().expect("an exit code"), text)
}

#[test]
fn the_command_line_writes_reads_and_refuses() {
    let folder = Folder::new("cli");
    let name = |file: &str| folder.file(file).to_str().expect("a name").to_string();
    let (snn, ann, soft, net, back) =
        (name("snn.safetensors"), name("ann.safetensors"), name("soft.safetensors"), name("net.nir"), name("back.safetensors"));
    let base = spec("vgg:8,A,6,A/12", true, 0.9);
    for (path, spec) in
        [(&snn, base.clone()), (&ann, Spec { steps: 0, ..base.clone() }), (&soft, Spec { reset: Reset::Soft, leak: 1.0, ..base.clone() })]
    {
        checkpoint::save(Path::new(path), &model(spec), &Meta::default()).expect("a checkpoint");
    }
    assert_eq!(caltrop(&["export", &snn, "--format", "nir", "--out", &net]).0, 0);
    assert_eq!(caltrop(&["import", &net, "--out", &back]).0, 0);
    let (loaded, _) = checkpoint::load(Path::new(&back), &cpu()).expect("a checkpoint");
    assert_eq!(*loaded.spec(), base);
    assert_eq!(caltrop(&["import", &net, "--steps", "2", "--dataset", "cifar10", "--out", &back]).0, 0);
    let (loaded, meta) = checkpoint::load(Path::new(&back), &cpu()).expect("a checkpoint");
    assert_eq!((loaded.spec().steps, meta.dataset.as_deref()), (2, Some("cifar10")));
    assert_eq!(caltrop(&["export", &soft, "--format", "nir", "--dialect", "sinabs", "--out", &net]).0, 0);
    let foreign = format!("{}/tests/files/nir/foreign.nir", env!("CARGO_MANIFEST_DIR"));
    std::fs::remove_file(&back).expect("the checkpoint");
    for (arguments, code, words) in [
        (vec!["export", &ann, "--format", "nir", "--out", &back], 1, "NIR has no ReLU; convert it first"),
        (vec!["export", &soft, "--format", "nir", "--out", &back], 1, "a soft reset"),
        (vec!["export", &snn, "--format", "nir", "--dialect", "sinabs", "--out", &back], 1, "the neurons leak (0.9)"),
        (vec!["export", &snn, "--format", "nir", "--dialect", "nors", "--out", &back], 2, "did you mean \"norse\""),
        (vec!["export", &snn, "--dialect", "norse", "--out", &back], 2, "only --format nir has one"),
        (vec!["export", &snn, "--format", "nri", "--out", &back], 2, "did you mean \"nir\""),
        (vec!["import", &foreign, "--out", &back], 2, "--arch is needed"),
        (vec!["import", &foreign, "--arch", "vgg:4,A,6,A", "--out", &back], 2, "--steps is needed"),
        (vec!["import", &foreign, "--arch", "vgg:4,A,6,A", "--steps", "6", "--classes", "4", "--out", &back], 2, "the graph has 3"),
        (
            vec!["import", &foreign, "--arch", "vgg:4,A,6,A", "--mean", "0.5,0.5", "--out", &back],
            2,
            "read as a NIR graph, which says it itself",
        ),
        (vec!["import", &foreign, "--arch", "vgg:4,A,7,A", "--steps", "6", "--out", &back], 1, "node b, a Conv2d 6x4x3x3"),
        (vec!["import", &foreign, "--arch", "resnet8", "--steps", "6", "--out", &back], 1, "node a, a Conv2d 4x2x3x3"),
        (vec!["import", &foreign, "--arch", "vgg:4,A,6,A/8", "--steps", "6", "--out", &back], 1, "node scores, an Affine 3x24"),
        (
            vec!["import", &snn, "--arch", "resnet8", "--classes", "5", "--input", "3x8x8", "--dialect", "norse", "--out", &back],
            2,
            "only NIR graphs",
        ),
        (vec!["import", &net, "--dialect", "snntorch", "--out", &back], 2, "its dialect is sinabs"),
        (vec!["import", &net, "--reset", "hard", "--out", &back], 2, "the graph has soft"),
        (vec!["import", &net, "--bias", "--out", &back], 2, "which says it itself"),
        (vec!["import", &foreign, "--arch", "vgg:4,A,6,A", "--steps", "6", "--reset", "soft", "--out", &back], 2, "every reset is hard"),
        (vec!["import", "nowhere.nir", "--out", &back], 1, "cannot read nowhere.nir"),
        (vec!["import", &snn, "--classes", "5", "--input", "3x8x8", "--out", &back], 2, "--arch: needed"),
    ] {
        let (found, text) = caltrop(&arguments);
        assert_eq!(found, code, "{arguments:?}: {text}");
        assert!(text.contains(words) && text.trim_end().lines().count() == 1, "{arguments:?}: {text}");
        assert!(!Path::new(&back).exists(), "{arguments:?} left a file");
    }
}
