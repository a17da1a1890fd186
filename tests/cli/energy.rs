//! Operations, energy, and accuracy over time: the commands that look inside for a table.

use super::house::{ARCH, House, RECIPE, T, state_dict};
use serde_json::Value;

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number {path} in {value}"))
}

/// A data set of 60 test images, a spiking network of 4 steps for it, and its ReLU network.
fn trained(name: &str) -> House {
    let house = House::new(name);
    house.data();
    house.write("mini.toml", RECIPE);
    house.good("train mini.toml --data data --out ann --quiet");
    house.good("convert ann/ann.safetensors --data data --batches 2 --batch 16 --calibration-steps 10 --steps 4 --out snn");
    house
}

#[test]
fn energy_tells_the_same_numbers_in_three_ways() {
    let house = House::new("energy");
    house.nets();
    house.images("pictures", 5);
    let line = "energy snn --images pictures --iterations 2 --ann ann";
    let said = house.good(&format!("{line} --json out --csv rows.csv"));
    let out = house.json("out");
    for words in ["clean", "attacked", "PGD-2 at 8/255 through PCW", "of the ANN's", "caveat: ", "2409.08290", "4.6 pJ a MAC, 0.9 pJ an AC"]
    {
        assert!(said.out.contains(words), "nothing about {words}:\n{}", said.out);
    }
    assert_eq!((&out["images"], &out["steps"], &out["attack"]["iterations"]), (&Value::from(5), &Value::from(4), &Value::from(2)));
    for side in ["clean", "attacked"] {
        let at = |path: &str| number(&out, &format!("/network/{side}/{path}"));
        // 2 channels of 4x6 by a padded 3x3 kernel: (3·4 − 2)·(3·6 − 2) pairs of pixel and position, times 2·3 channels.
        assert_eq!(at("synapses/0/dense"), 960.0);
        assert_eq!(out["network"][side]["synapses"][0]["reads"], "pixels");
        // Behind the pool 3 channels of 2x3, read as means of spikes at each of 4 steps.
        assert_eq!((at("synapses/1/dense"), at("synapses/1/effective_acs")), (4.0 * 18.0 * 5.0, 0.0));
        assert_eq!(out["network"][side]["synapses"][1]["reads"], "pooled spikes");
        // The classes read spikes. A mean of five is made a sum again: whole numbers are equal or not.
        let sum = |path: &str| (5.0 * at(path)).round();
        assert_eq!((at("synapses/2/dense"), at("synapses/2/effective_macs")), (4.0 * 5.0 * 3.0, 0.0));
        assert_eq!(sum("synapses/2/effective_acs"), 3.0 * sum("neurons/1/active"));
        assert_eq!(sum("synops"), sum("synapses/1/synops") + sum("synapses/2/synops"));
        assert_eq!(sum("synapses/1/synops"), 5.0 * sum("neurons/0/active"));
        assert!(sum("neurons/0/active") > 0.0 && sum("neurons/1/active") > 0.0);
        let [once, every] = ["held_once", "held_every_step"].map(|held| at(&format!("{held}/effective_macs")));
        assert!((every - once - 3.0 * at("synapses/0/effective_macs")).abs() < 1e-9);
        let energy = 4.6 * once + 0.9 * at("held_once/effective_acs");
        assert!((at("held_once/energy_pj") - energy).abs() < 1e-6 * energy);
        let dense = 960.0 + 18.0 * 5.0 + 15.0;
        assert!((at("held_once/ratio_to_ann") - energy / (4.6 * dense)).abs() < 1e-9);
        assert_eq!(number(&out, "/ann_dense/macs"), dense);
        let measured = number(&out, &format!("/ann/measured/{side}/held_once/effective_macs"));
        assert!(0.0 < measured && measured <= dense);
        assert_eq!(out["ann"]["measured"][side]["membrane_updates"], Value::Null);
    }
    let rows = String::from_utf8(house.read("rows.csv")).unwrap();
    // Two networks, two kinds of images, three products and two layers of neurons each.
    assert_eq!(rows.lines().count(), 1 + 2 * 2 * 5);
    assert!(
        rows.starts_with("network,images,layer,kind,reads,held_steps,dense,")
            && rows.contains("snn,clean,features.0,conv 3x3,pixels,4,960,"),
        "{rows}"
    );
    // The answer does not depend on who asks how.
    assert_eq!(house.good(&format!("{line} --json --quiet")).out.trim(), String::from_utf8(house.read("out")).unwrap().trim());

    // Prices of one's own, no attack, a network without spikes.
    house.good("energy ann --images pictures --attack none --mac-pj 2 --ac-pj 1 --json out");
    let out = house.json("out");
    assert_eq!((&out["network"]["attacked"], &out["prices"]["name"]), (&Value::Null, &Value::from("own")));
    let [macs, energy] = ["effective_macs", "energy_pj"].map(|name| number(&out, &format!("/network/clean/held_once/{name}")));
    assert!((energy - 2.0 * macs).abs() < 1e-9 && macs < 1065.0);
}

#[test]
fn accuracy_over_time_ends_at_that_of_an_evaluation() {
    let house = trained("anytime");
    let attack = "--attack pgd --iterations 2 --eps 4 --seed 3";
    let files = "--json out --csv rows.csv --plot curves.png --report page.html";
    let said = house.good(&format!("anytime snn --data data --images 40 {attack} --sweep 2,4,9 {files}"));
    let out = house.json("out");
    house.good(&format!("eval snn --data data --images 40 {attack} --no-checks --json eval"));
    let eval = house.json("eval");
    assert_eq!(out["moments"].as_array().unwrap().len(), 4);
    let both = |value: &Value| (value["clean_acc"].clone(), value["robust_acc"].clone(), value["robust_ci95"].clone());
    assert_eq!(both(&out["moments"][3]), both(&eval));
    assert_eq!(both(&out["sweep"][1]), both(&eval));
    for (index, steps) in [(0, 2), (2, 9)] {
        house.good(&format!("eval snn --data data --images 40 {attack} --steps {steps} --no-checks --json eval"));
        assert_eq!(both(&out["sweep"][index]), both(&house.json("eval")), "T = {steps}");
    }
    // What has settled stays so; at the end all has.
    for name in ["settled_clean", "settled_attacked"] {
        let settled: Vec<f64> = (0..4).map(|t| number(&out, &format!("/moments/{t}/{name}"))).collect();
        assert!(settled.is_sorted() && settled[3] == 100.0, "{settled:?}");
        // The mean of the step at which an image settles is a sum over those that have not yet.
        let mean = 1.0 + settled[..3].iter().map(|share| 1.0 - share / 100.0).sum::<f64>();
        let key = name.replace("settled", "/decided");
        assert!((number(&out, &key) - mean).abs() < 1e-9, "{name}: {mean}");
    }
    for words in ["step", "robust", "settled attacked", "PGD-2 at 4/255", "run at other numbers of steps"] {
        assert!(said.out.contains(words), "nothing about {words}:\n{}", said.out);
    }
    assert_eq!(String::from_utf8(house.read("rows.csv")).unwrap().lines().count(), 1 + 4 + 3);
    assert!(house.read("curves.png").starts_with(b"\x89PNG"));
    let page = String::from_utf8(house.read("page.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(!page.contains("http"), "the page asks for something from elsewhere");
    house.good("anytime snn --data data --images 5 --attack none --plot curves.svg");
    assert!(house.read("curves.svg").starts_with(b"<svg xmlns"));
}

#[test]
fn what_cannot_be_counted_is_refused_in_one_line() {
    let house = House::new("energy-bad");
    house.nets();
    house.images("pictures", 3);
    house.tensors("unlabelled", &[T::floats("images", &[1, 2, 4, 6], &[0.5; 48])]);
    house.good("energy snn --images pictures --attack none --steps 9");
    for (code, line, words) in [
        (2, "energy snn --images pictures --preset 45nmm", &["--preset 45nmm", "did you mean \"45nm\"?"][..]),
        (2, "energy snn --images pictures --preset zinc", &["--preset zinc", "45nm-int8"]),
        (2, "energy snn --images pictures --mac-pj 4", &["--ac-pj"]),
        (2, "energy snn --images pictures --mac-pj 0 --ac-pj 1", &["--mac-pj 0", "positive"]),
        (2, "energy snn --images pictures --mac-pj 1 --ac-pj nan", &["--ac-pj NaN", "positive"]),
        (2, "energy snn --images pictures --mac-pj 1 --ac-pj 1 --preset 45nm", &["--preset"]),
        (2, "energy snn --images pictures --ann snn", &["--ann snn", "T = 4", "T = 0"]),
        (2, "energy snn --images pictures --steps 0", &["--steps 0"]),
        (2, "energy ann --images pictures --steps 4", &["--steps 4", "no spikes"]),
        (2, "energy snn --images pictures --eps 0", &["--eps 0", "--attack none"]),
        (2, "energy snn --images pictures --attack autoattack", &["autoattack", "apgd-ce"]),
        (2, "energy snn --images pictures --attack pdg", &["did you mean \"pgd\"?"]),
        (2, "energy snn", &["names no data set", "--dataset"]),
        (2, "energy snn --images 0,x", &["--images 0,x", "neither a file nor images"]),
        (1, "energy missing --images pictures", &["missing"]),
        (1, "energy snn --images pictures --json no/where", &["no/where"]),
        (1, "energy snn --images pictures --csv no/where", &["no/where"]),
        (2, "anytime ann --images pictures", &["T = 0", "caltrop convert"]),
        (2, "anytime snn --images pictures --sweep 4,0", &["--sweep 0"]),
        (2, "anytime snn --images pictures --sweep 4,1001", &["--sweep 1001", "at most 1000"]),
        (2, "anytime snn --images pictures --plot curves.gif", &["curves.gif", ".png or .svg"]),
        (1, "anytime snn --images unlabelled", &["labels"]),
        (1, "anytime snn --images pictures --report no/where", &["no/where"]),
    ] {
        house.refused(code, line, words);
    }
    // The ReLU network of another architecture: without the hidden layer.
    let mut weights = state_dict();
    weights.retain(|tensor| !tensor.name.starts_with("classifier."));
    weights.push(T::floats("classifier.1.weight", &[3, 18], &[0.1; 54]));
    house.tensors("flat", &weights);
    house.good(&format!("import flat {} --out other", ARCH.replace("vgg:3,A/5", "vgg:3,A/")));
    house.refused(2, "energy snn --images pictures --ann other", &["--ann other", "vgg:3,A/ for", "vgg:3,A/5"]);
}
