//! Losses of logits: image by image, and as training and attacks combine them.

use crate::base::Result;
use crate::loss;
use crate::ops::loss::{self as parts, Paired};
use crate::selftest::data::*;
use crate::selftest::naive::{self, Loss};
use crate::selftest::sheet::Sheet;
use crate::tensor::{Array, Tensor};

/// Images, classes, size of the logits.
type Case = (usize, usize, f64);

const CASES: [Case; 8] =
    [(1, 3, 1.0), (7, 10, 4.0), (31, 33, 2.0), (5, 4, 30.0), (2, 200, 3.0), (3, 3, 1e-3), (17, 10, 80.0), (1, 10, 0.5)];

/// Those with four classes or more.
const TARGETED: [Case; 6] = [(1, 4, 1.0), (7, 10, 4.0), (31, 33, 2.0), (2, 200, 3.0), (3, 4, 1e-3), (17, 10, 80.0)];

pub fn table(sheet: &mut Sheet) {
    let name = |(n, k, size): &Case| format!("{n}x{k} within {size}");
    sheet.each("image by image", &CASES, name, image_by_image);
    sheet.each("targeted", &TARGETED, name, targeted);
    sheet.each("combined", &CASES, name, combined);
    sheet.each("predictions, hits, runners-up", &CASES, name, ranks);
}

/// The name of a part, the program's, and the oracle's for one image; dclean is 0 where there is none.
pub type Part = (&'static str, fn(&Tensor, &Tensor, &Array<i32>) -> Result<Paired>, fn(&[f64], &[f64], &[usize], usize) -> Loss);

/// Every part.
pub const PARTS: [Part; 5] = [
    ("cross entropy", |a, _, y| alone(parts::cross_entropy(a, y)), |a, _, y, k| naive::cross_entropy(a, y, k)),
    ("boosted cross entropy", |a, _, y| alone(parts::boosted_cross_entropy(a, y)), |a, c, y, k| naive::mart(a, c, y, k, 0.0)),
    ("dlr", |a, _, y| alone(parts::dlr(a, y)), |a, _, y, k| naive::dlr_sum(a, y, k)),
    ("kl", |a, c, _| parts::kl(a, c), |a, c, _, k| naive::kl_sum(a, c, k)),
    ("weighted kl", parts::weighted_kl, rest_of_mart),
];

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

/// Logits of both kinds, and labels.
pub struct Numbers {
    /// Of adversarial images.
    pub adv: Vec<f64>,
    /// Of clean ones.
    pub clean: Vec<f64>,
    /// One an image.
    pub labels: Vec<usize>,
}

/// Those of a case.
pub fn numbers((n, k, size): Case) -> Numbers {
    let labels = between("labels", n, 0.0, 1.0).iter().map(|u| (u * k as f64) as usize).collect();
    Numbers { adv: between("adv", n * k, -size, size), clean: between("clean", n * k, -size, size), labels }
}

fn biggest(least: f64, values: &[f64]) -> f64 {
    values.iter().fold(least, |most, v| most.max(v.abs()))
}

fn image_by_image(sheet: &mut Sheet, &(n, k, size): &Case) -> Result<()> {
    let (device, Numbers { adv, clean, labels: y }) = (sheet.device(), numbers((n, k, size)));
    let (on_adv, on_clean, on_y) = (tensor(device, [n, k], &adv), tensor(device, [n, k], &clean), labels(device, &y));
    for (name, program, oracle) in PARTS {
        let got = twice(device, || {
            let Paired { values, dadv, dclean } = program(&on_adv, &on_clean, &on_y)?;
            Ok(vec![values, dadv, dclean])
        })?;
        for image in 0..n {
            let row = image * k..(image + 1) * k;
            let want = oracle(&adv[row.clone()], &clean[row.clone()], &y[image..=image], k);
            // f64 throughout, rounded to f32 at the end; the boosted part is rounded twice, the rest of MART is a difference.
            let what = |which: &str| format!("{name}, image {image}: {which}");
            let value = [want.value];
            sheet.close(what("value"), &got[0][image..=image], &value, (1e-12 * biggest(1.0, &value), 1.01 * U));
            sheet.close(what("dadv"), &got[1][row.clone()], &want.d_adv, (2.0 * U * biggest(1.0, &want.d_adv), 2.0 * U));
            sheet.close(what("dclean"), &got[2][row], &want.d_clean, (1e-9 * biggest(1.0, &want.d_clean), 2.0 * U));
        }
    }
    Ok(())
}

/// The ratio toward a class of each image's own.
fn targeted(sheet: &mut Sheet, &(n, k, size): &Case) -> Result<()> {
    let (device, Numbers { adv, labels: y, .. }) = (sheet.device(), numbers((n, k, size)));
    let toward: Vec<usize> = y.iter().enumerate().map(|(image, y)| (y + 1 + image % (k - 1)) % k).collect();
    let (on, on_y, on_toward) = (tensor(device, [n, k], &adv), labels(device, &y), labels(device, &toward));
    let got = twice(device, || {
        let parts::Single { values, dlogits } = parts::dlr_targeted(&on, &on_y, &on_toward)?;
        Ok(vec![values, dlogits])
    })?;
    for image in 0..n {
        let row = image * k..(image + 1) * k;
        let want = naive::dlr_targeted_sum(&adv[row.clone()], &y[image..=image], &toward[image..=image], k);
        let value = [want.value];
        sheet.close(format!("image {image}: value"), &got[0][image..=image], &value, (1e-12 * biggest(1.0, &value), 1.01 * U));
        sheet.close(format!("image {image}: dlogits"), &got[1][row], &want.d_adv, (2.0 * U * biggest(1.0, &want.d_adv), 2.0 * U));
    }
    Ok(())
}

fn combined(sheet: &mut Sheet, &(n, k, size): &Case) -> Result<()> {
    let (device, Numbers { adv, clean, labels: y }) = (sheet.device(), numbers((n, k, size)));
    let (a, c, on_y) = (tensor(device, [n, k], &adv), tensor(device, [n, k], &clean), labels(device, &y));
    let single = |loss: loss::Single| (loss.value.to_vec(), loss.dlogits.to_vec(), vec![0.0f32; n * k]);
    let paired = |loss: loss::Paired| (loss.value.to_vec(), loss.dadv.to_vec(), loss.dclean.to_vec());
    for (name, (value, dadv, dclean), want) in [
        ("ce", single(loss::cross_entropy(&a, &on_y)?), naive::cross_entropy(&adv, &y, k)),
        ("dlr", single(loss::dlr(&a, &on_y)?), naive::dlr_sum(&adv, &y, k)),
        ("kl", paired(loss::kl(&a, &c)?), naive::kl_sum(&adv, &clean, k)),
        ("trades", paired(loss::trades(&a, &c, &on_y, 6.0)?), naive::trades(&adv, &clean, &y, k, 6.0)),
        ("mart", paired(loss::mart(&a, &c, &on_y, 4.0)?), naive::mart(&adv, &clean, &y, k, 4.0)),
    ] {
        // The values of the images are f32: their roundings do not cancel where terms of both signs do.
        let scale = want.value.abs().max(0.1 * size);
        sheet.close(format!("{name}: value"), &value, &[want.value], (2.0 * U * scale, 2.0 * U));
        sheet.close(format!("{name}: dadv"), &dadv, &want.d_adv, (4.0 * U * biggest(0.0, &want.d_adv), 2.0 * U));
        sheet.close(format!("{name}: dclean"), &dclean, &want.d_clean, (4.0 * U * biggest(0.0, &want.d_clean), 2.0 * U));
    }
    Ok(())
}

/// The largest, and the first of equals.
fn ranks(sheet: &mut Sheet, &(n, k, size): &Case) -> Result<()> {
    let (device, y) = (sheet.device(), numbers((n, k, size)).labels);
    // Few values, so that many are equal.
    let logits: Vec<f64> = between("logits", n * k, -3.0, 3.0).iter().map(|z| z.round() * size).collect();
    let (on, on_y) = (tensor(device, [n, k], &logits), labels(device, &y));
    let first = |z: &[f64], but: Option<usize>| {
        (0..k).filter(|&class| Some(class) != but).reduce(|best, class| if z[class] > z[best] { class } else { best }).unwrap_or(0)
    };
    let best: Vec<u32> = logits.chunks(k).map(|z| first(z, None) as u32).collect();
    let second: Vec<i32> = logits.chunks(k).zip(&y).map(|(z, &y)| first(z, Some(y)) as i32).collect();
    let hits: Vec<u32> = best.iter().zip(&y).map(|(&best, &y)| u32::from(best as usize == y)).collect();
    sheet.equal("predictions", &parts::predictions(&on)?.to_vec(), &best);
    sheet.equal("hits", &parts::hits(&on, &on_y)?.to_vec(), &hits);
    sheet.equal("runners-up", &parts::runner_up(&on, &on_y)?.to_vec(), &second);
    for rank in [0, 1, 2, k - 2, k - 1] {
        let ranked = |(z, &y): (&[f64], &usize)| {
            let mut order: Vec<usize> = (0..k).filter(|&class| class != y).collect();
            order.sort_by(|&a, &b| z[b].partial_cmp(&z[a]).unwrap_or(std::cmp::Ordering::Equal));
            order.get(rank).copied().unwrap_or(0) as i32
        };
        let want: Vec<i32> = logits.chunks(k).zip(&y).map(ranked).collect();
        sheet.equal(format!("rivals at {rank}"), &parts::rival(&on, &on_y, rank)?.to_vec(), &want);
    }
    Ok(())
}
