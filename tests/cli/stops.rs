//! Ctrl-C in every phase, and a killed run: what is saved goes on to the same bits.
#![cfg(unix)]

use super::house::{House, RECIPE};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Every phase long enough to be hit.
const LONG: &str = "run long.toml --data data --threads 2";

fn house(name: &str) -> House {
    let house = House::new(name);
    house.data();
    let recipe = RECIPE
        .replace("vgg:4,A/8", "vgg:16,16,A/32")
        .replace("epochs = 2", "epochs = 3")
        .replace("attack_steps = 2", "attack_steps = 20")
        .replace("steps = 4", "steps = 16")
        .replace("batches = 2\n", "batches = 6\n")
        .replace("calibration_steps = 10", "calibration_steps = 400")
        .replace("ensemble-fgsm:20", "ensemble-pgd10:60")
        .replace("[eval]", "[eval]\nchecks = false"); // the calibration follows the ANN's attack
    house.write("long.toml", recipe);
    house.good(&format!("{LONG} --out whole --quiet"));
    house
}

/// Starts the run, and sends `signal` as soon as a line with `word` is on its stderr. What it said from there on.
fn stop(house: &House, out: &str, word: &str, signal: &str, wait: Duration) -> (Option<i32>, String) {
    let mut child: Child = house.command(&format!("{LONG} --out {out}")).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the run ended before \"{word}\"");
    }
    std::thread::sleep(wait);
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    (child.wait().unwrap().code(), rest)
}

/// Goes on, and holds the networks and the results to those of the run that nobody stopped.
fn go_on(house: &House, out: &str, how: &str) {
    house.good(&format!("{LONG} --out {out} --resume --quiet"));
    for name in ["ann", "converted", "snn", "last", "best"] {
        let file = format!("{name}.safetensors");
        assert!(house.read(&format!("whole/{file}")) == house.read(&format!("{out}/{file}")), "{how}: {file} took another path");
    }
    let (whole, report) = (house.json("whole/report.json"), house.json(&format!("{out}/report.json")));
    for key in ["results", "ensemble", "curves", "firing", "gallery"] {
        assert_eq!(whole[key], report[key], "{how}: {key}");
    }
    // What is timed differs in its times alone.
    for (list, key) in [("epochs", "loss"), ("phases", "name")] {
        let pick = |report: &serde_json::Value| report[list].as_array().unwrap().iter().map(|item| item[key].clone()).collect::<Vec<_>>();
        assert_eq!(pick(&whole), pick(&report), "{how}: {list}");
    }
}

#[test]
fn a_run_interrupted_in_any_phase_says_how_to_go_on_and_does() {
    let house = house("interrupt");
    let phases = [
        ("ann (at), epoch 1/3", "epoch 2 of 3 of the ann stage (saved at "),
        ("ann.clean", ""), // the ANN's attack, or the calibration behind it
        ("PGD-3 at", "calibrate"),
        ("snn (trades), epoch 2/3", "epoch 3 of 3 of the snn stage (saved at "),
        ("snn.clean", "snn.ensemble_pgd10"),
    ];
    for (at, (word, place)) in phases.into_iter().enumerate() {
        let out = format!("out{at}");
        let (code, said) = stop(&house, &out, word, "-INT", Duration::ZERO);
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(code, Some(1), "{word}: {said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("caltrop: ")).count(), 1, "{word}: {said}");
        for part in ["caltrop: ", "interrupted", place, "--resume", &out] {
            assert!(last.contains(part), "{word}: nothing about \"{part}\": {said}");
        }
        go_on(&house, &out, word);
    }
}

#[test]
fn a_run_killed_around_the_end_of_an_epoch_goes_on() {
    let house = house("kill");
    // A line comes just before its epoch is saved.
    for (at, (word, wait)) in [
        ("ann (at), epoch 2/3", 0),
        ("ann (at), epoch 1/3", 3),
        ("snn (trades), epoch 1/3", 0),
        ("snn (trades), epoch 3/3", 2),
        ("snn.clean", 30),
    ]
    .into_iter()
    .enumerate()
    {
        let out = format!("out{at}");
        let (code, said) = stop(&house, &out, word, "-KILL", Duration::from_millis(wait));
        assert_eq!(code, None, "{word}: {said}");
        go_on(&house, &out, word);
    }
}

#[test]
fn a_second_interrupt_stops_at_once() {
    let house = House::new("twice");
    // An evaluation of hours.
    house.write("mini.toml", RECIPE);
    house.data();
    house.good("train mini.toml --data data --out run --set epochs=1 --quiet");
    let mut child =
        house.command("eval run/ann.safetensors --data data --attack pgd --iterations 1000000").stderr(Stdio::piped()).spawn().unwrap();
    let signal = |child: &Child| assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(300));
    signal(&child);
    let mut line = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while !line.contains("Ctrl-C again stops at once") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "no word of the second Ctrl-C");
    }
    signal(&child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_command_that_saves_nothing_says_so() {
    let house = house("afresh");
    for (line, file) in [
        ("eval whole/snn.safetensors --data data --attack pgd --iterations 10000 --json new", "new"),
        ("convert whole/ann.safetensors --data data --calibration-steps 5000 --out new", "new"),
    ] {
        let child = house.command(line).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert!(said.lines().last().unwrap_or_default().starts_with("caltrop: interrupted; nothing was written"), "{line}: {said}");
        assert!(!house.has(file) && house.everything().keys().all(|path| !path.to_string_lossy().ends_with(".tmp")), "{line}");
    }
}
