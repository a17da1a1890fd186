//! The recipes that the program carries: each number beside METHOD's, written down here a second time, and each network on
//! its data set.

use caltrop::device::Device;
use caltrop::drive::{Defense, RECIPES, Recipe, Stage};
use caltrop::nn::Spec;
use caltrop::ops::lif::Reset;
use caltrop::optim::Schedule;
use caltrop::{data, zoo};

/// Data set, classes, side of an image (3 channels), mean and standard deviation (METHOD §7), λ of TRADES (§3), Cutout (§3).
type Set = (&'static str, usize, usize, [f32; 3], [f32; 3], f64, usize);
const SETS: [Set; 4] = [
    ("cifar10", 10, 32, [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010], 6.0, 8),
    ("cifar100", 100, 32, [0.5071, 0.4867, 0.4408], [0.2675, 0.2565, 0.2761], 3.0, 8),
    ("svhn", 10, 32, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], 3.0, 8),
    ("tinyimagenet", 200, 64, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 3.0, 16),
];
const DEFENSES: [(&str, Defense); 4] =
    [("natural", Defense::Natural), ("at", Defense::At), ("trades", Defense::Trades), ("mart", Defense::Mart)];

/// Every pair of data set and network of the paper, with the architecture's name.
fn pairs() -> Vec<(Set, &'static str, &'static str)> {
    let mut pairs = Vec::new();
    for set in SETS {
        match set.0 {
            "tinyimagenet" => pairs.push((set, "vgg11", "vgg11_tin")),
            _ => pairs.extend(["vgg11", "resnet20", "wrn16_4"].map(|arch| (set, arch, arch))),
        }
    }
    pairs
}

fn load(name: &str) -> Recipe {
    Recipe::load(name, &[], None).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_paper_s_runs_are_there_by_name_and_nothing_is_forgotten() {
    let mut wanted: Vec<String> = pairs()
        .into_iter()
        .flat_map(|(set, arch, _)| DEFENSES.map(|(defense, _)| format!("{}-{arch}-{defense}", set.0)))
        .chain(["fashion-mnist", "fashion-mnist-7k"].map(str::to_string))
        .collect();
    wanted.sort();
    let carried: Vec<&str> = RECIPES.iter().map(|(name, _)| *name).collect();
    assert_eq!(carried, wanted);
}

#[test]
fn every_number_is_the_method_s() {
    for (set, arch, network) in pairs() {
        let (dataset, _, side, .., trades, cutout) = set;
        for (word, defense) in DEFENSES {
            let name = format!("{dataset}-{arch}-{word}");
            let recipe = load(&name);
            assert_eq!((recipe.name.as_str(), recipe.dataset.as_str(), recipe.arch.as_str()), (name.as_str(), dataset, network), "{name}");
            assert!(!recipe.about.is_empty() && recipe.natural.is_none(), "{name}");
            // §1, §2.
            let neuron = (recipe.leak, recipe.reset, recipe.bias, recipe.dropout);
            assert_eq!(neuron, (Some(1.0), Some(Reset::Hard), false, Some(0.2)), "{name}");
            // §3.
            let ann = &recipe.ann;
            assert_eq!((ann.defense, ann.steps, ann.epochs, ann.batch, ann.lr), (defense, 0, 200, 64, 0.1), "{name}");
            assert_eq!((ann.momentum, ann.weight_decay, &ann.schedule), (0.9, 5e-4, &Schedule::default()), "{name}");
            assert_eq!((ann.eps, ann.attack_steps, ann.alpha), (2.0, 10, 2.5 * 2.0 / 10.0), "{name}");
            match defense {
                Defense::Trades => assert_eq!(ann.lambda, trades, "{name}"),
                Defense::Mart => assert_eq!(ann.lambda, 4.0, "{name}"),
                Defense::Natural | Defense::At => {} // has no second term
            }
            augmented(&name, ann, side, cutout);
            // §4.
            let convert = &recipe.convert;
            assert_eq!((convert.percentile, convert.calibration_steps, convert.batches, convert.batch), (99.7, 100, 11, 64), "{name}");
            assert_eq!(convert.scale, 0.3, "{name}");
            // §5; a network without a defense is finetuned without one.
            let snn = &recipe.snn;
            let finetuned = if defense == Defense::Natural { Defense::Natural } else { Defense::Trades };
            assert_eq!((snn.defense, snn.steps, snn.epochs, snn.batch, snn.lr), (finetuned, 8, 60, 64, 1e-3), "{name}");
            assert_eq!((snn.momentum, snn.weight_decay, &snn.schedule), (0.9, 1e-3, &Schedule::default()), "{name}");
            assert_eq!((snn.eps, snn.alpha, snn.lambda), (2.0, 1.0, 2.0), "{name}");
            augmented(&name, snn, side, 0);
            // §6.
            let words = |trials: &[caltrop::drive::Trial]| trials.iter().map(|trial| (trial.word(), trial.images)).collect::<Vec<_>>();
            let all = |list: &[&str]| list.iter().map(|word| (word.to_string(), None)).collect::<Vec<_>>();
            assert_eq!((recipe.eval.eps, recipe.eval.images), (8.0, None), "{name}");
            assert_eq!(words(&recipe.eval.ann), all(&["fgsm", "rfgsm", "pgd20"]), "{name}");
            let ensembles = ["fgsm", "rfgsm", "pgd20", "ensemble-fgsm", "ensemble-rfgsm", "ensemble-pgd20"];
            assert_eq!(words(&recipe.eval.snn), all(&ensembles), "{name}");
        }
    }
}

/// §3: crop and flip, or for Tiny ImageNet a random resized crop and flip; and Cutout.
fn augmented(name: &str, stage: &Stage, side: usize, cutout: usize) {
    let crop = if side == 64 { "resized" } else { "crop:4" };
    let hole = (cutout > 0).then(|| format!("cutout:{cutout}"));
    let wanted: Vec<String> = [crop, "flip"].map(str::to_string).into_iter().chain(hole).collect();
    assert_eq!(stage.augment.words(), wanted, "{name}");
}

#[test]
fn every_network_can_be_built_for_its_images() {
    let device = Device::cpu(Some(1)).unwrap();
    for ((dataset, classes, side, mean, std, ..), arch, _) in pairs() {
        let known = data::spec(dataset).unwrap();
        let each = |numbers: &[f32]| if let [one] = numbers { vec![*one; 3] } else { numbers.to_vec() }; // one stands for all channels
        assert_eq!((each(known.mean), each(known.std)), (mean.to_vec(), std.to_vec()), "{dataset}");
        let recipe = load(&format!("{dataset}-{arch}-at"));
        for (steps, bias) in [(0, recipe.bias), (recipe.snn.steps, true)] {
            let spec = Spec {
                arch: recipe.arch.clone(),
                classes,
                input: [3, side, side],
                mean: mean.to_vec(),
                std: std.to_vec(),
                bias,
                steps,
                leak: 1.0,
                reset: Reset::Hard,
                dropout: 0.2,
            };
            zoo::blank(&device, spec).unwrap_or_else(|error| panic!("{dataset}-{arch}: {error}"));
        }
    }
}

#[test]
fn fashion_mnist_is_the_demo_on_all_its_images() {
    let (demo, whole) = (load("fashion-mnist-7k"), load("fashion-mnist"));
    assert_eq!((whole.dataset.as_str(), whole.arch.as_str()), ("fashion-mnist", demo.arch.as_str()));
    assert_eq!((&whole.ann, &whole.convert, &whole.snn), (&demo.ann, &demo.convert, &demo.snn));
    assert!(whole.natural.is_none() && demo.natural.is_some());
}

#[test]
fn a_resolved_recipe_alone_is_the_same_recipe_again() {
    let folder = std::env::temp_dir().join(format!("caltrop-resolved-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let set = ["ann.epochs=7", "snn.augment=[]", "natural.snn.lr=0.5", "eval.curve=[0, 2.5]"].map(str::to_string);
    for (name, set, seed) in RECIPES.iter().map(|(name, _)| (*name, &[][..], None)).chain([("fashion-mnist-7k", &set[..], Some(5))]) {
        let recipe = Recipe::load(name, set, seed).unwrap();
        let file = folder.join("recipe.toml");
        std::fs::write(&file, &recipe.text).unwrap();
        // Under its own name, though the file has another.
        assert_eq!(Recipe::load(file.to_str().unwrap(), &[], None).unwrap(), recipe, "{name}:\n{}", recipe.text);
        assert!(!recipe.text.contains("inherits"), "{name}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_resolved_recipe_has_every_default() {
    let text = Recipe::parse("bare", "arch = \"vgg11\"\ndataset = \"mnist\"\n", &[]).unwrap().text;
    let table: toml::Table = text.parse().unwrap();
    for (section, keys) in [
        ("ann", "defense epochs batch lr momentum weight_decay schedule eps alpha attack_steps lambda augment last_batch"),
        ("snn", "defense steps epochs batch lr momentum weight_decay schedule eps alpha attack_steps lambda augment last_batch"),
        ("convert", "percentile scale calibration_steps batch batches"),
        ("eval", "eps images ann snn curve curve_attack checks"),
    ] {
        let found = table[section].as_table().unwrap();
        for key in keys.split_whitespace() {
            assert!(found.contains_key(key), "{section}.{key} is missing:\n{text}");
        }
    }
    for key in ["name", "arch", "dataset", "bias", "seed", "validation", "select", "keep", "save_minutes", "log_every"] {
        assert!(table.contains_key(key), "{key} is missing:\n{text}");
    }
    // These three have two defaults, METHOD's for a new network and the checkpoint's in finetuning: written where given.
    let set = ["dropout=0.5", "leak=0.9", "reset=soft"].map(str::to_string);
    let given: toml::Table = Recipe::parse("bare", "arch = \"vgg11\"\ndataset = \"mnist\"\n", &set).unwrap().text.parse().unwrap();
    for key in ["dropout", "leak", "reset"] {
        assert!(given.contains_key(key) && !table.contains_key(key), "{key}: {given}");
    }
}
