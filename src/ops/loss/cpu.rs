//! Losses image by image. `z` are the logits of one; gradients are written.

use super::{Paired, Single};
use crate::base::{Result, fail};
use crate::tensor::{Array, Tensor};

/// The labels, each checked to be below `classes`.
pub fn classes(labels: &Array<i32>, classes: usize) -> Result<&[i32]> {
    let labels = labels.host();
    match labels.iter().position(|&label| label < 0 || label as usize >= classes) {
        Some(at) => Err(fail!("loss: label {} of image {at} is not below {classes} classes", labels[at])),
        None => Ok(labels),
    }
}

/// `loss` of every image, given (image, logits, label, their gradient). Errors: a label out of range.
pub fn single(logits: &Tensor, labels: &Array<i32>, loss: impl Fn(usize, &[f32], usize, &mut [f32]) -> f64) -> Result<Single> {
    let shape = logits.shape();
    let labels = classes(labels, shape[1])?;
    let (mut values, mut dlogits) = (Tensor::unspecified(logits.device(), [shape[0]]), Tensor::unspecified(logits.device(), shape));
    let rows = logits.host().chunks_exact(shape[1]).zip(dlogits.host_mut().chunks_exact_mut(shape[1]));
    for (n, ((z, dz), (value, &y))) in rows.zip(values.host_mut().iter_mut().zip(labels)).enumerate() {
        *value = loss(n, z, y as usize, dz) as f32;
    }
    Ok(Single { values, dlogits })
}

/// `loss` of every pair of images, given (adversarial logits, clean logits, image, their gradients).
pub fn paired(adv: &Tensor, clean: &Tensor, loss: impl Fn(&[f32], &[f32], usize, &mut [f32], &mut [f32]) -> f64) -> Paired {
    let shape = adv.shape();
    let blank = || Tensor::unspecified(adv.device(), shape);
    let (mut values, mut dadv, mut dclean) = (Tensor::unspecified(adv.device(), [shape[0]]), blank(), blank());
    let (k, da, dc) = (shape[1], dadv.host_mut(), dclean.host_mut());
    for (n, value) in values.host_mut().iter_mut().enumerate() {
        let row = n * k..(n + 1) * k;
        *value = loss(&adv.host()[row.clone()], &clean.host()[row.clone()], n, &mut da[row.clone()], &mut dc[row]) as f32;
    }
    Paired { values, dadv, dclean }
}

/// The class of one row of logits: the first of the largest.
pub fn best(z: &[f32]) -> usize {
    (1..z.len()).fold(0, |best, k| if z[k] > z[best] { k } else { best })
}

pub fn predictions(logits: &Tensor) -> Array<u32> {
    let shape = logits.shape();
    let found: Vec<u32> = logits.host().chunks_exact(shape[1]).map(|z| best(z) as u32).collect();
    Array::from_slice(logits.device(), [shape[0]], &found)
}

pub fn hits(logits: &Tensor, labels: &Array<i32>) -> Array<u32> {
    let shape = logits.shape();
    let rows = logits.host().chunks_exact(shape[1]).zip(labels.host());
    let found: Vec<u32> = rows.map(|(z, &y)| u32::from(best(z) as i32 == y && !z.iter().any(|z| z.is_nan()))).collect();
    Array::from_slice(logits.device(), [shape[0]], &found)
}

/// The classes by falling logits, the first of equals first.
fn order(z: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..z.len()).collect();
    // 0 and −0 are equal.
    order.sort_by(|&a, &b| (z[b] + 0.0).total_cmp(&(z[a] + 0.0)));
    order
}

pub fn rival(logits: &Tensor, labels: &Array<i32>, rank: usize) -> Array<i32> {
    let shape = logits.shape();
    let ranked = |(z, &y): (&[f32], &i32)| order(z).into_iter().filter(|&k| k as i32 != y).nth(rank).unwrap_or(0) as i32;
    let found: Vec<i32> = logits.host().chunks_exact(shape[1]).zip(labels.host()).map(ranked).collect();
    Array::from_slice(logits.device(), [shape[0]], &found)
}

/// log softmax in f64.
fn log_softmax(z: &[f32]) -> Vec<f64> {
    let top = z.iter().fold(f64::NEG_INFINITY, |top, &z| top.max(f64::from(z)));
    let log_sum = z.iter().map(|&z| (f64::from(z) - top).exp()).sum::<f64>().ln();
    z.iter().map(|&z| f64::from(z) - top - log_sum).collect()
}

/// Gradient of Σ_k g_k·p_k with respect to z, p = softmax(z): p_k·(g_k − Σ g·p), written to `dz`.
fn through_softmax(p: &[f64], g: &[f64], dz: &mut [f32]) {
    let mean: f64 = p.iter().zip(g).map(|(p, g)| p * g).sum();
    dz.iter_mut().zip(p.iter().zip(g)).for_each(|(dz, (p, g))| *dz = (p * (g - mean)) as f32);
}

pub fn cross_entropy(z: &[f32], y: usize, dz: &mut [f32]) -> f64 {
    let log_p = log_softmax(z);
    dz.iter_mut().zip(&log_p).enumerate().for_each(|(k, (dz, l))| *dz = (l.exp() - f64::from(u8::from(k == y))) as f32);
    -log_p[y]
}

pub fn boosted_cross_entropy(z: &[f32], y: usize, dz: &mut [f32]) -> f64 {
    let log_p = log_softmax(z);
    let p: Vec<f64> = log_p.iter().map(|l| l.exp()).collect();
    let mut rival = usize::from(y == 0);
    for k in 0..z.len() {
        if k != y && p[k] > p[rival] {
            rival = k;
        }
    }
    let margin = 1.0001 - p[rival] + 1e-12;
    let mut g = vec![0.0; z.len()];
    g[rival] = 1.0 / margin;
    through_softmax(&p, &g, dz);
    dz.iter_mut().zip(&p).enumerate().for_each(|(k, (dz, p))| *dz += (p - f64::from(u8::from(k == y))) as f32);
    -log_p[y] - margin.ln()
}

pub fn dlr(z: &[f32], y: usize, dz: &mut [f32]) -> f64 {
    let order = order(z);
    let (first, third) = (order[0], order[2]);
    let rival = if first == y { order[1] } else { first };
    let at = |k: usize| f64::from(z[k]);
    let (over, under) = (at(y) - at(rival), at(first) - at(third) + 1e-12);
    let mut g = vec![0.0; z.len()];
    g[y] -= 1.0 / under;
    g[rival] += 1.0 / under;
    g[first] += over / (under * under);
    g[third] -= over / (under * under);
    dz.iter_mut().zip(g).for_each(|(dz, g)| *dz = g as f32);
    -over / under
}

pub fn dlr_targeted(z: &[f32], y: usize, target: usize, dz: &mut [f32]) -> f64 {
    let order = order(z);
    let at = |k: usize| f64::from(z[k]);
    let (over, under) = (at(y) - at(target), at(order[0]) - 0.5 * (at(order[2]) + at(order[3])) + 1e-12);
    let mut g = vec![0.0; z.len()];
    g[y] -= 1.0 / under;
    g[target] += 1.0 / under;
    let bend = over / (under * under);
    for (place, share) in [(0, 1.0), (2, -0.5), (3, -0.5)] {
        g[order[place]] += share * bend;
    }
    dz.iter_mut().zip(g).for_each(|(dz, g)| *dz = g as f32);
    -over / under
}

pub fn kl(z: &[f32], c: &[f32], dz: &mut [f32], dc: &mut [f32]) -> f64 {
    let (log_p, log_q) = (log_softmax(z), log_softmax(c));
    let q: Vec<f64> = log_q.iter().map(|l| l.exp()).collect();
    let ratio: Vec<f64> = log_q.iter().zip(&log_p).map(|(q, p)| q - p).collect();
    dz.iter_mut().zip(log_p.iter().zip(&q)).for_each(|(dz, (p, q))| *dz = (p.exp() - q) as f32);
    through_softmax(&q, &ratio, dc);
    q.iter().zip(&ratio).map(|(q, r)| q * r).sum()
}

pub fn weighted_kl(z: &[f32], c: &[f32], y: usize, dz: &mut [f32], dc: &mut [f32]) -> f64 {
    let (log_p, log_q) = (log_softmax(z), log_softmax(c));
    let p: Vec<f64> = log_p.iter().map(|l| l.exp()).collect();
    let q: Vec<f64> = log_q.iter().map(|l| l.exp()).collect();
    let ratio: Vec<f64> = log_q.iter().zip(&p).map(|(q, p)| q - (p + 1e-12).ln()).collect();
    let divergence: f64 = q.iter().zip(&ratio).map(|(q, r)| q * r).sum();
    let weight = 1.000_000_1 - q[y];
    let through_p: Vec<f64> = p.iter().zip(&q).map(|(p, q)| -weight * q / (p + 1e-12)).collect();
    through_softmax(&p, &through_p, dz);
    // Of q: the divergence (the derivative of q·log q is log q + 1) and the weight's −q_y.
    let mut through_q: Vec<f64> = ratio.iter().map(|r| weight * (r + 1.0)).collect();
    through_q[y] -= divergence;
    through_softmax(&q, &through_q, dc);
    divergence * weight
}
