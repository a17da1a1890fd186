//! The paper's recipes on a handful of images in the official formats: one of every data set, every network and every
//! defense, through every command that its checkpoint passes.

use super::datasets;
use super::house::{House, open};

/// What makes any of the recipes small.
const SMALL: &str = "--set ann.epochs=1 --set ann.batch=4 --set ann.attack_steps=1 --set snn.epochs=1 --set snn.batch=4 --set snn.steps=2 \
                     --set eval.ann=fgsm:2 --set eval.snn=fgsm:2 --set eval.curve=[] --threads 2 --quiet";

/// Runs recipe `name` with `more` settings on the images in `data` stage by stage, and holds what must be equal to the bit.
fn passes(house: &House, name: &str, data: &str, more: &str) {
    let train = format!("train {name} --data {data} {SMALL} {more}");
    let said = house.good(&format!("{train} --out ann"));
    for key in ["ann.clean", "ann.fgsm"] {
        assert!(said.out.lines().any(|line| line.starts_with(key) && line.contains('(')), "{name}: no {key} in\n{}", said.out);
    }
    let report = house.json("ann/report.json");
    let dataset = name.split('-').next().unwrap();
    assert_eq!((report["recipe"].as_str(), report["dataset"].as_str()), (Some(name), Some(dataset)));
    assert_eq!(report["epochs"].as_array().unwrap().len(), 1, "{name}");
    assert!(house.has("ann/report.html"), "{name}");

    // Killed after its last epoch, it goes on to the same network; so does the recipe that the run kept.
    let trained = house.read("ann/ann.safetensors");
    std::fs::remove_file(house.root.join("ann/ann.safetensors")).unwrap();
    house.good(&format!("{train} --out ann --resume"));
    assert!(house.read("ann/ann.safetensors") == trained, "{name}: resumed, another network");
    house.good(&format!("train ann/recipe.toml --data {data} --out kept --threads 2 --quiet"));
    assert!(house.read("kept/ann.safetensors") == trained, "{name}: the recipe that was kept makes another network");
    std::fs::remove_dir_all(house.root.join("kept")).unwrap();

    house.good(&format!(
        "convert ann/ann.safetensors --data {data} --batch 2 --batches 1 --calibration-steps 4 --steps 2 --out converted --quiet"
    ));
    house.good(&format!("finetune converted {name} --data {data} --out snn {SMALL} {more}"));
    assert_eq!(house.json("snn/report.json")["results"].as_object().unwrap().len(), 2, "{name}");
    for (checkpoint, steps, bias) in [("ann/ann.safetensors", 0, ""), ("snn/snn.safetensors", 2, "--bias")] {
        house.good(&format!("eval {checkpoint} --data {data} --attack fgsm --images 2 --json out.json --quiet"));
        assert_eq!(house.json("out.json")["images"].as_u64(), Some(2), "{name}");
        comes_back(house, name, checkpoint, steps, bias);
    }
    for folder in ["ann", "snn"] {
        std::fs::remove_dir_all(house.root.join(folder)).unwrap();
    }
}

/// Exports, imports, and holds the state dict and the network's answers to be the same bits.
fn comes_back(house: &House, name: &str, checkpoint: &str, steps: usize, bias: &str) {
    house.good(&format!("export {checkpoint} --out dict"));
    let device = caltrop::device::Device::cpu(Some(1)).unwrap();
    let spec = caltrop::checkpoint::load(&house.root.join(checkpoint), &device).unwrap().0.spec().clone();
    let [channels, height, width] = spec.input;
    let list = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
    let (classes, arch, mean, std) = (spec.classes, &spec.arch, list(&spec.mean), list(&spec.std));
    house.good(&format!(
        "import dict --arch {arch} --classes {classes} --input {channels}x{height}x{width} --mean {mean} --std {std} --steps {steps} {bias} --out back"
    ));
    house.good("export back --out again");
    let (dict, again) = (open(&house.read("dict")), open(&house.read("again")));
    assert!(dict == again, "{name}: {checkpoint} comes back changed");
    let count = 2 * channels * height * width;
    let images: Vec<f32> = super::house::numbers(count).into_iter().map(|x| (x * 255.0).round() / 255.0).collect();
    house.tensors("pictures", &[super::house::T::floats("images", &[2, channels, height, width], &images)]);
    let answers = [checkpoint, "back"].map(|net| {
        house.good(&format!("predict {net} --images pictures --out out --quiet"));
        open(&house.read("out"))
    });
    assert!(answers[0] == answers[1], "{name}: {checkpoint} answers otherwise when it comes back");
}

#[test]
fn cifar_10_with_vgg_11_passes_through_every_command() {
    let house = House::new("vgg");
    datasets::cifar10(&house.root.join("data"), 2);
    // 36 million parameters once, few of them as often as it takes.
    let said = house.good(&format!("train cifar10-vgg11-trades --data data --out real {SMALL}"));
    assert!(said.out.contains("ann.fgsm") && house.json("real/report.json")["network"] == "vgg11", "{}", said.out);
    std::fs::remove_dir_all(house.root.join("real")).unwrap();
    passes(&house, "cifar10-vgg11-trades", "data", "--set arch=vgg:16,A,32,A,32/64,64");
}

#[test]
fn cifar_100_with_wrn_16_4_passes_through_every_command() {
    let house = House::new("wrn");
    datasets::cifar100(&house.root.join("data"), 3);
    passes(&house, "cifar100-wrn16_4-mart", "data", "");
}

#[test]
fn svhn_with_resnet_20_passes_through_every_command() {
    let house = House::new("resnet");
    datasets::svhn(&house.root.join("data"), 5);
    passes(&house, "svhn-resnet20-at", "data", "");
}

#[test]
fn tiny_imagenet_with_vgg_11_passes_through_every_command() {
    let house = House::new("tin");
    datasets::tiny_imagenet(&house.root.join("data"), 3, 1);
    passes(&house, "tinyimagenet-vgg11-natural", "data", "");
}

#[test]
fn a_whole_run_is_one_command() {
    let house = House::new("whole");
    datasets::cifar10(&house.root.join("data"), 2);
    let convert = "--set convert.batches=1 --set convert.batch=2 --set convert.calibration_steps=4";
    let said = house.good(&format!("run cifar10-resnet20-trades --data data --out out {convert} {SMALL}"));
    for key in ["ann.clean", "ann.fgsm", "snn.clean", "snn.fgsm"] {
        assert!(said.out.lines().any(|line| line.starts_with(key)), "no {key} in\n{}", said.out);
    }
    let names: Vec<String> =
        house.json("out/report.json")["phases"].as_array().unwrap().iter().map(|phase| phase["name"].to_string()).collect();
    assert_eq!(names, ["ann-train", "ann-fgsm", "calibrate", "snn-finetune", "snn-infer", "snn-fgsm"].map(|name| format!("\"{name}\"")));
}

#[test]
fn data_that_is_not_whole_is_one_line_with_the_file() {
    let house = House::new("torn");
    let train = |name: &str, words: &[&str]| house.refused(1, &format!("train {name} --data data --out new --quiet"), words);
    house.refused(1, "train cifar10-vgg11-trades --data nowhere --out new --quiet", &["nowhere", "data_batch_1.bin"]);
    house.refused(2, "train cifar10-vgg11-trades --out new --quiet", &["cifar10 is not part of the program", "--data"]);

    let folder = house.root.join("data");
    datasets::cifar10(&folder, 2);
    let whole = house.read("data/data_batch_3.bin");
    house.write("data/data_batch_3.bin", &whole[..whole.len() - 700]);
    train("cifar10-vgg11-trades", &["data_batch_3.bin"]); // half-downloaded
    let mut wrong = whole.clone();
    wrong[3073] = 77;
    house.write("data/data_batch_3.bin", wrong);
    train("cifar10-vgg11-trades", &["data_batch_3.bin", "77"]); // no label
    house.write("data/data_batch_3.bin", whole);
    std::fs::remove_file(folder.join("test_batch.bin")).unwrap();
    train("cifar10-vgg11-trades", &["test_batch.bin"]);
    train("svhn-resnet20-trades", &["train_32x32.mat"]); // the folder of another data set
    std::fs::remove_dir_all(&folder).unwrap();

    datasets::svhn(&folder, 3);
    let whole = house.read("data/test_32x32.mat");
    house.write("data/test_32x32.mat", &whole[..whole.len() / 2]);
    train("svhn-resnet20-trades", &["test_32x32.mat"]);
    house.write("data/test_32x32.mat", b"<html>404</html>");
    train("svhn-resnet20-trades", &["test_32x32.mat"]);
}
