//! The whole method on the emulated GPU, in miniature: it agrees with the CPU.

use super::house::{House, open};

/// A few batches of everything, through tensor-core kernels (16 channels) and the others (1 channel).
const RECIPE: &str = r#"
arch = "vgg:16,A,16,A/32"
dataset = "mnist"
dropout = 0.2
[ann]
epochs = 1
batch = 40
attack_steps = 2
eps = 4
[convert]
batches = 1
batch = 8
calibration_steps = 10
[snn]
epochs = 1
batch = 40
steps = 4
eps = 4
[eval]
ann = ["pgd2:16"]
snn = ["ensemble-fgsm:4"]
curve = []
"#;

#[test]
fn a_run_on_the_emulated_gpu_agrees_with_the_cpu() {
    let house = House::new("emulated");
    house.data();
    house.write("mini.toml", RECIPE);
    let said = house.run("devices --device emulated");
    if said.code != Some(0) {
        assert!(said.err.contains("no C++ compiler"), "{}", said.err);
        return;
    }
    house.good("run mini.toml --data data --out cpu --seed 5 --device cpu --quiet");
    house.good("run mini.toml --data data --out gpu --seed 5 --device emulated --quiet");

    let [cpu, gpu] = ["cpu", "gpu"].map(|folder| house.json(&format!("{folder}/report.json")));
    assert!(gpu["device"].as_str().unwrap().contains("emulated"), "{}", gpu["device"]);
    let results = cpu["results"].as_object().unwrap();
    assert_eq!(results.len(), 4, "{results:?}");
    for (name, percent) in results {
        // An image may fall on the other side of a tie; two may not.
        let (images, apart) =
            (if name == "snn.ensemble_fgsm" { 4.0 } else { 16.0 }, percent.as_f64().unwrap() - gpu["results"][name].as_f64().unwrap());
        assert!(apart.abs() <= 101.0 / images, "{name}: {percent} on the CPU, {} on the emulated GPU", gpu["results"][name]);
    }
    // The networks themselves, after training: rounding apart.
    for (network, bound) in [("ann", 1e-3), ("converted", 1e-3), ("snn", 5e-3)] {
        let [cpu, gpu] = ["cpu", "gpu"].map(|folder| open(&house.read(&format!("{folder}/{network}.safetensors"))));
        assert!(!cpu.is_empty() && cpu.len() == gpu.len(), "{network}: other tensors");
        for (name, cpu) in cpu.iter().filter(|(name, _)| !name.contains("num_batches")) {
            let (cpu, gpu) = (cpu.floats(), gpu[name].floats());
            let norm = |values: &[f32]| values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let apart: Vec<f32> = cpu.iter().zip(&gpu).map(|(a, b)| a - b).collect();
            assert!(norm(&apart) <= bound * norm(&cpu).max(1e-3), "{network} {name}: {:e} of {:e}", norm(&apart), norm(&cpu));
        }
    }

    // Credits and a step with kernels of their own.
    for (attack, credit) in [("pgd2", "pdsg"), ("pgd2", "hart"), ("pgd2", "assg"), ("sa-pgd3", "assg")] {
        let robust = ["cpu", "emulated"].map(|device| {
            let line = format!("eval cpu/snn.safetensors --data data --attack {attack} --credit {credit}");
            house.good(&format!("{line} --eps 4 --images 16 --seed 5 --device {device} --json {device}.{attack}.{credit} --quiet"));
            house.json(&format!("{device}.{attack}.{credit}"))["robust_acc"].as_f64().unwrap()
        });
        assert!(
            (robust[0] - robust[1]).abs() <= 101.0 / 16.0,
            "{attack} {credit}: {} on the CPU, {} on the emulated GPU",
            robust[0],
            robust[1]
        );
    }
}
