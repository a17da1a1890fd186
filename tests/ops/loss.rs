//! Losses of logits: image by image, and as training and attacks combine them.

use super::common::*;
use caltrop::base::Result;
use caltrop::ops::loss::{self as parts, Paired};
use caltrop::tensor::Array;
use naive::Loss;

/// Images, classes, size of the logits.
const CASES: [(usize, usize, f64); 8] =
    [(1, 3, 1.0), (7, 10, 4.0), (31, 33, 2.0), (5, 4, 30.0), (2, 200, 3.0), (3, 3, 1e-3), (17, 10, 80.0), (1, 10, 0.5)];

/// The program's part, and the oracle's for one image; dclean is empty where there is none.
type Part = (&'static str, fn(&Tensor, &Tensor, &Array<i32>) -> Result<Paired>, fn(&[f64], &[f64], &[usize], usize) -> Loss);

fn alone(single: Result<parts::Single>) -> Result<Paired> {
    let parts::Single { values, dlogits } = single?;
    let dclean = Tensor::zeros(dlogits.device(), dlogits.shape());
    Ok(Paired { values, dadv: dlogits, dclean })
}

/// Without its KL (λ = 0), MART is the boosted cross-entropy; the weighted KL is the rest.
fn rest_of_mart(adv: &[f64], clean: &[f64], y: &[usize], k: usize) -> Loss {
    let (whole, boosted) = (naive::mart(adv, clean, y, k, 1.0), naive::mart(adv, clean, y, k, 0.0));
    Loss {
        value: whole.value - boosted.value,
        d_adv: whole.d_adv.iter().zip(&boosted.d_adv).map(|(a, b)| a - b).collect(),
        d_clean: whole.d_clean,
    }
}

const PARTS: [Part; 5] = [
    ("cross entropy", |a, _, y| alone(parts::cross_entropy(a, y)), |a, _, y, k| naive::cross_entropy(a, y, k)),
    ("boosted cross entropy", |a, _, y| alone(parts::boosted_cross_entropy(a, y)), |a, c, y, k| naive::mart(a, c, y, k, 0.0)),
    ("dlr", |a, _, y| alone(parts::dlr(a, y)), |a, _, y, k| naive::dlr_sum(a, y, k)),
    ("kl", |a, c, _| parts::kl(a, c), |a, c, _, k| naive::kl_sum(a, c, k)),
    ("weighted kl", parts::weighted_kl, rest_of_mart),
];

struct Numbers {
    adv: Vec<f64>,
    clean: Vec<f64>,
    labels: Vec<usize>,
}

fn numbers((n, k, size): (usize, usize, f64)) -> Numbers {
    let labels = between("labels", n, 0.0, 1.0).iter().map(|u| (u * k as f64) as usize).collect();
    Numbers { adv: between("adv", n * k, -size, size), clean: between("clean", n * k, -size, size), labels }
}

#[test]
fn every_part_is_the_oracle_s_image_by_image() {
    everywhere(&CASES, |device, &(n, k, size)| {
        let Numbers { adv, clean, labels } = numbers((n, k, size));
        let (on_adv, on_clean) = (tensor(device, [n, k], &adv), tensor(device, [n, k], &clean));
        let on_labels = devices::labels(device, &labels);
        for (name, program, oracle) in PARTS {
            let what = format!("{name} of {n}x{k} within {size} on {}", device.describe());
            let got = twice(device, &what, || {
                let Paired { values, dadv, dclean } = program(&on_adv, &on_clean, &on_labels).unwrap();
                vec![values, dadv, dclean]
            });
            for image in 0..n {
                let row = image * k..(image + 1) * k;
                let want = oracle(&adv[row.clone()], &clean[row.clone()], &labels[image..=image], k);
                // f64 throughout, rounded to f32 at the end; the boosted part is rounded twice, the rest of MART is a difference.
                let biggest = |v: &[f64]| v.iter().fold(1.0f64, |m, v| m.max(v.abs()));
                assert_close(
                    &format!("{what}: value"),
                    &got[0][image..=image],
                    &[want.value],
                    bound(1e-12 * biggest(&[want.value]), 1.01 * U),
                );
                assert_close(&format!("{what}: dadv"), &got[1][row.clone()], &want.d_adv, bound(2.0 * U * biggest(&want.d_adv), 2.0 * U));
                assert_close(&format!("{what}: dclean"), &got[2][row], &want.d_clean, bound(1e-9 * biggest(&want.d_clean), 2.0 * U));
            }
        }
    });
}

#[test]
fn the_combined_losses_are_the_oracle_s() {
    everywhere(&CASES, |device, &(n, k, size)| {
        let Numbers { adv, clean, labels } = numbers((n, k, size));
        let (a, c) = (tensor(device, [n, k], &adv), tensor(device, [n, k], &clean));
        let y = devices::labels(device, &labels);
        let zeros = vec![0.0f32; n * k];
        let single = |loss: caltrop::loss::Single| (loss.value.to_vec(), loss.dlogits.to_vec(), zeros.clone());
        let paired = |loss: caltrop::loss::Paired| (loss.value.to_vec(), loss.dadv.to_vec(), loss.dclean.to_vec());
        for (name, (value, dadv, dclean), want) in [
            ("ce", single(caltrop::loss::cross_entropy(&a, &y).unwrap()), naive::cross_entropy(&adv, &labels, k)),
            ("dlr", single(caltrop::loss::dlr(&a, &y).unwrap()), naive::dlr_sum(&adv, &labels, k)),
            ("kl", paired(caltrop::loss::kl(&a, &c).unwrap()), naive::kl_sum(&adv, &clean, k)),
            ("trades", paired(caltrop::loss::trades(&a, &c, &y, 6.0).unwrap()), naive::trades(&adv, &clean, &labels, k, 6.0)),
            ("mart", paired(caltrop::loss::mart(&a, &c, &y, 4.0).unwrap()), naive::mart(&adv, &clean, &labels, k, 4.0)),
        ] {
            let what = format!("{name} of {n}x{k} within {size} on {}", device.describe());
            let biggest = |v: &[f64]| v.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            // The values of the images are f32: their roundings do not cancel where terms of both signs do.
            let scale = want.value.abs().max(0.1 * size);
            assert_close(&format!("{what}: value"), &value, &[want.value], bound(2.0 * U * scale, 2.0 * U));
            assert_close(&format!("{what}: dadv"), &dadv, &want.d_adv, bound(4.0 * U * biggest(&want.d_adv), 2.0 * U));
            assert_close(&format!("{what}: dclean"), &dclean, &want.d_clean, bound(4.0 * U * biggest(&want.d_clean), 2.0 * U));
        }
    });
}

#[test]
fn gradients_are_the_differences_of_the_program_s_own_values() {
    // A step of 2^-7 on f32 values: the truncation is h²/6 of a third derivative below 1, the noise U·5/h.
    const H: f64 = 1.0 / 128.0;
    let device = devices::first();
    let (n, k) = (4, 5);
    let Numbers { adv, clean, labels } = numbers((n, k, 2.0));
    let y = devices::labels(&device, &labels);
    for (name, program, _) in PARTS {
        let value = |adv: &[f64], clean: &[f64]| {
            let Paired { values, .. } = program(&tensor(&device, [n, k], adv), &tensor(&device, [n, k], clean), &y).unwrap();
            wide(&values).iter().sum::<f64>()
        };
        let Paired { dadv, dclean, .. } = program(&tensor(&device, [n, k], &adv), &tensor(&device, [n, k], &clean), &y).unwrap();
        let close = bound(2e-4, 2e-4);
        // The third derivatives of a ratio are larger.
        let close = if name == "dlr" { bound(1e-3, 1e-3) } else { close };
        crate::support::close::assert_gradient(&format!("{name} dadv"), &adv, &wide(&dadv), H, n * k, close, |a| value(a, &clean));
        crate::support::close::assert_gradient(&format!("{name} dclean"), &clean, &wide(&dclean), H, n * k, close, |c| value(&adv, c));
    }
}

#[test]
fn ties_and_sure_classes_stay_finite() {
    let device = devices::first();
    for logits in [[0.0; 4], [1e4, 0.0, 0.0, -1e4], [-1e4, 1e4, 1e4, 1e4], [3.0, 3.0, 1.0, 1.0]] {
        let (a, y) = (tensor(&device, [1, 4], &logits), devices::labels(&device, &[0]));
        for (name, program, _) in PARTS {
            let Paired { values, dadv, dclean } = program(&a, &a, &y).unwrap();
            let all = [values.to_vec(), dadv.to_vec(), dclean.to_vec()].concat();
            assert!(all.iter().all(|v| v.is_finite()), "{name} of {logits:?}: {all:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = devices::first();
    let (two, three) = (Tensor::zeros(&device, [2, 2]), Tensor::zeros(&device, [2, 3]));
    let labels = |y: &[i32]| Array::from_slice(&device, [y.len()], y);
    let text = |error: Option<caltrop::base::Error>| error.expect("refused").to_string();
    assert_eq!(text(parts::cross_entropy(&three, &labels(&[0, 3])).err()), "loss: label 3 of image 1 is not below 3 classes");
    assert_eq!(text(parts::cross_entropy(&three, &labels(&[-1, 0])).err()), "loss: label -1 of image 0 is not below 3 classes");
    assert_eq!(text(parts::cross_entropy(&three, &labels(&[0])).err()), "loss: 2 images of logits, 1 labels");
    assert_eq!(text(parts::hits(&three, &labels(&[0])).err()), "loss: 2 images of logits, 1 labels");
    assert_eq!(text(parts::runner_up(&three, &labels(&[0])).err()), "loss: 2 images of logits, 1 labels");
    assert_eq!(text(parts::predictions(&Tensor::zeros(&device, [3])).err()), "loss: logits want shape NxK, got 3");
    assert_eq!(text(parts::dlr(&two, &labels(&[0, 1])).err()), "loss::dlr: 2 classes; the ratio needs at least 3");
    assert_eq!(text(parts::kl(&two, &three).err()), "loss: adversarial logits 2x2, clean logits 2x3");
}

#[test]
fn predictions_hits_and_runners_up_are_the_largest_and_the_first_of_equals() {
    everywhere(&CASES, |device, &(n, k, size)| {
        // Few values, so that many are equal.
        let logits: Vec<f64> = between("logits", n * k, -3.0, 3.0).iter().map(|z| z.round() * size).collect();
        let labels = numbers((n, k, size)).labels;
        let (on, y) = (tensor(device, [n, k], &logits), devices::labels(device, &labels));
        let first = |z: &[f64], but: Option<usize>| {
            let mut found: Option<usize> = None;
            for class in 0..k {
                if Some(class) != but && found.is_none_or(|best| z[class] > z[best]) {
                    found = Some(class);
                }
            }
            found.unwrap()
        };
        let best: Vec<u32> = logits.chunks(k).map(|z| first(z, None) as u32).collect();
        let second: Vec<i32> = logits.chunks(k).zip(&labels).map(|(z, &y)| first(z, Some(y)) as i32).collect();
        let hits: Vec<u32> = best.iter().zip(&labels).map(|(&best, &y)| u32::from(best as usize == y)).collect();
        assert_eq!(parts::predictions(&on).unwrap().to_vec(), best);
        assert_eq!(parts::hits(&on, &y).unwrap().to_vec(), hits);
        assert_eq!(parts::runner_up(&on, &y).unwrap().to_vec(), second);
    });
}

#[test]
fn one_class_has_no_other() {
    let device = devices::first();
    let (logits, y) = (tensor(&device, [2, 1], &[1.0, -1.0]), devices::labels(&device, &[0, 0]));
    assert_eq!(parts::runner_up(&logits, &y).unwrap().to_vec(), [0, 0]);
    assert_eq!(parts::hits(&logits, &y).unwrap().to_vec(), [1, 1]);
}

#[test]
fn a_gpu_answers_nan_for_a_label_out_of_range_and_spares_its_neighbours() {
    for device in devices::emulated() {
        let Numbers { adv, clean, .. } = numbers((5, 7, 2.0));
        let (a, c) = (tensor(&device, [5, 7], &adv), tensor(&device, [5, 7], &clean));
        let given = |labels: [i32; 5]| Array::from_slice(&device, [5], &labels);
        let (broken, whole) = (given([0, 7, 6, -1, 1]), given([0, 0, 6, 0, 1]));
        for (name, program, _) in PARTS.iter().filter(|part| part.0 != "kl") {
            let read = |y| {
                let Paired { values, dadv, dclean } = program(&a, &c, y).unwrap();
                [values, dadv, dclean].map(|tensor| tensor.to_vec())
            };
            for (part, (got, want)) in read(&broken).iter().zip(read(&whole)).enumerate() {
                let (row, written) = (want.len() / 5, part < 2 || *name == "weighted kl");
                for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                    let none = written && [1, 3].contains(&(i / row));
                    assert!(if none { got.is_nan() } else { got == want }, "{name} [{i}]: {got}, {want}");
                }
            }
        }
        assert_eq!(parts::hits(&a, &broken).unwrap().to_vec()[1], 0);
    }
}
