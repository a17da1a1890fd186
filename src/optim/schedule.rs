//! How the learning rate moves: by whole epochs, constant within one (METHOD §3).

use crate::base::{Error, Result, suggest, usage};
use std::str::FromStr;

/// The learning rate of every epoch: a linear warm-up, then a course.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schedule {
    /// Epochs of warm-up W (Goyal et al. 2017): epoch e < W has lr·(e+1)/(W+1), epoch W the first full one.
    pub warmup: usize,
    /// What follows.
    pub course: Course,
}

/// How the learning rate moves behind the warm-up.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Course {
    /// lr/2 · (1 + cos(π·(e−W)/(E−W))) of E epochs (Loshchilov & Hutter 2017).
    #[default]
    Cosine,
    /// lr.
    Constant,
    /// lr · decay^(milestones ≤ e) (PyTorch's MultiStepLR).
    Step {
        /// Epochs, counted from the stage's first (warm-up included), in rising order.
        milestones: Vec<usize>,
        /// The factor at each.
        decay: f64,
    },
}

impl Schedule {
    /// The rate of `epoch` (from 0) of `epochs`.
    pub fn rate(&self, base: f64, epoch: usize, epochs: usize) -> f64 {
        if epoch < self.warmup {
            return base * (epoch + 1) as f64 / (self.warmup + 1) as f64;
        }
        match &self.course {
            Course::Cosine => {
                let (done, all) = (epoch - self.warmup, epochs.saturating_sub(self.warmup).max(1));
                base / 2.0 * (1.0 + (std::f64::consts::PI * done as f64 / all as f64).cos())
            }
            Course::Constant => base,
            Course::Step { milestones, decay } => base * decay.powi(milestones.iter().filter(|&&at| at <= epoch).count() as i32),
        }
    }
}

impl Course {
    /// The names in recipes.
    pub const NAMES: [&'static str; 3] = ["cosine", "constant", "step"];
}

/// A course by its name; a step has no milestones yet and PyTorch's decay, 0.1.
impl FromStr for Course {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "cosine" => Ok(Course::Cosine),
            "constant" => Ok(Course::Constant),
            "step" => Ok(Course::Step { milestones: Vec::new(), decay: 0.1 }),
            _ => Err(usage!("schedule {text}: no such schedule{}", suggest(text, Course::NAMES))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: &Schedule, epochs: usize) -> Vec<f64> {
        (0..epochs).map(|epoch| schedule.rate(0.8, epoch, epochs)).collect()
    }

    fn close(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-15), "{got:?}, wanted {want:?}");
    }

    #[test]
    fn a_cosine_starts_at_the_rate_and_would_end_at_zero() {
        let schedule = Schedule::default();
        let r = 0.8 / 2.0;
        let half = std::f64::consts::FRAC_1_SQRT_2;
        close(&rates(&schedule, 4), &[2.0 * r, r * (1.0 + half), r, r * (1.0 - half)]);
        close(&[schedule.rate(0.8, 4, 4)], &[0.0]);
    }

    #[test]
    fn a_warm_up_is_a_line_to_the_full_rate_and_the_course_begins_behind_it() {
        let schedule = |course| Schedule { warmup: 3, course };
        close(&rates(&schedule(Course::Constant), 5), &[0.2, 0.4, 0.6, 0.8, 0.8]);
        let whole = rates(&schedule(Course::Cosine), 7);
        close(&whole[..3], &[0.2, 0.4, 0.6]);
        close(&whole[3..], &rates(&Schedule::default(), 4));
        let step = schedule(Course::Step { milestones: vec![4], decay: 0.5 });
        close(&rates(&step, 6), &[0.2, 0.4, 0.6, 0.8, 0.4, 0.4]);
    }

    #[test]
    fn a_step_falls_at_its_milestones_and_those_beyond_the_end_never_come() {
        let schedule = Schedule { warmup: 0, course: Course::Step { milestones: vec![1, 3, 100], decay: 0.1 } };
        close(&rates(&schedule, 5), &[0.8, 0.08, 0.08, 0.008, 0.008]);
    }

    #[test]
    fn an_unknown_schedule_is_told_the_nearest() {
        let text = "cosin".parse::<Course>().unwrap_err().to_string();
        assert!(text.starts_with("schedule cosin: no such schedule") && text.contains("cosine"), "{text}");
    }
}
