//! The rules one by one, which cell is best, and the layers against what their words say.

use super::layers::beside;
use super::*;
use crate::autodiff::{Fire, Keep, Pass, Saved};
use crate::device::Device;
use crate::ops::lif::Reset;
use crate::record::Health;
use crate::zoo;

const IMAGES: usize = 200;

fn measured(accuracy: f64) -> Measured {
    Measured { accuracy, ci95: wilson(accuracy, IMAGES).unwrap() }
}

fn cell(scale: f64, steps: usize, accuracy: f64) -> SweepCell {
    SweepCell { percentile: 99.0, scale, steps, measured: measured(accuracy), tied: false, thresholds: vec![scale, 2.0 * scale] }
}

#[test]
fn the_best_is_the_highest_and_the_shortest_of_equals() {
    let cells = vec![cell(1.0, 16, 80.0), cell(1.0, 4, 50.0), cell(1.0, 8, 80.0), cell(1.0, 32, 80.0), cell(1.0, 4, 76.0)];
    assert_eq!(best(&cells), 2);
    assert_eq!(tied(cells, 2).iter().map(|cell| cell.tied).collect::<Vec<_>>(), [true, false, true, true, true]);
}

fn layer(name: &str, correlation: f64) -> Health {
    Health {
        name: name.into(),
        neurons: 100,
        threshold: 0.5,
        correlation: Some(correlation),
        slope: Some(0.9),
        rate: 0.2,
        active: 0.5,
        channels: 32,
        ..Health::default()
    }
}

/// A conversion of which nothing can be said but that finetuning comes next: the best, clearly below its ANN.
fn plain() -> Diagnosis {
    Diagnosis {
        network: "ann.safetensors".into(),
        dataset: "mnist".into(),
        classes: 10,
        images: IMAGES,
        ann: measured(90.0),
        calibration: CalibrationImages { used: [11, 64], asked: [11, 64], steps: 100, seed: 0 },
        cells: tied(vec![cell(0.3, 8, 70.0), cell(0.6, 8, 69.0)], 0),
        as_it_stands: measured(70.0),
        layers: vec![layer("one", 0.95), layer("two", 0.9)],
        ..Diagnosis::default()
    }
}

fn commands() -> Commands {
    Commands { ann: "my runs/ann".into(), recipe: "fast".into(), data: " --data d".into(), convert: " --batches 2".into() }
}

/// What is advised after `change`, as (rule, text, command).
fn after(change: impl FnOnce(&mut Diagnosis)) -> Vec<(&'static str, String, String)> {
    let mut found = plain();
    change(&mut found);
    advise(&found, &commands()).into_iter().map(|advice| (advice.rule, advice.text, advice.command.unwrap_or_default())).collect()
}

/// Expects that `change` sets off `rule` alone, with these words in its text and its command.
#[track_caller]
fn only(rule: &str, text: &[&str], command: &str, change: impl FnOnce(&mut Diagnosis)) {
    let advice = after(change);
    assert_eq!(advice.iter().map(|(rule, ..)| *rule).collect::<Vec<_>>(), [rule], "{advice:#?}");
    text.iter().for_each(|word| assert!(advice[0].1.contains(word), "no {word}: {}", advice[0].1));
    assert!(advice[0].2.contains(command), "no {command}: {}", advice[0].2);
}

const CONVERT: &str = "caltrop convert 'my runs/ann' --percentile 99 --scale";

#[test]
fn nothing_is_said_without_a_reason() {
    assert_eq!(after(|_| ()), []);
}

#[test]
fn an_ann_that_guesses_is_told_of_and_nothing_about_its_conversion() {
    only("untrained", &["12.0 % of 200", "guessing gets 10.0 %"], "caltrop train fast --data d", |found| {
        (found.ann, found.as_it_stands, found.layers[0].muted) = (measured(12.0), measured(3.0), 0.9);
    });
}

#[test]
fn dead_channels_of_the_ann_are_counted() {
    only("dead-channels", &["3 of 32 in two", "200 images"], "caltrop train fast", |found| found.layers[1].dead_channels = 3);
}

#[test]
fn few_calibration_images_are_told_of() {
    only("calibration", &["128 images where 704", "mnist"], CONVERT, |found| found.calibration.used = [2, 64]);
}

#[test]
fn lost_statistics_are_told_from_bad_weights() {
    only(
        "statistics",
        &["10.0 %", "704 calibration images", "70.0 %"],
        "finetune converted.safetensors fast --set steps=8 --data d",
        |found| {
            found.as_it_stands = measured(10.0);
        },
    );
    assert_eq!(after(|found| found.as_it_stands = measured(68.0)), []);
}

#[test]
fn better_settings_are_named() {
    let command = format!("{CONVERT} 0.6 --steps 8 --data d --batches 2 --out converted.safetensors");
    only("settings", &["85.0 % at percentile 99, scale 0.6, T = 8", "70.0 % at"], &command, |found| {
        (found.cells[1].measured, found.best, found.ann) = (measured(85.0), 1, measured(97.0));
    });
    assert_eq!(after(|found| (found.cells[1].measured, found.best) = (measured(74.0), 1)), []);
}

#[test]
fn silence_asks_for_lower_thresholds() {
    let muted = |found: &mut Diagnosis| (found.layers[0].muted, found.layers[1].muted, found.layers[1].rate) = (0.55, 0.8, 0.01);
    // None of the sweep is lower: half the scale.
    only("silence", &["two: 80 %", "T = 8", "mean rate 0.010", "threshold 0.500"], &format!("{CONVERT} 0.15 "), muted);
    only("silence", &["too high"], &format!("{CONVERT} 0.3 "), |found| {
        muted(found);
        (found.chosen, found.best) = (1, 1);
    });
    assert_eq!(after(|found| found.layers[0].muted = 0.45), []);
}

#[test]
fn saturation_asks_for_higher_thresholds() {
    let full = |found: &mut Diagnosis| (found.layers[0].saturated, found.layers[0].above) = (0.4, 0.6);
    only("saturation", &["one: 40 %", "60 % of the currents", "0.500"], &format!("{CONVERT} 0.6 "), full);
    only("saturation", &[], &format!("{CONVERT} 1.2 "), |found| {
        full(found);
        (found.chosen, found.best) = (1, 1);
    });
}

#[test]
fn the_layer_where_the_correlation_is_lost_is_named() {
    only("lost", &["layer 2 of 3", "from 0.95 in one to 0.60 in two", "add up", "the last, three, has 0.50"], "finetune", |found| {
        found.layers = vec![layer("one", 0.95), layer("two", 0.6), layer("three", 0.5)];
    });
    only("lost", &["layer 1 of 2", "from the pixels on to 0.00"], "finetune", |found| found.layers[0].correlation = None);
    let silent = after(|found| (found.layers[1].correlation, found.layers[1].muted) = (Some(0.3), 0.7));
    assert!(silent.iter().any(|(rule, text, _)| *rule == "lost" && text.contains("70 % of its active neurons are silent")), "{silent:?}");
}

#[test]
fn a_short_t_is_told_of_where_a_longer_one_is_clearly_better() {
    let longer = |accuracy: f64| {
        move |found: &mut Diagnosis| {
            found.cells = vec![cell(0.3, 8, 50.0), cell(0.3, 16, accuracy), cell(0.3, 32, accuracy)];
            found.as_it_stands = measured(50.0);
        }
    };
    only("longer", &["T = 8 is short", "1/8", "70.0 % at T = 16", "50.0 % at T = 8"], &format!("{CONVERT} 0.3 --steps 16"), longer(70.0));
    assert_eq!(after(longer(55.0)), []);
}

#[test]
fn fewer_steps_are_named_where_they_do_as_well() {
    let shorter = |accuracy: f64| move |found: &mut Diagnosis| found.cells = tied(vec![cell(0.3, 8, 70.0), cell(0.6, 4, accuracy)], 0);
    only("shorter", &["scale 0.6, T = 4 gets 68.0 %", "200 images"], &format!("{CONVERT} 0.6 --steps 4"), shorter(68.0));
    assert_eq!(after(shorter(50.0)), []);
    only("shorter", &["T = 4 gets 72.0 %, the best of the sweep"], CONVERT, |found| {
        shorter(72.0)(found);
        (found.cells, found.best) = (tied(found.cells.clone(), 1), 1);
    });
}

#[test]
fn a_conversion_that_keeps_all_points_at_the_ann() {
    only("ann", &["70.0 %", "the ANN 71.0 %"], "caltrop train fast", |found| found.ann = measured(71.0));
}

#[test]
fn finetuning_is_judged_by_what_it_recovers() {
    let tuned = |accuracy: f64| {
        move |found: &mut Diagnosis| {
            found.finetuned = Some(Given { path: "snn".into(), steps: 8, measured: measured(accuracy), ..Given::default() });
        }
    };
    let numbers = |accuracy: &str| format!("70.0 % before finetuning, {accuracy} % after, the ANN 90.0 %");
    only("finetuned", &["recovers the ANN's accuracy", &numbers("88.0")], "caltrop eval snn --attack pgd --data d", tuned(88.0));
    only("finetuned", &["recovers a part", "70.0 % before finetuning, 83.0 % after, the ANN 97.0 %"], "caltrop finetune", |found| {
        tuned(83.0)(found);
        found.ann = measured(97.0);
    });
    only("finetuned", &["did not help", &numbers("60.0")], CONVERT, tuned(60.0));
    // A conversion that lost nothing has nothing to recover.
    let kept = after(|found| {
        tuned(72.0)(found);
        found.ann = measured(73.0);
    });
    assert!(kept.iter().any(|(rule, text, _)| *rule == "finetuned" && text.contains("lost no clean accuracy")), "{kept:?}");
    // What the run itself finetuned is what came before.
    only("finetuned", &["did not help", "85.0 % before"], CONVERT, |found| {
        tuned(72.0)(found);
        found.converted = Some(Given { measured: measured(85.0), ..Given::default() });
    });
}

#[test]
fn words_of_a_shell_stay_one_word() {
    assert_eq!(word("runs/a-1.safetensors"), "runs/a-1.safetensors");
    assert_eq!(word("it's $HOME"), "'it'\\''s $HOME'");
    assert_eq!(word(""), "''");
}

/// Everything told of the layers, once more in plain loops over currents and membranes of all images together.
#[test]
fn layers_are_what_their_words_say() {
    const STEPS: usize = 9;
    let device = Device::cpu(Some(2)).unwrap();
    let spec = |steps: usize| Spec {
        arch: "vgg:5,A,4/6".into(),
        classes: 3,
        input: [2, 6, 8],
        mean: vec![0.4, 0.5],
        std: vec![0.25, 0.3],
        bias: steps > 0,
        steps,
        leak: 1.0,
        reset: Reset::Hard,
        dropout: 0.2,
    };
    let mut state = 3_u64;
    let mut pixels = |count: usize| -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1_u64 << 24) as f32
        };
        (0..count).map(|_| next()).collect()
    };
    let images = Tensor::from_slice(&device, [7, 6, 8, 2], &pixels(7 * 96));
    let ann = zoo::build(&device, spec(0), 3).unwrap();
    let mut snn = crate::convert::transplant(&ann, spec(STEPS)).unwrap();
    let thresholds = [1.3, 0.2, 40.0]; // the last layer is silent
    scale(&mut snn, &thresholds, 1.0).unwrap();
    reestimate(&mut snn, std::slice::from_ref(&images)).unwrap();

    let parts = [0..4, 4..7].map(|range| Ok(images.slice(range)));
    let health = beside(&ann, &snn, parts.into_iter()).unwrap();

    let (_, trace) = snn.forward(&images, &Pass::eval(Fire::Spike { steps: STEPS }, Keep::ForInput)).unwrap();
    let (_, rectified) = ann.forward(&images, &Pass::eval(Fire::Relu, Keep::ForInput)).unwrap();
    let currents = rectified.saved.iter().flat_map(Saved::leaves).filter_map(|saved| match saved {
        Saved::Neuron { y: Some(y), affine: Some(affine), .. } => Some(crate::ops::norm::apply(y, affine).unwrap().to_vec()),
        Saved::Neuron { y: Some(y), affine: None, .. } => Some(y.to_vec()),
        _ => None,
    });
    let inside = snn.membranes(&trace).unwrap();
    assert_eq!((health.len(), inside.len()), (3, 3));
    for (((found, inside), activity), currents) in health.iter().zip(&inside).zip(snn.activity(&trace)).zip(currents) {
        let (channels, neurons) = (found.channels, found.neurons);
        assert_eq!(currents.len(), 7 * neurons);
        let mut pairs = Likeness::default();
        let (mut silent, mut full, mut muted, mut active) = (0, 0, 0, 0);
        let (mut dead, mut dead_channels) = (vec![true; neurons], vec![true; channels]);
        for (at, current) in currents.iter().enumerate() {
            let (pixel, c) = (at / channels, at % channels);
            let spikes = (0..STEPS).filter(|t| inside.u[(pixel * STEPS + t) * channels + c] >= inside.v_th).count();
            let relu = f64::from(current.max(0.0));
            pairs.push(relu, spikes as f64 / STEPS as f64 * f64::from(inside.v_th));
            silent += usize::from(spikes == 0);
            full += usize::from(spikes == STEPS);
            active += usize::from(relu > 0.0);
            muted += usize::from(relu > 0.0 && spikes == 0);
            dead[at % neurons] &= spikes == 0;
            dead_channels[c] &= relu == 0.0;
        }
        let near = |name: &str, found: f64, wanted: f64| {
            assert!((found - wanted).abs() < 1e-9, "{}: {name} {found}, not {wanted}", inside.name);
        };
        let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
        let count = |flags: &[bool]| flags.iter().filter(|&&flag| flag).count();
        assert_eq!(found.name, inside.name);
        near("threshold", found.threshold, f64::from(inside.v_th));
        near("rate", found.rate, activity.spikes as f64 / (activity.neurons as usize * STEPS) as f64);
        near("silent", found.silent, share(silent, 7 * neurons));
        near("saturated", found.saturated, share(full, 7 * neurons));
        near("muted", found.muted, share(muted, active));
        near("active", found.active, share(active, 7 * neurons));
        near("dead", found.dead, share(count(&dead), neurons));
        near("above", found.above, share(inside.x.iter().filter(|&&x| x >= inside.v_th).count(), inside.x.len()));
        assert_eq!(found.dead_channels, count(&dead_channels));
        assert_eq!((found.correlation.is_none(), found.slope.is_none()), (pairs.correlation().is_none(), pairs.slope().is_none()));
        near("correlation", found.correlation.unwrap_or(0.0), pairs.correlation().unwrap_or(0.0));
        near("slope", found.slope.unwrap_or(0.0), pairs.slope().unwrap_or(0.0));
    }
    assert!(health[0].correlation.unwrap() > 0.5 && health[0].rate > 0.01, "{:?}", health[0]);
    assert_eq!((health[2].correlation, health[2].silent, health[2].dead), (None, 1.0, 1.0));
}
