//! `selftest`: small runs, and words that cannot be meant.

use super::house::House;

#[test]
fn a_device_that_computes_right_passes() {
    let house = House::new("selftest");
    let said = house.good("selftest --ops relu,pixel --device cpu --quiet");
    let last = said.out.lines().last().unwrap();
    assert!(last.contains(" checks passed on cpu (") && said.out.lines().any(|line| line.starts_with("relu ")), "{}", said.out);
    assert!(!said.out.contains("FAIL") && !said.out.contains("norm  "), "{}", said.out);
}

#[test]
fn the_emulated_gpu_has_its_building_blocks_checked() {
    if caltrop::device::Device::named("emulated", None).is_err() {
        return; // a build without an emulator
    }
    let house = House::new("selftest-conform");
    let said = house.good("selftest --device emulated --ops conform --quiet --json");
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let rows = report["rows"].as_array().unwrap();
    for block in ["mma", "ldmatrix", "cp.async", "shuffles", "bar.sync", "bf16", "rounding", "philox"] {
        assert!(rows.iter().any(|row| row["check"] == block && row["passed"] == true), "{block}: {report}");
    }
    assert_eq!(report["passed"], report["checks"], "{report}");
    assert!(report["device"].as_str().unwrap().starts_with("emulated") && report["commit"].is_string(), "{report}");
    house.good("selftest --device emulated --ops reduce --quiet --json found.json");
    assert!(house.json("found.json")["rows"].is_array());
}

#[test]
fn words_that_cannot_be_meant_are_refused() {
    let house = House::new("selftest-bad");
    house.refused(2, "selftest --ops relo", &["--ops relo", "did you mean \"relu\"?"]);
    house.refused(2, "selftest --ops conform --device cpu", &["--ops conform", "use --device cuda or emulated"]);
    house.refused(1, "selftest --device cpu --ops relu --json nowhere/found.json", &["nowhere"]);
}
