//! What a spiking network knows after t of its steps, and what it does with fewer or more of them.

use super::interval::wilson;
use serde::{Deserialize, Serialize};

/// Accuracy over time. Percentages are 0 to 100.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Anytime {
    /// The network's file.
    pub network: String,
    /// Where the images are from.
    pub source: String,
    /// Images looked at.
    pub images: usize,
    /// T of the network.
    pub steps: usize,
    /// The attack in words; none where no image was attacked.
    pub attack: Option<String>,
    /// After each step, 1 to T.
    pub moments: Vec<Moment>,
    /// The step from which on the prediction for a clean image stays, on average.
    pub decided_clean: f64,
    /// The same for adversarial images.
    pub decided_attacked: Option<f64>,
    /// The network at other numbers of steps.
    pub sweep: Vec<Turn>,
    /// The program's version.
    pub version: String,
}

/// The network stopped after so many of its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// t.
    pub step: usize,
    /// Accuracy then.
    #[serde(flatten)]
    pub accuracy: Accuracy,
    /// Clean images whose prediction does not change any more, percent.
    pub settled_clean: f64,
    /// Adversarial images whose prediction does not change any more, percent.
    pub settled_attacked: Option<f64>,
}

/// The network run at so many steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// T'.
    pub steps: usize,
    /// Accuracy at it; the adversarial images are made against it.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

/// Accuracies with their Wilson 95 % intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Images that are recognised when clean.
    pub clean_acc: f64,
    /// Its interval.
    pub clean_ci95: Option<[f64; 2]>,
    /// Images that are recognised when clean and when attacked.
    pub robust_acc: Option<f64>,
    /// Its interval.
    pub robust_ci95: Option<[f64; 2]>,
}

impl Accuracy {
    /// Of so many images that are right when clean, and under attack too, among `images`.
    pub fn of(clean: usize, robust: Option<usize>, images: usize) -> Accuracy {
        let percent = |count: usize| 100.0 * count as f64 / images as f64;
        let interval = |percent| wilson(percent, images);
        let (clean, robust) = (percent(clean), robust.map(percent));
        Accuracy { clean_acc: clean, clean_ci95: interval(clean), robust_acc: robust, robust_ci95: robust.and_then(interval) }
    }
}
