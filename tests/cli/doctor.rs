//! The conversion doctor: its tables, its files, what it finds beside an ANN, what it refuses, and Ctrl-C.

use super::house::{ARCH, House, RECIPE};

const SHORT: &str =
    "--data data --batches 2 --batch 16 --calibration-steps 10 --images 50 --percentiles 99.7,90 --scales 0.3,1 --steps 4,8";

/// The run `out` on little data.
fn house(name: &str) -> House {
    let house = House::new(name);
    house.data();
    house.write("mini.toml", RECIPE);
    house.good("run mini.toml --data data --out out --quiet");
    house
}

#[test]
fn a_run_is_examined_and_the_numbers_are_those_of_the_other_commands() {
    let house = house("doctor");
    let said = house.good(&format!("doctor out/ann.safetensors {SHORT} --json d.json --report d.html --plot d.png"));
    for words in ["percentile", "T = 8", "correlation", "Advice", "caltrop ", "Before and after finetuning", "estimated again"] {
        assert!(said.out.contains(words), "no {words}: {}", said.out);
    }
    for file in ["converted", "snn"] {
        assert!(said.err.contains(&format!("out/{file}.safetensors lies beside the ANN")), "{}", said.err);
    }
    let found = house.json("d.json");
    let cells = found["cells"].as_array().unwrap();
    let settings: Vec<_> = cells
        .iter()
        .map(|cell| (cell["percentile"].as_f64().unwrap(), cell["scale"].as_f64().unwrap(), cell["steps"].as_u64().unwrap()))
        .collect();
    let wanted: Vec<_> =
        [90.0, 99.7].into_iter().flat_map(|p| [0.3, 1.0].map(|s| (p, s))).flat_map(|(p, s)| [4, 8].map(|t| (p, s, t))).collect();
    assert_eq!(settings, wanted);
    let chosen = &cells[found["chosen"].as_u64().unwrap() as usize];
    assert_eq!((chosen["percentile"].as_f64(), chosen["scale"].as_f64(), chosen["steps"].as_u64()), (Some(99.7), Some(0.3), Some(8)));
    let highest = cells.iter().map(|cell| cell["accuracy"].as_f64().unwrap()).fold(0.0, f64::max);
    assert_eq!(cells[found["best"].as_u64().unwrap() as usize]["accuracy"], highest);

    // The conversion of the cell that is looked into is `convert`'s, and the given networks' accuracies are `eval`'s.
    let how = "--data data --batches 2 --batch 16 --calibration-steps 10";
    house.good(&format!("convert out/ann.safetensors {how} --percentile 99.7 --scale 0.3 --steps 8 --out same"));
    let accuracy = |network: &str| {
        house.good(&format!("eval {network} --data data --images 50 --attack none --json e.json"));
        house.json("e.json")["clean_acc"].clone()
    };
    assert_eq!(accuracy("out/ann.safetensors"), found["ann"]["accuracy"]);
    assert_eq!(accuracy("same"), found["as_it_stands"]["accuracy"]);
    assert_eq!(accuracy("out/snn.safetensors"), found["finetuned"]["accuracy"]);
    assert_eq!(found["finetuned"]["found"], true);
    let thresholds =
        caltrop::checkpoint::load(&house.root.join("same"), &caltrop::device::Device::cpu(Some(1)).unwrap()).unwrap().0.thresholds();
    let told: Vec<f32> = chosen["thresholds"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
    assert_eq!(told, thresholds);

    let layers = found["layers"].as_array().unwrap();
    assert_eq!(layers.iter().map(|layer| layer["name"].as_str().unwrap()).collect::<Vec<_>>(), ["features.2", "classifier.2"]);
    for layer in layers {
        for share in ["rate", "dead", "silent", "saturated", "muted", "above", "active"] {
            assert!((0.0..=1.0).contains(&layer[share].as_f64().unwrap()), "{share}: {layer}");
        }
    }
    let page = String::from_utf8(house.read("d.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("Layer by layer") && !page.contains("http://") && !page.contains("https://"));
    assert!(house.read("d.png").starts_with(b"\x89PNG"));

    // The same again on one thread, and as JSON on the standard output: the same numbers.
    let said = house.good(&format!("doctor out/ann.safetensors {SHORT} --threads 1 --json --quiet --plot d.svg"));
    let mut again: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(said.err, "");
    let mut once = found.clone();
    for report in [&mut again, &mut once] {
        ["seconds", "device"].iter().for_each(|key| drop(report.as_object_mut().unwrap().remove(*key)));
    }
    assert_eq!(again, once);
    assert!(String::from_utf8(house.read("d.svg")).unwrap().starts_with("<svg xmlns"));
}

#[test]
fn other_networks_can_be_named_and_foreign_ones_are_passed_over() {
    let house = house("doctor-named");
    std::fs::copy(house.root.join("out/ann.safetensors"), house.root.join("lone")).unwrap();
    let said = house.good(&format!("doctor lone {SHORT} --cell best --json d.json"));
    assert!(said.out.contains("--finetuned FILE puts one beside it") && !said.err.contains("lies beside"), "{}{}", said.out, said.err);
    let found = house.json("d.json");
    assert!(found["chosen"] == found["best"] && found["finetuned"].is_null() && found["converted"].is_null());
    house.good(&format!("doctor lone {SHORT} --cell 90,1,4 --finetuned out/snn.safetensors --json d.json --quiet"));
    assert_eq!((house.json("d.json")["finetuned"]["found"].clone(), house.json("d.json")["chosen"].clone()), (false.into(), 2.into()));

    // A folder whose spiking network is another's, and a data set that is too small for the calibration.
    house.nets();
    std::fs::copy(house.root.join("snn"), house.root.join("out/snn.safetensors")).unwrap();
    let few = "--data data --percentiles 99 --scales 1 --steps 2 --calibration-steps 5 --batches 50 --batch 64 --images 1000";
    let said = house.good(&format!("doctor out/ann.safetensors {few}"));
    assert!(said.err.contains("passed over: out/snn.safetensors: vgg:3,A/5 with 3 classes"), "{}", said.err);
    assert!(
        said.err.contains("3 x 64 images instead of 50 x 64") && said.out.contains("192 images where 3200 were asked for"),
        "{}",
        said.out
    );
    assert!(said.out.contains("accuracy on 60 test images"), "{}", said.out);
    house.refused(2, &format!("doctor lone {SHORT} --cell 99.7,0.5,8"), &["--cell 99.7,0.5,8", "no such cell", "--cell best"]);
    house.refused(2, &format!("doctor lone {SHORT} --finetuned snn"), &["snn: vgg:3,A/5", "the ANN is vgg:4,A/8"]);
    house.refused(2, &format!("doctor lone {SHORT} --finetuned lone"), &["lone", "T = 0", "spiking network"]);
}

#[test]
fn what_cannot_be_swept_is_refused_in_one_line() {
    let house = House::new("doctor-bad");
    house.data();
    house.nets();
    let refused = |words: &str, wanted: &[&str]| house.refused(2, &format!("doctor ann {words}"), wanted);
    house.refused(2, "doctor snn", &["spiking one already (T = 4)", "--finetuned"]);
    refused("--steps 0", &["--steps 0", "at least 1"]);
    refused("--steps 4,1001", &["--steps 1001", "at most 1000"]);
    refused("--percentiles 99,101", &["--percentiles 101", "between 0 and 100"]);
    refused("--percentiles -1", &["--percentiles -1"]);
    refused("--percentiles NaN", &["--percentiles NaN"]);
    refused("--scales 0", &["--scales 0", "positive"]);
    refused("--scales=-0.5,1", &["--scales -0.5", "positive"]);
    refused("--scales inf", &["--scales inf", "positive"]);
    refused("--scales", &["--scales", "--help"]);
    refused("--percentiles ,", &["--percentiles", "--help"]);
    refused("--steps 1,2,x", &["x", "--steps", "--help"]);
    refused("--steps 1,2,3,4,5,6,7 --scales 1,2,3,4,5,6,7,8", &["4 x 8 x 7 = 224 cells", "at most 200"]);
    refused("--images 0", &["--images 0"]);
    refused("--batch 0", &["--batch 0"]);
    refused("--batches 0", &["--batches 0"]);
    refused("--calibration-steps 0", &["--calibration-steps 0"]);
    refused("--calibration-steps 10001", &["--calibration-steps 10001", "at most 10000"]);
    refused("--cell 1,2", &["--cell 1,2", "best"]);
    refused("--cell 99,one,8", &["--cell 99,one,8", "best"]);
    refused("--plot out.gif", &["--plot out.gif", ".png or .svg"]);
    refused("", &["names no data set", "--dataset"]);
    house.refused(1, "doctor ann --finetuned nowhere", &["nowhere"]);
    house.good(&format!("import weights {ARCH} --dataset mnist --out other"));
    house.refused(1, "doctor other --data data", &["other", "images of 1x8x8"]);
}

#[cfg(unix)]
#[test]
fn an_interrupt_is_answered_within_a_cell() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};
    let house = house("doctor-stop");
    std::fs::copy(house.root.join("out/ann.safetensors"), house.root.join("lone")).unwrap();
    // After the first percentile there are as many more as would take much longer than a signal.
    let line = "doctor lone --data data --percentiles 90,91,92,93,94,95,96,97,98,99 --scales 1,2 --steps 1000 --batches 12 --batch 16 --calibration-steps 2 --json d.json";
    let mut child = house.command(line).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("percentile 90") {
        said.clear();
        assert!(lines.read_line(&mut said).unwrap() > 0, "it ended before the first percentile");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest}");
    assert!(rest.contains("interrupted; nothing was written") && !rest.contains("percentile 99:") && !house.has("d.json"), "{rest}");
}
