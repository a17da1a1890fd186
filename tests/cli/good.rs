//! State dicts in and out, predictions and evaluations: names, shapes, bits.

use super::house::{ARCH, House, RECIPE, Read, T, open, state_dict};
use safetensors::tensor::Dtype;
use std::collections::BTreeMap;

fn as_read(tensors: &[T]) -> BTreeMap<String, Read> {
    let read = |t: &T| (t.name.clone(), Read { shape: t.shape.clone(), dtype: t.dtype, bytes: t.bytes.clone() });
    tensors.iter().map(read).collect()
}

#[test]
fn a_state_dict_comes_back_bit_for_bit() {
    let house = House::new("round");
    let round = |dict: &[T], steps: usize, more: &str| {
        house.tensors("weights", dict);
        house.good(&format!("import weights {ARCH} --steps {steps} {more} --out net"));
        house.good("export net --format torch --out back");
        open(&house.read("back"))
    };
    let whole = as_read(&state_dict());
    let without = |leaf: &str| state_dict().into_iter().filter(|t| !t.name.ends_with(leaf)).collect::<Vec<_>>();
    assert_eq!(round(&state_dict(), 4, ""), whole);
    assert_eq!(round(&state_dict(), 0, ""), whole);
    // Written out where they were absent.
    let mut zero = whole.clone();
    zero.get_mut("features.1.num_batches_tracked").unwrap().bytes = vec![0; 8];
    assert_eq!(round(&without("num_batches_tracked"), 4, ""), zero);
    let mut one = whole.clone();
    one.iter_mut().filter(|(name, _)| name.ends_with("v_th")).for_each(|(_, read)| read.bytes = 1f32.to_le_bytes().to_vec());
    assert_eq!(round(&without("v_th"), 0, ""), one);
    let mut fresh = whole.clone();
    fresh.get_mut("features.1.running_mean").unwrap().bytes = vec![0; 12];
    fresh.get_mut("features.1.running_var").unwrap().bytes = 1f32.to_le_bytes().repeat(3);
    let bare: Vec<T> = without("running_mean").into_iter().filter(|t| !t.name.ends_with("running_var")).collect();
    assert_eq!(round(&bare, 4, "--statistics batch"), fresh);
    // A threshold of one element is a scalar, and never below 0.03.
    let mut dict = state_dict();
    dict[6] = T::floats("features.2.v_th", &[1], &[0.001]);
    let back = round(&dict, 4, "");
    assert_eq!((back["features.2.v_th"].shape.len(), back["features.2.v_th"].floats()), (0, vec![0.03]));
    // With biases.
    let biases = [T::floats("features.0.bias", &[3], &[0.1, 0.2, -0.3]), T::floats("classifier.1.bias", &[5], &[0.5; 5])];
    let dict = [state_dict(), biases.to_vec(), vec![T::floats("classifier.4.bias", &[3], &[-0.0, f32::MIN_POSITIVE, 1e-40])]].concat();
    assert_eq!(round(&dict, 4, "--bias"), as_read(&dict));
    // Names in the order of the network, as PyTorch has them.
    let device = caltrop::device::Device::cpu(Some(1)).unwrap();
    let (model, _) = caltrop::checkpoint::load(&house.root.join("net"), &device).unwrap();
    let names: Vec<String> = caltrop::checkpoint::state_dict(&model).into_iter().map(|(name, ..)| name).collect();
    let want = "features.0.weight features.0.bias features.1.weight features.1.bias features.1.running_mean features.1.running_var \
                features.2.v_th classifier.1.weight classifier.1.bias classifier.2.v_th classifier.4.weight classifier.4.bias";
    assert_eq!(names.join(" "), want.split_whitespace().collect::<Vec<_>>().join(" "));
}

/// The logits of the network of [`state_dict`] with ReLU, in PyTorch's layouts.
fn relu_logits(image: &[f32]) -> Vec<f64> {
    let dict = as_read(&state_dict());
    let get = |name: &str| dict[name].floats().into_iter().map(f64::from).collect::<Vec<_>>();
    let x: Vec<f64> = image.iter().enumerate().map(|(i, &p)| (f64::from(p) - [0.4, 0.5][i / 24]) / [0.2, 0.3][i / 24]).collect();
    let (w, gain, shift) = (get("features.0.weight"), get("features.1.weight"), get("features.1.bias"));
    let (mean, var) = (get("features.1.running_mean"), get("features.1.running_var"));
    let mut flat = vec![0.0; 18]; // (channel, row, column)
    for c in 0..3 {
        for (y, z) in (0..4usize).flat_map(|y| (0..6usize).map(move |z| (y, z))) {
            let mut sum = 0.0;
            for (i, dy, dz) in (0..2).flat_map(|i| (0..3).flat_map(move |dy| (0..3).map(move |dz| (i, dy, dz)))) {
                if (1..5).contains(&(y + dy)) && (1..7).contains(&(z + dz)) {
                    sum += x[i * 24 + (y + dy - 1) * 6 + z + dz - 1] * w[((c * 2 + i) * 3 + dy) * 3 + dz];
                }
            }
            let active = ((sum - mean[c]) / (var[c] + 1e-5).sqrt() * gain[c] + shift[c]).max(0.0);
            flat[c * 6 + y / 2 * 3 + z / 2] += active / 4.0;
        }
    }
    let linear =
        |w: &[f64], x: &[f64]| w.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>()).collect::<Vec<f64>>();
    let hidden: Vec<f64> = linear(&get("classifier.1.weight"), &flat).into_iter().map(|v| v.max(0.0)).collect();
    linear(&get("classifier.4.weight"), &hidden)
}

#[test]
fn bf16_rounds_products_and_little_else() {
    let house = House::new("bf16");
    house.nets();
    house.images("pictures", 5);
    let [f32, bf16] = ["f32", "bf16"].map(|precision| {
        house.good(&format!("predict ann --images pictures --device cpu --precision {precision} --out out"));
        open(&house.read("out"))["logits"].floats()
    });
    let size = f32.iter().fold(0.0, |size: f32, x| size.max(x.abs()));
    let apart = f32.iter().zip(&bf16).fold(0.0, |apart: f32, (a, b)| apart.max((a - b).abs()));
    assert!(apart > 1e-5 * size && apart < 2e-2 * size, "{apart} of {size}");
}

#[test]
fn predictions_have_pytorch_s_layouts() {
    let house = House::new("predict");
    house.nets();
    house.images("pictures", 5);
    let images = open(&house.read("pictures"))["images"].floats();
    house.good("predict ann --images pictures --out out");
    let ann = open(&house.read("out"));
    assert_eq!(ann.keys().collect::<Vec<_>>(), ["logits"]);
    assert_eq!(ann["logits"].shape, [5, 3]);
    let want: Vec<f64> = images.chunks_exact(48).flat_map(relu_logits).collect();
    for (got, want) in ann["logits"].floats().into_iter().zip(want) {
        assert!((f64::from(got) - want).abs() < 1e-5, "{got} {want}");
    }

    let answer = |more: &str| {
        house.good(&format!("predict snn --images pictures {more} --out out"));
        open(&house.read("out"))
    };
    let plain = answer("");
    assert_eq!(plain.keys().collect::<Vec<_>>(), ["logits", "logits_t", "spikes"]);
    assert_eq!((&plain["logits"].shape[..], &plain["logits_t"].shape[..]), (&[5, 3][..], &[4, 5, 3][..]));
    let each = plain["logits_t"].floats();
    for (i, logit) in plain["logits"].floats().into_iter().enumerate() {
        let mean = (0..4).map(|t| each[t * 15 + i]).sum::<f32>() / 4.0;
        assert!((mean - logit).abs() <= 1e-6 * logit.abs().max(1.0), "{mean} {logit}");
    }
    assert_eq!((plain["spikes"].dtype, &plain["spikes"].shape[..]), (Dtype::I64, &[2][..]));
    let spikes = plain["spikes"].longs();
    assert!(spikes[0] > 0 && spikes[0] <= 5 * 4 * 72 && spikes[1] > 0 && spikes[1] <= 5 * 4 * 5, "{spikes:?}");

    let long = answer("--gradients");
    assert_eq!(long["dimages"].shape, [5, 2, 4, 6]);
    assert!(long["dimages"].floats().iter().any(|&g| g != 0.0));
    let rate = answer("--gradients --credit rate");
    let sharp = answer("--gradients --surrogate RECT --gamma 0.5");
    for other in [&long, &rate, &sharp] {
        for name in ["logits", "logits_t", "spikes"] {
            assert_eq!(other[name], plain[name], "a way back changed the way there");
        }
    }
    assert!(rate["dimages"] != long["dimages"] && sharp["dimages"] != long["dimages"]);
    assert_eq!(answer("--gradients --surrogate PCW --gamma 1"), long);
    assert_eq!(answer("--gradients --credit bptt"), long);
    let labels: Vec<i32> = (0..5).map(|i| i % 3).collect();
    house.tensors("short", &[T::floats("images", &[5, 2, 4, 6], &images), T::ints("labels", &[5], &labels)]);
    house.good("predict snn --images short --gradients --out out");
    assert_eq!(open(&house.read("out")), long, "labels as i32");

    // Act: logits and gradients of the ReLU network.
    let act = answer("--gradients --lens act");
    house.good("predict ann --images pictures --gradients --out out");
    assert_eq!(act, open(&house.read("out")));
    assert_eq!(act["logits"], ann["logits"]);

    // Batch statistics look at the whole file.
    let batch = answer("--statistics batch");
    assert!(batch["logits"] != plain["logits"]);
    house.good("predict ann --images pictures --gradients --statistics batch --out out");
    let all = open(&house.read("out"))["dimages"].floats();
    assert!(all.iter().all(|g| g.is_finite()));
}

#[test]
fn an_image_has_the_same_answer_alone_and_among_others() {
    const MANY: usize = 70;
    let house = House::new("packing");
    house.nets();
    house.images("many", MANY);
    let images = open(&house.read("many"))["images"].floats();
    for net in ["ann", "snn"] {
        house.good(&format!("predict {net} --images many --gradients --out out"));
        let all = open(&house.read("out"));
        let mut spikes = [0, 0];
        for i in [0, 1, 63, 64, 69] {
            let one = [T::floats("images", &[1, 2, 4, 6], &images[i * 48..][..48]), T::longs("labels", &[1], &[i as i64 % 3])];
            house.tensors("one", &one);
            house.good(&format!("predict {net} --images one --gradients --out out"));
            let alone = open(&house.read("out"));
            assert_eq!(alone["logits"].floats(), all["logits"].floats()[i * 3..][..3], "{net}, image {i}");
            let shared = &all["dimages"].floats()[i * 48..][..48];
            for (own, shared) in alone["dimages"].floats().into_iter().zip(shared) {
                let whole = shared * MANY as f32; // a mean over the images of the file
                assert!((own - whole).abs() <= 1e-4 * own.abs().max(1e-4), "{net}, image {i}: {own} {whole}");
            }
            if net == "snn" {
                spikes.iter_mut().zip(alone["spikes"].longs()).for_each(|(sum, more)| *sum += more);
            }
        }
        if net == "snn" {
            assert!(spikes.iter().zip(all["spikes"].longs()).all(|(&some, all)| some > 0 && some < all));
        }
    }
}

/// A trained ANN and its SNN, on the data of the house.
fn trained() -> House {
    let house = House::new("eval");
    house.data();
    house.write("mini.toml", RECIPE);
    house.good("run mini.toml --data data --out run --quiet --set ann.epochs=6");
    house
}

#[test]
fn an_evaluation_tells_what_it_did_and_its_images_prove_it() {
    let house = trained();
    let pixels = house.read("data/t10k-images-idx3-ubyte")[16..].to_vec();
    let attacks = [
        ("ann", "pgd --iterations 3", "pgd", Some(3), false),
        ("ann", "fgsm", "fgsm", None, false),
        ("ann", "noise", "noise", None, false),
        ("snn", "none", "none", None, false),
        ("snn", "pgd", "pgd", Some(10), false),
        ("snn", "pgd --lens act --iterations 2", "pgd", Some(2), false),
        ("snn", "rfgsm --credit rate", "rfgsm", None, false),
        ("snn", "tpgd --iterations 2 --surrogate EXP --gamma 2 --steps 6", "tpgd", Some(2), false),
        ("snn", "pgd-targeted --iterations 2", "pgd-targeted", Some(2), false),
        ("ann", "gaussian", "gaussian", None, false),
        ("ann", "fab-t --iterations 4", "fab-t", Some(4), false),
        ("snn", "square --iterations 20", "square", Some(20), false),
        ("snn", "pgd --iterations 2 --source run/ann.safetensors", "pgd", Some(2), false),
        ("ann", "pgd --iterations 2 --source run/snn.safetensors --source-steps 3 --eot 2", "pgd", Some(2), false),
        ("snn", "fgsm --ensemble", "fgsm", None, true),
        ("snn", "pgd --iterations 2 --ensemble --fast", "pgd", Some(2), true),
    ];
    for (net, words, attack, iterations, ensemble) in attacks {
        let line =
            format!("eval run/{net}.safetensors --data data --attack {words} --eps 6 --images 40 --seed 3 --json out.json --save adv");
        let said = house.good(&format!("{line} --quiet"));
        assert!(said.err.is_empty() && said.out.contains("robust"), "{line}: {} {}", said.out, said.err);
        let json = house.json("out.json");
        for key in ["clean_acc", "robust_acc", "attack", "eps", "iterations", "images", "seed", "seconds", "version", "members"] {
            assert!(json.get(key).is_some(), "{line}: no {key}");
        }
        let told = |key: &str| json[key].as_f64().unwrap();
        assert_eq!((json["attack"].as_str(), told("eps"), told("images"), told("seed")), (Some(attack), 6.0, 40.0, 3.0));
        assert_eq!(json["iterations"].as_u64(), iterations);
        let members = json["members"].as_array().unwrap();
        assert_eq!(members.len(), if ensemble { 19 } else { 1 });
        let worst = members.iter().map(|member| member["accuracy"].as_f64().unwrap()).fold(f64::INFINITY, f64::min);
        assert!(told("robust_acc") <= worst && worst <= told("clean_acc"), "{line}: {json}");

        let saved = open(&house.read("adv"));
        assert_eq!((&saved["images"].shape[..], &saved["labels"].shape[..]), (&[40, 1, 8, 8][..], &[40][..]));
        let adversarial = saved["images"].floats();
        for (i, (&x, &p)) in adversarial.iter().zip(&pixels).enumerate() {
            let clean = f32::from(p) / 255.0;
            assert!((0.0..=1.0).contains(&x) && (x - clean).abs() <= 6.0 / 255.0 + 1e-6, "{line}: pixel {i}: {clean} became {x}");
        }
        // FAB-T leaves an image that it did not break as it was.
        let untouched = attack == "none" || (attack == "fab-t" && told("robust_acc") == told("clean_acc"));
        assert_eq!(untouched, adversarial.iter().zip(&pixels).all(|(&x, &p)| x == f32::from(p) / 255.0), "{line}");
        if words.contains("--steps") {
            continue; // `predict` uses the network's own
        }
        house.good(&format!("predict run/{net}.safetensors --images adv --out out --quiet"));
        let logits = open(&house.read("out"))["logits"].floats();
        let best = |row: &[f32]| (1..10).fold(0, |best, k| if row[k] > row[best] { k } else { best }) as i64;
        let right: Vec<bool> = logits.chunks_exact(10).zip(saved["labels"].longs()).map(|(row, label)| best(row) == label).collect();
        assert_eq!(right, saved["survived"].longs().iter().map(|&s| s == 1).collect::<Vec<_>>(), "{line}");
        let percent = 100.0 * right.iter().filter(|&&right| right).count() as f64 / 40.0;
        assert_eq!(percent, told("robust_acc"), "{line}");
    }
}

#[test]
fn a_seed_and_nothing_else_decides() {
    let house = trained();
    let eval = |more: &str| {
        let line = format!(
            "eval run/snn.safetensors --data data --attack pgd --iterations 2 --ensemble --images 30 {more} --json out.json --save adv --quiet"
        );
        house.good(&line);
        let mut json = house.json("out.json");
        let object = json.as_object_mut().unwrap();
        object.remove("seconds");
        object.remove("device");
        (json, house.read("adv"))
    };
    let first = eval("--threads 2");
    assert!(first == eval("--threads 2"), "the same again");
    assert!(first == eval("--threads 1"), "one thread");
    assert!(first == eval("--threads 3 --seed 0"), "three threads");
    assert!(first.1 != eval("--seed 1").1, "another seed has the same noise");
    house.good("convert run/ann.safetensors --data data --batches 3 --calibration-steps 9 --out c1 --quiet --threads 1");
    house.good("convert run/ann.safetensors --data data --batches 3 --calibration-steps 9 --out c2 --quiet --threads 2");
    assert!(house.read("c1") == house.read("c2"), "conversion");
}

#[test]
fn the_program_explains_itself() {
    let house = House::new("help");
    let version = house.good("--version").out;
    let cpu = ["AVX-512", "AVX2", "portable"].iter().any(|isa| version.contains(&format!("cpu {isa}")));
    assert!(version.starts_with(&format!("caltrop {} (", env!("CARGO_PKG_VERSION"))) && cpu && version.lines().count() == 1, "{version}");
    let help = house.good("--help").out;
    for command in ["demo", "run", "train", "finetune", "convert", "eval", "predict", "import", "export", "devices", "recipes"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in the help");
        let own = house.good(&format!("{command} --help")).out;
        assert!(own.contains(&format!("Example:\n  caltrop {command}")), "{command} --help has no example:\n{own}");
        for everywhere in ["--device", "--threads", "--precision", "--quiet"] {
            assert!(own.contains(everywhere), "{command} --help: no {everywhere}");
        }
    }
    let alone = house.run("");
    assert!(alone.code == Some(2) && alone.err.contains("Usage: caltrop"), "{}", alone.err);
    let devices = house.good("devices --threads 2").out;
    assert!(devices.lines().next().is_some_and(|line| line.starts_with("cpu       cpu (2 threads")), "{devices}");
    let line = |kind: &str, none: &str| devices.lines().any(|line| line.starts_with(kind) && (line.contains(none) || line.contains('(')));
    assert!(line("cuda      ", "none: ") && line("emulated  ", "none: ") && !devices.contains("none: --device"), "{devices}");
    assert!(house.good("recipes").out.lines().any(|line| line.trim_start().starts_with("fashion-mnist-7k ")));
    let recipe = house.good("recipes fashion-mnist-7k").out;
    assert!(recipe.contains("[ann]") && recipe.contains("arch = \"vgg:16,A,32,A,64/256\""));
    // What it prints can be run: the whole recipe is valid under another name.
    house.write("mine.toml", recipe);
    house.refused(2, "run mine.toml --set ann.epoch=1 --out new", &["did you mean \"epochs\"?"]);
}
