//! Runs beside each other, and a page that is written again.

use super::house::{House, RECIPE};
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The entry of a list whose `key` is this one.
#[track_caller]
fn entry<'a>(list: &'a Value, key: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|entry| entry["key"] == key).unwrap_or_else(|| panic!("no {key} in {list}"))
}

/// Three runs on small images: `a` with a natural twin, `b` with another learning rate and seed, `s` of two seeds; and `half`,
/// the record of `a` up to its conversion.
fn runs() -> House {
    let house = House::new("report");
    house.data();
    house.write("mini.toml", format!("{RECIPE}\n[natural.ann]\ndefense = \"natural\"\n"));
    house.write("plain.toml", RECIPE);
    house.good("run mini.toml --data data --out a --quiet");
    house.good("run plain.toml --data data --out b --set ann.lr=0.02 --seed 3 --quiet");
    house.good("run plain.toml --data data --out s --seeds 2,1 --quiet");
    let record = String::from_utf8(house.read("a/run.jsonl")).unwrap();
    let begun: Vec<&str> = record.split_inclusive('\n').take_while(|line| !line.contains("\"calibrate\"")).collect();
    house.write("half/run.jsonl", begun.concat() + "{\"event\":\"ph");
    house.write("half/recipe.toml", house.read("a/recipe.toml"));
    house
}

#[test]
fn runs_are_compared_on_one_page_and_each_is_written_again() {
    let house = runs();
    let before = house.everything();
    let said = house.good("report a b s half --names one,two,many,half --out compared");
    for (path, bytes) in &before {
        assert!(std::fs::read(path).map_or(path.is_dir(), |now| now == *bytes), "{} changed", path.display());
    }
    let comparison = house.json("compared/report.json");

    // Results: of a run its own, of seeds their mean and deviation.
    let row = &entry(&comparison["results"], "ann.clean")["cells"];
    for (at, folder) in [(0, "a"), (1, "b"), (3, "a")] {
        let report = house.json(&format!("{folder}/report.json"));
        assert_eq!(
            (&row[at]["percent"], &row[at]["interval"]),
            (&report["results"]["ann.clean"], &report["intervals"]["ann.clean"]),
            "{at}"
        );
    }
    let seeds = [2, 1].map(|seed| number(&house.json(&format!("s/seed-{seed}/report.json"))["results"]["ann.clean"]));
    assert_eq!(row[2]["values"], serde_json::json!(seeds));
    assert!((number(&row[2]["percent"]) - (seeds[0] + seeds[1]) / 2.0).abs() < 1e-5);
    assert!((number(&row[2]["deviation"]) - (seeds[0] - seeds[1]).abs() / 2f64.sqrt()).abs() < 1e-5);
    assert!(entry(&comparison["results"], "snn.clean")["cells"][3].is_null(), "the run that is not finished has no such result");
    assert!(entry(&comparison["results"], "natural.ann.clean")["cells"][1].is_null());

    // What differs: the learning rate, the seeds, the twin; nothing else of the recipes.
    assert_eq!(entry(&comparison["differences"], "ann.lr")["values"][1], "0.02");
    assert_eq!(entry(&comparison["differences"], "seed")["values"], serde_json::json!(["0", "3", "2, 1", "0"]));
    assert_eq!(
        entry(&comparison["differences"], "natural.ann.defense")["values"],
        serde_json::json!(["\"natural\"", null, null, "\"natural\""])
    );
    let keys: Vec<&str> = comparison["differences"].as_array().unwrap().iter().map(|fact| fact["key"].as_str().unwrap()).collect();
    assert!(!keys.iter().any(|key| ["ann.epochs", "device", "data fingerprint"].contains(key)), "{keys:?}");
    entry(&comparison["common"], "data fingerprint");
    assert_eq!(comparison["compared"][3]["unfinished"], 1);

    // Lines: a run's epochs as they are, seeds' means; the curve against eps.
    let training = comparison["training"].as_array().unwrap();
    let loss = &training.iter().find(|chart| chart["measure"] == "ann.loss").unwrap()["lines"];
    let epochs = house.json("b/report.json")["epochs"].clone();
    assert_eq!(loss[1]["points"], serde_json::json!([[1.0, epochs[0]["loss"]], [2.0, epochs[1]["loss"]]]));
    assert_eq!(loss[2]["bounds"].as_array().unwrap().len(), 2);
    assert_eq!(comparison["curves"][0]["lines"][0]["points"], house.json("a/report.json")["curves"][0]["points"]);

    let page = String::from_utf8(house.read("compared/report.html")).unwrap();
    for words in ["one", "many", "not finished", "ann.lr", "natural twin", "Wilson", "Newcombe", "mean over the seeds 2, 1"] {
        assert!(page.contains(words), "the page lacks {words}");
    }
    assert!(!page.contains("http") && !page.contains("url(") && !page.contains("NaN"));
    assert!(["results.png", "curves.png", "eps.png", "firing.png"].iter().all(|name| house.has(&format!("compared/{name}"))));
    assert!(said.err.contains("half is not finished") && said.out.contains("D half: half, not finished"), "{}{}", said.out, said.err);
    let line = said.out.lines().find(|line| line.starts_with("ann.clean")).unwrap();
    assert!(line.contains(" ± ") && line.matches('(').count() == 3, "{line}");

    // As JSON, and quietly; a comparison may be replaced.
    let json = house.good("report a b s half --names one,two,many,half --out compared --json --quiet");
    assert_eq!((serde_json::from_str::<Value>(&json.out).unwrap(), json.err.as_str()), (comparison, ""));
    house.refused(1, "report compared a", &["compared", "name the folders of the runs"]);

    // Pages that were lost come again, bit for bit, but for the run that never had one.
    for lost in ["a/report.html", "a/report.json", "a/curves.png", "s/report.html", "s/seeds.png", "s/seed-1/report.html"] {
        std::fs::remove_file(house.root.join(lost)).unwrap();
    }
    assert!(house.good("report a").out.contains("ann.pgd3"));
    assert!(house.good("report s").out.contains("mean ± sd"));
    house.good("report half --quiet");
    for (path, bytes) in before.iter().filter(|(path, _)| path.is_file()) {
        assert!(std::fs::read(path).unwrap() == *bytes, "{} is another", path.display());
    }
    assert!(String::from_utf8(house.read("half/report.html")).unwrap().contains("This run is not finished"));
    assert!(!String::from_utf8(house.read("a/report.html")).unwrap().contains("not finished"));
    // Without their report the seeds are in the order of their numbers.
    std::fs::remove_file(house.root.join("s/report.json")).unwrap();
    house.good("report s --quiet");
    assert_eq!(house.json("s/report.json")["seeds"], serde_json::json!([1, 2]));
    house.good("report a --out elsewhere");
    assert_eq!(house.read("elsewhere/report.json"), house.read("a/report.json"));
}

#[test]
fn what_cannot_be_compared_is_one_line_with_its_cure() {
    let house = House::new("noreport");
    let record = |seed: u64| format!("{{\"event\":\"start\",\"recipe\":\"r\",\"seed\":{seed}}}\n{{\"event\":\"finish\",\"seconds\":1}}\n");
    for name in ["a", "b", "c"] {
        house.write(&format!("{name}/run.jsonl"), record(u64::from(name.as_bytes()[0])));
    }
    (0..13).for_each(|at| house.write(&format!("many/{at}/run.jsonl"), record(at)));
    house.write("notes/words.txt", "none");
    house.write("torn/run.jsonl", record(1) + "{\"event\":\"nonsense\"}\n");
    house.write("fresh/run.jsonl", "");
    house.write("odd/run.jsonl", record(1));
    house.write("odd/recipe.toml", "a = ");
    let many: Vec<String> = (0..13).map(|at| format!("many/{at}")).collect();
    for (code, words, told) in [
        (2, "report", &["required", "--help"][..]),
        (1, "report a nowhere", &["nowhere: no such folder", "caltrop run"]),
        (1, "report a notes", &["notes: neither run.jsonl", "report.json"]),
        (1, "report a torn", &["torn/run.jsonl line 3"]),
        (1, "report fresh", &["fresh/run.jsonl: nothing is recorded yet"]),
        (1, "report a odd", &["odd/recipe.toml: not TOML"]),
        (2, "report a b a", &["a is there twice"]),
        (2, "report a ./a/", &["a and ./a/ are the same folder"]),
        (2, "report a a/run.jsonl", &["a and a/run.jsonl are the same folder"]),
        (2, "report a b --names x", &["--names: 1 for 2 runs"]),
        (2, "report a b --names x,x", &["x is there twice"]),
        (2, "report a b --names x,", &["a name is empty"]),
        (2, "report a --names x", &["--names", "single"]),
        (2, "report a b --out c", &["--out c: it is the folder of a run"]),
        (2, "report a b --out many/../a", &["it is the folder of a run"]),
        (2, &format!("report {}", many.join(" ")), &["13 runs: at most 12"]),
        (1, "report a b --out notes/words.txt", &["cannot create the folder notes/words.txt"]),
    ] {
        house.refused(code, words, told);
    }
    // Copies are told; names come from as much of the paths as tells them apart.
    house.write("copy/a/run.jsonl", house.read("a/run.jsonl"));
    let said = house.good("report a copy/a --out compared");
    assert!(said.err.contains("hold the same record") && said.out.contains("B copy/a: copy/a"), "{}{}", said.out, said.err);
    house.good(&format!("report {} --out twelve --quiet", many[..12].join(" ")));
}
