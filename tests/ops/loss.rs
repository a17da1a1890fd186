//! Losses of logits: image by image, and as training and attacks combine them.

use super::common::*;
use caltrop::ops::loss::{self as parts, Paired};
use caltrop::selftest::{LOSSES, Logits, logits};
use caltrop::tensor::Array;

#[test]
fn the_table_holds_on_every_device() {
    table("loss");
}

#[test]
fn gradients_are_the_differences_of_the_program_s_own_values() {
    // A step of 2^-7 on f32 values: the truncation is h²/6 of a third derivative below 1, the noise U·5/h.
    const H: f64 = 1.0 / 128.0;
    let device = devices::first();
    let (n, k) = (4, 5);
    let Logits { adv, clean, labels } = logits((n, k, 2.0));
    let y = devices::labels(&device, &labels);
    for (name, program, _) in LOSSES {
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
fn the_targeted_ratio_s_gradient_is_the_difference_of_its_values() {
    let device = devices::first();
    let (n, k) = (4, 6);
    let Logits { adv, labels, .. } = logits((n, k, 2.0));
    let (y, toward) =
        (devices::labels(&device, &labels), devices::labels(&device, &labels.iter().map(|y| (y + 2) % k).collect::<Vec<_>>()));
    let of = |adv: &[f64]| parts::dlr_targeted(&tensor(&device, [n, k], adv), &y, &toward).unwrap();
    let value = |adv: &[f64]| wide(&of(adv).values).iter().sum::<f64>();
    let gradient = wide(&of(&adv).dlogits);
    crate::support::close::assert_gradient("targeted dlr", &adv, &gradient, 1.0 / 128.0, n * k, bound(1e-3, 1e-3), value);
}

#[test]
fn ties_and_sure_classes_stay_finite() {
    let device = devices::first();
    for logits in [[0.0; 4], [1e4, 0.0, 0.0, -1e4], [-1e4, 1e4, 1e4, 1e4], [3.0, 3.0, 1.0, 1.0]] {
        let (a, y) = (tensor(&device, [1, 4], &logits), devices::labels(&device, &[0]));
        for (name, program, _) in LOSSES {
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
    let narrow = parts::dlr_targeted(&three, &labels(&[0, 1]), &labels(&[1, 2]));
    assert_eq!(text(narrow.err()), "loss::dlr_targeted: 3 classes; the ratio needs at least 4");
    let four = Tensor::zeros(&device, [2, 4]);
    let astray = parts::dlr_targeted(&four, &labels(&[0, 1]), &labels(&[1, 4]));
    assert_eq!(text(astray.err()), "loss: label 4 of image 1 is not below 4 classes");
    assert_eq!(text(parts::kl(&two, &three).err()), "loss: adversarial logits 2x2, clean logits 2x3");
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
        let Logits { adv, clean, .. } = logits((5, 7, 2.0));
        let (a, c) = (tensor(&device, [5, 7], &adv), tensor(&device, [5, 7], &clean));
        let given = |labels: [i32; 5]| Array::from_slice(&device, [5], &labels);
        let (broken, whole) = (given([0, 7, 6, -1, 1]), given([0, 0, 6, 0, 1]));
        for (name, program, _) in LOSSES.iter().filter(|part| part.0 != "kl") {
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

#[test]
fn a_row_with_nan_is_no_hit() {
    for device in devices::all() {
        let logits = tensor(&device, [3, 3], &[f64::NAN, 1.0, 0.0, 2.0, 1.0, f64::NAN, 2.0, 1.0, 0.0]);
        let labels = Array::from_slice(&device, [3], &[0, 0, 0]);
        assert_eq!(parts::hits(&logits, &labels).unwrap().to_vec(), [0, 0, 1], "{}", device.describe());
    }
}
