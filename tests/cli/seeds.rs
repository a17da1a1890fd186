//! Several seeds side by side, and how sure every accuracy is.

use super::house::{House, RECIPE, open};

fn number(value: &serde_json::Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Wilson's bounds as the quadratic (p − x)² = z² x(1 − x)/n has them, in percent.
fn bounds(percent: f64, images: f64) -> [f64; 2] {
    let (p, z2) = (percent / 100.0, 1.959964f64.powi(2) / images);
    let (a, b, c) = (1.0 + z2, -(2.0 * p + z2), p * p);
    let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
    [(-b - root) / (2.0 * a) * 100.0, (-b + root) / (2.0 * a) * 100.0]
}

#[track_caller]
fn holds(interval: &serde_json::Value, percent: f64, images: f64) {
    for (found, wanted) in interval.as_array().expect("two bounds").iter().zip(bounds(percent, images)) {
        assert!((number(found) - wanted).abs() < 1e-3, "{interval} for {percent} % of {images}, not {wanted}");
    }
}

#[test]
fn every_accuracy_has_its_interval_and_its_images() {
    let house = House::new("interval");
    house.data();
    house.write("mini.toml", format!("{RECIPE}\n[natural.ann]\ndefense = \"natural\"\n"));
    let said = house.good("run mini.toml --data data --out out --quiet");
    let report = house.json("out/report.json");
    let results = report["results"].as_object().unwrap();
    assert_eq!(results.len(), 8);
    for (key, percent) in results {
        let images = number(&report["images"][key]);
        holds(&report["intervals"][key], number(percent), images);
        // The terminal has the same in a row of the two tracks.
        let [low, high] = [0, 1].map(|at| number(&report["intervals"][key][at]));
        let row = said.out.lines().find(|line| line.starts_with(key.trim_start_matches("natural."))).unwrap();
        assert!(row.contains(&format!("{:.1} ({low:.1}-{high:.1})", number(percent))) && row.ends_with(&format!(" {images}")), "{row}");
    }
    for (key, members) in report["ensemble"].as_object().unwrap() {
        for member in members.as_array().unwrap() {
            holds(&member["ci95"], number(&member["accuracy"]), number(&report["images"][key]));
        }
    }
    for curve in report["curves"].as_array().unwrap() {
        for (point, interval) in curve["points"].as_array().unwrap().iter().zip(curve["intervals"].as_array().unwrap()) {
            holds(interval, number(&point[1]), number(&curve["images"]));
        }
    }
    let page = String::from_utf8(house.read("out/report.html")).unwrap();
    for key in ["ann.clean", "snn.clean", "natural.snn.ensemble_fgsm"] {
        let [low, high] = [0, 1].map(|at| number(&report["intervals"][key][at]));
        assert!(page.contains(&format!("{low:.1}\u{2013}{high:.1}")), "{key} has no interval on the page");
    }

    let said = house.good("eval out/snn.safetensors --data data --attack fgsm --ensemble --no-checks --images 40 --json out.json --quiet");
    let json = house.json("out.json");
    holds(&json["clean_ci95"], number(&json["clean_acc"]), 40.0);
    holds(&json["robust_ci95"], number(&json["robust_acc"]), 40.0);
    for member in json["members"].as_array().unwrap() {
        holds(&member["ci95"], number(&member["accuracy"]), 40.0);
    }
    assert!(said.out.lines().all(|line| line.contains('(') && line.contains('-')), "a line without an interval:\n{}", said.out);
}

#[test]
fn seeds_make_the_runs_that_each_makes_alone_and_a_report_of_all() {
    let house = House::new("seeds");
    house.data();
    house.write("mini.toml", format!("{RECIPE}\n[natural.ann]\ndefense = \"natural\"\n"));
    let line = "run mini.toml --data data --out out --seeds 4,0,7";
    let said = house.good(line);
    assert!(said.err.contains("seed 0 (2 of 3)"), "{}", said.err);
    house.good("run mini.toml --data data --out alone --seed 7 --quiet");
    for name in ["ann", "snn", "natural/snn"] {
        let file = format!("{name}.safetensors");
        assert!(house.read(&format!("out/seed-7/{file}")) == house.read(&format!("alone/{file}")), "{file}");
    }
    let summary = house.json("out/report.json");
    assert_eq!(summary["seeds"].as_array().unwrap().iter().map(number).collect::<Vec<_>>(), [4.0, 0.0, 7.0]);
    let each: Vec<_> = [4, 0, 7].map(|seed| house.json(&format!("out/seed-{seed}/report.json"))).into();
    let keys = each[0]["results"].as_object().unwrap();
    assert_eq!(summary["results"].as_object().unwrap().len(), keys.len());
    for key in keys.keys() {
        let values: Vec<f64> = each.iter().map(|report| number(&report["results"][key])).collect();
        let mean = values.iter().sum::<f64>() / 3.0;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
        assert!((number(&summary["results"][key]) - mean).abs() < 1e-6, "{key}");
        assert!((number(&summary["deviations"][key]) - deviation).abs() < 1e-6, "{key}");
        assert_eq!(summary["values"][key].as_array().unwrap().iter().map(number).collect::<Vec<_>>(), values);
        for (interval, &value) in summary["intervals"][key].as_array().unwrap().iter().zip(&values) {
            holds(interval, value, number(&summary["images"][key]));
        }
        let row = said.out.lines().find(|line| line.split_whitespace().next() == Some(key)).unwrap();
        assert!(row.contains(&format!("{mean:.1} ± {deviation:.1}")) && row.contains(&format!("{:.1} (", values[2])), "{row}");
    }
    let page = String::from_utf8(house.read("out/report.html")).unwrap();
    for part in ["seed-4/report.html", "seed-0/report.html", "seed-7/report.html", "\u{a0}±\u{a0}", "sample standard deviation"] {
        assert!(page.contains(part), "the page lacks {part}");
    }
    assert!(!page.contains("http") && !page.contains("NaN") && house.has("out/seeds.png"));

    // Another seed joins; what is there stays, and what was lost is made again.
    let before = house.read("out/seed-4/run.jsonl");
    std::fs::remove_file(house.root.join("out/seed-0/snn.safetensors")).unwrap();
    let first = house.read("out/seed-7/snn.safetensors");
    house.good("run mini.toml --data data --out out --seeds 4,0,7,9 --resume --quiet");
    assert!(house.read("out/seed-4/run.jsonl").starts_with(&before) && house.read("out/seed-7/snn.safetensors") == first);
    assert!(house.has("out/seed-0/snn.safetensors") && house.has("out/seed-9/report.html"));
    let joined = house.json("out/report.json");
    for (key, values) in summary["values"].as_object().unwrap() {
        assert_eq!(joined["values"][key].as_array().unwrap()[..3], values.as_array().unwrap()[..], "{key}");
    }
}

#[test]
fn the_stages_alone_take_seeds_too() {
    let house = House::new("seedstages");
    house.data();
    house.write("mini.toml", RECIPE);
    house.good("train mini.toml --data data --out ann --seeds 0,1 --quiet");
    let convert = "convert ann/seed-0/ann.safetensors --data data --batch 16 --batches 2 --calibration-steps 10 --steps 4 --out c --quiet";
    house.good(convert);
    house.good("finetune c mini.toml --data data --out snn --seeds 2,3 --set epochs=1 --quiet");
    for (file, key) in [("ann/report.json", "ann.clean"), ("snn/report.json", "snn.ensemble_fgsm")] {
        let summary = house.json(file);
        assert_eq!(summary["values"][key].as_array().unwrap().len(), 2, "{file}");
    }
    let [two, three] = [2, 3].map(|seed| open(&house.read(&format!("snn/seed-{seed}/snn.safetensors"))));
    assert!(two != three, "two seeds, one network");
}

#[test]
fn seeds_are_checked_before_anything_runs() {
    let house = House::new("badseeds");
    house.data();
    house.write("mini.toml", RECIPE);
    for (words, told) in [
        ("--seeds 1,2,1", &["--seeds", "1 is there twice"][..]),
        ("--seeds 1,x", &["--seeds", "x"]),
        ("--seeds 1 --seed 2", &["--seed", "cannot be used with"]),
        ("--seed 18446744073709551615", &["--seed 18446744073709551615", "at most"]),
    ] {
        house.refused(2, &format!("run mini.toml --data data --out new {words}"), told);
    }
    house.refused(1, "run mini.toml --data data --out new --seeds 1,2 --resume", &["new holds no run of these seeds", "without --resume"]);
    house.refused(2, "demo --quick --out new --seed 1 --seeds 1,2", &["cannot be used with"]);
}
