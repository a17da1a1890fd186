//! What results lie in a folder.

use super::recorder::read_events;
use super::schema::Report;
use super::summary::Summary;
use crate::base::{Error, Result, ensure, fail};
use std::path::{Path, PathBuf};

/// The runs of one folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The folder of each run and what it recorded: one of a run's folder, one a seed of a `--seeds` run's.
    pub runs: Vec<(PathBuf, Report)>,
    /// Whether these are seeds.
    pub seeds: bool,
    /// Folders of seeds that recorded nothing.
    pub empty: Vec<PathBuf>,
}

/// Whether a run writes, or wrote, into this folder itself or into folders of seeds below it.
pub fn holds_run(folder: &Path) -> bool {
    ["run.jsonl", "recipe.toml"].iter().any(|name| folder.join(name).exists()) || !seed_folders(folder).is_empty()
}

impl Found {
    /// Looks for the record of a run (`run.jsonl`), else for those of seeds in folders `seed-S`, else for a `report.json` that was
    /// left without them. `place` may be one of these files too. A run that is not finished is taken with what it has.
    ///
    /// # Errors
    /// None of them is there, or one cannot be read.
    pub fn read(place: &Path) -> Result<Found> {
        let folder = if place.is_file() { place.parent().unwrap_or(place) } else { place };
        ensure!(folder.is_dir(), "{}: no such folder; name the folder of a run, as `caltrop run` names it at its end", place.display());
        if folder.join("run.jsonl").is_file() {
            let report = recorded(folder)?;
            return Ok(Found { runs: vec![(folder.into(), report)], seeds: false, empty: Vec::new() });
        }
        let (begun, empty): (Vec<PathBuf>, _) = seed_folders(folder).into_iter().partition(|seed| began(seed));
        if !begun.is_empty() {
            let mut runs: Vec<_> = begun.into_iter().map(|seed| Ok((seed.clone(), recorded(&seed)?))).collect::<Result<_>>()?;
            let known = summary(folder).map(|summary| summary.seeds).unwrap_or_default();
            let (first, report) = &runs[0];
            for (at, (folder, other)) in runs.iter().enumerate().skip(1) {
                let said = |report: &Report| (report.start.recipe.clone(), report.start.dataset.clone());
                ensure!(
                    said(other) == said(report),
                    "{} and {}: seeds of different recipes or data sets ({} on {}, {} on {}); name these folders as runs of their own",
                    first.display(),
                    folder.display(),
                    report.start.recipe,
                    report.start.dataset,
                    other.start.recipe,
                    other.start.dataset
                );
                let twin = runs[..at].iter().find(|(_, known)| known.start.seed == other.start.seed);
                if let Some((twin, _)) = twin {
                    return Err(fail!("{} and {}: both are of seed {}; keep one", twin.display(), folder.display(), other.start.seed));
                }
            }
            let place = |seed: u64| known.iter().position(|&known| known == seed).unwrap_or(known.len());
            runs.sort_by_key(|(_, report)| (place(report.start.seed), report.start.seed));
            return Ok(Found { runs, seeds: true, empty });
        }
        let path = folder.join("report.json");
        ensure!(
            path.is_file(),
            "{}: neither run.jsonl, nor folders seed-S with one, nor report.json is there; name the folder of a run, as `caltrop run` \
             names it at its end",
            folder.display()
        );
        if let Some(summary) = summary(folder) {
            let runs = summary.reports().into_iter().map(|report| (folder.to_path_buf(), report)).collect();
            return Ok(Found { runs, seeds: true, empty: Vec::new() });
        }
        ensure!(!is_comparison(&path), "{}: a comparison of runs; name the folders of the runs themselves", path.display());
        let report = Report::read(&path)?;
        ensure!(!report.start.recipe.is_empty(), "{}: the report of no run (it names no recipe); name the folder of a run", path.display());
        Ok(Found { runs: vec![(folder.into(), report)], seeds: false, empty: Vec::new() })
    }
}

/// Whether the only record of a run, or of its seeds, is a `report.json` in this folder.
pub fn keeps_report(folder: &Path) -> bool {
    let path = folder.join("report.json");
    path.is_file() && !is_comparison(&path)
}

/// The folders `seed-S` below this one, by their names.
fn seed_folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_seed = |path: &Path| path.file_name().and_then(|name| name.to_str()?.strip_prefix("seed-")?.parse::<u64>().ok()).is_some();
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir() && is_seed(path)).collect();
    found.sort();
    found
}

/// Whether a whole line is in the record of the run in `folder`.
fn began(folder: &Path) -> bool {
    std::fs::read(folder.join("run.jsonl")).is_ok_and(|bytes| bytes.contains(&b'\n'))
}

/// What the run in `folder` recorded.
fn recorded(folder: &Path) -> Result<Report> {
    let path = folder.join("run.jsonl");
    let events = read_events(&path)?;
    if events.is_empty() {
        return Err(fail!("{}: nothing is recorded yet; wait for the run's first line, or start it again", path.display()));
    }
    Report::from_events(&events).map_err(|error: Error| error.within(path.display()))
}

/// The report of several seeds, where `report.json` is one.
fn summary(folder: &Path) -> Option<Summary> {
    let text = std::fs::read_to_string(folder.join("report.json")).ok()?;
    serde_json::from_str::<Summary>(&text).ok().filter(|summary| !summary.seeds.is_empty() && !summary.values.is_empty())
}

/// Whether a `report.json` is one of several runs side by side.
fn is_comparison(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|value| value.get("compared").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Event, Start};

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let path = std::env::temp_dir().join(format!("caltrop-found-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Place(path)
        }

        /// The record of a run of this seed, begun or finished, in the folder `name`.
        fn run(&self, name: &str, seed: u64, end: &[Event]) {
            let start = Event::Start(Start { recipe: "r".into(), seed, ..Start::default() });
            let result = Event::Result { key: "ann.clean".into(), percent: 80.0 + seed as f64, images: 10 };
            let lines: String =
                [&[start, result][..], end].concat().iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
            self.write(&format!("{name}/run.jsonl"), &lines);
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn read(&self, name: &str) -> Found {
            Found::read(&self.0.join(name)).unwrap()
        }

        #[track_caller]
        fn refused(&self, name: &str, words: &str) {
            let text = Found::read(&self.0.join(name)).unwrap_err().to_string();
            assert!(text.contains(words) && text.contains(name) && !text.contains('\n'), "{text}");
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn runs_seeds_and_kept_reports_are_found() {
        let place = Place::new("kinds");
        place.run("a", 1, &[Event::Finish { seconds: 3.0 }]);
        place.run("open", 2, &[]);
        let found = place.read("a");
        assert_eq!((found.runs.len(), found.seeds, found.runs[0].1.unfinished, found.runs[0].1.seconds), (1, false, false, 3.0));
        assert_eq!(place.read("a/run.jsonl"), found);
        assert!(place.read("open").runs[0].1.unfinished);
        for seed in [10, 9, 4] {
            place.run(&format!("s/seed-{seed}"), seed, &[Event::Finish { seconds: 1.0 }]);
        }
        place.write("s/seed-5/run.jsonl", "{\"event\"");
        let seeds = |found: &Found| found.runs.iter().map(|(_, report)| report.start.seed).collect::<Vec<_>>();
        let found = place.read("s");
        assert_eq!((seeds(&found), found.seeds, found.empty.len()), (vec![4, 9, 10], true, 1));
        // In the order of the summary, where there is one; and of it alone what it tells.
        let reports: Vec<Report> = found.runs.into_iter().map(|(_, report)| report).collect();
        let summary = serde_json::to_string(&Summary::of(&[reports[1].clone(), reports[0].clone()]).unwrap()).unwrap();
        place.write("s/report.json", &summary);
        assert_eq!(seeds(&place.read("s")), [9, 4, 10]);
        place.write("kept/report.json", &summary);
        let kept = place.read("kept");
        assert_eq!((seeds(&kept), kept.runs[1].1.results["ann.clean"], kept.seeds), (vec![9, 4], 84.0, true));
        place.write("one/report.json", &serde_json::to_string(&reports[0]).unwrap());
        assert_eq!(place.read("one").runs[0].1, reports[0]);
        assert!(holds_run(&place.0.join("a")) && holds_run(&place.0.join("s")) && !holds_run(&place.0.join("kept")));
    }

    #[test]
    fn what_is_no_run_is_one_line_with_a_cure() {
        let place = Place::new("none");
        place.write("empty/other.txt", "");
        place.write("fresh/run.jsonl", "");
        place.write("broken/run.jsonl", "{\"event\":\"note\",\"text\":\"x\"}\n{}\n");
        place.write("headless/run.jsonl", "{\"event\":\"note\",\"text\":\"x\"}\n");
        place.write("compared/report.json", "{\"compared\": []}");
        place.write("garbage/report.json", "x");
        place.write("nameless/report.json", "{}");
        place.refused("nowhere", "no such folder");
        place.refused("empty", "neither run.jsonl, nor folders seed-S");
        place.refused("fresh", "nothing is recorded yet");
        place.refused("broken", "line 2: not an event");
        place.refused("headless", "no start among 1 events");
        place.refused("compared", "a comparison of runs");
        place.refused("nameless", "the report of no run");
        place.refused("garbage", "not a report");
    }
}
