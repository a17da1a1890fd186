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
    let phases = ["ann-train", "ann-pgd3", "ann-checks", "calibrate", "snn-finetune", "snn-infer", "snn-ensemble-fgsm", "snn-checks"];
    // The honesty checks are for numbers that are to be high.
    let natural = phases.iter().filter(|name| !name.ends_with("checks")).map(|name| format!("natural.{name}"));
    assert_eq!(names, phases.map(str::to_string).into_iter().chain(natural).collect::<Vec<_>>());
    assert_eq!(report["checks"].as_object().unwrap().keys().collect::<Vec<_>>(), ["ann.pgd3", "snn.ensemble_fgsm"]);
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
    for key in ["results", "ensemble", "checks", "curves", "firing", "gallery"] {
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

#[test]
fn a_finetuned_run_records_the_network_that_it_trains() {
    let house = House::new("finetuned");
    house.data();
    house.write("mini.toml", RECIPE);
    house.write("wide.toml", RECIPE.replace("vgg:4,A/8", "vgg:5,A/8"));
    house.good("train mini.toml --data data --set epochs=1 --out ann --quiet");
    let convert = "convert ann/ann.safetensors --data data --batches 1 --calibration-steps 4 --steps 4 --quiet";
    house.good(&format!("{convert} --out plain"));
    house.good(&format!("{convert} --leak 0.75 --reset soft --out leaky"));
    let finetune = |start: &str, recipe: &str, out: &str| format!("finetune {start} {recipe} --data data --out {out} --quiet");
    house.refused(2, &finetune("leaky", "wide.toml", "new"), &["vgg:4,A/8", "vgg:5,A/8", "wide", "--set arch=vgg:4,A/8"]);
    house.good(&format!("{} --set arch=vgg:4,A/8", finetune("leaky", "wide.toml", "cured")));

    house.good(&finetune("leaky", "mini.toml", "out"));
    let dict = |out: &str| super::house::open(&house.read(&format!("{out}/snn.safetensors")));
    assert!(dict("out") == dict("cured"), "the cure trains another network");
    assert_eq!(house.json("out/report.json")["network"], "vgg:4,A/8");
    let recorded: toml::Table = String::from_utf8(house.read("out/recipe.toml")).unwrap().parse().unwrap();
    let bias = recorded["bias"].as_bool();
    assert_eq!((bias, recorded["leak"].as_float(), recorded["reset"].as_str()), (Some(true), Some(0.75), Some("soft")));
    assert_eq!(recorded["dropout"].as_float(), Some(0.2));
    // The recipe that was kept repeats the run, and another network does not go on with it.
    house.good(&finetune("leaky", "out/recipe.toml", "again"));
    assert!(house.read("out/snn.safetensors") == house.read("again/snn.safetensors"), "the kept recipe trains another network");
    house.refused(2, &format!("{} --resume", finetune("plain", "mini.toml", "out")), &["leak was 0.75 and is 1"]);
    // Other weights under the same settings are another run; the name of their file does not matter.
    house.good(&format!("{convert} --leak 0.75 --reset soft --scale 0.5 --out scaled"));
    let weights = house.json("out/report.json")["weights"].as_str().unwrap().to_string();
    let words = ["out", weights.as_str(), "give the checkpoint that it began with", "--out"];
    house.refused(2, &format!("{} --resume", finetune("scaled", "mini.toml", "out")), &words);
    house.write("moved", house.read("leaky"));
    house.good(&format!("{} --resume", finetune("moved", "mini.toml", "out")));
    house.good(&format!("{} --resume", finetune("leaky", "mini.toml", "out")));
}

#[test]
fn a_run_that_is_replaced_is_named() {
    let house = House::new("replaced");
    house.data();
    house.write("mini.toml", RECIPE);
    let train = "train mini.toml --data data --set epochs=1 --out out";
    let said = house.good(&format!("{train} --seed 3")).err;
    assert!(!said.contains("replaced"), "{said}");
    let said = house.good(&format!("{train} --seed 4")).err;
    assert!(said.starts_with("out: the finished run of mini (seed 3) that is there is replaced\n"), "{said}");
    let record = String::from_utf8(house.read("out/run.jsonl")).unwrap();
    assert_eq!(record.matches("\"event\":\"start\"").count(), 1, "the record of the earlier run is still there");
    // Cut in its last line, the record is that of a run that was killed.
    house.write("out/run.jsonl", &record[..record.len() - 5]);
    let said = house.good(train).err;
    assert!(said.starts_with("out: the unfinished run of mini (seed 4) that is there is replaced\n"), "{said}");
    assert_eq!(house.good(&format!("{train} --quiet")).err, "");
    for command in ["demo", "run", "train", "finetune"] {
        let help = house.good(&format!("{command} --help")).out;
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains("without --resume, a run that is there is replaced"), "{command}: {help}");
    }
}

#[test]
fn a_conversion_says_where_the_images_do_not_suffice() {
    let house = House::new("short");
    house.data();
    house.write("mini.toml", RECIPE);
    house.good("train mini.toml --data data --set epochs=1 --out ann --quiet");
    let convert = |more: &str| house.good(&format!("convert ann/ann.safetensors --data data --calibration-steps 2 --out c {more}")).err;
    let said = convert("--batches 1000");
    assert!(said.starts_with("calibrate: 3 x 64 images instead of 1000 x 64: mnist has 196 training images\n"), "{said}");
    assert!(said.contains("(3 x 64 images, T = 2)"), "{said}");
    let said = convert("--batches 1 --batch 500");
    assert!(said.contains("1 x 196 images instead of 1 x 500") && said.contains("(1 x 196 images, T = 2)"), "{said}");
    let said = convert("--batches 3");
    assert!(!said.contains("instead of") && said.contains("(3 x 64 images, T = 2)"), "{said}");
    assert_eq!(convert("--batches 1000 --quiet"), "");
}
