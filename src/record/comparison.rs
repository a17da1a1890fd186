//! Runs beside each other: results, curves, and what differs in how they came about.

use super::difference::{of_means, of_shares};
use super::facts::{facts, remarks, same_images};
use super::interval::wilson;
use super::lines::{self, Chart};
use super::schema::{Report, Start};
use super::strength::strength;
use super::summary::spread;
use serde::Serialize;

/// One of the runs that are compared: a run, or the seeds of one.
#[derive(Debug, Clone)]
pub struct Contender {
    /// What it is called.
    pub name: String,
    /// Where it lies, as it was named.
    pub folder: String,
    /// What it recorded, a report a seed; never empty.
    pub reports: Vec<Report>,
    /// The settings of each of these, where its recipe is there: key and value as TOML.
    pub settings: Option<Vec<Vec<(String, String)>>>,
}

/// What the `report.json` of a comparison holds. Lists of runs are in the order in which they were named. Accuracies in percent.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The version of the program that compared.
    pub version: String,
    /// The runs.
    pub compared: Vec<Side>,
    /// Accuracies, first those of the robust track, then those of the natural one.
    pub results: Vec<Row>,
    /// Settings and circumstances that are not the same in all runs.
    pub differences: Vec<Fact>,
    /// Circumstances that are.
    pub common: Vec<Fact>,
    /// Training of the robust track, a chart a stage and measure.
    pub training: Vec<Chart>,
    /// Accuracy against eps of the robust track, a chart an attack and network.
    pub curves: Vec<Chart>,
    /// Firing of the robust track: rate and silence, layer by layer.
    pub firing: Vec<Chart>,
    /// What is to be known before these are believed.
    pub remarks: Vec<String>,
}

/// A run of a comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// What it is called.
    pub name: String,
    /// Where it lies.
    pub folder: String,
    /// Its recipe.
    pub recipe: String,
    /// Its seeds.
    pub seeds: Vec<u64>,
    /// How many of these runs are not finished.
    pub unfinished: usize,
    /// Wall time of all of them.
    pub seconds: f64,
}

/// One result of all runs.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// As a report's results have it, such as `snn.pgd20` or `natural.snn.clean`.
    pub key: String,
    /// Of each run, where it has it.
    pub cells: Vec<Option<Cell>>,
    /// The run that is better than each of the others by more than chance explains.
    pub best: Option<usize>,
    /// Of two runs: the second's accuracy less the first's, and its 95 % interval, in points.
    pub difference: Option<Difference>,
}

/// A difference of two accuracies, in points of percent.
#[derive(Debug, Clone, Copy, Serialize, PartialEq)]
pub struct Difference {
    /// Second less first.
    pub points: f64,
    /// Its 95 % interval, where there is one.
    pub interval: Option<[f64; 2]>,
}

/// An accuracy of one run or of several seeds.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// It, or the mean over the seeds.
    pub percent: f64,
    /// The sample standard deviation over the seeds.
    pub deviation: Option<f64>,
    /// The Wilson 95 % interval of a single run.
    pub interval: Option<[f64; 2]>,
    /// Images that each was measured on.
    pub images: usize,
    /// Each seed's accuracy.
    pub values: Vec<f64>,
}

/// A setting or circumstance of all runs.
#[derive(Debug, Clone, Serialize)]
pub struct Fact {
    /// Its key in a recipe, or its name in words.
    pub key: String,
    /// Of each run, where it is known and set.
    pub values: Vec<Option<String>>,
}

/// The chance that is taken, in a whole row, of calling something different that is not.
const ALPHA: f64 = 0.05;

impl Comparison {
    /// The `contenders` side by side, by the program of this `version`.
    pub fn of(version: &str, contenders: &[Contender]) -> Comparison {
        let (differences, common) = facts(contenders);
        Comparison {
            version: version.to_string(),
            compared: contenders.iter().map(Side::of).collect(),
            results: rows(contenders),
            differences,
            common,
            training: lines::training(contenders),
            curves: lines::curves(contenders),
            firing: lines::firing(contenders),
            remarks: remarks(contenders),
        }
    }
}

/// What the run at this place of the list is called for short: A, B, C …
pub fn letter(at: usize) -> char {
    char::from(b'A' + (at % 26) as u8)
}

impl Side {
    fn of(contender: &Contender) -> Side {
        let Contender { name, folder, reports, .. } = contender;
        Side {
            name: name.clone(),
            folder: folder.clone(),
            recipe: reports[0].start.recipe.clone(),
            seeds: reports.iter().map(|report| report.start.seed).collect(),
            unfinished: reports.iter().filter(|report| report.unfinished).count(),
            seconds: reports.iter().map(|report| report.seconds).sum(),
        }
    }
}

impl Cell {
    /// The result `key`, where every seed has it on as many images.
    fn of(contender: &Contender, key: &str) -> Option<Cell> {
        let reports = &contender.reports;
        let values: Vec<f64> = reports.iter().map(|report| report.results.get(key).copied()).collect::<Option<_>>()?;
        let images = reports.iter().map(|report| report.images.get(key).copied().unwrap_or(0)).collect::<Vec<_>>();
        if !values.iter().all(|value| value.is_finite()) || images.iter().any(|&n| n != images[0]) {
            return None;
        }
        let (percent, deviation) = spread(&values);
        let interval = wilson(percent, images[0]).filter(|_| values.len() == 1);
        Some(Cell { percent, deviation, interval, images: images[0], values })
    }

    /// The interval of the difference to another cell, which it misses with the chance `alpha`.
    fn less(&self, other: &Cell, alpha: f64) -> Option<[f64; 2]> {
        match (&self.values[..], &other.values[..]) {
            ([_], [_]) => of_shares((self.percent, self.images), (other.percent, other.images), alpha),
            // Means over seeds say nothing of the choice of images: only on the same ones do they compare.
            (values, others) if self.images == other.images => of_means(values, others, alpha),
            _ => None,
        }
    }
}

fn rows(contenders: &[Contender]) -> Vec<Row> {
    let mut keys: Vec<&String> = contenders.iter().flat_map(|contender| contender.reports.iter().flat_map(|r| r.results.keys())).collect();
    // The ReLU network before the spiking one; clean images first, then attacks, the mildest first.
    keys.sort_by_key(|key| {
        let plain = key.trim_start_matches("natural.");
        let (network, attack) = plain.split_once('.').unwrap_or(("", plain));
        (plain.len() < key.len(), network, strength(attack), *key)
    });
    keys.dedup();
    keys.into_iter().map(|key| Row::of(contenders, key)).filter(|row| row.cells.iter().any(Option::is_some)).collect()
}

impl Row {
    fn of(contenders: &[Contender], key: &str) -> Row {
        let cells: Vec<Option<Cell>> = contenders.iter().map(|contender| Cell::of(contender, key)).collect();
        let is_clean = key.ends_with(".clean");
        let starts: Vec<&Start> =
            contenders.iter().zip(&cells).filter(|(_, cell)| cell.is_some()).map(|(contender, _)| &contender.reports[0].start).collect();
        let same = starts.iter().all(|start| same_images(start, starts[0]) && (is_clean || start.eps == starts[0].eps));
        let best = if same { best(&cells) } else { None };
        let difference = match &cells[..] {
            [Some(first), Some(second)] if same => {
                Some(Difference { points: second.percent - first.percent, interval: second.less(first, ALPHA) })
            }
            _ => None,
        };
        Row { key: key.to_string(), cells, best, difference }
    }
}

/// The cell whose difference to each of the others lies above zero. Every pair could have been the one to show something by
/// chance, so that the chance is shared out among them (Bonferroni).
fn best(cells: &[Option<Cell>]) -> Option<usize> {
    let there: Vec<(usize, &Cell)> = cells.iter().enumerate().filter_map(|(at, cell)| Some((at, cell.as_ref()?))).collect();
    let (first, best) = *there.iter().max_by(|a, b| a.1.percent.total_cmp(&b.1.percent))?;
    let pairs = there.len() * (there.len() - 1) / 2;
    let beats = |other: &Cell| best.less(other, ALPHA / pairs as f64).is_some_and(|[low, _]| low > 0.0);
    let all = there.iter().filter(|(at, _)| *at != first).all(|(_, other)| beats(other));
    (there.len() > 1 && all).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A run of these results on so many images each.
    fn report(seed: u64, images: usize, results: &[(&str, f64)]) -> Report {
        let start = Start { recipe: "r".into(), dataset: "d".into(), seed, eps: 8.0, ..Start::default() };
        let results: BTreeMap<String, f64> = results.iter().map(|&(key, percent)| (key.to_string(), percent)).collect();
        let images = results.keys().map(|key| (key.clone(), images)).collect();
        Report { start, results, images, ..Report::default() }
    }

    fn contender(name: &str, reports: Vec<Report>) -> Contender {
        Contender { name: name.into(), folder: format!("runs/{name}"), reports, settings: Some(Vec::new()) }
    }

    /// Single runs with these results of `snn.pgd20`, on 1000 images.
    fn singles(percents: &[f64]) -> Vec<Contender> {
        percents
            .iter()
            .enumerate()
            .map(|(at, &value)| contender(&format!("r{at}"), vec![report(0, 1000, &[("snn.pgd20", value)])]))
            .collect()
    }

    #[test]
    fn the_best_is_marked_only_where_its_lead_is_more_than_chance() {
        let best = |percents: &[f64]| Comparison::of("v", &singles(percents)).results[0].best;
        // 50 and 54.8 of 1000 differ by 2.15 standard errors: more than chance for one pair, not for one of three.
        assert_eq!((best(&[50.0, 54.8]), best(&[50.0, 54.0]), best(&[50.0, 50.0, 54.8])), (Some(1), None, None));
        assert_eq!((best(&[50.0, 60.0, 40.0]), best(&[60.0, 60.0, 40.0]), best(&[60.0])), (Some(1), None, None));
    }

    #[test]
    fn two_runs_have_their_difference_and_others_none() {
        let pair = Comparison::of("v", &singles(&[50.0, 54.0]));
        let difference = pair.results[0].difference.unwrap();
        let [low, high] = difference.interval.unwrap();
        // ± 1.96 √(0.25/1000 + 0.2484/1000) = ± 4.4 points, nearly.
        assert!((difference.points - 4.0).abs() < 1e-9 && (low + 0.37).abs() < 0.02 && (high - 8.36).abs() < 0.02, "{low} {high}");
        assert!(Comparison::of("v", &singles(&[50.0, 54.0, 58.0])).results[0].difference.is_none());
    }

    #[test]
    fn seeds_are_judged_beside_as_many_images_only() {
        let seeds = |images: usize| {
            contender("seeds", (0..3).map(|seed| report(seed, images, &[("snn.pgd20", 80.0 + 0.5 * seed as f64)])).collect())
        };
        let one = |images: usize| contender("one", vec![report(9, images, &[("snn.pgd20", 90.0)])]);
        let row = |contenders: &[Contender]| Comparison::of("v", contenders).results[0].clone();
        let (like, unlike) = (row(&[one(1000), seeds(1000)]), row(&[one(10), seeds(1000)]));
        assert!(like.best == Some(0) && like.difference.unwrap().interval.is_some());
        assert!(unlike.best.is_none() && unlike.difference.unwrap().interval.is_none());
    }

    #[test]
    fn results_of_other_images_or_another_eps_are_not_judged() {
        for (change, clean_too) in [(0, true), (1, true), (2, true), (3, false)] {
            let mut both = singles(&[50.0, 90.0]);
            for (at, contender) in both.iter_mut().enumerate() {
                let report = &mut contender.reports[0];
                report.results.insert("snn.clean".into(), 50.0 + 40.0 * at as f64);
                report.images.insert("snn.clean".into(), 1000);
                report.start.fingerprint = "same".into();
                report.start.test_images = 1000;
            }
            assert!(Comparison::of("v", &both).results.iter().all(|row| row.best == Some(1)));
            let start = &mut both[1].reports[0].start;
            match change {
                0 => start.dataset = "other".into(),
                1 => start.test_images = 500,
                2 => start.fingerprint = "other".into(),
                _ => start.eps = 4.0,
            }
            let comparison = Comparison::of("v", &both);
            let judged: Vec<(&str, bool)> = comparison.results.iter().map(|row| (row.key.as_str(), row.best.is_some())).collect();
            assert_eq!(judged, [("snn.clean", !clean_too), ("snn.pgd20", false)], "change {change}");
            assert!(comparison.remarks.iter().any(|remark| remark.contains("cannot be compared")), "{:?}", comparison.remarks);
        }
    }

    #[test]
    fn seeds_count_as_mean_and_deviation_and_by_their_spread() {
        let seeds = |values: &[f64]| {
            let reports = values.iter().enumerate().map(|(seed, &value)| report(seed as u64, 100, &[("natural.snn.clean", value)]));
            contender("s", reports.collect())
        };
        let of = |values: &[f64], others: &[f64]| Comparison::of("v", &[seeds(values), seeds(others)]).results[0].clone();
        let row = of(&[80.0, 82.0, 87.0], &[60.0, 61.0, 62.0]);
        let cell = row.cells[0].as_ref().unwrap();
        assert_eq!((cell.percent, cell.interval, row.best), (83.0, None, Some(0)));
        assert!((cell.deviation.unwrap() - 13f64.sqrt()).abs() < 1e-6);
        // One run is told from seeds only far outside of them; without any spread nothing can be said.
        assert_eq!((of(&[90.0], &[60.0, 61.0, 62.0]).best, of(&[63.0], &[60.0, 61.0, 62.0]).best), (Some(0), None));
        assert_eq!(of(&[90.0], &[60.0, 60.0]).best, None);
        // A seed that lacks the result, or has it on other images: there is no mean.
        let mut ragged = seeds(&[80.0, 82.0]);
        ragged.reports[1].images.insert("natural.snn.clean".into(), 50);
        assert!(Comparison::of("v", &[ragged, seeds(&[1.0])]).results[0].cells[0].is_none());
    }
}
