//! Evaluations that are killed, interrupted and gone on with.
#![cfg(unix)]

use super::house::{House, RECIPE};
use caltrop::checkpoint::TensorFile;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
    pages_in(house, KEPT)
}

fn pages_in(house: &House, folder: &str) -> usize {
    std::fs::read_dir(house.root.join(folder)).map_or(0, |entries| {
        entries.flatten().filter(|entry| entry.path().extension().is_some_and(|extension| extension == "safetensors")).count()
    })
}

/// Wall time of the pages in `folder`.
fn seconds_in(house: &House, folder: &str) -> f64 {
    let pages = std::fs::read_dir(house.root.join(folder)).unwrap().flatten().map(|entry| entry.path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    pages.map(|path| f64::from(TensorFile::open(&path).unwrap().floats("seconds").unwrap()[0])).sum()
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

#[test]
fn a_run_killed_within_an_attack_goes_on_within_it() {
    let house = House::new("within");
    house.data();
    // Of the attacks on two batches each has a page of its own; the others leave one a member.
    let recipe = RECIPE.replace("epochs = 2", "epochs = 12").replace("ensemble-fgsm:20", "ensemble-pgd400:60");
    house.write("mini.toml", recipe.replace("curve = [0, 8]", "curve = [0, 8, 40]").replace("pgd2:20", "pgd1000:60"));
    let line = "run mini.toml --data data --out";
    house.good(&format!("{line} whole --quiet"));
    let (mut resume, mut walls, mut paged) = ("", Vec::new(), Vec::new());
    let (ensemble, curve) = ("out/evaluation/snn.ensemble_pgd400", "out/evaluation/snn.curve-8");
    for (folder, more) in [(ensemble, 1), (ensemble, 12), (curve, 1)] {
        let before = pages_in(&house, folder);
        let command = format!("{line} out {resume}");
        let clock = Instant::now();
        let mut child = house.command(&command).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        while pages_in(&house, folder) < before + more {
            std::thread::sleep(Duration::from_millis(2));
            assert!(child.try_wait().unwrap().is_none(), "{command}: over before it could be killed");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        resume = "--resume";
        walls.push(clock.elapsed().as_secs_f64());
        paged.push(seconds_in(&house, folder));
        assert!(pages_in(&house, folder) >= before + more);
        if folder == ensemble {
            let record = String::from_utf8(house.read("out/run.jsonl")).unwrap();
            assert!(!record.contains("ensemble"), "{more}: it was over, or told of before it was");
            // A disk that is full takes nothing back, and how to go on is said.
            let script = format!("trap '' XFSZ; ulimit -f 0; exec \"$0\" {line} out --resume --quiet");
            let said = Command::new("sh").args(["-c", &script, super::house::PROGRAM]).current_dir(&house.root).output().unwrap();
            let text = String::from_utf8(said.stderr).unwrap();
            assert_eq!((said.status.code(), text.lines().count()), (Some(1), 1), "{text}");
            assert!(text.contains("make room there; go on with the same command and --resume (out keeps what is done)"), "{text}");
        }
    }
    assert!(!house.has(ensemble), "what was kept of the ensemble outlived its result");
    house.write("out/evaluation/notes.txt", "mine");
    let clock = Instant::now();
    let said = house.good(&format!("{line} out --resume")).err;
    walls.push(clock.elapsed().as_secs_f64());
    assert!(said.contains("snn.curve-8: ") && said.contains(" batches were done before"), "{said}");
    let alone = |folder: &str| std::fs::read_dir(house.root.join(folder)).unwrap().count() == 1 && house.has("out/evaluation/notes.txt");
    assert!(alone("out/evaluation") && !house.has("whole/evaluation"), "another's file went, or pages stayed");
    let (whole, report) = (house.json("whole/report.json"), house.json("out/report.json"));
    for key in ["results", "images", "intervals", "ensemble", "checks", "curves", "firing", "gallery"] {
        assert_eq!(whole[key], report[key], "{key}");
    }
    // The time before the kills counts.
    let seconds = |name: &str| {
        let phase = report["phases"].as_array().unwrap().iter().find(|phase| phase["name"] == name);
        phase.unwrap_or_else(|| panic!("no phase {name}"))["seconds"].as_f64().unwrap()
    };
    let (attack, all) = (seconds("snn-ensemble-pgd400"), report["seconds"].as_f64().unwrap());
    assert!((paged[1]..paged[1] + walls[2]).contains(&attack), "{attack} s, {} of them before the last kill", paged[1]);
    let least = attack + paged[2] + seconds("ann-train") + seconds("snn-finetune");
    assert!((least..walls.iter().sum()).contains(&all), "{all} s in all, of which {least} are told; {walls:?}");
    // Begun anew, nothing of an attack under way is used.
    house.write("out/evaluation/snn.ensemble_pgd400/question.txt", "another");
    house.good(&format!("{line} out --set eval.snn=fgsm:5 --quiet"));
    assert!(alone("out/evaluation"), "another's file went, or pages stayed");
    // A file in the place of pages is said before anything is done.
    std::fs::remove_dir_all(house.root.join("out/evaluation")).unwrap();
    house.write("out/evaluation", "mine");
    house.refused(1, &format!("{line} out"), &["out/evaluation", "it is a file"]);
}

#[test]
fn a_recipe_takes_every_attack_that_eval_takes() {
    let house = House::new("names");
    house.data();
    house.write("mini.toml", RECIPE.replace("epochs = 2", "epochs = 1"));
    let line = "run mini.toml --data data --set eval.curve_attack=apgd-ce2:10 --set eval.ann=autoattack:6,apgd-dlr3:20,square20:10,noise:60 \
                --set eval.snn=fab-t3:5,sa-pgd3:20,autoattack:8,apgd-t3:10,ensemble-apgd-ce2:9 --set eval.eps=40 --seed 5";
    let said = house.good(&format!("{line} --out out")).out;
    let report = house.json("out/report.json");
    let page = String::from_utf8(house.read("out/report.html")).unwrap();
    for (key, images) in [
        ("ann.autoattack", 6),
        ("ann.apgd_dlr3", 20),
        ("ann.square20", 10),
        ("ann.noise", 60),
        ("snn.fab_t3", 5),
        ("snn.sa_pgd3", 20),
        ("snn.autoattack", 8),
        ("snn.apgd_t3", 10),
        ("snn.ensemble_apgd_ce2", 9),
    ] {
        assert_eq!(report["images"][key], images, "{key}");
        assert!(report["results"][key].is_number() && report["intervals"][key].is_array(), "{key}: {report}");
        assert!(said.lines().any(|line| line.starts_with(&format!("{key} ")) && line.ends_with(&format!(" {images}"))), "{key}: {said}");
    }
    assert_eq!(report["curves"][0]["attack"], "APGD-CE-2");
    for words in ["Spiking network under AutoAttack", "ReLU network under AutoAttack", "under SA-PGD-3", "FAB-T-100", "Can it be believed?"]
    {
        assert!(page.contains(words), "nothing about {words}");
    }
    // The same question, asked by itself, has the same answer, and the same is said of it.
    for (network, attack, words, images, checked) in [
        ("ann", "autoattack", "autoattack", 6, true),
        ("snn", "autoattack", "autoattack", 8, false),
        ("snn", "ensemble_apgd_ce2", "apgd-ce --iterations 2 --ensemble", 9, true),
    ] {
        let asked = format!("out/{network}.safetensors --data data --attack {words} --images {images} --eps 40 --seed 5");
        house.good(&format!("eval {asked} --json out.json --quiet"));
        let (eval, key) = (house.json("out.json"), format!("{network}.{attack}"));
        assert_eq!(report["results"][&key], eval["robust_acc"], "{key}");
        let members = |list: &serde_json::Value| {
            let of = |member: &serde_json::Value| (member["name"].clone(), member["accuracy"].clone());
            list.as_array().unwrap().iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(members(&report["ensemble"][&key]), members(&eval["members"]), "{network}");
        assert_eq!(report["checks"][&key], if checked { eval["honesty"].clone() } else { serde_json::Value::Null }, "{key}");
        if !checked {
            continue;
        }
        assert!(page.contains(&format!("{:.1} % of the pixels' gradients", 100.0 * eval["honesty"]["zero_gradients"].as_f64().unwrap())));
    }
    assert_eq!(report["checks"].as_object().unwrap().len(), 2);
    house.good(&format!("{line} --set eval.ann=[] --set eval.snn=fgsm:5 --set eval.checks=false --out out --quiet"));
    assert!(house.json("out/report.json")["checks"].as_object().unwrap().is_empty());
    assert!(!String::from_utf8(house.read("out/report.html")).unwrap().contains("believed"));
}
