//! What the conversion doctor found. Accuracies and their intervals are in percent, shares are 0 to 1.

use serde::Serialize;

/// A whole diagnosis.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Diagnosis {
    /// The ANN's file.
    pub network: String,
    /// Its architecture.
    pub arch: String,
    /// The data set.
    pub dataset: String,
    /// Its classes.
    pub classes: usize,
    /// Test images that every accuracy is measured on.
    pub images: usize,
    /// The ANN.
    pub ann: Measured,
    /// What thresholds and statistics were found on.
    pub calibration: CalibrationImages,
    /// Every cell of the sweep, percentile by percentile, scale by scale, T by T.
    pub cells: Vec<SweepCell>,
    /// The index of the best cell: the highest accuracy, at the least T where several have it.
    pub best: usize,
    /// The index of the cell that is looked into.
    pub chosen: usize,
    /// That cell as `convert` writes it: mean 0 and variance 1 for statistics.
    pub as_it_stands: Measured,
    /// Its layers of neurons, input to output.
    pub layers: Vec<Health>,
    /// The conversion that a run finetuned, where its file lies beside the ANN's.
    pub converted: Option<Given>,
    /// The network after finetuning.
    pub finetuned: Option<Given>,
    /// What follows from all this, the most telling first.
    pub advice: Vec<Advice>,
    /// The device, in words.
    pub device: String,
    /// Wall time.
    pub seconds: f64,
    /// The program's version.
    pub version: String,
}

/// An accuracy and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Measured {
    /// Percent.
    pub accuracy: f64,
    /// Wilson's interval.
    pub ci95: [f64; 2],
}

/// The images of the calibration.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct CalibrationImages {
    /// Batches, and images of each.
    pub used: [usize; 2],
    /// The same, as asked for.
    pub asked: [usize; 2],
    /// T of the calibration runs.
    pub steps: usize,
    /// Seed of the choice of images.
    pub seed: u64,
}

/// One conversion of the sweep.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SweepCell {
    /// Of the currents, in percent.
    pub percentile: f64,
    /// The factor on the thresholds.
    pub scale: f64,
    /// T.
    pub steps: usize,
    /// Its accuracy, batch-norm statistics re-estimated.
    #[serde(flatten)]
    pub measured: Measured,
    /// Whether its accuracy lies within the interval of the best.
    pub tied: bool,
    /// The thresholds, scaled.
    pub thresholds: Vec<f64>,
}

/// A layer of neurons of a spiking network beside the same layer of the ANN, on the same images.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Health {
    /// Its name.
    pub name: String,
    /// Neurons.
    pub neurons: usize,
    /// The firing threshold.
    pub threshold: f64,
    /// Pearson's, of rate times threshold and the ANN's activation, over neurons and images (None: a side does not vary).
    pub correlation: Option<f64>,
    /// The least-squares slope of rate times threshold over the activation.
    pub slope: Option<f64>,
    /// Spikes a neuron and step.
    pub rate: f64,
    /// Share of the neurons that fire on no image.
    pub dead: f64,
    /// Share of neurons and images without a spike.
    pub silent: f64,
    /// Share of neurons and images with a spike at every step.
    pub saturated: f64,
    /// Share of neurons and images that are active in the ANN and have no spike here, of those active in the ANN.
    pub muted: f64,
    /// Share of the currents that reach the threshold by themselves.
    pub above: f64,
    /// Share of the ANN's activations that are above 0.
    pub active: f64,
    /// Channels of the ANN that are 0 on every image.
    pub dead_channels: usize,
    /// Channels.
    pub channels: usize,
}

/// A spiking network that was given, or lay beside the ANN.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Given {
    /// Its file.
    pub path: String,
    /// Whether it was found beside the ANN's file rather than named.
    pub found: bool,
    /// T.
    pub steps: usize,
    /// Its accuracy; of a conversion with statistics re-estimated.
    #[serde(flatten)]
    pub measured: Measured,
    /// Its layers of neurons.
    pub layers: Vec<Health>,
}

/// One thing that follows from the numbers.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Advice {
    /// The rule's name.
    pub rule: &'static str,
    /// What was found, with the numbers, and what to do.
    pub text: String,
    /// The command to run next.
    pub command: Option<String>,
}

impl Diagnosis {
    /// The cell that is looked into.
    pub fn cell(&self) -> &SweepCell {
        &self.cells[self.chosen]
    }

    /// The best cell.
    pub fn best(&self) -> &SweepCell {
        &self.cells[self.best]
    }

    /// The values of the sweep, each once, in their order: percentiles, scales, T.
    pub fn axes(&self) -> (Vec<f64>, Vec<f64>, Vec<usize>) {
        fn once<V: PartialEq>(values: impl Iterator<Item = V>) -> Vec<V> {
            let mut seen = Vec::new();
            values.for_each(|value| {
                if !seen.contains(&value) {
                    seen.push(value)
                }
            });
            seen
        }
        (
            once(self.cells.iter().map(|cell| cell.percentile)),
            once(self.cells.iter().map(|cell| cell.scale)),
            once(self.cells.iter().map(|cell| cell.steps)),
        )
    }

    /// The cell of these settings.
    pub fn at(&self, percentile: f64, scale: f64, steps: usize) -> Option<&SweepCell> {
        self.cells.iter().find(|cell| cell.is(percentile, scale, steps))
    }
}

impl SweepCell {
    /// Whether it has these settings.
    pub fn is(&self, percentile: f64, scale: f64, steps: usize) -> bool {
        (self.percentile, self.scale, self.steps) == (percentile, scale, steps)
    }
}

impl Measured {
    /// Whether its interval lies wholly above `other`'s.
    pub fn clearly_above(&self, other: &Measured) -> bool {
        self.ci95[0] > other.ci95[1]
    }
}
