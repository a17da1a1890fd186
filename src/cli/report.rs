//! `caltrop report`: runs beside each other, or one run's page anew.

use super::args::Common;
use super::progress::Shown;
use super::run::{print_results, print_summary};
use super::{columns, say, version};
use crate::base::{Result, fail, usage};
use crate::drive::{Watch, settings};
use crate::record::{Cell, Comparison, Contender, Found, Report, Summary, holds_run, keeps_report, letter, with_interval};
use crate::report::{self, MOST_COMPARED};
use clap::Args;
use std::path::{Path, PathBuf};

/// `report`.
#[derive(Args)]
pub struct Compared {
    /// Folders of runs (with run.jsonl, finished or not), of --seeds runs (with seed-S below), or of a report.json that was kept;
    /// of a single one the page is written again from its record
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Folder of the page, its numbers (report.json) and pictures (default: runs/report; of a single RUN its own folder)
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What the runs are called, in their order (default: by their folders)
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    pub names: Option<Vec<String>>,
    /// Print the comparison as JSON instead of the table
    #[arg(long)]
    pub json: bool,
}

/// Read the runs, write the page, print the table. Errors: a RUN that holds none or is there twice, names that do not fit, a
/// folder that cannot be written or is a run's.
pub fn report(args: &Compared, common: &Common) -> Result<()> {
    let names = names(args)?;
    once(&args.runs)?;
    let found: Vec<Found> = args.runs.iter().map(|run| Found::read(run)).collect::<Result<_>>()?;
    let shown = Shown::new(common.quiet);
    for folder in found.iter().flat_map(|found| &found.empty) {
        shown.end(&format!("{}: nothing is recorded there yet; it is left out", folder.display()));
    }
    if let Some(out) = &args.out {
        free(out)?;
    }
    if let [found] = &found[..] {
        return again(args, found);
    }
    let contenders: Vec<Contender> = (args.runs.iter().zip(found).zip(names))
        .map(|((run, found), name)| {
            let settings = found.runs.iter().map(|(folder, _)| recipe(folder)).collect::<Result<Option<Vec<_>>>>()?;
            let reports = found.runs.into_iter().map(|(_, report)| report).collect();
            Ok(Contender { name, folder: run.display().to_string(), reports, settings })
        })
        .collect::<Result<_>>()?;
    let comparison = Comparison::of(&version(), &contenders);
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs/report"));
    if args.out.is_none() {
        free(&out)?;
    }
    report::write_comparison(&comparison, &out)?;
    for remark in &comparison.remarks {
        shown.end(remark);
    }
    if args.json {
        return print_json(&comparison);
    }
    say(table(&comparison, columns()).trim_end())?;
    say(format!("report: {}", out.join("report.html").display()))
}

/// The page of one run, or of one run's seeds, from what is recorded.
fn again(args: &Compared, found: &Found) -> Result<()> {
    let folder = found.runs[0].0.as_path();
    let whole = if found.seeds && folder.join("run.jsonl").is_file() { folder.parent().unwrap_or(folder) } else { folder };
    let out = args.out.as_deref().unwrap_or(whole);
    if !found.seeds {
        let report = &found.runs[0].1;
        report::write(report, out)?;
        return if args.json { print_json(report) } else { print_results(report, out) };
    }
    let reports: Vec<Report> = found.runs.iter().map(|(_, report)| report.clone()).collect();
    let summary = Summary::of(&reports)?;
    if args.out.is_none() {
        found.runs.iter().filter(|(folder, _)| folder != whole).try_for_each(|(folder, report)| report::write(report, folder).map(drop))?;
    }
    report::write_summary(&summary, out)?;
    if args.json { print_json(&summary) } else { print_summary(&summary, out) }
}

fn print_json(told: &impl serde::Serialize) -> Result<()> {
    say(serde_json::to_string_pretty(told).map_err(|cause| fail!("json: {cause}"))?)
}

/// What each run is called.
fn names(args: &Compared) -> Result<Vec<String>> {
    let count = args.runs.len();
    if count > MOST_COMPARED {
        return Err(usage!("{count} runs: at most {MOST_COMPARED} can be told apart in one chart; name fewer"));
    }
    let Some(names) = &args.names else { return Ok(by_folder(&args.runs)) };
    let names: Vec<String> = names.iter().map(|name| name.trim().to_string()).collect();
    if count == 1 {
        return Err(usage!("--names: a single run is told from no other; leave it out, or name more runs"));
    }
    if names.len() != count {
        return Err(usage!("--names: {} for {count} runs; give one a run, with commas between", names.len()));
    }
    match names.iter().enumerate().find(|(at, name)| name.is_empty() || names[..*at].contains(name)) {
        Some((_, name)) if name.is_empty() => Err(usage!("--names: a name is empty; give one a run, with commas between")),
        Some((_, name)) => Err(usage!("--names: {name} is there twice; each run a name of its own")),
        None => Ok(names),
    }
}

/// The ends of the folders' paths, as long as it takes to tell them apart.
fn by_folder(runs: &[PathBuf]) -> Vec<String> {
    let parts = |run: &PathBuf| -> Vec<String> {
        let path = run.canonicalize().unwrap_or_else(|_| run.clone());
        let folder = if path.is_file() { path.parent().unwrap_or(&path).to_path_buf() } else { path };
        folder.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let all: Vec<Vec<String>> = runs.iter().map(parts).collect();
    let longest = all.iter().map(Vec::len).max().unwrap_or(0);
    let ends = |length: usize| -> Vec<String> { all.iter().map(|parts| parts[parts.len().saturating_sub(length)..].join("/")).collect() };
    let distinct = |names: &[String]| names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
    (1..longest).map(ends).find(|names| distinct(names)).unwrap_or_else(|| ends(longest))
}

/// Every folder once.
fn once(runs: &[PathBuf]) -> Result<()> {
    let place = |run: &PathBuf| {
        let place = run.canonicalize().unwrap_or_else(|_| run.clone());
        if place.is_file() { place.parent().map(Path::to_path_buf).unwrap_or(place) } else { place }
    };
    let places: Vec<PathBuf> = runs.iter().map(place).collect();
    match (0..places.len()).find_map(|at| Some((at, places[..at].iter().position(|other| *other == places[at])?))) {
        Some((at, first)) if runs[at] == runs[first] => Err(usage!("{} is there twice; name each run once", runs[at].display())),
        Some((at, first)) => Err(usage!("{} and {} are the same folder; name each run once", runs[first].display(), runs[at].display())),
        None => Ok(()),
    }
}

/// Whether no run writes its own report into the folder.
fn free(out: &Path) -> Result<()> {
    if holds_run(out) || keeps_report(out) {
        return Err(usage!("--out {}: it is the folder of a run, whose report would be replaced; give another", out.display()));
    }
    Ok(())
}

/// The settings of the run in `folder`; None where its recipe is not there.
fn recipe(folder: &Path) -> Result<Option<Vec<(String, String)>>> {
    let path = folder.join("recipe.toml");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    match settings(&text) {
        Some(settings) => Ok(Some(settings)),
        None => Err(fail!("{}: not TOML; mend it, or move it away and the settings are left out", path.display())),
    }
}

/// The runs, the results and what differs, in lines of at most `width` where that can be: as many runs beside each other as fit.
fn table(comparison: &Comparison, width: usize) -> String {
    const CELL: usize = 18; // `100.0 (98.1-100.0)`
    let names: Vec<String> = comparison.compared.iter().enumerate().map(|(at, side)| format!("{} {}", letter(at), side.name)).collect();
    let mut text = String::new();
    for (name, side) in names.iter().zip(&comparison.compared) {
        let open = match (side.unfinished, side.seeds.len()) {
            (0, _) => String::new(),
            (_, 1) => ", not finished".to_string(),
            (open, all) => format!(", {open} of {all} not finished"),
        };
        text += &format!("{}\n", cut(&format!("{name}: {}{open}", side.folder), width));
    }
    let keys = comparison.results.iter().map(|row| &row.key).chain(comparison.differences.iter().map(|fact| &fact.key));
    let first = keys.map(|key| key.chars().count()).max().unwrap_or(0).max("accuracy, % (95 %)".len()).min((width / 2).max(18));
    let beside = (width.saturating_sub(first) / (CELL + 3)).max(1);
    let pair = names.len() == 2 && beside > 2;
    for from in (0..names.len()).step_by(beside) {
        let shown = from..names.len().min(from + beside);
        let line = |key: &str, cells: Vec<String>| {
            let cells: String = cells.iter().map(|cell| format!("  {:>1$}", cut(cell, CELL), CELL + 1)).collect();
            format!("{:<first$}{}\n", cut(key, first), cells.trim_end())
        };
        let mut heads: Vec<String> = names[shown.clone()].iter().map(|name| cut(name, CELL)).collect();
        heads.extend(pair.then(|| "B less A".to_string()));
        text += "\n";
        text += &line("accuracy, % (95 %)", heads.clone());
        for row in &comparison.results {
            let cell = |at: usize| row.cells[at].as_ref().map_or("-".to_string(), |cell| accuracy(cell, row.best == Some(at)));
            let mut cells: Vec<String> = shown.clone().map(cell).collect();
            cells.extend(
                pair.then(|| row.difference.as_ref().map_or("-".to_string(), |difference| points(difference.points, difference.interval))),
            );
            text += &line(&row.key, cells);
        }
        if !comparison.differences.is_empty() {
            text += "\n";
            heads.truncate(shown.len());
            text += &line("what differs", heads);
        }
        for fact in &comparison.differences {
            text += &line(&fact.key, shown.clone().map(|at| fact.values[at].clone().unwrap_or_else(|| "-".into())).collect());
        }
    }
    if comparison.results.iter().any(|row| row.best.is_some()) {
        text += "\n* leads each other run that has this result by more than chance explains (see the page)\n";
    }
    text
}

fn accuracy(cell: &Cell, best: bool) -> String {
    let value = match cell.deviation {
        Some(deviation) => format!("{:.1} ± {deviation:.1}", cell.percent),
        None => with_interval(cell.percent, cell.images),
    };
    if best { format!("*{value}") } else { value }
}

fn points(points: f64, interval: Option<[f64; 2]>) -> String {
    let interval = interval.map_or(String::new(), |[low, high]| format!(" ({low:+.1},{high:+.1})"));
    format!("{points:+.1}{interval}")
}

/// The text, or its beginning and `…` where it is longer than `most`.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_string() } else { text.chars().take(most.saturating_sub(1)).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Start;

    #[test]
    fn the_table_fits_a_narrow_terminal_and_leaves_no_run_out() {
        let contender = |at: usize| {
            let start = Start { recipe: "r".into(), dataset: "d".into(), ..Start::default() };
            let key = "natural.snn.ensemble_apgd_ce50";
            let results = [(key.to_string(), 50.0 + at as f64)].into();
            let report = Report { start, results, images: [(key.to_string(), 1000)].into(), ..Report::default() };
            let settings = Some(vec![vec![("eval.curve_attack".into(), format!("\"a word that is longer than a cell {at}\""))]]);
            Contender {
                name: format!("name {at}"),
                folder: "a/long/way/down/to/the/folder/of/a/run/that/was/long/ago".into(),
                reports: vec![report],
                settings,
            }
        };
        let comparison = Comparison::of("1", &(0..7).map(contender).collect::<Vec<_>>());
        for width in [60, 80, 100, usize::MAX] {
            let text = table(&comparison, width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
            for at in 0..7 {
                assert!(
                    text.contains(&with_interval(50.0 + at as f64, 1000)) && text.contains(&format!("{} name {at}", letter(at))),
                    "{text}"
                );
            }
        }
        assert_eq!(table(&comparison, usize::MAX).lines().filter(|line| line.starts_with("natural.snn")).count(), 1);
    }

    #[test]
    fn runs_are_called_by_the_ends_of_their_paths() {
        let names = |paths: &[&str]| by_folder(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(names(&["/no/a", "/no/b"]), ["a", "b"]);
        assert_eq!(names(&["/no/x/demo", "/no/y/demo", "/no/z"]), ["x/demo", "y/demo", "no/z"]);
    }
}
