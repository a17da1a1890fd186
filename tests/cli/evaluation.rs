//! Evaluations that are killed, interrupted and gone on with.
#![cfg(unix)]

use super::house::{House, RECIPE};
use std::process::{Command, Stdio};
use std::time::Duration;

const KEPT: &str = "out/snn.eval-ensemble-pgd-400-at-8-255-seed3";

fn house(name: &str) -> House {
    let house = House::new(name);
    house.data();
    house.write("mini.toml", RECIPE);
    house.good("run mini.toml --data data --out out --set ann.epochs=1 --set snn.epochs=1 --quiet");
    house
}

fn line(fast: &str) -> String {
    format!(
        "eval out/snn.safetensors --data data --attack pgd --iterations 400 --ensemble {fast} --no-checks --seed 3 --json out.json --save adv"
    )
}

/// What must not depend on how often the evaluation was stopped.
fn outcome(house: &House) -> (serde_json::Value, Vec<u8>) {
    let mut json = house.json("out.json");
    json.as_object_mut().unwrap().remove("seconds");
    (json, house.read("adv"))
}

fn pages(house: &House) -> usize {
    std::fs::read_dir(house.root.join(KEPT)).map_or(0, |entries| {
        entries.flatten().filter(|entry| entry.path().extension().is_some_and(|extension| extension == "safetensors")).count()
    })
}

#[test]
fn an_evaluation_killed_at_any_moment_goes_on_to_the_same_result() {
    let house = house("killed");
    let mut robust = Vec::new();
    for fast in ["", "--fast"] {
        house.good(&line(fast));
        let whole = outcome(&house);
        robust.push(whole.0["robust_acc"].clone());
        assert!(!house.has(KEPT), "what was kept outlived the evaluation");
        let mut resume = "";
        for more in [1, 5, 3] {
            let (before, command) = (if resume.is_empty() { 0 } else { pages(&house) }, format!("{} {resume}", line(fast)));
            let mut child = house.command(&command).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            while pages(&house) < before + more {
                std::thread::sleep(Duration::from_millis(2));
                assert!(child.try_wait().unwrap().is_none(), "{command}: over before it could be killed");
            }
            child.kill().unwrap();
            child.wait().unwrap();
            resume = "--resume";
        }
        let said = house.good(&format!("{} --resume", line(fast))).err;
        assert!(said.contains("batches were done before"), "{said}");
        assert!(whole == outcome(&house), "{fast}: another result");
        assert!(!house.has(KEPT));
    }
    assert_eq!(robust[0], robust[1], "survivors meet each member's noise as all do");
}

#[test]
fn an_interrupt_says_what_is_kept_and_another_question_starts_afresh() {
    let house = house("asked");
    let mut child = house.command(&line("")).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    while pages(&house) < 1 {
        std::thread::sleep(Duration::from_millis(2));
        assert!(child.try_wait().unwrap().is_none(), "over before it could be interrupted");
    }
    // While it runs, nobody else writes there.
    let other = house.run(&line(""));
    assert!(other.code == Some(1) && other.err.contains("another evaluation writes to"), "{}", other.err);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(last.starts_with("caltrop: ") && last.contains("interrupted") && last.contains("--resume") && last.contains(KEPT), "{said}");
    assert!(!house.has("out.json") && !house.has("adv"));

    // The same words about another network are another question: none of its pages may count.
    let kept = pages(&house);
    assert!(kept > 0);
    house.good("convert out/ann.safetensors --data data --batches 2 --calibration-steps 5 --out other.safetensors --quiet");
    std::fs::copy(house.root.join("other.safetensors"), house.root.join("out/snn.safetensors")).unwrap();
    let said = house.good(&format!("{} --resume", line("--fast"))).err;
    assert!(said.contains("nothing was kept"), "{said}");
    let resumed = outcome(&house);
    house.good(&line("--fast"));
    assert!(resumed == outcome(&house));
}

#[test]
fn another_source_is_another_question() {
    let house = house("source");
    let line = format!("{} --source source", line(""));
    std::fs::copy(house.root.join("out/snn.safetensors"), house.root.join("source")).unwrap();
    let mut child = house.command(&line).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    while pages(&house) < 1 {
        std::thread::sleep(Duration::from_millis(2));
        assert!(child.try_wait().unwrap().is_none(), "over before it could be killed");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    house.good("convert out/ann.safetensors --data data --batches 2 --calibration-steps 5 --steps 4 --out source --quiet");
    let said = house.good(&format!("{line} --resume")).err;
    assert!(said.contains("nothing was kept"), "{said}");
}

#[test]
fn autoattack_runs_its_four_and_says_whether_to_believe_it() {
    let house = house("auto");
    for (net, checks) in [("ann", 1), ("snn", 2)] {
        let line = format!(
            "eval out/{net}.safetensors --data data --attack autoattack --images 8 --eps 40 --curve --json out.json --grid grid.png --report page.html"
        );
        let said = house.good(&line).out;
        let json = house.json("out.json");
        let names: Vec<&str> = json["members"].as_array().unwrap().iter().map(|member| member["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["APGD-CE-100", "APGD-T-100", "FAB-T-100", "SQUARE-5000"]);
        assert!(json["autoattack_acc"].is_number() && json["autoattack_acc"] == json["robust_acc"]);
        let killed: u64 = json["members"].as_array().unwrap().iter().map(|member| member["first_to_break"].as_u64().unwrap()).sum();
        let lost = (json["clean_acc"].as_f64().unwrap() - json["robust_acc"].as_f64().unwrap()) * 8.0 / 100.0;
        assert!((lost - killed as f64).abs() < 1e-9 && killed > 0, "{json}");
        let farthest = json["recheck"]["farthest"].as_f64().unwrap();
        assert!(farthest > 0.0 && farthest <= 40.0 + 1e-4 && json["recheck"]["changed"] == 0, "{json}");
        let honesty = &json["honesty"];
        assert_eq!(honesty["curve"].as_array().unwrap().len(), 3);
        assert_eq!(honesty["support"].as_array().unwrap().is_empty(), checks == 1, "{honesty}");
        for verdict in honesty["verdicts"].as_array().unwrap() {
            let grade = if verdict["sound"] == true { "  ok  " } else { "doubt " };
            assert!(said.contains(&format!("{grade} {}", verdict["text"].as_str().unwrap())), "{said}");
        }
        assert!(image::load_from_memory(&house.read("grid.png")).unwrap().width() > 500);
        let page = String::from_utf8(house.read("page.html")).unwrap();
        assert!(page.contains("of 8 images withstand AutoAttack at 40/255") && page.contains("FAB-T-100") && page.contains("believed"));
        assert!(said.lines().last().unwrap().contains("AutoAttack at 40/255, 8 images"), "{said}");
    }
}

/// A radius of l2 counts in pixels, and everything that an evaluation says or writes knows that.
#[test]
fn l2_is_said_measured_and_kept_to() {
    let house = house("l2");
    for (net, attack, more, told) in [
        ("ann", "pgd", "--iterations 5 --eps 0.7 --restarts 2 --curve", "PGD-5 with 2 restarts at l2 0.7"),
        ("snn", "apgd-ce", "--iterations 5 --eps 0.7", "APGD-CE-5 at l2 0.7"),
        ("snn", "fab-t", "--iterations 3 --restarts 2", "FAB-T-3 with 2 restarts at l2 0.5"),
        ("snn", "rfgsm", "--ensemble --fast --restarts 2", "ensemble RFGSM with 2 restarts at l2 0.5"),
    ] {
        let said = house.good(&format!(
            "eval out/{net}.safetensors --data data --attack {attack} --norm l2 {more} --images 12 --json out.json --grid grid.png --report page.html"
        ));
        let json = house.json("out.json");
        let eps = if told.ends_with("0.7") { 0.7 } else { 0.5 };
        assert_eq!((&json["norm"], &json["eps"], &json["eps_unit"]), (&"L2".into(), &eps.into(), &"1".into()), "{json}");
        assert_eq!(json["restarts"], if told.contains("2 restarts") { 2 } else { 1 });
        let farthest = json["recheck"]["farthest"].as_f64().unwrap();
        assert!(farthest > 0.1 && farthest <= eps + 1e-5 && json["recheck"]["changed"] == 0, "{told}: {farthest}");
        assert!(json["robust_acc"].as_f64() <= json["clean_acc"].as_f64() && json["honesty"]["verdicts"].is_array());
        assert!(said.out.lines().last().unwrap().contains(&format!("({told}, 12 images")), "{}", said.out);
        let page = String::from_utf8(house.read("page.html")).unwrap();
        assert!(page.contains(&format!("of 12 images withstand {told}</h1>")) && !page.contains("/255"), "{told}");
        assert!(image::load_from_memory(&house.read("grid.png")).unwrap().width() > 300);
    }
    house.good("eval out/ann.safetensors --data data --attack fgsm --images 12 --json out.json --quiet");
    let json = house.json("out.json");
    assert_eq!((&json["norm"], &json["eps"], &json["eps_unit"]), (&"Linf".into(), &8.0.into(), &"1/255".into()));
}

/// A disk that is full ends an evaluation with one line and takes nothing back that was done.
#[test]
fn a_page_that_cannot_be_written_leaves_those_before() {
    const KEPT: &str = "out/snn.eval-ensemble-pgd-200-with-2-restarts-at-l2-0-5-seed3";
    let house = house("full");
    let line = "eval out/snn.safetensors --data data --attack pgd --iterations 200 --norm l2 --restarts 2 --ensemble --no-checks --seed 3 \
                --json out.json --save adv --quiet";
    // Files of so many blocks of 512 bytes at most.
    let limited = |blocks: usize, more: &str| {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" {line} {more}");
        let said = Command::new("sh").args(["-c", &script, super::house::PROGRAM]).current_dir(&house.root).output().unwrap();
        let text = String::from_utf8(said.stderr).unwrap();
        assert_eq!((said.status.code(), text.lines().count()), (Some(1), 1), "{blocks} blocks: {text}");
        assert!(text.starts_with("caltrop: ") && text.contains("make room there"), "{blocks} blocks: {text}");
        text
    };
    // Neither the question fits, nor, in a kilobyte, the first page.
    for (blocks, file) in [(0, "question.txt"), (2, "000000.safetensors")] {
        let before = house.everything();
        let text = limited(blocks, "");
        assert!(text.contains(&format!("cannot write {KEPT}/{file}")) && !text.contains("--resume"), "{text}");
        assert!(before == house.everything(), "{blocks} blocks: something is left");
    }
    let mut child = house.command(line).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    while !house.has(&format!("{KEPT}/000001.safetensors")) {
        std::thread::sleep(Duration::from_millis(2));
        assert!(child.try_wait().unwrap().is_none(), "over before it could be killed");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What a killed writer left is no page.
    let kept = || {
        let mut all = house.everything();
        all.retain(|path, _| path.extension().is_none_or(|extension| extension != "tmp"));
        all
    };
    let before = kept();
    let text = limited(0, "--resume");
    assert!(text.contains(&format!("what is done is kept in {KEPT}, the same command with --resume goes on")), "{text}");
    assert!(before == kept() && kept() == house.everything(), "the pages are not what they were");
    house.good(&format!("{line} --resume"));
    let resumed = outcome(&house);
    assert!(!house.has(KEPT), "what was kept outlived the evaluation");
    house.good(line);
    assert!(resumed == outcome(&house), "another result than that of an evaluation that nobody stopped");
}
