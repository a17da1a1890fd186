//! The lines of several runs in one chart. Of each run its robust track, the natural twin being there to be compared with that.

use super::comparison::Contender;
use super::schema::{Epoch, Report};
use super::summary::spread;
use serde::Serialize;

/// A chart of the same measure of all runs.
#[derive(Debug, Clone, Serialize)]
pub struct Chart {
    /// What is measured: of training `ann.adv_acc`, `snn.loss` and others, against eps the network and attack (`snn PGD-10`), of
    /// firing `rate` and `silent`.
    pub measure: String,
    /// What x counts where it is no number: layers by their names, the same in all runs.
    pub names: Vec<String>,
    /// The most images that any of these was measured on; 0 where nobody counted.
    pub images: usize,
    /// Of each run, where it has it.
    pub lines: Vec<Option<Line>>,
}

/// The line of one run, or the mean over its seeds.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct Line {
    /// Pairs of x and y, x rising.
    pub points: Vec<[f64; 2]>,
    /// Of each point: of several seeds the mean ± the standard deviation, of one run the Wilson 95 % interval; empty where neither is.
    pub bounds: Vec<[f64; 2]>,
}

/// A point of one run: x, y and the interval of y.
type Point = (f64, f64, Option<[f64; 2]>);

impl Chart {
    /// The chart of `points` of each report; none where no run has any.
    fn of(measure: String, contenders: &[Contender], points: impl Fn(&Report) -> (usize, Vec<Point>)) -> Option<Chart> {
        let mut images = 0;
        let mut line = |contender: &Contender| {
            let each: Vec<(usize, Vec<Point>)> = contender.reports.iter().map(&points).collect();
            images = each.iter().map(|(images, _)| *images).chain([images]).max().unwrap_or(0);
            Line::of(&each.into_iter().map(|(_, points)| points).collect::<Vec<_>>())
        };
        let lines: Vec<Option<Line>> = contenders.iter().map(&mut line).collect();
        lines.iter().any(Option::is_some).then_some(Chart { measure, names: Vec::new(), images, lines })
    }
}

impl Line {
    /// The mean of the lists of points, one a seed, at each x that all have.
    fn of(seeds: &[Vec<Point>]) -> Option<Line> {
        let mut line = Line { points: Vec::new(), bounds: Vec::new() };
        let mut xs: Vec<f64> = seeds.first()?.iter().map(|point| point.0).collect();
        xs.sort_by(f64::total_cmp);
        for x in xs {
            let at: Vec<&Point> = seeds.iter().filter_map(|points| points.iter().find(|point| point.0 == x)).collect();
            let values: Vec<f64> = at.iter().map(|point| point.1).collect();
            if at.len() < seeds.len() || !values.iter().all(|value| value.is_finite()) {
                continue;
            }
            let (mean, deviation) = spread(&values);
            line.points.push([x, mean]);
            line.bounds.extend(deviation.map(|deviation| [mean - deviation, mean + deviation]).or(at[0].2));
        }
        if line.bounds.len() < line.points.len() {
            line.bounds.clear();
        }
        (!line.points.is_empty()).then_some(line)
    }
}

const TRACK: &str = "robust";

/// What is drawn of an epoch, by the names of the record; the loss comes last.
const MEASURES: [&str; 6] = ["train_acc", "adv_acc", "val_clean", "val_robust", "test_clean", "loss"];

/// Training, a chart a stage and measure; x counts the stage's epochs from 1.
pub(super) fn training(contenders: &[Contender]) -> Vec<Chart> {
    let value = |epoch: &Epoch, name: &str| match name {
        "loss" => Some(epoch.loss),
        _ => epoch.accuracies().find(|(known, _)| *known == name).map(|(_, value)| value),
    };
    let chart = |stage: &str, name: &str| {
        Chart::of(format!("{stage}.{name}"), contenders, |report| {
            let epochs: Vec<&Epoch> = report.epochs.iter().filter(|epoch| epoch.track == TRACK && epoch.stage == stage).collect();
            let point = |epoch: &&Epoch| Some(((epoch.epoch + 1) as f64, value(epoch, name)?, epoch.intervals.get(name).copied()));
            (epochs.iter().map(|epoch| epoch.images_of(name)).max().unwrap_or(0), epochs.iter().filter_map(point).collect())
        })
    };
    ["ann", "snn"].into_iter().flat_map(|stage| MEASURES.into_iter().filter_map(move |name| chart(stage, name))).collect()
}

/// Accuracy against eps in 1/255, a chart an attack and network, in the order of the runs.
pub(super) fn curves(contenders: &[Contender]) -> Vec<Chart> {
    let mut kinds: Vec<(&str, &str)> = Vec::new();
    for curve in contenders.iter().flat_map(|contender| contender.reports.iter().flat_map(|report| &report.curves)) {
        if curve.track == TRACK && !kinds.contains(&(&curve.network, &curve.attack)) {
            kinds.push((&curve.network, &curve.attack));
        }
    }
    let chart = |(network, attack): (&str, &str)| {
        Chart::of(format!("{network} {attack}"), contenders, |report| {
            let is_it = |curve: &&super::Curve| (&curve.track[..], &curve.network[..], &curve.attack[..]) == (TRACK, network, attack);
            report.curves.iter().find(is_it).map_or((0, Vec::new()), |curve| {
                let bounds = |at: usize| curve.intervals.get(at).copied();
                (curve.images, curve.points.iter().enumerate().map(|(at, point)| (point[0], point[1], bounds(at))).collect())
            })
        })
    };
    kinds.into_iter().filter_map(chart).collect()
}

/// Spikes a neuron and step, and neurons that never fire, both in percent; x counts the layers from 0, input to output.
pub(super) fn firing(contenders: &[Contender]) -> Vec<Chart> {
    let layers = |report: &Report| report.firing.iter().find(|firing| firing.track == TRACK).map(|firing| firing.layers.clone());
    let all: Vec<Vec<String>> = (contenders.iter().flat_map(|contender| &contender.reports))
        .filter_map(|report| Some(layers(report)?.into_iter().map(|layer| layer.name).collect()))
        .collect();
    let names = all.first().filter(|first| all.iter().all(|names| names == *first)).cloned().unwrap_or_default();
    let chart = |measure: &str, value: fn(&super::Layer) -> f64| {
        let chart = Chart::of(measure.to_string(), contenders, |report| {
            (0, layers(report).unwrap_or_default().iter().enumerate().map(|(at, layer)| (at as f64, 100.0 * value(layer), None)).collect())
        });
        chart.map(|chart| Chart { names: names.clone(), ..chart })
    };
    [chart("rate", |layer| layer.rate), chart("silent", |layer| layer.silent)].into_iter().flatten().collect()
}
