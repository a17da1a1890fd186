//! The losses: a value, the gradient at the adversarial and at the clean logits. Logits are [B, K], row-major.

/// A loss's value and its gradients.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The value.
    pub value: f64,
    /// The gradient at the adversarial logits, or at the only ones.
    pub d_adv: Vec<f64>,
    /// The gradient at the clean logits.
    pub d_clean: Vec<f64>,
}

/// log softmax of each row.
pub fn log_softmax(z: &[f64], k: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(z.len());
    for row in z.chunks(k) {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lse = max + row.iter().map(|v| (v - max).exp()).sum::<f64>().ln();
        out.extend(row.iter().map(|v| v - lse));
    }
    out
}

/// Softmax of each row.
pub fn softmax(z: &[f64], k: usize) -> Vec<f64> {
    log_softmax(z, k).iter().map(|l| l.exp()).collect()
}

/// The cross entropy of each row.
pub fn cross_entropy_each(z: &[f64], y: &[usize], k: usize) -> Vec<f64> {
    let log_p = log_softmax(z, k);
    y.iter().enumerate().map(|(b, &y)| -log_p[b * k + y]).collect()
}

/// Mean cross entropy of `z`, whose gradient is `d_adv`.
pub fn cross_entropy(z: &[f64], y: &[usize], k: usize) -> Loss {
    let batch = y.len() as f64;
    let mut d_adv = softmax(z, k);
    for (b, &y) in y.iter().enumerate() {
        d_adv[b * k + y] -= 1.0;
    }
    d_adv.iter_mut().for_each(|d| *d /= batch);
    Loss { value: cross_entropy_each(z, y, k).iter().sum::<f64>() / batch, d_adv, d_clean: vec![0.0; z.len()] }
}

/// KL(softmax clean ‖ softmax adv), summed over the batch.
pub fn kl_sum(adv: &[f64], clean: &[f64], k: usize) -> Loss {
    let (log_p, log_q) = (log_softmax(clean, k), log_softmax(adv, k));
    let mut loss = Loss { value: 0.0, d_adv: vec![0.0; adv.len()], d_clean: vec![0.0; adv.len()] };
    for row in 0..adv.len() / k {
        let kl: f64 = (row * k..row * k + k).map(|i| log_p[i].exp() * (log_p[i] - log_q[i])).sum();
        loss.value += kl;
        for i in row * k..row * k + k {
            loss.d_adv[i] = log_q[i].exp() - log_p[i].exp();
            loss.d_clean[i] = log_p[i].exp() * (log_p[i] - log_q[i] - kl);
        }
    }
    loss
}

/// CE(clean) + λ·KL/B.
pub fn trades(adv: &[f64], clean: &[f64], y: &[usize], k: usize, lambda: f64) -> Loss {
    let (ce, kl) = (cross_entropy(clean, y, k), kl_sum(adv, clean, k));
    let weight = lambda / y.len() as f64;
    Loss {
        value: ce.value + weight * kl.value,
        d_adv: kl.d_adv.iter().map(|d| weight * d).collect(),
        d_clean: ce.d_adv.iter().zip(&kl.d_clean).map(|(c, d)| c + weight * d).collect(),
    }
}

/// BCE(adv) + λ/B·Σ KL(p ‖ q)·(1.0000001 - p_y), with p of the clean logits, q of the adversarial ones,
/// log(q + 1e-12) in the KL, and BCE = CE(adv) - log(1.0001 - max_{k≠y} q_k + 1e-12).
pub fn mart(adv: &[f64], clean: &[f64], y: &[usize], k: usize, lambda: f64) -> Loss {
    let batch = y.len() as f64;
    let (p, q) = (softmax(clean, k), softmax(adv, k));
    let (log_p, ce) = (log_softmax(clean, k), cross_entropy(adv, y, k));
    let mut loss = Loss { value: ce.value, d_adv: ce.d_adv, d_clean: vec![0.0; adv.len()] };
    for (b, &y) in y.iter().enumerate() {
        let row = b * k..b * k + k;
        let rival = b * k + largest_except(&q[row.clone()], y);
        let (y, weight) = (b * k + y, 1.0000001 - p[b * k + y]);
        let ratio = |i: usize| log_p[i] - (q[i] + 1e-12).ln();
        let kl: f64 = row.clone().map(|i| p[i] * ratio(i)).sum();
        let gap = 1.0001 - q[rival] + 1e-12;
        loss.value += (-gap.ln() + lambda * kl * weight) / batch;
        // Gradients at the probabilities, then through softmax: dz_i = p_i·(dp_i - Σ_j p_j·dp_j).
        let dq: Vec<f64> = row.clone().map(|i| f64::from(u8::from(i == rival)) / gap - lambda * weight * p[i] / (q[i] + 1e-12)).collect();
        let dp: Vec<f64> = row.clone().map(|i| lambda * (weight * (ratio(i) + 1.0) - kl * f64::from(u8::from(i == y)))).collect();
        let mean_q: f64 = row.clone().zip(&dq).map(|(i, d)| q[i] * d).sum();
        let mean_p: f64 = row.clone().zip(&dp).map(|(i, d)| p[i] * d).sum();
        for (j, i) in row.enumerate() {
            loss.d_adv[i] += q[i] * (dq[j] - mean_q) / batch;
            loss.d_clean[i] += p[i] * (dp[j] - mean_p) / batch;
        }
    }
    loss
}

/// The difference of logits ratio, summed: -(z_y - max_{k≠y} z_k) / (z_π1 - z_π3 + 1e-12), π sorting downwards.
pub fn dlr_sum(z: &[f64], y: &[usize], k: usize) -> Loss {
    assert!(k >= 3, "dlr wants 3 classes or more");
    let mut loss = Loss { value: 0.0, d_adv: vec![0.0; z.len()], d_clean: vec![0.0; z.len()] };
    for (b, &y) in y.iter().enumerate() {
        let row = &z[b * k..b * k + k];
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|&i, &j| row[j].total_cmp(&row[i]));
        let rival = largest_except(row, y);
        let (above, below) = (row[y] - row[rival], row[order[0]] - row[order[2]] + 1e-12);
        loss.value -= above / below;
        let d = &mut loss.d_adv[b * k..b * k + k];
        d[y] -= 1.0 / below;
        d[rival] += 1.0 / below;
        d[order[0]] += above / (below * below);
        d[order[2]] -= above / (below * below);
    }
    loss
}

/// The targeted difference of logits ratio, summed: -(z_y - z_t) / (z_π1 - (z_π3 + z_π4) / 2 + 1e-12).
pub fn dlr_targeted_sum(z: &[f64], y: &[usize], targets: &[usize], k: usize) -> Loss {
    assert!(k >= 4, "the targeted dlr wants 4 classes or more");
    let mut loss = Loss { value: 0.0, d_adv: vec![0.0; z.len()], d_clean: vec![0.0; z.len()] };
    for (b, (&y, &t)) in y.iter().zip(targets).enumerate() {
        let row = &z[b * k..b * k + k];
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|&i, &j| row[j].total_cmp(&row[i]));
        let (above, below) = (row[y] - row[t], row[order[0]] - (row[order[2]] + row[order[3]]) / 2.0 + 1e-12);
        loss.value -= above / below;
        let d = &mut loss.d_adv[b * k..b * k + k];
        d[y] -= 1.0 / below;
        d[t] += 1.0 / below;
        d[order[0]] += above / (below * below);
        d[order[2]] -= above / (below * below) / 2.0;
        d[order[3]] -= above / (below * below) / 2.0;
    }
    loss
}

/// The index of the largest element of `row` other than `y` (the first of equals).
pub fn largest_except(row: &[f64], y: usize) -> usize {
    (0..row.len()).filter(|&i| i != y).reduce(|best, i| if row[i] > row[best] { i } else { best }).expect("two classes or more")
}
