//! Losses of one image. `z` are logits; gradients are written.

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
    let mut order: Vec<usize> = (0..z.len()).collect();
    order.sort_by(|&a, &b| z[b].total_cmp(&z[a]));
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
