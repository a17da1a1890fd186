//! Another number of steps, leak, reset and learnable thresholds: at every command that takes them.

use super::house::{ARCH, House, RECIPE, open};
use std::collections::BTreeMap;

/// The string metadata of a safetensors file.
fn metadata(bytes: &[u8]) -> BTreeMap<String, String> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).unwrap();
    header.metadata().clone().unwrap().into_iter().collect()
}

fn says(house: &House, file: &str, wanted: &[(&str, &str)]) {
    let said = metadata(&house.read(file));
    wanted.iter().for_each(|(key, value)| assert_eq!(said[*key], *value, "{file}: {key}"));
}

fn thresholds(house: &House, file: &str) -> Vec<f32> {
    open(&house.read(file)).into_iter().filter(|(name, _)| name.ends_with("v_th")).flat_map(|(_, read)| read.floats()).collect()
}

#[test]
fn predict_takes_another_number_of_steps() {
    let house = House::new("predict-steps");
    house.nets();
    house.images("pictures", 3);
    house.good(&format!("import weights {ARCH} --steps 9 --out nine"));
    for steps in [1, 9, 100] {
        house.good(&format!("predict snn --images pictures --steps {steps} --out out"));
        assert_eq!(open(&house.read("out"))["logits_t"].shape, [steps, 3, 3]);
        if steps == 9 {
            house.good("predict nine --images pictures --out twin");
            assert_eq!(house.read("out"), house.read("twin"));
        }
    }
    house.refused(2, "predict snn --images pictures --steps 0 --out new", &["--steps 0"]);
    house.refused(2, "predict snn --images pictures --steps 1001 --out new", &["--steps 1001", "1000"]);
    house.refused(2, "predict ann --images pictures --steps 4 --out new", &["no spikes", "convert it first"]);
}

#[test]
fn a_converted_network_runs_at_any_t_with_any_dynamics() {
    let house = House::new("any-t");
    house.data();
    house.write("mini.toml", RECIPE);
    house.good("train mini.toml --data data --set epochs=1 --out ann --quiet");
    let convert = "convert ann/ann.safetensors --data data --batches 2 --batch 16 --calibration-steps 10 --steps 4";
    house.good(&format!("{convert} --out plain"));
    says(&house, "plain", &[("leak", "1"), ("reset", "hard"), ("steps", "4")]);
    house.good(&format!("{convert} --leak 0.75 --reset soft --out leaky"));
    says(&house, "leaky", &[("leak", "0.75"), ("reset", "soft")]);
    // The calibration runs leak too.
    assert_ne!(thresholds(&house, "leaky"), thresholds(&house, "plain"));
    for steps in [1, 16, 100] {
        house.good(&format!("eval leaky --data data --attack pgd --iterations 2 --images 10 --steps {steps} --json out"));
        assert_eq!(house.json("out")["steps"], steps);
    }
    house.refused(2, &format!("{convert} --leak 0 --out new"), &["--leak 0", "above 0"]);
    house.refused(2, &format!("{convert} --reset half --out new"), &["--reset half", "hard"]);

    // Finetuning: the recipe's key where it has one, else the checkpoint's; and it says which.
    let finetune =
        |more: &str, out: &str| house.good(&format!("finetune leaky mini.toml --data data --set epochs=1 {more} --out {out}")).err;
    let said = finetune("", "own");
    let line = "finetune: T 4 (the recipe), leak 0.75 (the checkpoint), reset soft (the checkpoint), dropout 0.2 (the checkpoint)";
    assert!(said.contains(line), "{said}");
    says(&house, "own/snn.safetensors", &[("leak", "0.75"), ("reset", "soft"), ("dropout", "0.2")]);
    let said = finetune("--set leak=0.5 --set reset=hard --set dropout=0 --set steps=9", "given");
    assert!(said.contains("T 9 (the recipe), leak 0.5 (the recipe), reset hard (the recipe), dropout 0 (the recipe)"), "{said}");
    says(&house, "given/snn.safetensors", &[("leak", "0.5"), ("reset", "hard"), ("dropout", "0"), ("steps", "9")]);

    // Thresholds that are not learned stay to the bit, and everything else moves.
    finetune("--set learn_thresholds=false", "fixed");
    assert_eq!(thresholds(&house, "fixed/snn.safetensors"), thresholds(&house, "leaky"));
    assert_ne!(thresholds(&house, "own/snn.safetensors"), thresholds(&house, "leaky"));
    let weight = |file: &str| open(&house.read(file))["features.0.weight"].floats();
    assert_ne!(weight("fixed/snn.safetensors"), weight("leaky"));
    house.refused(2, "finetune leaky mini.toml --data data --set learn_thresholds=1 --out new", &["learn_thresholds", "true or false"]);
    house.refused(2, "train mini.toml --data data --set learn_thresholds=false --out new", &["unknown key \"learn_thresholds\""]);
}

#[test]
fn recipes_name_leak_and_reset() {
    let house = House::new("leak-recipe");
    house.data();
    house.write("mini.toml", RECIPE);
    let set = "--set leak=0.9 --set reset=soft --set ann.epochs=1 --set snn.epochs=1 --set snn.learn_thresholds=false --set snn.steps=3";
    house.good(&format!("run mini.toml --data data {set} --out run --quiet"));
    for file in ["run/converted.safetensors", "run/snn.safetensors"] {
        says(&house, file, &[("leak", "0.9"), ("reset", "soft"), ("steps", "3")]);
    }
    assert_eq!(thresholds(&house, "run/snn.safetensors"), thresholds(&house, "run/converted.safetensors"));
}
