//! Training that is killed at any moment, goes on, and chooses what it keeps.
#![cfg(unix)]

use super::house::{House, RECIPE, gzip, idx, numbers, open};
use safetensors::tensor::SafeTensors;
use serde_json::Value;
use std::collections::HashMap;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Everything that a state has to hold: batch norm, dropout, augmentation, momentum, adversaries, steps of several batches, a
/// selection with patience.
const WHOLE: &str = r#"
arch = "vgg:8,8,A/16"
dataset = "mnist"
dropout = 0.3
augment = ["crop:1", "flip"]
validation = 0.1
save_minutes = 0.00005
[ann]
epochs = 4
batch = 16
attack_steps = 8
eps = 4
accumulate = 2
warmup = 1
[convert]
batches = 2
batch = 16
calibration_steps = 20
[snn]
epochs = 5
batch = 16
steps = 4
eps = 4
lr = 0.02
patience = 3
[eval]
ann = ["pgd3:30"]
snn = ["ensemble-fgsm:20"]
curve = [0, 8]
curve_attack = "pgd2:20"
"#;

/// The metadata of a checkpoint.
fn metadata(house: &House, file: &str) -> HashMap<String, String> {
    let bytes = house.read(file);
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    header.metadata().clone().unwrap_or_default()
}

/// What a report says apart from times.
fn timeless(house: &House, file: &str) -> Value {
    let mut report = house.json(file);
    for key in ["seconds", "device"] {
        report.as_object_mut().unwrap().remove(key);
    }
    for list in ["phases", "epochs"] {
        for item in report[list].as_array_mut().unwrap() {
            item.as_object_mut().unwrap().retain(|key, _| !["seconds", "images_per_s", "memory_bytes"].contains(&key.as_str()));
        }
    }
    report
}

/// The record's events of a kind.
fn events(house: &House, folder: &str, kind: &str) -> Vec<Value> {
    let text = String::from_utf8(house.read(&format!("{folder}/run.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).filter(|event: &Value| event["event"] == kind).collect()
}

fn await_file(house: &House, file: &str) {
    let clock = Instant::now();
    while !house.has(file) {
        assert!(clock.elapsed() < Duration::from_secs(100), "no {file}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn signal(child: &std::process::Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Both folders hold the same networks to the bit, and reports that differ in times alone.
fn assert_same(house: &House, whole: &str, broken: &str, how: &str) {
    for name in ["ann", "converted", "snn", "last", "best"] {
        let file = format!("{name}.safetensors");
        assert!(house.read(&format!("{whole}/{file}")) == house.read(&format!("{broken}/{file}")), "{how}: {file} took another path");
    }
    assert_eq!(timeless(house, &format!("{whole}/report.json")), timeless(house, &format!("{broken}/report.json")), "{how}");
}

#[test]
fn a_run_killed_at_twenty_random_moments_takes_the_path_of_an_unbroken_one() {
    const KILLS: usize = 20;
    let house = House::new("kills");
    house.data();
    house.write("whole.toml", WHOLE);
    let line = "run whole.toml --data data --threads 2 --quiet --out";
    let clock = Instant::now();
    house.good(&format!("{line} whole"));
    let whole = clock.elapsed();
    // A life lasts a sixth of the run at most, so that most of them end within a stage.
    let mut lives = numbers(10 * KILLS).into_iter().skip(7).step_by(3).map(|x| whole.mul_f32(x / 6.0));
    let (mut kills, mut within, mut folder, mut log) = (0, 0, 0, Vec::new());
    while kills < KILLS {
        let out = format!("broken{folder}");
        let begin = if house.has(&format!("{out}/recipe.toml")) { "--resume" } else { "" };
        let mut child = house.command(&format!("{line} {out} {begin}")).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let life = lives.next().expect("enough lives");
        std::thread::sleep(life);
        child.kill().unwrap();
        let end = child.wait_with_output().unwrap();
        if end.status.signal() != Some(9) {
            assert!(end.status.success(), "{log:?}: {}", String::from_utf8_lossy(&end.stderr));
            assert_same(&house, "whole", &out, &format!("{log:?}"));
            folder += 1;
            continue;
        }
        kills += 1;
        let last = format!("{out}/last.safetensors");
        let state = if house.has(&last) { metadata(&house, &last) } else { HashMap::new() };
        let at = |key: &str| state.get(key).map_or("-", String::as_str);
        log.push(format!("{:.0?} {} {}.{}", life, at("state.stage"), at("epoch"), at("state.step")));
        within += usize::from(state.get("state.step").is_some_and(|step| step != "0"));
    }
    let out = format!("broken{folder}");
    let begin = if house.has(&format!("{out}/recipe.toml")) { "--resume" } else { "" };
    house.good(&format!("{line} {out} {begin}"));
    println!("killed after, in: {log:?}");
    assert_same(&house, "whole", &out, &format!("{log:?}"));
    assert!(within >= KILLS / 4, "only {within} kills left a state within an epoch: {log:?}");
    assert!(house.everything().keys().all(|path| !path.to_string_lossy().ends_with(".tmp")), "a temporary file is left");
}

/// A stage of long epochs, and no state within them unless one is asked for.
fn long() -> String {
    WHOLE.replace("save_minutes = 0.00005", "save_minutes = 0").replace("batch = 16\nattack_steps = 8", "batch = 2\nattack_steps = 40")
}

#[test]
fn a_signal_within_an_epoch_saves_the_step_and_nothing_is_done_twice() {
    let house = House::new("signal");
    house.data();
    house.write("long.toml", long());
    let line = "train long.toml --data data --threads 2 --out";
    house.good(&format!("{line} whole --quiet"));
    for (name, wait) in [("-TERM", 100), ("-INT", 200), ("-HUP", 300)] {
        let out = format!("out{name}");
        let (mut wait, mut step) = (wait, 0);
        while step == 0 {
            let mut command = house.command(&format!("{line} {out}"));
            // SAFETY: signal(2) may be called between fork and exec. Under nohup a hang-up would be ignored.
            unsafe {
                command.pre_exec(|| {
                    libc::signal(libc::SIGHUP, libc::SIG_DFL);
                    Ok(())
                })
            };
            let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
            await_file(&house, &format!("{out}/recipe.toml")); // from there on signals are heard
            std::thread::sleep(Duration::from_millis(wait));
            signal(&child, name);
            let end = child.wait_with_output().unwrap();
            let said = String::from_utf8(end.stderr).unwrap();
            let last = said.lines().last().unwrap_or_default();
            assert_eq!(end.status.code(), Some(1), "{name}: {said}");
            assert!(last.starts_with("caltrop: interrupted in epoch ") && last.contains("--resume"), "{name}: {said}");
            step = last.split_once("saved at step ").map_or(0, |(_, rest)| rest.split(' ').next().unwrap().parse().unwrap());
            wait += 200; // a machine that is slow today
            assert!(wait < 60_000, "{name}: no step in a minute");
        }
        let state = metadata(&house, &format!("{out}/last.safetensors"));
        assert_eq!(state["state.step"].parse(), Ok(step), "{name}");
        let epoch: usize = state["epoch"].parse().unwrap();
        house.good(&format!("{line} {out} --resume --quiet"));
        for name in ["ann", "last", "best"] {
            let file = format!("{name}.safetensors");
            assert!(house.read(&format!("whole/{file}")) == house.read(&format!("{out}/{file}")), "{file} took another path");
        }
        assert_eq!(timeless(&house, "whole/report.json"), timeless(&house, &format!("{out}/report.json")), "{name}");
        // The time before the signal counts as well.
        let saved = events(&house, &out, "saved");
        let epochs = house.json(&format!("{out}/report.json"))["epochs"].clone();
        assert_eq!((saved.len(), saved[0]["step"].as_u64()), (1, Some(step as u64)), "{name}");
        let [before, all] = [&saved[0]["seconds"], &epochs[epoch]["seconds"]].map(|seconds| seconds.as_f64().unwrap());
        assert!(before > 0.0 && all > before, "{name}: {before} s of {all} s");
        let report = house.json(&format!("{out}/report.json"));
        let stage: f64 = epochs.as_array().unwrap().iter().map(|epoch| epoch["seconds"].as_f64().unwrap()).sum();
        assert!((report["phases"][0]["seconds"].as_f64().unwrap() - stage).abs() < 1e-9 && report["seconds"].as_f64().unwrap() >= stage);
    }
}

#[test]
fn a_resumed_run_begins_at_the_state_and_not_before() {
    let house = House::new("begins");
    house.data();
    house.write("mini.toml", WHOLE);
    // A state after every step, and no kill before the third is there.
    let line = "train mini.toml --data data --threads 1 --quiet --set save_minutes=1e-9 --set accumulate=1 --out out";
    let mut child = house.command(line).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let step = || Some(metadata(&house, "out/last.safetensors").get("state.step")?.parse::<usize>().unwrap());
    while !house.has("out/last.safetensors") || step() < Some(3) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended too soon");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let state = metadata(&house, "out/last.safetensors");
    let at = |epoch: &str, step: &str| (epoch.parse::<u64>().unwrap(), step.parse::<u64>().unwrap());
    let killed = at(&state["epoch"], &state["state.step"]);
    let before = events(&house, "out", "saved").len();
    house.good(&format!("{} --resume", line.replace("--threads 1", "--threads 2")));
    // The start is there once a life, and the last counts.
    let starts = events(&house, "out", "start");
    assert_eq!(starts.iter().map(|start| start["threads"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(house.json("out/report.json")["threads"], 2);
    let next = &events(&house, "out", "saved")[before];
    let next = (next["epoch"].as_u64().unwrap(), next["step"].as_u64().unwrap());
    // The step behind the state: the first of the next epoch, if the state was an epoch's last but one.
    assert!(next == (killed.0, killed.1 + 1) || next == (killed.0 + 1, 1), "killed at {killed:?}, next at {next:?}");
}

#[test]
fn the_best_epoch_on_held_out_images_is_the_result() {
    let house = House::new("select");
    house.data();
    house.write("mini.toml", WHOLE.replace("save_minutes = 0.00005", "keep = 100").replace("patience = 3", ""));
    let train = "train mini.toml --data data --quiet --set epochs=6 --set lr=1.5 --set schedule=constant";
    let mut apart = 0;
    for seed in 0..3 {
        let out = format!("out{seed}");
        house.good(&format!("{train} --seed {seed} --out {out}"));
        let report = house.json(&format!("{out}/report.json"));
        let epochs = report["epochs"].as_array().unwrap();
        let robust: Vec<f64> = epochs.iter().map(|epoch| epoch["val_robust"].as_f64().unwrap()).collect();
        assert!(epochs.iter().all(|epoch| epoch["val_clean"].as_f64().unwrap() >= epoch["val_robust"].as_f64().unwrap()));
        let best = (0..6).rev().max_by(|&a, &b| robust[a].total_cmp(&robust[b]).then(a.cmp(&b))).unwrap();
        let state = open(&house.read(&format!("{out}/checkpoints/ann-epoch-{:04}.safetensors", best + 1)));
        for file in ["ann", "best"] {
            let file = format!("{out}/{file}.safetensors");
            let meta = metadata(&house, &file);
            assert!(open(&house.read(&file)) == state, "{file} is not of epoch {}: {robust:?}", best + 1);
            assert_eq!(meta["epoch"], (best + 1).to_string());
            assert!(meta["metrics"].contains(&format!("val_robust={}", robust[best])) && !meta.contains_key("state.step"), "{meta:?}");
        }
        assert!(report["notes"][0].as_str().unwrap().contains(&format!("epoch {} of 6 has the best accuracy on held-out", best + 1)));
        apart += usize::from(best != 5);
    }
    assert!(apart > 0, "the last epoch was the best under every seed: nothing was tested");
    // Others choose otherwise.
    house.good(&format!("{train} --out last --select last"));
    assert_eq!(metadata(&house, "last/ann.safetensors")["epoch"], "6");
    house.good(&format!("{train} --out paper --select test-clean --set validation=0"));
    let report = house.json("paper/report.json");
    let test: Vec<f64> = report["epochs"].as_array().unwrap().iter().map(|epoch| epoch["test_clean"].as_f64().unwrap()).collect();
    let best = (0..6).max_by(|&a, &b| test[a].total_cmp(&test[b]).then(a.cmp(&b))).unwrap();
    assert_eq!(metadata(&house, "paper/ann.safetensors")["epoch"], (best + 1).to_string(), "{test:?}");
    assert_eq!(report["results"]["ann.clean"].as_f64().unwrap(), test[best]);
    assert!(report["notes"][0].as_str().unwrap().contains("optimistic"), "{}", report["notes"]);
    house.refused(2, &format!("{train} --out no --select best"), &["select = \"best\"", "did you mean"]);
}

#[test]
fn a_stage_without_progress_ends_early_and_keeps_the_newest_states() {
    let house = House::new("early");
    house.data();
    house.write("mini.toml", WHOLE.replace("save_minutes = 0.00005", "keep = 3"));
    let train = "train mini.toml --data data --quiet --set lr=0.3 --set schedule=constant --set epochs=60 --set patience=3";
    house.good(&format!("{train} --out out"));
    let report = house.json("out/report.json");
    let robust: Vec<f64> = report["epochs"].as_array().unwrap().iter().map(|epoch| epoch["val_robust"].as_f64().unwrap()).collect();
    let largest = |part: &[f64]| part.iter().copied().fold(-1.0, f64::max);
    let ends = (4..=60).find(|&n| largest(&robust[n - 3..n]) <= largest(&robust[..n - 3])).unwrap();
    assert_eq!(robust.len(), ends, "{robust:?}");
    assert!(ends < 60 && report["notes"][0].as_str().unwrap().contains(&format!("of which {ends} were trained")), "{}", report["notes"]);
    let mut states: Vec<String> = house.everything().into_keys().map(|path| path.to_string_lossy().into_owned()).collect();
    states.retain(|path| path.contains("/checkpoints/"));
    let names = (ends - 2..=ends).flat_map(|n| ["optimizer.safetensors", "safetensors"].map(|end| format!("ann-epoch-{n:04}.{end}")));
    let wanted: Vec<String> = names.collect();
    assert!(states.len() == wanted.len() && wanted.iter().all(|name| states.iter().any(|path| path.ends_with(name))), "{states:?}");
    assert!(house.read("out/last.safetensors") == house.read(&format!("out/checkpoints/ann-epoch-{ends:04}.safetensors")));
}

#[test]
fn a_state_that_cannot_be_written_leaves_the_one_before() {
    let house = House::new("full");
    house.data();
    // The network outgrows what a file may hold; the record does not.
    house.write("mini.toml", RECIPE.replace("vgg:4,A/8", "vgg:16,A/200"));
    let line = "train mini.toml --data data --quiet --threads 2 --out";
    house.good(&format!("{line} whole"));
    let mut child = house.command(&format!("{line} out --set epochs=2")).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    while !house.has("out/last.safetensors") {
        assert!(child.try_wait().unwrap().is_none(), "the run ended too soon");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = house.read("out/last.safetensors");
    let limited = format!("trap '' XFSZ; ulimit -f 100; exec \"$0\" {line} out --set epochs=2 --resume");
    let end = Command::new("sh").args(["-c", &limited, super::house::PROGRAM]).current_dir(&house.root).output().unwrap();
    let said = String::from_utf8(end.stderr).unwrap();
    assert_eq!((end.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    for words in ["cannot write out/checkpoints/ann-epoch-0002", "make room and go on with --resume", "the last good network is out/last"] {
        assert!(said.contains(words), "nothing about \"{words}\": {said}");
    }
    assert!(before == house.read("out/last.safetensors"), "the state before is not what it was");
    assert!(house.everything().keys().all(|path| !path.to_string_lossy().ends_with(".tmp")), "a temporary file is left");
    house.good(&format!("{line} out --set epochs=2 --resume"));
    for file in ["ann.safetensors", "last.safetensors"] {
        assert!(open(&house.read(&format!("whole/{file}"))) == open(&house.read(&format!("out/{file}"))), "{file} took another path");
    }
}

#[test]
fn a_state_that_is_not_whole_is_named() {
    let house = House::new("unwhole");
    house.data();
    house.write("mini.toml", RECIPE);
    let line = "train mini.toml --data data --quiet --out out";
    house.good(line);
    std::fs::remove_file(house.root.join("out/ann.safetensors")).unwrap();
    let resume = format!("{line} --resume");
    let velocities = "out/checkpoints/ann-epoch-0002.optimizer.safetensors";
    let (state, kept) = (house.read("out/last.safetensors"), house.read(velocities));
    house.write("out/last.safetensors.new", &state[..state.len() / 2]);
    std::fs::rename(house.root.join("out/last.safetensors.new"), house.root.join("out/last.safetensors")).unwrap();
    house.refused(1, &resume, &["out/last.safetensors", "truncated: ", "copy or download it again"]);
    house.write("out/last.safetensors", &state);
    std::fs::remove_file(house.root.join(velocities)).unwrap();
    house.refused(1, &resume, &["out/last.safetensors", velocities, "missing"]);
    house.write(velocities, &kept[..kept.len() - 9]);
    house.refused(1, &resume, &[velocities]);
    house.write(velocities, &kept);
    house.good(&resume);
}

#[test]
fn a_resume_in_another_precision_or_with_other_images_is_refused() {
    let house = House::new("departs");
    house.data();
    house.write("mini.toml", RECIPE);
    let line = "train mini.toml --quiet --set epochs=1 --out out";
    house.good(&format!("{line} --data data"));
    // One bit of one training image; a test image less.
    let images = house.read("data/train-images-idx3-ubyte");
    let labels: Vec<u8> = (0..59).map(|i| (i * 7 % 10) as u8).collect();
    for (folder, flip, test) in [("changed", 1, 60), ("fewer", 0, 59)] {
        for name in ["train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz"] {
            house.write(&format!("{folder}/{name}"), house.read(&format!("data/{name}")));
        }
        let mut images = images.clone();
        *images.last_mut().unwrap() ^= flip;
        house.write(&format!("{folder}/train-images-idx3-ubyte"), images);
        if test < 60 {
            let pixels = &house.read("data/t10k-images-idx3-ubyte")[16..16 + test * 64];
            house.write(&format!("{folder}/t10k-images-idx3-ubyte"), idx(&[test, 8, 8], pixels));
            house.write(&format!("{folder}/t10k-labels-idx1-ubyte.gz"), gzip(&idx(&[test], &labels)));
        }
    }
    let start = events(&house, "out", "start").remove(0);
    let fingerprint = start["fingerprint"].as_str().unwrap();
    assert_eq!((start["precision"].as_str(), start["train_images"].as_u64()), (Some("f32"), Some(196)));
    assert_eq!(start["weights"], "none", "nobody's weights are finetuned");
    let precision = &["out", "computed in f32", "go on in bf16", "--precision f32", "--out"];
    house.refused(2, &format!("{line} --data data --resume --precision bf16"), precision);
    house.refused(2, &format!("{line} --data changed --resume"), &["out", fingerprint, "fingerprint", "give the data", "--out"]);
    let counts = ["196 training, 4 held-out and 60 test images", "196 training, 4 held-out and 59 test images", "give the data", "--out"];
    house.refused(2, &format!("{line} --data fewer --resume"), &counts);

    // A finished run that is resumed adds nothing.
    let record = house.read("out/run.jsonl");
    house.good(&format!("{line} --data data --resume"));
    assert!(house.read("out/run.jsonl") == record, "a line of nothing");
    // What the record of an older program does not tell is no difference.
    let mut lines: Vec<Value> = String::from_utf8(record).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for field in ["precision", "train_images", "validation_images", "test_images", "fingerprint", "weights"] {
        assert!(lines[0].as_object_mut().unwrap().remove(field).is_some(), "no {field}");
    }
    house.write("out/run.jsonl", lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    for more in ["--data data --precision bf16", "--data changed", "--data fewer"] {
        house.good(&format!("{line} {more} --resume"));
    }
}

#[test]
fn two_processes_do_not_write_to_one_folder() {
    let house = House::new("shared");
    house.data();
    house.write("long.toml", long());
    let line = "train long.toml --data data --threads 1 --quiet --set epochs=1000 --out out";
    let mut child = house.command(line).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    await_file(&house, "out/recipe.toml");
    for more in ["", "--resume"] {
        let said = house.run(&format!("{line} {more}"));
        assert_eq!((said.code, said.err.lines().count()), (Some(1), 1), "{more}: {}", said.err);
        assert!(said.err.starts_with("caltrop: another process writes to out; wait for it, or choose another --out"), "{}", said.err);
        assert!(house.has("out/recipe.toml"), "{more}: the run of the other process was begun anew");
    }
    assert!(child.try_wait().unwrap().is_none(), "the run ended too soon");
    // A killed process keeps nothing.
    child.kill().unwrap();
    child.wait().unwrap();
    house.write("mini.toml", RECIPE);
    house.good("train mini.toml --data data --quiet --set epochs=1 --out out");
}
