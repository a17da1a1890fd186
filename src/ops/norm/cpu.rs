//! Batch normalisation on the CPU: fixed strips of rows, f64 sums added in order.

use super::{Affine, EPSILON, Gradients, MOMENTUM, Moments, Moving};
use crate::device::{Cpu, Disjoint};
use crate::ops::vector::{LANES, lanes, load, simd, store};
use crate::ops::wide::wide;
use crate::tensor::Tensor;

/// Rows a strip: a function of the sizes alone, so that sums have the same bits on any number of threads.
const STRIP: usize = 512;

/// Per channel (Σ a, Σ b) of what `add` makes of each strip of rows.
fn sums(
    cpu: &Cpu,
    rows: usize,
    channels: usize,
    add: impl Fn(std::ops::Range<usize>, &mut [f64], &mut [f64]) + Sync + Send,
) -> Vec<(f64, f64)> {
    let partial = cpu.map(rows.div_ceil(STRIP), |strip| {
        let (mut a, mut b) = (vec![0.0; channels], vec![0.0; channels]);
        add(strip * STRIP * channels..((strip + 1) * STRIP).min(rows) * channels, &mut a, &mut b);
        (a, b)
    });
    let mut total = vec![(0.0, 0.0); channels];
    for (a, b) in partial {
        total.iter_mut().zip(a.into_iter().zip(b)).for_each(|(total, (a, b))| *total = (total.0 + a, total.1 + b));
    }
    total
}

pub fn moments(cpu: &Cpu, y: &Tensor) -> Moments {
    let channels = y.shape()[4];
    let rows = y.shape().count() / channels;
    // Shifted by the first row, so that a mean far from zero costs no digits.
    let pivot = &y.host()[..channels];
    let total = sums(cpu, rows, channels, |range, a, b| add_squares(cpu.isa(), &y.host()[range], pivot, a, b));
    let n = rows as f64;
    let mean: Vec<f32> = total.iter().zip(pivot).map(|((sum, _), &p)| (f64::from(p) + sum / n) as f32).collect();
    // Rounding may leave a little less than 0; NaN stays NaN.
    let positive = |x: f64| if x < 0.0 { 0.0 } else { x };
    let variance: Vec<f32> = total.iter().map(|(sum, squares)| positive((squares - sum * sum / n) / n) as f32).collect();
    Moments { mean: Tensor::from_slice(y.device(), [channels], &mean), variance: Tensor::from_slice(y.device(), [channels], &variance) }
}

simd! {
    fn add_squares(values: &[f32], pivot: &[f32], sum: &mut [f64], squares: &mut [f64]) {
        let channels = pivot.len();
        for c in lanes(channels) {
            let (pivot, mut s, mut q) = (load(&pivot[c.clone()]), [0.0f64; LANES], [0.0f64; LANES]);
            for row in values.chunks_exact(channels) {
                let x = load(&row[c.clone()]);
                for i in 0..LANES {
                    let x = f64::from(x[i]) - f64::from(pivot[i]);
                    s[i] += x;
                    q[i] += x * x;
                }
            }
            store(&mut sum[c.clone()], &s);
            store(&mut squares[c], &q);
        }
    }
}

pub fn affine(moments: &Moments, weight: &Tensor, bias: &Tensor) -> Affine {
    let channels = weight.shape().count();
    let (mut scale, mut shift) = (Tensor::unspecified(weight.device(), [channels]), Tensor::unspecified(weight.device(), [channels]));
    for c in 0..channels {
        let inverse = 1.0 / (f64::from(moments.variance.host()[c]) + EPSILON).sqrt();
        let s = f64::from(weight.host()[c]) * inverse;
        scale.host_mut()[c] = s as f32;
        shift.host_mut()[c] = (f64::from(bias.host()[c]) - f64::from(moments.mean.host()[c]) * s) as f32;
    }
    Affine { scale, shift }
}

pub fn apply(cpu: &Cpu, y: &Tensor, affine: &Affine) -> Tensor {
    let channels = y.shape()[4];
    // A few channels are repeated until they fill vectors.
    let times = if channels < LANES { LANES } else { 1 };
    let (scale, shift) = (affine.scale.host().repeat(times), affine.shift.host().repeat(times));
    let mut x = Tensor::unspecified(y.device(), y.shape());
    let out = Disjoint::new(x.host_mut());
    cpu.pieces(y.shape().count(), STRIP * scale.len(), |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { out.part(range.clone()) };
        scale_rows(cpu.isa(), &y.host()[range], &scale, &shift, out);
    });
    x
}

wide! {
    fn scale_rows(y: &[f32], scale: &[f32], shift: &[f32], out: &mut [f32]) {
        for (row, out) in y.chunks(scale.len()).zip(out.chunks_mut(scale.len())) {
            for c in lanes(row.len()) {
                let x = V::load(&row[c.clone()]).mul(V::load(&scale[c.clone()])).add(V::load(&shift[c.clone()]));
                x.store(&mut out[c]);
            }
        }
    }
}

pub fn backward(cpu: &Cpu, dx: &Tensor, y: &Tensor, moments: &Moments, weight: &Tensor, moving: Moving) -> Gradients {
    let channels = y.shape()[4];
    let rows = y.shape().count() / channels;
    let inverse: Vec<f32> = moments.variance.host().iter().map(|&v| (1.0 / (f64::from(v) + EPSILON).sqrt()) as f32).collect();
    let mean = moments.mean.host();
    let total = sums(cpu, rows, channels, |range, a, b| {
        add_products(cpu.isa(), &dx.host()[range.clone()], &y.host()[range], mean, &inverse, a, b);
    });
    // dy = scale · dx − (offset + slope · (y − mean)), the bracket 0 for constant moments.
    let scale: Vec<f32> = weight.host().iter().zip(&inverse).map(|(w, inverse)| w * inverse).collect();
    let n = rows as f64;
    let share = if moving == Moving::Batch { 1.0 / n } else { 0.0 };
    let offset: Vec<f32> = total.iter().zip(&scale).map(|((sum, _), &s)| (sum * share * f64::from(s)) as f32).collect();
    let slope: Vec<f32> = total
        .iter()
        .zip(scale.iter().zip(&inverse))
        .map(|((_, product), (&s, &i))| (product * share * f64::from(s) * f64::from(i)) as f32)
        .collect();
    let mut dy = Tensor::unspecified(y.device(), y.shape());
    let out = Disjoint::new(dy.host_mut());
    cpu.pieces(y.shape().count(), STRIP * channels, |range| {
        // SAFETY: the pieces do not overlap.
        let out = unsafe { out.part(range.clone()) };
        project(cpu.isa(), &dx.host()[range.clone()], &y.host()[range], &scale, mean, &offset, &slope, out);
    });
    let vector = |pick: fn(&(f64, f64)) -> f64| {
        Tensor::from_slice(y.device(), [channels], &total.iter().map(|total| pick(total) as f32).collect::<Vec<_>>())
    };
    Gradients { dy, dbias: vector(|total| total.0), dweight: vector(|total| total.1) }
}

simd! {
    fn add_products(dx: &[f32], y: &[f32], mean: &[f32], inverse: &[f32], sum: &mut [f64], product: &mut [f64]) {
        let channels = mean.len();
        for c in lanes(channels) {
            let (mean, inverse) = (load(&mean[c.clone()]), load(&inverse[c.clone()]));
            let (mut s, mut p) = ([0.0f64; LANES], [0.0f64; LANES]);
            for (dx, y) in dx.chunks_exact(channels).zip(y.chunks_exact(channels)) {
                let (dx, y) = (load(&dx[c.clone()]), load(&y[c.clone()]));
                for i in 0..LANES {
                    s[i] += f64::from(dx[i]);
                    p[i] += f64::from(dx[i] * ((y[i] - mean[i]) * inverse[i]));
                }
            }
            store(&mut sum[c.clone()], &s);
            store(&mut product[c], &p);
        }
    }
}

wide! {
    fn project(dx: &[f32], y: &[f32], scale: &[f32], mean: &[f32], offset: &[f32], slope: &[f32], out: &mut [f32]) {
        let channels = mean.len();
        for c in lanes(channels) {
            let (scale, mean) = (V::load(&scale[c.clone()]), V::load(&mean[c.clone()]));
            let (offset, slope) = (V::load(&offset[c.clone()]), V::load(&slope[c.clone()]));
            for ((dx, y), out) in dx.chunks_exact(channels).zip(y.chunks_exact(channels)).zip(out.chunks_exact_mut(channels)) {
                let back = V::load(&y[c.clone()]).sub(mean).mul(slope).add(offset);
                V::load(&dx[c.clone()]).mul(scale).sub(back).store(&mut out[c.clone()]);
            }
        }
    }
}

pub fn running(mean: &Tensor, variance: &Tensor, batch: &Moments, unbiased: f32) -> (Tensor, Tensor) {
    let blend = |old: &Tensor, new: &Tensor, factor: f32| {
        let values: Vec<f32> =
            old.host().iter().zip(new.host()).map(|(old, new)| (1.0 - MOMENTUM) * old + MOMENTUM * factor * new).collect();
        Tensor::from_slice(old.device(), old.shape(), &values)
    };
    (blend(mean, &batch.mean, 1.0), blend(variance, &batch.variance, unbiased))
}
