//! `bench`: tiny runs whose JSON holds together, and words that cannot be meant.

use super::house::House;
use serde_json::Value;

const SMALL: &str = "--arch vgg:3,A/5 --input 2x4x6 --batch 4 --seconds 0";

/// The JSON of a run that prints it.
#[track_caller]
fn json(house: &House, line: &str) -> Value {
    let said = house.good(&format!("{line} --quiet --json"));
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("caltrop {line}: {error}\n{}", said.out))
}

/// A positive, finite number.
#[track_caller]
fn number(value: &Value, key: &str) -> f64 {
    let number = value[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {value}"));
    assert!(number > 0.0 && number.is_finite(), "{key} = {number}");
    number
}

#[test]
fn every_op_is_measured_in_spiking_networks_and_anns() {
    let house = House::new("bench-kernels");
    let result = json(&house, "bench kernels --network demo --steps 0,3 --batch 1 --density 0.2 --seconds 0");
    assert!(result["device"].as_str().unwrap().starts_with("cpu"), "{result}");
    for key in ["precision", "version", "commit", "date"] {
        assert!(result[key].is_string(), "{key}: {result}");
    }
    let ceiling = number(&result["ceilings"], "f32");
    for key in ["copy", "bf16"] {
        number(&result["ceilings"], key);
    }
    let rows = result["rows"].as_array().unwrap();
    for op in ["conv", "lif", "relu", "norm", "pool", "dropout", "frames", "flatten", "loss", "pixel", "sgd", "percentile"] {
        assert!(rows.iter().any(|row| row["op"] == op), "no row of {op}");
    }
    for row in rows {
        let seconds = number(row, "seconds");
        assert!(number(row, "low") <= seconds && seconds <= number(row, "high") && number(row, "runs") >= 3.0, "{row}");
        number(row, "gb_s");
        number(row, "share");
        if row["op"] == "conv" && row["part"] == "forward" && row["layer"] == "conv2" && row["steps"] == 3 {
            assert_eq!((row["form"].as_str(), row["shape"].as_str()), (Some("quarters 0.200"), Some("1x14x14x3x16 * 32x3x3x16")));
            let macs = (14 * 14 * 3 * 32 * 9 * 16) as f64;
            let rate = number(row, "gflop_s");
            assert!((rate * seconds * 1e9 / (2.0 * macs) - 1.0).abs() < 1e-6, "{rate} GFLOP/s in {seconds} s");
            if row["bound"] == "product" {
                assert!((number(row, "share") * ceiling / 1e9 / rate - 1.0).abs() < 1e-6, "{row}");
            }
        }
    }
}

#[test]
fn a_network_is_measured_in_every_mode() {
    let house = House::new("bench-network");
    for steps in [0, 2] {
        for mode in ["infer", "attack", "train"] {
            let result = json(&house, &format!("bench network {SMALL} --steps {steps} --mode {mode}"));
            assert_eq!((&result["mode"], &result["steps"], &result["batch"]), (&mode.into(), &steps.into(), &4.into()));
            let (rate, step) = (number(&result, "images_per_s"), number(&result, "ms_per_step"));
            assert!((rate * step / 4000.0 - 1.0).abs() < 1e-9, "{rate} images/s, {step} ms");
            assert!(number(&result, "ms_low") <= step && step <= number(&result, "ms_high"));
            if cfg!(target_os = "linux") {
                assert!(number(&result, "peak_memory_bytes") > 1e5);
            }
            assert_eq!(result["rates"].as_array().unwrap().len(), if steps == 0 { 0 } else { 2 });
        }
    }
    assert_eq!(json(&house, &format!("bench network {SMALL} --mode attack --credit rate"))["lens"], "BPTR");
    assert_eq!(json(&house, &format!("bench network {SMALL} --mode train"))["defense"], "trades");
    assert_eq!(json(&house, &format!("bench network {SMALL} --mode train --defense natural"))["defense"], "natural");
}

#[test]
fn random_networks_fire_as_trained_ones() {
    let house = House::new("bench-rates");
    for (net, layers) in [("vgg:16,A,32,A,64/256 --input 1x28x28", 4), ("resnet8 --input 3x16x16", 7), ("wrn10_1 --input 3x16x16", 7)] {
        let result = json(&house, &format!("bench network --arch {net} --batch 16 --seconds 0"));
        let rates = result["rates"].as_array().unwrap();
        assert_eq!(rates.len(), layers);
        for (index, layer) in rates.iter().enumerate() {
            let wanted = [0.31, 0.21, 0.13, 0.08][index * 4 / layers];
            assert!((number(layer, "rate") - wanted).abs() < 0.03, "{net}: {layer}: {wanted} was wanted");
            assert!((0.3..0.95).contains(&number(layer, "silent")), "{net}: {layer}");
        }
    }
}

#[test]
fn a_checkpoint_is_measured_and_a_file_is_written() {
    let house = House::new("bench-checkpoint");
    house.nets();
    let said = house.good("bench network --checkpoint snn --steps 3 --batch 2 --seconds 0 --json result.json");
    assert!(said.out.contains("images/s") && said.out.contains("T=3"), "{}", said.out);
    let result: Value = serde_json::from_slice(&std::fs::read(house.root.join("result.json")).unwrap()).unwrap();
    assert_eq!((&result["steps"], &result["batch"]), (&3.into(), &2.into()));
    let said = house.good("bench kernels --ops sgd --network demo --layers fc1,fc2 --batch 1 --seconds 0 --json -");
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap()["rows"].as_array().unwrap().len(), 2);
}

#[test]
fn the_loader_is_measured_by_itself() {
    let house = House::new("bench-loader");
    for (words, read, threads) in
        [("", "crop:4 flip cutout:8", 1), ("--augment resized,flip --threads 2", "resized flip", 2), ("--augment none", "", 1)]
    {
        let result = json(&house, &format!("bench loader --size 9x7x3 --batch 64 --seconds 0 {words}"));
        assert_eq!((&result["size"], &result["batch"], &result["threads"]), (&vec![9, 7, 3].into(), &64.into(), &threads.into()));
        assert_eq!(result["augment"], Value::from(read.split_whitespace().collect::<Vec<_>>()));
        let rate = number(&result, "images_per_s");
        assert!(number(&result, "images_per_s_low") <= rate && rate <= number(&result, "images_per_s_high"), "{result}");
        assert_eq!(number(&result, "bytes"), (9 * 7 * 3 * 5) as f64);
        number(&result, "floor_us");
        if cfg!(unix) {
            let (us, core) = (number(&result, "cpu_us_per_image"), number(&result, "images_per_core_s"));
            assert!((us * core / 1e6 - 1.0).abs() < 1e-9 && (number(&result, "core_at_50k") * core / 5e4 - 1.0).abs() < 1e-9, "{result}");
        }
    }
    let said = house.good("bench loader --size 8x8x1 --batch 64 --seconds 0 --json loader.json");
    assert!(said.out.contains("images/s a core") && said.out.contains("8x8x1 crop:4 flip cutout:8"), "{}", said.out);
    assert_eq!(house.json("loader.json")["batch"], 64);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let house = House::new("bench-bad");
    house.nets();
    for (line, words) in [
        ("bench kernels --ops cnov", &["--ops cnov", "did you mean \"conv\"?"][..]),
        ("bench kernels --network vgg1", &["--network vgg1", "did you mean \"vgg11\"?"]),
        ("bench kernels --layers conv99", &["--layers conv99"]),
        ("bench kernels --batch 0", &["--batch 0", "between 1"]),
        ("bench kernels --batch 65537", &["--batch 65537"]),
        ("bench kernels --steps 1001", &["--steps 1001", "at most 1000"]),
        ("bench kernels --density 0", &["--density 0", "above 0"]),
        ("bench kernels --density 1.5", &["--density 1.5"]),
        ("bench kernels --density nan", &["--density NaN"]),
        ("bench kernels --seconds -1", &["--seconds -1"]),
        ("bench kernels --seconds nan", &["--seconds NaN"]),
        ("bench network --mode trian", &["--mode trian", "did you mean \"train\"?"]),
        ("bench network --batch 0", &["--batch 0", "max"]),
        ("bench network --batch many", &["--batch many", "max"]),
        ("bench network --batch max", &["--batch max", "GPU"]),
        ("bench network --steps 1001", &["--steps 1001", "at most 1000"]),
        ("bench network --arch vgg12", &["vgg12", "did you mean \"vgg11\"?"]),
        ("bench network --arch vgg11 --checkpoint snn", &["--arch", "--checkpoint"]),
        ("bench network --arch vgg:3 --input 3x3", &["--input 3x3", "CxHxW"]),
        ("bench network --checkpoint snn --steps 0", &["--steps 0", "use 1 or more"]),
        ("bench network --checkpoint ann --steps 8", &["--steps 8", "convert"]),
        ("bench network --checkpoint ann --mode attack --credit rate", &["--credit", "T = 0"]),
        ("bench network --credit rate", &["--credit rate", "--mode attack"]),
        ("bench network --mode attack --credit rat", &["did you mean \"rate\"?"]),
        ("bench network --mode attack --defense at", &["--defense at", "--mode train"]),
        ("bench network --arch vgg:3 --mode train --defense mart", &["mart", "trades"]),
        ("bench network --arch vgg:3 --mode train --defense attt", &["attt"]),
        ("bench loader --size 32x32", &["--size 32x32", "HxWxC"]),
        ("bench loader --size 0x8x3", &["--size 0x8x3", "1 to 1024"]),
        ("bench loader --size 8x8x3x1", &["HxWxC"]),
        ("bench loader --batch 0", &["--batch 0", "between 1"]),
        ("bench loader --threads 65", &["--threads 65", "1 to 64"]),
        ("bench loader --threads 0", &["--threads 0"]),
        ("bench loader --augment crop,resized", &["cropped once"]),
        ("bench loader --augment flp", &["did you mean \"flip\"?"]),
        ("bench loader --seconds -1", &["--seconds -1"]),
    ] {
        house.refused(2, line, words);
    }
    house.refused(1, "bench network --checkpoint nowhere", &["nowhere"]);
    house.refused(1, "bench kernels --json nowhere/result.json", &["nowhere"]);
    house.refused(1, "bench loader --json nowhere/result.json", &["nowhere"]);
}
