//! Whole runs of a miniature: what they leave, and that threads change nothing.

use super::house::{House, RECIPE};

const TWINS: &str = "\n[natural.ann]\ndefense = \"natural\"\n[natural.snn]\ndefense = \"natural\"\n";

#[test]
fn a_run_leaves_checkpoints_a_record_and_a_report() {
    let house = House::new("run");
    house.data();
    house.write("mini.toml", format!("{RECIPE}{TWINS}"));
    let said = house.good("run mini.toml --data data --out out --seed 5 --threads 2");
    assert!(said.out.contains("ann.clean") && said.out.contains("natural") && said.out.contains("out/report.html"), "{}", said.out);
    assert!(said.err.contains("ann (at), epoch 2/2") && said.err.contains("calibrate: thresholds"), "{}", said.err);
    assert!(!said.err.contains('\u{1b}'), "a bar where there is no terminal");

    let report = house.json("out/report.json");
    let keys = ["version", "recipe", "dataset", "device", "threads", "seed", "seconds", "results", "ensemble", "phases"];
    assert!(keys.iter().all(|key| report.get(key).is_some()), "{:?}", report.as_object().unwrap().keys());
    assert_eq!((report["seed"].as_u64(), report["threads"].as_u64(), report["recipe"].as_str()), (Some(5), Some(2), Some("mini")));
    let results = report["results"].as_object().unwrap();
    for key in ["ann.clean", "ann.pgd3", "snn.clean", "snn.ensemble_fgsm"].map(str::to_string) {
        for key in [key.clone(), format!("natural.{key}")] {
            assert!((0.0..=100.0).contains(&results[&key].as_f64().unwrap()), "{key}");
        }
    }
    let names: Vec<&str> = report["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    let phases = ["ann-train", "ann-pgd3", "calibrate", "snn-finetune", "snn-infer", "snn-ensemble-fgsm"];
    assert_eq!(names, [phases.map(str::to_string), phases.map(|name| format!("natural.{name}"))].concat());
    for phase in report["phases"].as_array().unwrap() {
        assert!(phase["seconds"].as_f64().unwrap() >= 0.0 && phase["images_per_s"].as_f64().unwrap() > 0.0, "{phase}");
    }
    assert_eq!(report["ensemble"]["snn.ensemble_fgsm"].as_array().unwrap().len(), 19);

    let record = String::from_utf8(house.read("out/run.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = record.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((events[0]["event"].as_str(), events.last().unwrap()["event"].as_str()), (Some("start"), Some("finish")));
    assert_eq!(events.iter().filter(|event| event["event"] == "epoch").count(), 8);
    let page = String::from_utf8(house.read("out/report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") || page.starts_with("<!DOCTYPE html>"));
    assert!(!page.contains("src=\"http") && !page.contains("stylesheet"), "the page is not self-contained");
    for folder in ["out", "out/natural"] {
        for name in ["ann", "converted", "snn", "last", "best"] {
            house.good(&format!("export {folder}/{name}.safetensors --out dict"));
        }
    }
    assert!(house.everything().keys().all(|path| !path.to_string_lossy().ends_with(".tmp")), "a temporary file is left");

    // The same recipe on one thread: the same bits everywhere.
    house.good("run mini.toml --data data --out one --seed 5 --threads 1 --quiet");
    let states = ["checkpoints/ann-epoch-0002", "checkpoints/snn-epoch-0002.optimizer"];
    for name in ["ann", "converted", "snn", "last", "best", "natural/ann", "natural/snn"].into_iter().chain(states) {
        let file = format!("{name}.safetensors");
        assert!(house.read(&format!("out/{file}")) == house.read(&format!("one/{file}")), "{file} differs between 1 and 2 threads");
    }
    let one = house.json("one/report.json");
    for key in ["results", "ensemble", "curves", "firing", "gallery"] {
        assert_eq!(report[key], one[key], "{key}");
    }
    house.good("run mini.toml --data data --out other --seed 6 --quiet");
    assert!(house.read("out/ann.safetensors") != house.read("other/ann.safetensors"), "another seed, the same network");

    // A finished run goes on to nothing, and says the same.
    let again = house.good("run mini.toml --data data --out out --seed 5 --resume --quiet");
    assert_eq!(again.out.lines().count(), said.out.lines().count());
    assert_eq!(house.json("out/report.json")["results"], report["results"]);
    house.refused(2, "run mini.toml --data data --out out --seed 6 --resume --quiet", &["another recipe or other settings"]);
    house.refused(2, "run mini.toml --data data --out out --seed 5 --set arch=vgg12 --quiet", &["vgg12"]);
}

#[test]
fn the_stages_alone_make_what_the_whole_makes() {
    let house = House::new("stages");
    house.data();
    house.write("mini.toml", RECIPE);
    house.good("run mini.toml --data data --out whole --quiet");
    house.good("train mini.toml --data data --out ann --quiet");
    assert!(house.read("whole/ann.safetensors") == house.read("ann/ann.safetensors"), "train");
    assert_eq!(house.json("ann/report.json")["results"]["ann.pgd3"], house.json("whole/report.json")["results"]["ann.pgd3"]);
    house.good("finetune whole/converted.safetensors mini.toml --data data --out snn --quiet");
    assert!(house.read("whole/snn.safetensors") == house.read("snn/snn.safetensors"), "finetune");
    let convert = "convert ann/ann.safetensors --data data --batch 16 --batches 2 --calibration-steps 10 --steps 4 --out converted --quiet";
    house.good(convert);
    assert!(super::house::open(&house.read("converted")) == super::house::open(&house.read("whole/converted.safetensors")), "convert");
    // --set addresses the stage that is run.
    house.good("train mini.toml --data data --out short --set epochs=1 --set seed=3 --quiet");
    assert_eq!(house.json("short/report.json")["epochs"].as_array().unwrap().len(), 1);
    assert_eq!(house.json("short/report.json")["seed"].as_u64(), Some(3));
    assert!(!house.has("runs"), "something was written that nobody asked for");
}

#[test]
fn training_that_turns_nan_stops_and_keeps_the_last_good_network() {
    let house = House::new("nan");
    house.data();
    house.write("mini.toml", RECIPE);
    // A step an epoch: the first epochs end whole.
    let line = "train mini.toml --data data --out out --set lr=1e6 --set batch=200 --set epochs=40 --set schedule=constant --quiet";
    let said = house.run(line);
    assert_eq!((said.code, said.err.lines().count()), (Some(1), 1), "{}", said.err);
    for word in ["turned NaN", "step", "of epoch", "lower lr", "the last good network is out/last.safetensors"] {
        assert!(said.err.contains(word), "nothing about \"{word}\": {}", said.err);
    }
    house.good("export out/last.safetensors --out dict");
    let finite = super::house::open(&house.read("dict"))
        .values()
        .filter(|t| t.dtype == safetensors::Dtype::F32)
        .all(|t| t.floats().iter().all(|x| x.is_finite()));
    assert!(finite);
    assert!(!house.has("out/ann.safetensors"), "a broken network was kept");
    let said = house.run("run mini.toml --data data --out snn --set snn.lr=1e6 --set snn.epochs=40 --quiet");
    assert_eq!((said.code, said.err.lines().count()), (Some(1), 1), "{}", said.err);
    assert!(said.err.contains("snn-finetune") && said.err.contains("turned NaN"), "{}", said.err);
    house.good("export snn/last.safetensors --out dict");
    assert!(house.has("snn/converted.safetensors") && !house.has("snn/snn.safetensors"));
}
