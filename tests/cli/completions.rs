//! What shells complete.

use super::house::House;
use std::process::{Command, Stdio};

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "powershell", "elvish"];

/// The commands that `caltrop --help` lists.
fn commands(house: &House) -> Vec<String> {
    let help = house.good("--help").out;
    let list = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names =
        list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.map(String::from).collect()
}

#[test]
fn every_shell_completes_every_command() {
    let house = House::new("completions");
    let commands = commands(&house);
    assert!(commands.len() > 12 && commands.contains(&"completions".to_string()), "{commands:?}");
    for shell in SHELLS {
        let script = house.good(&format!("completions {shell}")).out;
        for word in commands.iter().map(String::as_str).chain(["--calibration-steps", "--device"]) {
            // Fish has options without their dashes.
            assert!(script.contains(word.trim_start_matches("--")), "{shell} does not know {word}");
        }
        assert!(script.lines().count() > 50 && script.ends_with('\n'), "{shell}");
    }
    let help = house.good("completions --help").out;
    assert!(SHELLS.iter().all(|shell| help.contains(&format!("caltrop completions {shell} >"))), "{help}");
}

#[test]
fn bash_takes_the_script_and_completes() {
    if Command::new("bash").arg("-c").arg(":").stdout(Stdio::null()).status().is_err() {
        return; // no bash on this machine
    }
    let house = House::new("bash");
    house.write("script", house.good("completions bash").out);
    let bash = |line: &str| Command::new("bash").args(["-c", line]).current_dir(&house.root).output().unwrap();
    let checked = bash("bash -n script");
    assert!(checked.status.success() && checked.stderr.is_empty(), "{}", String::from_utf8_lossy(&checked.stderr));
    let typed = bash("source ./script; COMP_WORDS=(caltrop rep); COMP_CWORD=1; _caltrop caltrop rep caltrop; echo \"${COMPREPLY[@]}\"");
    assert_eq!(String::from_utf8_lossy(&typed.stdout).trim(), "report", "{}", String::from_utf8_lossy(&typed.stderr));
}

#[test]
fn another_shell_is_one_line_with_those_there_are() {
    House::new("shells").refused(2, "completions csh", &["csh", "bash", "elvish", "fish", "powershell", "zsh"]);
}
