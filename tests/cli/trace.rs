//! `trace`: what it says, what it writes, what it refuses.

use super::house::{House, RECIPE};

/// No line is wider than a terminal of 80 columns.
#[track_caller]
fn fits(text: &str) {
    let long = text.lines().find(|line| line.chars().count() > 80);
    assert_eq!(long, None, "in\n{text}");
}

#[test]
fn a_neuron_is_stepped_through() {
    let house = House::new("trace");
    house.nets();
    house.images("pictures", 3);
    let said = house.good("trace snn --images pictures --image 1 --layer features.2 --neuron 5,0,2 --json out").out;
    fits(&said);
    for words in
        ["features.2, neuron 5,0,2", "image 1 of pictures", "conv 3x3 of the pixels", "t = 4 of 4", "threshold", "membrane u", "x,y,c"]
    {
        assert!(said.contains(words), "nothing about \"{words}\" in\n{said}");
    }
    let json = house.json("out");
    assert_eq!((&json["layer"], &json["neuron"]["x"], &json["image"]), (&"features.2".into(), &5.into(), &1.into()));
    let steps = json["clean"]["steps"].as_array().unwrap();
    assert_eq!((steps.len(), steps[3]["t"].as_u64()), (4, Some(4)));
    // Column 5 of 6 in row 0: two rows and two columns of two channels lie within the image.
    assert_eq!(json["clean"]["parts"][0]["field"]["inputs"], 8);
    assert_eq!(json["clean"]["parts"][0]["held"], true);
    assert!(steps[0]["shares"][0]["fired"]["contributions"].as_array().unwrap().len() <= 5);
    assert!(json.get("adversarial").is_none() && json.get("chosen").is_none());

    // Without a choice there is one, which is told; JSON may go to the standard output.
    let said = house.good("trace snn --images pictures --steps 9 --top 2 --quiet").out;
    fits(&said);
    assert!(said.contains("classifier.2, neuron 0,0,") && said.contains("chosen: none of the layer fires"), "{said}");
    assert!(said.contains("linear of features.2, pooled 2x2: 18 inputs of 3x2x3") && said.contains("t = 9 of 9"), "{said}");
    let alone: serde_json::Value = serde_json::from_str(&house.good("trace snn --images pictures --json --step").out).unwrap();
    assert!(alone["chosen"].as_str().unwrap().starts_with("none of the layer"));
}

#[test]
fn an_attack_stands_beside() {
    let house = House::new("trace-attack");
    house.nets();
    house.images("pictures", 3);
    let line = "trace snn --images pictures --image 2 --layer classifier.2 --neuron 0,0,1 --attack pgd --eps 40 --iterations 3 --json out";
    let said = house.good(line).out;
    fits(&said);
    for words in ["attacked by pgd, eps 40/255, 3 iterations", "clean   attacked     change", "inputs that differ", "attacked:"] {
        assert!(said.contains(words), "nothing about \"{words}\" in\n{said}");
    }
    let json = house.json("out");
    let change = json["attack"]["largest_change"].as_f64().unwrap();
    assert!(change > 1.0 && change < 40.001, "{change}");
    // What the network sees is what predict says of the clean image.
    house.good("predict snn --images pictures --out logits");
    let logits = super::house::open(&house.read("logits"))["logits"].floats();
    let best = (0..3).max_by(|&a, &b| logits[6 + a].total_cmp(&logits[6 + b])).unwrap();
    assert_eq!(json["clean"]["predicted"], best);
    assert_eq!(json["adversarial"]["steps"].as_array().unwrap().len(), 4);
    assert_eq!(house.good(line).out, said, "the same again");
}

#[test]
fn wrong_words_get_the_valid_ones() {
    let house = House::new("trace-bad");
    house.nets();
    house.images("pictures", 3);
    let refused = |line: &str, words: &[&str]| house.refused(2, &format!("trace {line}"), words);
    refused("snn --images pictures --layer features.9", &["--layer features.9", "features.2 (3x4x6)", "classifier.2 (5x1x1)"]);
    refused("snn --images pictures --layer features.2 --neuron 6,0,0", &["--neuron 6,0,0", "x from 0 to 5, y from 0 to 3, c from 0 to 2"]);
    refused("snn --images pictures --neuron 1,2", &["--neuron 1,2", "x,y,c is wanted"]);
    refused("snn --images pictures --image 3", &["--image 3", "pictures has 3 images, 0 to 2"]);
    refused("snn --images nowhere", &["--images nowhere", "no such file", "--image N"]);
    refused("ann --images pictures", &["ann", "T = 0", "no spikes", "convert"]);
    refused("snn --images pictures --steps 0", &["--steps 0"]);
    refused("snn --images pictures --top 0", &["--top 0"]);
    refused("snn --images pictures --eps 4", &["--attack"]);
    refused("snn --images pictures --attack autoattack", &["autoattack", "apgd-ce"]);
    refused("snn --images pictures --attack pgd --eps 0", &["--eps 0"]);
    refused("snn", &["names no data set", "--dataset"]);
    house.refused(1, "trace nothing --images pictures", &["nothing"]);
    house.refused(1, "trace snn --images pictures --json no/such/folder", &["no/such"]);
}

#[test]
fn images_of_the_data_set_have_an_index() {
    let house = House::new("trace-data");
    house.data();
    house.write("mini.toml", RECIPE);
    house.good("train mini.toml --data data --set epochs=1 --out ann --quiet");
    house.good("convert ann/ann.safetensors --data data --batches 1 --batch 16 --calibration-steps 5 --steps 4 --out snn");
    let said = house.good("trace snn --data data --image 59 --layer features.2").out;
    assert!(said.contains("image 59 of mnist, class ") && said.contains("features.2, neuron"), "{said}");
    house.refused(2, "trace snn --data data --image 60", &["--image 60", "60 test images, 0 to 59"]);
    house.refused(2, "trace ann/ann.safetensors --data data --image 0", &["T = 0", "no spikes"]);
}
