//! Noise by image id, signed steps, projections.

use super::by;
use crate::base::rng::{Philox, Purpose};
use crate::base::{Result, ensure};
use crate::device::Device;
use crate::ops::pixel::{self, Noise};
use crate::selftest::data::*;
use crate::selftest::naive;
use crate::selftest::sheet::Sheet;
use crate::tensor::Tensor;

/// [N, H, W, C].
const CASES: [[usize; 4]; 6] = [[1, 1, 1, 1], [3, 5, 7, 3], [2, 9, 9, 1], [7, 4, 3, 2], [31, 1, 2, 1], [4, 64, 64, 3]];

const LAWS: [Noise; 3] = [Noise::Uniform(8.0 / 255.0), Noise::Normal(0.001), Noise::Sign];

pub fn table(sheet: &mut Sheet) {
    sheet.each("noise", &CASES, by, noise);
    sheet.each("signed step and displacement", &CASES, by, steps);
    sheet.each("sign", &CASES, by, sign);
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
