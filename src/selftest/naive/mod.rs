//! Naive f64 oracles of the layers, channels-last: images [N, H, W, C], weights [C_out, kh, kw, C_in].
//!
//! Each is written from the method's equations alone and imports nothing of the program, so that both cannot be wrong in the
//! same way. An oracle reads like the formula: plain indices, all extents as arguments.

#![allow(clippy::needless_range_loop, clippy::too_many_arguments)]

pub mod losses;
pub mod neuron;

pub use losses::*;
pub use neuron::*;

/// A convolution's extents; `kernel` is (kh, kw).
#[derive(Debug, Clone, Copy)]
pub struct Conv {
    /// Images.
    pub n: usize,
    /// Height of an image.
    pub h: usize,
    /// Its width.
    pub w: usize,
    /// Its channels.
    pub c_in: usize,
    /// Channels of the result.
    pub c_out: usize,
    /// (kh, kw).
    pub kernel: (usize, usize),
    /// Stride, both ways.
    pub stride: usize,
    /// Zero padding, all four sides.
    pub pad: usize,
}

impl Conv {
    /// (h, w) of the output.
    pub fn out(&self) -> (usize, usize) {
        let along = |extent: usize, k: usize| (extent + 2 * self.pad - k) / self.stride + 1;
        (along(self.h, self.kernel.0), along(self.w, self.kernel.1))
    }

    /// Elements of input, weight and output.
    pub fn counts(&self) -> (usize, usize, usize) {
        let (oh, ow) = self.out();
        (self.n * self.h * self.w * self.c_in, self.c_out * self.kernel.0 * self.kernel.1 * self.c_in, self.n * oh * ow * self.c_out)
    }

    /// Calls `f(x index, w index, y index)` for every product of the convolution.
    fn products(&self, mut f: impl FnMut(usize, usize, usize)) {
        let (oh, ow) = self.out();
        let (kh, kw) = self.kernel;
        for n in 0..self.n {
            for oy in 0..oh {
                for ox in 0..ow {
                    for ky in 0..kh {
                        for kx in 0..kw {
                            let (iy, ix) = (oy * self.stride + ky, ox * self.stride + kx); // in the padded image
                            if iy < self.pad || ix < self.pad || iy >= self.h + self.pad || ix >= self.w + self.pad {
                                continue;
                            }
                            let x = ((n * self.h + iy - self.pad) * self.w + ix - self.pad) * self.c_in;
                            let y = ((n * oh + oy) * ow + ox) * self.c_out;
                            for o in 0..self.c_out {
                                let w = ((o * kh + ky) * kw + kx) * self.c_in;
                                for i in 0..self.c_in {
                                    f(x + i, w + i, y + o);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// y = conv(x, w) + bias; an empty `bias` is none.
pub fn conv_forward(conv: Conv, x: &[f64], w: &[f64], bias: &[f64]) -> Vec<f64> {
    assert_eq!((x.len(), w.len()), (conv.counts().0, conv.counts().1));
    let mut y = vec![0.0; conv.counts().2];
    conv.products(|xi, wi, yi| y[yi] += x[xi] * w[wi]);
    for (i, v) in y.iter_mut().enumerate().filter(|_| !bias.is_empty()) {
        *v += bias[i % conv.c_out];
    }
    y
}

/// dx for dy.
pub fn conv_backward_input(conv: Conv, w: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; conv.counts().0];
    conv.products(|xi, wi, yi| dx[xi] += w[wi] * dy[yi]);
    dx
}

/// dw for dy.
pub fn conv_backward_weight(conv: Conv, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dw = vec![0.0; conv.counts().1];
    conv.products(|xi, wi, yi| dw[wi] += x[xi] * dy[yi]);
    dw
}

/// d bias for dy, of a convolution or a linear layer: the sum of each channel.
pub fn bias_backward(dy: &[f64], c_out: usize) -> Vec<f64> {
    channel_sums(dy, c_out)
}

/// y [N, out] = x [N, in]·wᵀ [out, in] + bias; an empty `bias` is none.
pub fn linear_forward(x: &[f64], w: &[f64], bias: &[f64], n: usize, fan_in: usize, out: usize) -> Vec<f64> {
    let mut y = vec![0.0; n * out];
    for b in 0..n {
        for o in 0..out {
            let sum: f64 = (0..fan_in).map(|i| x[b * fan_in + i] * w[o * fan_in + i]).sum();
            y[b * out + o] = sum + bias.get(o).unwrap_or(&0.0);
        }
    }
    y
}

/// dx [N, in] = dy·w.
pub fn linear_backward_input(w: &[f64], dy: &[f64], n: usize, fan_in: usize, out: usize) -> Vec<f64> {
    let mut dx = vec![0.0; n * fan_in];
    for b in 0..n {
        for i in 0..fan_in {
            dx[b * fan_in + i] = (0..out).map(|o| dy[b * out + o] * w[o * fan_in + i]).sum();
        }
    }
    dx
}

/// dw [out, in] = dyᵀ·x.
pub fn linear_backward_weight(x: &[f64], dy: &[f64], n: usize, fan_in: usize, out: usize) -> Vec<f64> {
    let mut dw = vec![0.0; out * fan_in];
    for o in 0..out {
        for i in 0..fan_in {
            dw[o * fan_in + i] = (0..n).map(|b| dy[b * out + o] * x[b * fan_in + i]).sum();
        }
    }
    dw
}

/// What is added to a variance.
pub const NORM_EPS: f64 = 1e-5;
/// The share of the batch in new running statistics.
pub const NORM_MOMENTUM: f64 = 0.1;

/// Which statistics a batch norm reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistics {
    /// The running ones, which stay.
    Running,
    /// The batch's, which move the running ones.
    Batch,
    /// The batch's; the running ones stay.
    BatchFrozen,
}

/// A batch norm's output [rows, C], the statistics it used (variance biased), the running ones after it (variance unbiased).
#[derive(Debug, Clone)]
pub struct Normed {
    /// The output.
    pub y: Vec<f64>,
    /// Used.
    pub mean: Vec<f64>,
    /// Used, biased.
    pub var: Vec<f64>,
    /// Afterwards.
    pub running_mean: Vec<f64>,
    /// Afterwards, of unbiased ones.
    pub running_var: Vec<f64>,
}

/// Batch norm over x [rows, C]. A row stands for `copies` equal frames (1 for explicit frames, T for a held
/// signal): the unbiased variance divides by rows·copies - 1.
pub fn norm_forward(
    x: &[f64],
    weight: &[f64],
    bias: &[f64],
    running_mean: &[f64],
    running_var: &[f64],
    statistics: Statistics,
    copies: usize,
) -> Normed {
    let c = weight.len();
    let rows = x.len() / c;
    let (mut mean, mut var) = (running_mean.to_vec(), running_var.to_vec());
    let (mut next_mean, mut next_var) = (running_mean.to_vec(), running_var.to_vec());
    if statistics != Statistics::Running {
        let frames = (rows * copies) as f64;
        for k in 0..c {
            mean[k] = (0..rows).map(|r| x[r * c + k]).sum::<f64>() / rows as f64;
            var[k] = (0..rows).map(|r| (x[r * c + k] - mean[k]).powi(2)).sum::<f64>() / rows as f64;
            if statistics == Statistics::Batch {
                assert!(frames > 1.0, "batch statistics of one value");
                next_mean[k] = (1.0 - NORM_MOMENTUM) * running_mean[k] + NORM_MOMENTUM * mean[k];
                next_var[k] = (1.0 - NORM_MOMENTUM) * running_var[k] + NORM_MOMENTUM * var[k] * frames / (frames - 1.0);
            }
        }
    }
    let y = x.iter().enumerate().map(|(i, v)| (v - mean[i % c]) / (var[i % c] + NORM_EPS).sqrt() * weight[i % c] + bias[i % c]).collect();
    Normed { y, mean, var, running_mean: next_mean, running_var: next_var }
}

/// (dx, dweight, dbias) of [`norm_forward`], given the statistics it used.
pub fn norm_backward(x: &[f64], weight: &[f64], used: &Normed, dy: &[f64], statistics: Statistics) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let c = weight.len();
    let rows = (x.len() / c) as f64;
    let hat: Vec<f64> = x.iter().enumerate().map(|(i, v)| (v - used.mean[i % c]) / (used.var[i % c] + NORM_EPS).sqrt()).collect();
    let d_bias = channel_sums(dy, c);
    let d_weight = channel_sums(&dy.iter().zip(&hat).map(|(d, h)| d * h).collect::<Vec<_>>(), c);
    let dx = (0..x.len())
        .map(|i| {
            let k = i % c;
            let centred = match statistics {
                Statistics::Running => dy[i],
                _ => dy[i] - d_bias[k] / rows - hat[i] * d_weight[k] / rows,
            };
            centred * weight[k] / (used.var[k] + NORM_EPS).sqrt()
        })
        .collect();
    (dx, d_weight, d_bias)
}

/// 2x2 average pooling, stride 2, of [N, H, W, C]; an odd last row or column is dropped.
pub fn pool_forward(x: &[f64], [n, h, w, c]: [usize; 4]) -> Vec<f64> {
    let mut y = vec![0.0; n * (h / 2) * (w / 2) * c];
    pool_pairs([n, h, w, c], |xi, yi| y[yi] += x[xi] / 4.0);
    y
}

/// dx of [`pool_forward`]; the extents are the input's.
pub fn pool_backward(dy: &[f64], [n, h, w, c]: [usize; 4]) -> Vec<f64> {
    let mut dx = vec![0.0; n * h * w * c];
    pool_pairs([n, h, w, c], |xi, yi| dx[xi] = dy[yi] / 4.0);
    dx
}

fn pool_pairs([n, h, w, c]: [usize; 4], mut f: impl FnMut(usize, usize)) {
    for b in 0..n {
        for y in 0..h / 2 * 2 {
            for x in 0..w / 2 * 2 {
                for k in 0..c {
                    f(((b * h + y) * w + x) * c + k, ((b * (h / 2) + y / 2) * (w / 2) + x / 2) * c + k);
                }
            }
        }
    }
}

/// The mean over H and W: [N, H, W, C] → [N, C].
pub fn global_pool_forward(x: &[f64], [n, h, w, c]: [usize; 4]) -> Vec<f64> {
    let mut y = vec![0.0; n * c];
    for i in 0..x.len() {
        y[i / (h * w * c) * c + i % c] += x[i] / (h * w) as f64;
    }
    y
}

/// dx of [`global_pool_forward`].
pub fn global_pool_backward(dy: &[f64], [n, h, w, c]: [usize; 4]) -> Vec<f64> {
    (0..n * h * w * c).map(|i| dy[i / (h * w * c) * c + i % c] / (h * w) as f64).collect()
}

/// max(x, 0).
pub fn relu_forward(x: &[f64]) -> Vec<f64> {
    x.iter().map(|v| v.max(0.0)).collect()
}

/// dy where x > 0.
pub fn relu_backward(x: &[f64], dy: &[f64]) -> Vec<f64> {
    x.iter().zip(dy).map(|(v, d)| if *v > 0.0 { *d } else { 0.0 }).collect()
}

/// c0·a + c1·b.
pub fn convex_forward(a: &[f64], b: &[f64], [c0, c1]: [f64; 2]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| c0 * a + c1 * b).collect()
}

/// (da, db, [dc0, dc1]).
pub fn convex_backward(a: &[f64], b: &[f64], [c0, c1]: [f64; 2], dy: &[f64]) -> (Vec<f64>, Vec<f64>, [f64; 2]) {
    let dot = |v: &[f64]| v.iter().zip(dy).map(|(v, d)| v * d).sum();
    (dy.iter().map(|d| c0 * d).collect(), dy.iter().map(|d| c1 * d).collect(), [dot(a), dot(b)])
}

/// One SGD step in place: g += wd·p; b = g at the first step, else momentum·b + g; p -= lr·b.
/// `buffer` is `None` before the first step.
pub fn sgd_step(p: &mut [f64], g: &[f64], buffer: &mut Option<Vec<f64>>, lr: f64, momentum: f64, weight_decay: f64) {
    let g: Vec<f64> = g.iter().zip(&*p).map(|(g, p)| g + weight_decay * p).collect();
    let b = match buffer.take() {
        None => g,
        Some(b) => b.iter().zip(&g).map(|(b, g)| momentum * b + g).collect(),
    };
    p.iter_mut().zip(&b).for_each(|(p, b)| *p -= lr * b);
    *buffer = Some(b);
}

/// The rank of a percentile, from 1: k = 1 + round(q·(n - 1)) for q = `numerator`/`denominator`, half to even, in integers.
pub fn percentile_rank(n: u64, numerator: u64, denominator: u64) -> u64 {
    let product = u128::from(numerator) * u128::from(n - 1);
    let (whole, rest) = (product / u128::from(denominator), product % u128::from(denominator));
    let up = match (2 * rest).cmp(&u128::from(denominator)) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => whole % 2,
        std::cmp::Ordering::Greater => 1,
    };
    (1 + whole + up) as u64
}

/// The k-th smallest of `values`, k as in [`percentile_rank`]; 99.7 % is 997/1000.
pub fn percentile<V: Copy + PartialOrd>(values: &[V], numerator: u64, denominator: u64) -> V {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    sorted[percentile_rank(values.len() as u64, numerator, denominator) as usize - 1]
}

/// sign with sign(0) = 0.
pub fn sign(v: f64) -> f64 {
    if v == 0.0 { 0.0 } else { v.signum() }
}

/// x + clamp(adv - x, ±eps), then [0, 1].
pub fn project(adv: &[f64], x: &[f64], eps: f64) -> Vec<f64> {
    adv.iter().zip(x).map(|(a, x)| (x + (a - x).clamp(-eps, eps)).clamp(0.0, 1.0)).collect()
}

/// adv + alpha·sign(g), projected.
pub fn signed_step(adv: &[f64], g: &[f64], x: &[f64], alpha: f64, eps: f64) -> Vec<f64> {
    let moved: Vec<f64> = adv.iter().zip(g).map(|(a, g)| a + alpha * sign(*g)).collect();
    project(&moved, x, eps)
}

/// Each image of `len` numbers over its largest absolute value.
pub fn unit_linf(x: &[f64], len: usize) -> Vec<f64> {
    unit(x, len, |image| image.iter().fold(0.0, |most: f64, v| most.max(v.abs())))
}

/// Each image of `len` numbers over its l2 norm.
pub fn unit_l2(x: &[f64], len: usize) -> Vec<f64> {
    unit(x, len, norm_l2)
}

fn unit(x: &[f64], len: usize, size: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let over = |image: &[f64]| {
        let size = size(image) + 1e-12;
        image.iter().map(|v| v / size).collect::<Vec<_>>()
    };
    x.chunks(len).flat_map(over).collect()
}

/// The root of the sum of squares.
pub fn norm_l2(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Each image of `adv` drawn into the l2 ball around its image of `x`, then into `[0,1]`.
pub fn project_l2(adv: &[f64], x: &[f64], eps: f64, len: usize) -> Vec<f64> {
    let away: Vec<f64> = adv.iter().zip(x).map(|(a, x)| a - x).collect();
    let (direction, lengths): (_, Vec<f64>) = (unit_l2(&away, len), away.chunks(len).map(norm_l2).collect());
    (0..x.len()).map(|i| (x[i] + direction[i] * lengths[i / len].min(eps)).clamp(0.0, 1.0)).collect()
}

/// A step of APGD on images of `len` numbers, each with its own step size.
pub fn momentum_step(
    [x, adv, old, g]: [&[f64]; 4],
    steps: &[f64],
    len: usize,
    project: impl Fn(&[f64]) -> Vec<f64>,
    direction: impl Fn(&[f64]) -> Vec<f64>,
    share: f64,
) -> Vec<f64> {
    let direction = direction(g);
    let z = project(&(0..x.len()).map(|i| adv[i] + steps[i / len] * direction[i]).collect::<Vec<_>>());
    project(&(0..x.len()).map(|i| adv[i] + share * (z[i] - adv[i]) + (1.0 - share) * (adv[i] - old[i])).collect::<Vec<_>>())
}

/// SA-PGD's step of step size `step`, images of `len` numbers; `mean` and `squares` move on.
pub fn adaptive_step([x, adv, g]: [&[f64]; 3], mean: &mut [f64], squares: &mut [f64], len: usize, step: f64, eps: f64) -> Vec<f64> {
    for (image, g) in g.chunks(len).enumerate() {
        let size = g.iter().map(|g| g.abs()).sum::<f64>() / len as f64;
        let square = g.iter().map(|g| g * g).sum::<f64>() / len as f64;
        for (i, g) in g.iter().enumerate() {
            let at = image * len + i;
            mean[at] = 0.5 * mean[at] + if size > 0.0 { g / size } else { 0.0 };
            squares[at] = 0.8 * squares[at] + if square > 0.0 { g * g / square } else { 0.0 };
        }
    }
    let far = |i: usize| (step * mean[i] / (squares[i].sqrt() + 1e-12)).clamp(-step, step);
    project(&(0..x.len()).map(|i| adv[i] + far(i)).collect::<Vec<_>>(), x, eps)
}

/// The sum of each channel of [rows, C].
pub fn channel_sums(a: &[f64], c: usize) -> Vec<f64> {
    let mut sums = vec![0.0; c];
    a.iter().enumerate().for_each(|(i, v)| sums[i % c] += v);
    sums
}

/// A PyTorch array [N, C, H, W] as [N, H, W, C]; also a weight [C_out, C_in, kh, kw] as [C_out, kh, kw, C_in].
pub fn channels_last<V: Copy>(a: &[V], [n, c, h, w]: [usize; 4]) -> Vec<V> {
    assert_eq!(a.len(), n * c * h * w);
    let mut b = Vec::with_capacity(a.len());
    for i in 0..n * h * w * c {
        let (k, x, y, b_) = (i % c, i / c % w, i / (c * w) % h, i / (c * w * h));
        b.push(a[((b_ * c + k) * h + y) * w + x]);
    }
    b
}

/// [N, H, W, C] as PyTorch's [N, C, H, W]; the extents are given in PyTorch's order.
pub fn channels_first<V: Copy>(a: &[V], [n, c, h, w]: [usize; 4]) -> Vec<V> {
    assert_eq!(a.len(), n * c * h * w);
    let mut b = Vec::with_capacity(a.len());
    for i in 0..n * c * h * w {
        let (x, y, k, b_) = (i % w, i / w % h, i / (w * h) % c, i / (w * h * c));
        b.push(a[((b_ * h + y) * w + x) * c + k]);
    }
    b
}
