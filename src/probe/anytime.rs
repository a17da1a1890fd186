//! What a spiking network answers after each of its steps: one run, every t.

use super::{Onslaught, Samples, batches};
use crate::autodiff::{Keep, Pass};
use crate::base::{Result, fail};
use crate::drive::{Watch, sound, watch};
use crate::nn::Model;
use crate::record::{Accuracy, Anytime, Moment, Turn};
use crate::tensor::Tensor;

/// The class that each image is taken for after every step.
type Classes = Vec<Vec<i32>>;

/// Accuracy of `model` after each step, and, run anew, at each number of steps of `sweep`; clean, and under `onslaught`, whose images are
/// made against all T steps (in the sweep against each T'). A prediction at t is the largest sum of the logits of the steps 1 to t.
///
/// # Errors
/// Samples without classes, images of another size, logits that are not finite, an interrupt.
pub fn anytime(model: &Model, samples: &Samples, onslaught: Option<&Onslaught>, sweep: &[usize], listener: &dyn Watch) -> Result<Anytime> {
    let Some(labels) = &samples.labels else {
        return Err(fail!("accuracy wants the images' classes; give a file with a tensor \"labels\", or a data set"));
    };
    let (images, steps) = (samples.len(), model.spec().steps);
    listener.begin("accuracy over time", ((1 + sweep.len()) * images) as u64);
    let (clean, attacked) = predictions(model, samples, onslaught, listener)?;
    let mut answer = Anytime { images, steps, ..Anytime::default() };
    let settled = |at: usize, seen: &[Vec<i32>]| {
        let count = seen.iter().filter(|seen| decision(seen) <= at).count();
        100.0 * count as f64 / images as f64
    };
    let mean = |seen: &[Vec<i32>]| seen.iter().map(|seen| decision(seen) as f64).sum::<f64>() / images as f64;
    answer.moments = (1..=steps)
        .map(|step| Moment {
            step,
            accuracy: accuracy(labels, &clean, attacked.as_deref(), step),
            settled_clean: settled(step, &clean),
            settled_attacked: attacked.as_deref().map(|seen| settled(step, seen)),
        })
        .collect();
    (answer.decided_clean, answer.decided_attacked) = (mean(&clean), attacked.as_deref().map(mean));
    for &length in sweep {
        let mut other = model.clone();
        other.set_steps(length);
        let (clean, attacked) = predictions(&other, samples, onslaught, listener)?;
        answer.sweep.push(Turn { steps: length, accuracy: accuracy(labels, &clean, attacked.as_deref(), length) });
    }
    listener.end("");
    Ok(answer)
}

/// Accuracy at a step, of the classes that every image is taken for after each.
fn accuracy(labels: &[i32], clean: &[Vec<i32>], attacked: Option<&[Vec<i32>]>, step: usize) -> Accuracy {
    let right = |seen: &[Vec<i32>], image: usize| seen[image][step - 1] == labels[image];
    let images = labels.len();
    let robust = attacked.map(|attacked| (0..images).filter(|&image| right(clean, image) && right(attacked, image)).count());
    Accuracy::of((0..images).filter(|&image| right(clean, image)).count(), robust, images)
}

/// The first step, counted from 1, from which on `seen` stays as it ends.
fn decision(seen: &[i32]) -> usize {
    seen.len() - seen.iter().rev().skip(1).take_while(|&class| Some(class) == seen.last()).count()
}

/// The classes after every step, of each clean image and of each adversarial one; where nothing attacks, the second are none.
fn predictions(
    model: &Model,
    samples: &Samples,
    onslaught: Option<&Onslaught>,
    listener: &dyn Watch,
) -> Result<(Classes, Option<Classes>)> {
    let (mut clean, mut attacked) = (Vec::new(), onslaught.map(|_| Vec::new()));
    for range in batches(samples.len()) {
        watch::check()?;
        clean.extend(over_time(model, &samples.batch(model, range.clone()))?);
        if let (Some(onslaught), Some(attacked)) = (onslaught, &mut attacked) {
            attacked.extend(over_time(model, &onslaught.perturb(model, samples, range.clone())?)?);
        }
        listener.advance(range.len() as u64);
    }
    Ok((clean, attacked))
}

/// The class of each image after every step.
fn over_time(model: &Model, images: &Tensor) -> Result<Classes> {
    let (classes, steps) = (model.spec().classes, model.spec().steps);
    let slices = super::in_slices(model, images, |images, _| {
        let (logits, trace) = model.forward(images, &Pass::eval(model.spec().fire(), Keep::Spikes))?;
        sound(&logits)?;
        let (frames, each) = (trace.steps.shape()[3], trace.steps.to_vec());
        Ok(each.chunks_exact(frames * classes).map(|image| running(image, classes, frames, steps)).collect::<Vec<_>>())
    })?;
    Ok(slices.concat())
}

/// The class with the largest sum of logits `[F,K]` after every step, the first of equal ones; one frame stands for all steps. Means are
/// compared as the network's own logits are, in f32.
fn running(logits: &[f32], classes: usize, frames: usize, steps: usize) -> Vec<i32> {
    let mut sums = vec![0.0_f64; classes];
    (0..steps)
        .map(|step| {
            let now = &logits[step.min(frames - 1) * classes..][..classes];
            sums.iter_mut().zip(now).for_each(|(sum, &logit)| *sum += f64::from(logit));
            let mean = |k: usize| (sums[k] / (step + 1) as f64) as f32;
            (1..classes).fold(0, |best, k| if mean(k) > mean(best) { k } else { best }) as i32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_are_of_sums_and_a_decision_is_where_they_stop_changing() {
        // Class 1 leads, then class 0 with 3 against 2, then they are equal, and the first counts; at last class 1.
        let logits = [0.0, 2.0, 3.0, 0.0, 0.0, 1.0, 0.0, 1.0];
        assert_eq!(running(&logits, 2, 4, 4), [1, 0, 0, 1]);
        assert_eq!(running(&[0.0, 1.0], 2, 1, 3), [1, 1, 1]);
        let told = [&[1, 0, 0, 1][..], &[1, 1, 1], &[0, 1, 1], &[2]].map(decision);
        assert_eq!(told, [4, 1, 2, 1]);
    }

    #[test]
    fn an_image_is_robust_if_it_is_right_both_times() {
        let [clean, attacked] = [[[1, 0], [1, 1], [2, 2]], [[1, 1], [0, 1], [2, 1]]].map(|seen| seen.map(|seen| seen.to_vec()));
        let at = |step| {
            let Accuracy { clean_acc, robust_acc, .. } = accuracy(&[1, 1, 2], &clean, Some(&attacked), step);
            (clean_acc.round(), robust_acc.map(f64::round))
        };
        assert_eq!((at(1), at(2)), ((100.0, Some(67.0)), (67.0, Some(33.0))));
    }
}
