//! Why a converted network is bad: a sweep over its settings, its layers beside the ANN's, and advice.
//!
//! `convert` leaves batch norm without running statistics (METHOD §4), so eval mode right after it says nothing. Every accuracy and
//! rate here is of a network whose statistics were re-estimated on the calibration images ([`reestimate`]); what the file as it stands
//! does is told once beside it.

mod advice;
mod layers;
mod likeness;
#[cfg(test)]
mod tests;

pub use advice::{Commands, advise, word};
pub use likeness::Likeness;

use crate::attack::Victim;
use crate::autodiff::Lens;
use crate::base::{Result, ensure, usage};
use crate::checkpoint::Meta;
use crate::convert::{reestimate, scale};
use crate::data::{Augment, Dataset};
use crate::drive::{Convert, Seen, Watch, calibration_batches, classes, convert, watch};
use crate::nn::{Model, Spec};
use crate::probe::batches;
use crate::record::{CalibrationImages, Diagnosis, Given, Measured, SweepCell, wilson};
use crate::tensor::Tensor;
use layers::beside;
use std::ops::Range;
use std::time::Instant;

/// A spiking network to be looked at beside the conversions.
pub struct Patient {
    /// Its file.
    pub path: String,
    /// Whether it was found beside the ANN rather than named.
    pub found: bool,
    /// It.
    pub model: Model,
}

/// Which cell of the sweep is looked into.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// That of these settings: percentile, scale, T.
    These(f64, f64, usize),
    /// The same if the sweep has it, else the best.
    Usual(f64, f64, usize),
    /// The best.
    Best,
}

/// What is to be done.
pub struct Visit<'a> {
    /// The ANN and what its checkpoint says.
    pub ann: &'a Model,
    /// What its checkpoint says.
    pub meta: &'a Meta,
    /// Its file.
    pub path: &'a str,
    /// Its data set, without the images that it was validated on.
    pub data: &'a Dataset,
    /// Test images, from the first.
    pub images: usize,
    /// Of the currents, in percent.
    pub percentiles: Vec<f64>,
    /// Factors on the thresholds.
    pub scales: Vec<f64>,
    /// T of the spiking networks.
    pub steps: Vec<usize>,
    /// Which of the cells is looked into.
    pub choice: Choice,
    /// T and images of the calibration; percentile and scale are the sweep's.
    pub how: Convert,
    /// Seed of the choice of images.
    pub seed: u64,
    /// A conversion that lay beside the ANN.
    pub converted: Option<Patient>,
    /// The network after finetuning.
    pub finetuned: Option<Patient>,
}

impl Visit<'_> {
    /// The diagnosis, without advice, device and version.
    ///
    /// # Errors
    /// (usage) A cell that is not in the sweep, networks that do not fit the ANN; an interrupt.
    pub fn diagnose(&self, watch: &dyn Watch) -> Result<Diagnosis> {
        let clock = Instant::now();
        let spec = self.ann.spec();
        self.converted.iter().chain(&self.finetuned).try_for_each(|patient| patient.fits(spec))?;
        let chosen = match self.choice {
            Choice::These(percentile, scale, steps) => Some(self.find(percentile, scale, steps)?),
            Choice::Usual(percentile, scale, steps) => self.find(percentile, scale, steps).ok(),
            Choice::Best => None,
        };
        let batches = calibration_batches(self.ann, self.data, &self.how, Augment::NONE, self.seed, watch)?;
        let ann = self.accuracy(self.ann)?;
        let (cells, raw) = self.sweep(&batches, watch)?;
        let best = best(&cells);
        let cells = tied(cells, best);
        let chosen = chosen.unwrap_or(best);

        watch.begin("layer by layer", 0);
        let mut snn = self.transplanted(cells[chosen].steps, &cells[chosen], &raw)?;
        let as_it_stands = self.accuracy(&snn)?;
        reestimate(&mut snn, &batches)?;
        let layers = beside(self.ann, &snn, self.tensors())?;
        let converted = self.converted.as_ref().map(|patient| self.given(patient, Some(&batches))).transpose()?;
        let finetuned = self.finetuned.as_ref().map(|patient| self.given(patient, None)).transpose()?;
        watch.end("");
        let images = batches.first().map_or(0, |batch| batch.shape()[0]);
        Ok(Diagnosis {
            network: self.path.into(),
            arch: spec.arch.clone(),
            dataset: self.data.name.into(),
            classes: spec.classes,
            images: self.images,
            ann,
            calibration: CalibrationImages {
                used: [batches.len(), images],
                asked: [self.how.batches, self.how.batch],
                steps: self.how.calibration_steps,
                seed: self.seed,
            },
            cells,
            best,
            chosen,
            as_it_stands,
            layers,
            converted,
            finetuned,
            seconds: clock.elapsed().as_secs_f64(),
            ..Diagnosis::default()
        })
    }

    /// The index of a cell. Errors (usage): the sweep does not have it.
    fn find(&self, percentile: f64, scale: f64, steps: usize) -> Result<usize> {
        let p = self.percentiles.iter().position(|&known| known == percentile);
        let s = self.scales.iter().position(|&known| known == scale);
        let t = self.steps.iter().position(|&known| known == steps);
        match (p, s, t) {
            (Some(p), Some(s), Some(t)) => Ok((p * self.scales.len() + s) * self.steps.len() + t),
            _ => Err(usage!(
                "--cell {percentile},{scale},{steps}: the sweep has no such cell; add it to --percentiles, --scales and --steps, or use --cell best"
            )),
        }
    }

    /// The accuracy of every cell, and the thresholds of every percentile before scaling: one calibration each, since what a neuron
    /// receives depends on the thresholds of those before it.
    fn sweep(&self, batches: &[Tensor], watch: &dyn Watch) -> Result<(Vec<SweepCell>, Vec<Vec<f32>>)> {
        let (mut cells, mut raw) = (Vec::new(), Vec::new());
        for (at, &percentile) in self.percentiles.iter().enumerate() {
            let how = Convert { percentile, scale: self.scales[0], ..self.how };
            let titled = Titled { watch, title: format!("percentile {percentile} ({} of {}): calibrate", at + 1, self.percentiles.len()) };
            let (mut snn, meta) = convert(self.ann, self.spec(self.steps[0]), batches, &how, self.meta, &titled)?;
            watch.begin(&format!("percentile {percentile}: sweep"), (self.scales.len() * self.steps.len()) as u64);
            let first = cells.len();
            for (&factor, &steps) in self.scales.iter().flat_map(|factor| self.steps.iter().map(move |steps| (factor, steps))) {
                snn.set_steps(steps);
                scale(&mut snn, &meta.raw_thresholds, factor as f32)?;
                reestimate(&mut snn, batches)?;
                let measured = self.accuracy(&snn)?;
                let thresholds = snn.thresholds().into_iter().map(f64::from).collect();
                cells.push(SweepCell { percentile, scale: factor, steps, measured, tied: false, thresholds });
                watch.advance(1);
            }
            let SweepCell { scale, steps, measured, .. } = &cells[first + best(&cells[first..])];
            watch.end(&format!("percentile {percentile}: {:.1} % at best (scale {scale}, T = {steps})", measured.accuracy));
            raw.push(meta.raw_thresholds);
        }
        Ok((cells, raw))
    }

    /// The ANN's spec with spikes, as `convert` makes it.
    fn spec(&self, steps: usize) -> Spec {
        Spec { steps, bias: true, ..self.ann.spec().clone() }
    }

    /// The network of a cell as `convert` writes it.
    fn transplanted(&self, steps: usize, cell: &SweepCell, raw: &[Vec<f32>]) -> Result<Model> {
        let at = self.percentiles.iter().position(|&percentile| percentile == cell.percentile).unwrap_or(0);
        let mut snn = crate::convert::transplant(self.ann, self.spec(steps))?;
        scale(&mut snn, &raw[at], cell.scale as f32)?;
        Ok(snn)
    }

    /// A given network; on statistics of these batches, if any.
    fn given(&self, patient: &Patient, batches: Option<&[Tensor]>) -> Result<Given> {
        let mut model = patient.model.clone();
        if let Some(batches) = batches {
            reestimate(&mut model, batches)?;
        }
        let (measured, layers) = (self.accuracy(&model)?, beside(self.ann, &model, self.tensors())?);
        Ok(Given { path: patient.path.clone(), found: patient.found, steps: model.spec().steps, measured, layers })
    }

    /// The test images' ranges.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        batches(self.images)
    }

    /// The test images, batch by batch.
    fn tensors(&self) -> impl Iterator<Item = Result<Tensor>> {
        let upload = |range| Ok(crate::drive::upload(self.ann, &self.data.test.batch(range)?).0);
        self.ranges().map(upload)
    }

    /// Accuracy on the test images, in eval mode.
    fn accuracy(&self, model: &Model) -> Result<Measured> {
        ensure!(self.images > 0, "doctor: no test images");
        let mut right = 0;
        for range in self.ranges() {
            watch::check()?;
            let batch = self.data.test.batch(range)?;
            let images = crate::drive::upload(model, &batch).0;
            let seen = classes(&Seen { model }.logits(&images, Lens::default())?)?;
            right += seen.iter().zip(&batch.labels).filter(|(seen, label)| seen == label).count();
        }
        let accuracy = 100.0 * right as f64 / self.images as f64;
        Ok(Measured { accuracy, ci95: wilson(accuracy, self.images).unwrap_or([0.0, 100.0]) })
    }
}

impl Patient {
    /// Errors (usage): it is no spiking network of the ANN's architecture.
    pub fn fits(&self, ann: &Spec) -> Result<()> {
        let own = self.model.spec();
        if own.steps == 0 {
            return Err(usage!("{}: an ANN (T = 0); --finetuned takes the spiking network, snn.safetensors of a run", self.path));
        }
        if (&own.arch, own.classes, own.input) != (&ann.arch, ann.classes, ann.input) {
            let told = |spec: &Spec| {
                let [channels, height, width] = spec.input;
                format!("{} with {} classes on {channels}x{height}x{width}", spec.arch, spec.classes)
            };
            return Err(usage!("{}: {}, but the ANN is {}; give the network that it became", self.path, told(own), told(ann)));
        }
        Ok(())
    }
}

/// The index of the highest accuracy, the least T among equals.
fn best(cells: &[SweepCell]) -> usize {
    let key = |cell: &SweepCell| (cell.measured.accuracy, std::cmp::Reverse(cell.steps));
    let better = |a: &SweepCell, b: &SweepCell| key(a).0.total_cmp(&key(b).0).then(key(a).1.cmp(&key(b).1));
    (0..cells.len()).reduce(|best, next| if better(&cells[next], &cells[best]).is_gt() { next } else { best }).unwrap_or(0)
}

/// The cells, told which of them the images do not tell from the best.
fn tied(mut cells: Vec<SweepCell>, best: usize) -> Vec<SweepCell> {
    let bound = cells[best].measured.ci95[0];
    cells.iter_mut().for_each(|cell| cell.tied = cell.measured.accuracy >= bound);
    cells
}

/// A watch under whose bars another title stands, and that says nothing at the end.
struct Titled<'a> {
    watch: &'a dyn Watch,
    title: String,
}

impl Watch for Titled<'_> {
    fn begin(&self, _: &str, total: u64) {
        self.watch.begin(&self.title, total);
    }
    fn advance(&self, units: u64) {
        self.watch.advance(units);
    }
    fn within(&self, share: f64, units: u64) {
        self.watch.within(share, units);
    }
    fn remark(&self, text: &str) {
        self.watch.remark(text);
    }
    fn end(&self, _: &str) {
        self.watch.end("");
    }
}
