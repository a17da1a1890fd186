//! The tutorial's commands, run in the order in which a student types them: each succeeds and makes the file it is said to make.

use std::path::{Path, PathBuf};
use std::process::Command;

const TUTORIAL: &str = include_str!("../../docs/tutorial.md");

/// A command and the files that the text behind it promises (`**Look at** ...` names them in backticks).
struct Lesson {
    command: String,
    files: Vec<String>,
}

/// The lines of the fenced blocks that begin with `caltrop`, each with the files promised before the next block.
fn lessons(text: &str) -> Vec<Lesson> {
    let (mut lessons, mut fenced) = (Vec::<Lesson>::new(), false);
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced && line.starts_with("caltrop ") {
            let command = line.split(" #").next().unwrap_or(line).trim().to_string();
            lessons.push(Lesson { command, files: Vec::new() });
        } else if let (false, Some(told), Some(lesson)) = (fenced, line.strip_prefix("**Look at**"), lessons.last_mut()) {
            lesson.files.extend(told.split('`').skip(1).step_by(2).filter(|word| word.contains('/')).map(String::from));
        }
    }
    lessons
}

#[test]
fn every_command_of_the_tutorial_makes_its_picture() {
    let lessons = lessons(TUTORIAL);
    let chapters = TUTORIAL.lines().filter(|line| line.starts_with("## ")).count();
    assert!(chapters >= 5 && lessons.len() > chapters, "{chapters} chapters, {} commands", lessons.len());
    assert!(lessons.iter().filter(|lesson| !lesson.files.is_empty()).count() >= 5, "a chapter promises no picture");
    let room = Room::new();
    for Lesson { command, files } in &lessons {
        let output = Command::new(env!("CARGO_BIN_EXE_caltrop"))
            .args(command.split_whitespace().skip(1))
            .current_dir(&room.0)
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
        for file in files {
            let bytes = std::fs::read(room.0.join(file)).unwrap_or_else(|cause| panic!("{command} made no {file}: {cause}"));
            let begins: &[u8] = match Path::new(file).extension().and_then(|extension| extension.to_str()) {
                Some("png") => b"\x89PNG",
                Some("html") => b"<!DOCTYPE html>",
                Some("svg") => b"<svg",
                _ => b"",
            };
            assert!(bytes.starts_with(begins) && bytes.len() > 500, "{command}: {file} is no such file ({} bytes)", bytes.len());
        }
    }
}

#[test]
fn commands_and_promises_are_found() {
    let text = "words\n```\ncaltrop demo --out x   # a remark\nls\n```\n**Look at** `x/a.png` and `x/b.html`.\n`x/c.png`\n";
    let found = lessons(text);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].command.as_str(), &found[0].files[..]), ("caltrop demo --out x", &["x/a.png".to_string(), "x/b.html".into()][..]));
}

/// A folder that goes at the end.
struct Room(PathBuf);

impl Room {
    fn new() -> Room {
        let path = std::env::temp_dir().join(format!("caltrop-tutorial-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Room(path)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
