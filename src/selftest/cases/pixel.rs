//! Noise by image id, signed steps, projections.

use super::by;
use crate::base::rng::{Philox, Purpose};
use crate::base::{Result, ensure};
use crate::device::Device;
use crate::ops::pixel::{self, Ball, Noise, Norm, Stand};
use crate::selftest::data::*;
use crate::selftest::naive;
use crate::selftest::sheet::Sheet;
use crate::tensor::{Array, Tensor};

/// [N, H, W, C].
const CASES: [[usize; 4]; 6] = [[1, 1, 1, 1], [3, 5, 7, 3], [2, 9, 9, 1], [7, 4, 3, 2], [31, 1, 2, 1], [4, 64, 64, 3]];

const LAWS: [Noise; 3] = [Noise::Uniform(8.0 / 255.0), Noise::Normal(0.001), Noise::Sign];

pub fn table(sheet: &mut Sheet) {
    sheet.each("noise", &CASES, by, noise);
    sheet.each("signed step and displacement", &CASES, by, steps);
    sheet.each("sign", &CASES, by, sign);
    sheet.each("unit", &CASES, by, unit);
    sheet.each("momentum step", &CASES, by, momentum);
    sheet.each("adaptive step", &CASES, by, adaptive);
    sheet.each("replace", &CASES, by, replace);
}

/// The stream's at every index.
fn noise(sheet: &mut Sheet, &shape: &[usize; 4]) -> Result<()> {
    let (device, len) = (sheet.device(), count(&shape[1..]));
    let streams: Vec<Philox> = (100..100 + shape[0] as u64).map(|id| Philox::stream(7, Purpose::Attack, &[id, 3])).collect();
    let like = Tensor::zeros(device, shape);
    for law in LAWS {
        let got = twice(device, || Ok(vec![pixel::noise(&like, law, &streams)?]))?.remove(0);
        let drawn = |i: usize| {
            let (stream, at) = (streams[i / len], (i % len) as u64);
            match law {
                Noise::Uniform(radius) => radius * (2.0 * stream.uniform(at) - 1.0),
                Noise::Normal(deviation) => deviation * stream.normal(at),
                Noise::Sign if stream.word(at) >> 31 == 0 => 1.0,
                Noise::Sign => -1.0,
            }
        };
        let want: Vec<f32> = (0..got.len()).map(drawn).collect();
        match (device, law) {
            // The CPU's sine is another than the GPU's, in f64: the last bit of f32 may differ.
            (Device::Gpu(_), Noise::Normal(_)) => {
                let want: Vec<f64> = want.into_iter().map(f64::from).collect();
                sheet.within(format!("{law:?}"), &got, &want, |i| want[i].abs() * f64::from(f32::EPSILON) + 1e-15);
            }
            _ => sheet.same_bits(format!("{law:?}"), &got, &want),
        }
    }
    Ok(())
}

fn steps(sheet: &mut Sheet, &shape: &[usize; 4]) -> Result<()> {
    let (device, n) = (sheet.device(), count(&shape));
    let x = between("pixels", n, 0.0, 1.0);
    let adv: Vec<f64> = x.iter().zip(random("adv", n)).map(|(x, d)| f64::from((x + 0.05 * d).clamp(0.0, 1.0) as f32)).collect();
    let g: Vec<f64> = random("g", n).iter().map(|g| if g.abs() < 0.2 { 0.0 } else { *g }).collect();
    let [on_x, on_adv, on_g] = [&x, &adv, &g].map(|values| tensor(device, shape, values));
    for (alpha, eps) in [(0.01f32, 0.03f32), (0.25, 0.05), (0.0, 0.02), (-0.01, 8.0 / 255.0)] {
        let got = twice(device, || Ok(vec![pixel::signed_step(&on_x, &on_adv, &on_g, alpha, eps)?]))?;
        let want = naive::signed_step(&adv, &g, &x, f64::from(alpha), f64::from(eps));
        sheet.within(format!("α {alpha}, ε {eps}"), &got[0], &want, |_| 4.0 * U);
        ensure!(got[0].iter().all(|v| (0.0..=1.0).contains(v)), "α {alpha}, ε {eps}: a pixel outside 0..1");
    }
    let got = twice(device, || Ok(vec![pixel::displace(&on_x, &on_g, 0.3)?]))?;
    let want: Vec<f64> = x.iter().zip(&g).map(|(x, g)| (x + f64::from(0.3f32) * g).clamp(0.0, 1.0)).collect();
    sheet.within("displaced", &got[0], &want, |_| 3.0 * U);
    Ok(())
}

/// Minus one, zero and one.
fn sign(sheet: &mut Sheet, &shape: &[usize; 4]) -> Result<()> {
    let device = sheet.device();
    let x: Vec<f64> = random("x", count(&shape)).iter().map(|x| if x.abs() < 0.2 { 0.0 * x } else { *x }).collect();
    let on = tensor(device, shape, &x);
    let got = twice(device, || Ok(vec![pixel::sign(&on)]))?;
    let want: Vec<f32> = x.iter().map(|&x| if x == 0.0 { 0.0 } else { x.signum() as f32 }).collect();
    sheet.same_bits("sign", &got[0], &want);
    Ok(())
}

/// The first image is all zeros and stays so.
fn unit(sheet: &mut Sheet, &shape: &[usize; 4]) -> Result<()> {
    let (device, len) = (sheet.device(), count(&shape[1..]));
    let mut x = random("x", count(&shape));
    if shape[0] > 1 {
        x[..len].fill(0.0);
    }
    let on = tensor(device, shape, &x);
    for (norm, want) in [(Norm::Linf, naive::unit_linf(&x, len)), (Norm::L2, naive::unit_l2(&x, len))] {
        let got = twice(device, || Ok(vec![pixel::unit(&on, norm)]))?;
        sheet.close(format!("{norm:?}"), &got[0], &want, (0.0, 1.01 * U));
    }
    Ok(())
}

/// Step sizes of every image's own, with and without momentum, from inside the ball and from its rim.
fn momentum(sheet: &mut Sheet, &shape: &[usize; 4]) -> Result<()> {
    let (device, n, len) = (sheet.device(), count(&shape), count(&shape[1..]));
    let x = between("pixels", n, 0.0, 1.0);
    let near = |name: &str, far: f64| -> Vec<f64> {
        x.iter().zip(random(name, n)).map(|(x, d)| f64::from((x + far * d).clamp(0.0, 1.0) as f32)).collect()
    };
    let (adv, old) = (near("adv", 0.05), near("old", 0.03));
    let g: Vec<f64> = random("g", n).iter().map(|g| if g.abs() < 0.2 { 0.0 } else { *g }).collect();
    let steps: Vec<f64> = (0..shape[0]).map(|image| 0.125 / f64::from(1 << (image % 4))).collect();
    let [on_x, on_adv, on_old, on_g] = [&x, &adv, &old, &g].map(|values| tensor(device, shape, values));
    let on_steps = tensor(device, [shape[0]], &steps);
    let stand = Stand { images: &on_x, adv: &on_adv, previous: &on_old, gradient: &on_g, steps: &on_steps };
    for (norm, eps, share) in [(Norm::Linf, 0.0625f32, 1.0f32), (Norm::Linf, 0.04, 0.75), (Norm::L2, 0.5, 1.0), (Norm::L2, 0.03, 0.75)] {
        let got = twice(device, || Ok(vec![pixel::momentum_step(&stand, Ball { norm, eps }, share)?]))?;
        let (radius, part) = (f64::from(eps), f64::from(share));
        let of = [&x[..], &adv, &old, &g];
        let want = match norm {
            Norm::Linf => {
                let signs = |g: &[f64]| g.iter().map(|&g| naive::sign(g)).collect();
                naive::momentum_step(of, &steps, len, |z| naive::project(z, &x, radius), signs, part)
            }
            Norm::L2 => naive::momentum_step(of, &steps, len, |z| naive::project_l2(z, &x, radius, len), |g| naive::unit_l2(g, len), part),
        };
        // A dozen roundings of numbers no larger than one; a length that is rounded moves every pixel by as small a share.
        sheet.within(format!("{norm:?}, ε {eps}, share {share}"), &got[0], &want, |_| 12.0 * U);
        ensure!(got[0].iter().all(|v| (0.0..=1.0).contains(v)), "{norm:?}, ε {eps}: a pixel outside 0..1");
    }
    Ok(())
}

/// Three steps, the second without any gradient of the first image.
fn adaptive(sheet: &mut Sheet, &shape: &[usize; 4]) -> Result<()> {
    let (device, n, len) = (sheet.device(), count(&shape), count(&shape[1..]));
    let x = between("pixels", n, 0.0, 1.0);
    let (on_x, eps) = (tensor(device, shape, &x), 0.04f32);
    let (mut momentum, mut adv, mut want) = (pixel::Momentum::of(&on_x), on_x.clone(), x.clone());
    let (mut mean, mut squares) = (vec![0.0; n], vec![0.0; n]);
    for (place, step) in [0.04, 0.03, 0.015].into_iter().enumerate() {
        let mut g: Vec<f64> = random(&format!("g {place}"), n).iter().map(|g| if g.abs() < 0.2 { 0.0 } else { *g }).collect();
        if place == 1 {
            g[..len].fill(0.0);
        }
        adv = pixel::adaptive_step(&on_x, &adv, &tensor(device, shape, &g), &mut momentum, step, eps)?;
        want = naive::adaptive_step([&x, &want, &g], &mut mean, &mut squares, len, step, f64::from(eps));
        // Each step rounds what it adds, and the sum.
        sheet.within(format!("step {place}"), &adv.to_vec(), &want, |_| 3.0 * (place + 1) as f64 * U);
        ensure!(adv.to_vec().iter().all(|v| (0.0..=1.0).contains(v)), "step {place}: a pixel outside 0..1");
    }
    Ok(())
}

fn replace(sheet: &mut Sheet, &shape: &[usize; 4]) -> Result<()> {
    let (device, len) = (sheet.device(), count(&shape[1..]));
    let (old, new) = (tensor(device, shape, &random("old", count(&shape))), tensor(device, shape, &random("new", count(&shape))));
    let mask: Vec<u32> = (0..shape[0] as u32).map(|image| image * 3 % 4).collect();
    let on_mask = Array::from_slice(device, [shape[0]], &mask);
    let (was, from) = (old.to_vec(), new.to_vec());
    let want: Vec<f32> = (0..was.len()).map(|i| if mask[i / len] == 0 { was[i] } else { from[i] }).collect();
    let mut to = old.copied();
    pixel::replace(&mut to, &on_mask, &new)?;
    sheet.same_bits("replaced", &to.to_vec(), &want);
    sheet.same_bits("the other handle's", &old.to_vec(), &was);
    Ok(())
}
