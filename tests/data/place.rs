//! A temporary folder for a data set, and what reading it says.

use caltrop::base::watch::Watch;
use caltrop::data::{self, Dataset};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary folder, removed at the end.
pub struct Place {
    pub dir: PathBuf,
}

impl Place {
    pub fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("caltrop-data-{}-{unique}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Place { dir }
    }

    /// A place that `write` fills.
    pub fn with(write: impl FnOnce(&std::path::Path)) -> Place {
        let place = Place::new();
        write(&place.dir);
        place
    }

    pub fn load(&self, name: &str) -> Dataset {
        data::load(name, Some(&self.dir)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The lines said while loading, without the folder.
    pub fn remarks(&self, name: &str) -> Vec<String> {
        let heard = Heard(Mutex::new(Vec::new()));
        data::load_watched(name, Some(&self.dir), &heard).unwrap_or_else(|error| panic!("{error}"));
        let remarks = heard.0.into_inner().unwrap();
        remarks.into_iter().map(|line| line.replace(&format!("{}/", self.dir.display()), "")).collect()
    }

    /// Expects an error of one line with `words` in it, which a command would exit with 1 for.
    #[track_caller]
    pub fn refuses(&self, name: &str, words: &[&str]) {
        let error = data::load(name, Some(&self.dir)).err().unwrap_or_else(|| panic!("{name} loads, nothing about {words:?}"));
        let text = error.to_string();
        assert_eq!(error.exit_code(), 1, "{text}");
        assert!(!text.contains('\n'), "{text}");
        for word in words {
            assert!(text.contains(word), "nothing about \"{word}\": {text}");
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Writes a file, runs `judge`, and puts back what was there.
    pub fn damaged(&self, name: &str, bytes: impl AsRef<[u8]>, judge: impl FnOnce()) {
        let before = self.read(name);
        std::fs::write(self.path(name), bytes).unwrap();
        judge();
        std::fs::write(self.path(name), before).unwrap();
    }

    /// Takes a file or folder away, runs `judge`, and puts it back.
    pub fn without(&self, name: &str, judge: impl FnOnce()) {
        let aside = self.dir.with_extension("aside");
        std::fs::rename(self.path(name), &aside).unwrap();
        judge();
        std::fs::rename(&aside, self.path(name)).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Remembers what is said.
struct Heard(Mutex<Vec<String>>);

impl Watch for Heard {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn within(&self, _: f64, _: u64) {}
    fn remark(&self, _: &str) {}
    fn end(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_string());
    }
}
