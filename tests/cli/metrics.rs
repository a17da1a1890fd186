//! What a run says of its training, and that saying it changes nothing.

use super::house::{House, RECIPE, open};
use serde_json::Value;

const SET: &str = "--set ann.accumulate=2 --set ann.warmup=1 --set snn.schedule=step --set snn.milestones=[1] --quiet";

fn events(house: &House, kind: &str, stage: &str) -> Vec<Value> {
    let record = String::from_utf8(house.read("out/run.jsonl")).unwrap();
    let events = record.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == kind && event["stage"] == stage).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn training_is_recorded_part_by_part_and_goes_the_same_way() {
    let house = House::new("metrics");
    house.data();
    house.write("mini.toml", format!("validation = 0\n{RECIPE}"));
    house.write("told.toml", format!("validation = 0\nlog_every = 3\n{RECIPE}"));
    let images = 200;
    let batches = 7;
    house.good(&format!("run told.toml --data data --out out --tensorboard {SET}"));
    let lrs = |stage: &str| events(&house, "epoch", stage).iter().map(|epoch| epoch["lr"].as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!((lrs("ann"), lrs("snn")), (vec![0.05, 0.1], vec![1e-3, 1e-3 * 0.1]));
    for (stage, parts) in [("ann", vec!["ce"]), ("snn", vec!["ce", "kl"])] {
        for event in events(&house, "epoch", stage).iter().chain(&events(&house, "step", stage)) {
            let found = event["loss_parts"].as_object().unwrap();
            assert_eq!(found.keys().collect::<Vec<_>>(), parts, "{event}");
            let sum: f64 = found.values().map(|part| part.as_f64().unwrap()).sum();
            assert!((sum - event["loss"].as_f64().unwrap()).abs() < 1e-5 && sum > 0.1, "{event}");
        }
        let steps = events(&house, "step", stage).iter().map(|step| step["step"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!(steps, [3, 6, batches + 3, batches + 6]);
    }
    for epoch in events(&house, "epoch", "snn") {
        let (rates, thresholds) = (numbers(&epoch["rates"]), numbers(&epoch["thresholds"]));
        assert_eq!(epoch["layers"].as_array().unwrap(), &["features.2", "classifier.2"]);
        assert_eq!((rates.len(), thresholds.len()), (2, 2));
        assert!(rates.iter().all(|rate| *rate > 0.0 && *rate < 1.0), "{rates:?}");
        // Counted spikes over all that there could be: 4 steps of 8 hidden neurons an image.
        let spikes = rates[1] * (4 * 8 * images) as f64;
        assert!((spikes - spikes.round()).abs() < 1e-6, "{spikes}");
    }

    // Neither the option nor the key is seen in the networks.
    house.good(&format!("run mini.toml --data data --out plain {SET}"));
    for name in ["ann.safetensors", "snn.safetensors"] {
        assert!(open(&house.read(&format!("out/{name}"))) == open(&house.read(&format!("plain/{name}"))), "{name}");
    }
    assert!(!house.has("plain/tensorboard"));

    // A resumed run leaves what is there; another run in the folder replaces it.
    let board = || house.everything().into_iter().filter(|(path, _)| path.to_string_lossy().contains("tfevents")).collect::<Vec<_>>();
    let before = board();
    assert!(before.len() == 1 && before[0].1.len() > 1000, "{} event files", before.len());
    house.good(&format!("run told.toml --data data --out out --resume {SET}"));
    assert!(board() == before);
    house.good("train mini.toml --data data --out out --set epochs=1 --quiet");
    assert!(board().is_empty());
}
