//! Several runs that differ in their seed alone, side by side.

use super::interval::wilson;
use super::schema::{Report, Start, number, numbers_by_key};
use crate::base::{Result, fail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the `report.json` of a `--seeds` run holds. Percentages are 0 to 100; lists are in the order of the seeds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// The program's version.
    pub version: String,
    /// The recipe's name.
    pub recipe: String,
    /// The data set's name.
    pub dataset: String,
    /// The network, as an architecture name or plan.
    pub network: String,
    /// The device, in words.
    pub device: String,
    /// Threads used.
    pub threads: usize,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Time steps of the spiking network, T.
    pub steps: usize,
    /// The attacks' eps at test, in 1/255.
    pub eps: f64,
    /// Wall time of all runs together.
    #[serde(deserialize_with = "number")]
    pub seconds: f64,
    /// Mean accuracy over the seeds, by the keys of a single run's results.
    #[serde(deserialize_with = "numbers_by_key")]
    pub results: BTreeMap<String, f64>,
    /// Sample standard deviation over the seeds (n − 1); not there for a single seed.
    pub deviations: BTreeMap<String, f64>,
    /// Each seed's accuracy.
    pub values: BTreeMap<String, Vec<f64>>,
    /// The Wilson 95 % interval of each seed's accuracy.
    pub intervals: BTreeMap<String, Vec<[f64; 2]>>,
    /// How many images each accuracy was measured on.
    pub images: BTreeMap<String, usize>,
}

impl Summary {
    /// The `reports` of the runs of one recipe, side by side. What not all of them have is left out.
    ///
    /// # Errors
    /// If there is no report.
    pub fn of(reports: &[Report]) -> Result<Summary> {
        let first = &reports.first().ok_or_else(|| fail!("summary: no run to look at; give at least one seed"))?.start;
        let mut summary = Summary {
            version: first.version.clone(),
            recipe: first.recipe.clone(),
            dataset: first.dataset.clone(),
            network: first.network.clone(),
            device: first.device.clone(),
            threads: first.threads,
            seeds: reports.iter().map(|report| report.start.seed).collect(),
            steps: first.steps,
            eps: first.eps,
            seconds: reports.iter().map(|report| report.seconds).sum(),
            ..Summary::default()
        };
        for key in reports[0].results.keys() {
            let values: Vec<f64> = reports.iter().filter_map(|report| report.results.get(key).copied()).filter(|v| v.is_finite()).collect();
            let images = reports[0].images.get(key).copied().unwrap_or(0);
            let same = reports.iter().all(|report| report.images.get(key).copied().unwrap_or(0) == images);
            if values.len() < reports.len() || !same {
                continue;
            }
            let (mean, deviation) = spread(&values);
            summary.results.insert(key.clone(), mean);
            summary.deviations.extend(deviation.map(|deviation| (key.clone(), deviation)));
            summary.intervals.insert(key.clone(), values.iter().filter_map(|&value| wilson(value, images)).collect());
            summary.values.insert(key.clone(), values);
            summary.images.insert(key.clone(), images);
        }
        Ok(summary)
    }

    /// What it still tells of each run: circumstances and results.
    pub(super) fn reports(&self) -> Vec<Report> {
        let report = |(at, &seed): (usize, &u64)| {
            let start = Start {
                version: self.version.clone(),
                recipe: self.recipe.clone(),
                dataset: self.dataset.clone(),
                network: self.network.clone(),
                device: self.device.clone(),
                threads: self.threads,
                seed,
                steps: self.steps,
                eps: self.eps,
                ..Start::default()
            };
            let results = self.values.iter().filter_map(|(key, values)| Some((key.clone(), *values.get(at)?))).collect();
            let seconds = self.seconds / self.seeds.len() as f64;
            let mut report = Report { start, seconds, results, images: self.images.clone(), ..Report::default() };
            report.find_intervals();
            report
        };
        self.seeds.iter().enumerate().map(report).collect()
    }

    /// A result as mean ± deviation, such as `84.0 ± 0.4`, in percent.
    pub fn told(&self, key: &str) -> Option<String> {
        let mean = self.results.get(key)?;
        Some(match self.deviations.get(key) {
            Some(deviation) => format!("{mean:.1} ± {deviation:.1}"),
            None => format!("{mean:.1}"),
        })
    }
}

/// The folder of one seed's run below that of all.
pub fn seed_folder(seed: u64) -> String {
    format!("seed-{seed}")
}

/// Mean and sample standard deviation (n − 1), to a millionth; one value is its own mean and has no deviation.
pub(super) fn spread(values: &[f64]) -> (f64, Option<f64>) {
    if let [only] = values {
        return (*only, None);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let short = |number: f64| (number * 1e6).round() / 1e6;
    (short(mean), Some(short((squares / (n - 1.0)).sqrt())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Event, Start};

    fn report(seed: u64, results: &[(&str, f64)]) -> Report {
        let start = Event::Start(Start { recipe: "r".into(), seed, ..Start::default() });
        let results = results.iter().map(|&(key, percent)| Event::Result { key: key.into(), percent, images: 200 });
        Report::from_events(&[start].into_iter().chain(results).chain([Event::Finish { seconds: 2.0 }]).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn mean_and_sample_deviation_over_the_seeds() {
        let reports = [
            report(0, &[("ann.clean", 80.0), ("snn.clean", 50.0)]),
            report(7, &[("ann.clean", 82.0)]),
            report(3, &[("ann.clean", 87.0), ("snn.clean", 52.0)]),
        ];
        let summary = Summary::of(&reports).unwrap();
        assert_eq!((&summary.seeds[..], summary.seconds), (&[0, 7, 3][..], 6.0));
        assert_eq!(summary.results.keys().collect::<Vec<_>>(), ["ann.clean"], "what one seed lacks has no mean");
        assert!((summary.results["ann.clean"] - 83.0).abs() < 1e-12);
        // Squares 9 + 1 + 16 over 2.
        assert!((summary.deviations["ann.clean"] - 13f64.sqrt()).abs() < 1e-6);
        assert_eq!(summary.told("ann.clean").unwrap(), "83.0 ± 3.6");
        assert_eq!(summary.intervals["ann.clean"][1], wilson(82.0, 200).unwrap());
        let back = Summary::of(&summary.reports()).unwrap();
        assert_eq!((&back.values, &back.intervals, back.seconds), (&summary.values, &summary.intervals, summary.seconds));
        let json = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
    }

    #[test]
    fn one_seed_has_a_mean_and_no_deviation() {
        let summary = Summary::of(&[report(0, &[("ann.clean", 80.0)])]).unwrap();
        assert_eq!((summary.told("ann.clean").unwrap().as_str(), summary.deviations.len()), ("80.0", 0));
        assert!(Summary::of(&[]).is_err());
    }
}
