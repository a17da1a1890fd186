//! `caltrop arch`: layers, counts and memory, held against what is known of the networks and against what training takes.

use super::house::House;

#[test]
fn a_network_is_described_as_its_state_dict_has_it() {
    let house = House::new("arch");
    house.good("arch vgg:3,A/5 --classes 3 --input 2x4x6 --steps 4 --bias --batch 2 --json out");
    let net = house.json("out");
    let rows: Vec<String> = net["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let output: Vec<String> = row["output"].as_array().unwrap().iter().map(|extent| extent.to_string()).collect();
            let text = |key: &str| row[key].as_str().unwrap().to_string();
            format!("{}|{}|{}|{}|{}|{}", text("name"), text("kind"), output.join("x"), row["parameters"], row["macs"], row["reads_spikes"])
        })
        .collect();
    // 54 + 3 weights and biases; 54 products at 24 pixels.
    let wanted = [
        "features.0|conv 3x3|3x4x6|57|1296|false",
        "features.1|batch norm|3x4x6|6|0|false",
        "features.2|neuron|3x4x6|1|0|true",
        "|average pool 2x2|3x2x3|0|0|true",
        "|flatten|18x1x1|0|0|true",
        "classifier.1|linear|5x1x1|95|90|true",
        "classifier.2|neuron|5x1x1|1|0|true",
        "|dropout|5x1x1|0|0|true",
        "classifier.4|linear|3x1x1|18|15|true",
    ];
    assert_eq!(rows, wanted);
    assert_eq!((net["parameters"].as_u64(), net["macs_per_step"].as_u64()), (Some(178), Some(1401)));
    assert_eq!(net["macs_per_image"].as_u64(), Some(1296 + 4 * 105));
    // Two images. Kept: pixels 48, currents 72 (held) and 4·5, dropped features 4·5, logits 4·3, f32; spikes 72 + 5, a byte
    // each; pooled ones 18, a word each.
    let memory = &net["memory_bytes"]["training"];
    let kept = 4 * (48 + 72 + 20 + 20 + 12) + 77 + 4 * 18;
    assert_eq!(memory["kept"].as_u64(), Some(2 * kept));
    assert_eq!(
        [&memory["weights"], &memory["gradients"], &memory["momentum"]].map(|bytes| bytes.as_u64()),
        [Some(4 * 184), Some(4 * 178), Some(4 * 178)]
    );
    assert_eq!(net["memory_bytes"]["training_pair"]["kept"].as_u64(), Some(4 * kept));
}

/// Parameters and products of the paper's networks; of VGG-16 at 224x224 too.
#[test]
fn the_paper_s_networks_are_counted_as_pytorch_counts_them() {
    let house = House::new("large");
    let out = house.run_small("arch vgg16 --classes 1000 --input 3x224x224 --steps 0 --bias");
    assert_eq!(out.code, Some(0), "{}", out.err);
    // torchvision's vgg16_bn has 138,365,992; ours adds 15 thresholds.
    assert!(out.out.contains("138,366,007") && out.out.contains("15,470,264,320"), "{}", out.out);
    let list = house.good("arch").out;
    // Counted by a PyTorch program on its own networks, without biases, for 10 classes of 3x32x32.
    for (arch, parameters, macs) in [
        ("vgg11", 61_365_834, 599_498_752),
        ("vgg16", 33_634_255, 332_111_872),
        ("resnet20", 272_501, 40_813_184),
        ("wrn16_4", 2_748_905, 392_612_352),
        ("wrn28_4", 5_849_089, 845_597_184u64),
    ] {
        house.good(&format!("arch {arch} --steps 0 --json net"));
        let net = house.json("net");
        assert_eq!((net["parameters"].as_u64(), net["macs_per_step"].as_u64()), (Some(parameters), Some(macs)), "{arch}");
    }
    for word in ["vgg11 ", "vgg16 ", "vgg11_tin ", "resnet20 ", "wrn28_4 ", "vgg:PLAN/HIDDEN", "3x64x64"] {
        assert!(list.contains(word), "{word}: {list}");
    }
    // Shapes alone are looked at: the 2^28 weights that a network may have are a gigabyte.
    if cfg!(target_os = "linux") {
        let huge = house.run_within(400_000, "arch vgg:64,A/1000 --classes 10 --input 3x126x126 --threads 1");
        assert_eq!(huge.code, Some(0), "{}", huge.err);
        assert!(huge.out.contains("254,0"), "{}", huge.out);
    }
    house.refused(2, "arch vgg12", &["vgg12", "vgg11"]);
    house.refused(2, "arch vgg11 --batch 0", &["--batch 0"]);
    house.refused(2, "arch vgg11 --input 3x8x8x8", &["--input"]);
    house.refused(2, "arch vgg11 --input 3x4x4", &["too small"]);
}

/// What is said of memory against what a training step takes: within a factor of 1.5, the program's own 40 MB apart.
#[test]
#[cfg(target_os = "linux")]
fn the_memory_of_training_is_what_was_estimated() {
    let house = House::new("memory");
    let mut off = Vec::new();
    for (arch, steps, batch) in [("vgg:32,32,A,64/64", 8, 64), ("vgg:32,32,A,64/64", 0, 64), ("resnet8", 8, 16), ("wrn10_1", 8, 16)] {
        let net = format!("{arch} --input 3x32x32 --batch {batch} --steps {steps}");
        house.good(&format!("arch {net} --json said"));
        let bench = "--mode train --defense natural --seconds 0 --device cpu --threads 2";
        house.good(&format!("bench network --arch {net} {bench} --json took"));
        let said = house.json("said")["memory_bytes"]["training"]["total"].as_u64().unwrap() as f64;
        let took = house.json("took")["peak_memory_bytes"].as_u64().unwrap() as f64;
        let (said, took) = (said / 1e6, took / 1e6);
        println!("{net}: said {said:.0} MB, took {took:.0} MB");
        if !(took - 40.0 < 1.5 * said && said < 1.5 * took) {
            off.push(format!("{net}: said {said:.0} MB, took {took:.0} MB"));
        }
    }
    assert!(off.is_empty(), "{off:?}");
}
