//! A small f64 reverse-mode tape of elementary operations on flat vectors (a Wengert list).
//!
//! It knows no convolution, norm or neuron: those are built in `network` from gathers, sums, products
//! and pointwise maps, so that their gradients come from the chain rule alone. An index [`ZERO`] in a
//! gather reads 0 (padding).

use super::losses::largest_except;
use super::naive::Statistics;
use super::neuron::{Fire, Surrogate};

/// A value on the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(usize);

/// The gather index that reads a constant 0.
pub const ZERO: usize = usize::MAX;

enum Op {
    Leaf,
    /// y_i = x[at_i]
    Gather(Id, Vec<usize>),
    /// y[to_i] += x_i
    Scatter(Id, Vec<usize>),
    Concat(Vec<Id>),
    Add(Id, Id),
    Mul(Id, Id),
    /// y = k·x + constant
    Affine(Id, f64),
    /// y_i = f_i(x_i) with the derivative (or surrogate) given
    Map(Id, Vec<f64>),
    /// y [m, n] = a [m, k]·b [n, k]ᵀ
    Product(Id, Id, usize),
}

/// The list of values, each with the operation that made it.
#[derive(Default)]
pub struct Tape {
    values: Vec<Vec<f64>>,
    ops: Vec<Op>,
}

/// The gradients of one backward pass.
pub struct Grads(Vec<Vec<f64>>);

impl Grads {
    /// d/d`id`.
    pub fn of(&self, id: Id) -> &[f64] {
        &self.0[id.0]
    }
}

impl Tape {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn value(&self, id: Id) -> &[f64] {
        &self.values[id.0]
    }

    pub fn len(&self, id: Id) -> usize {
        self.values[id.0].len()
    }

    fn push(&mut self, value: Vec<f64>, op: Op) -> Id {
        self.values.push(value);
        self.ops.push(op);
        Id(self.ops.len() - 1)
    }

    /// An input, parameter or constant.
    pub fn leaf(&mut self, value: impl Into<Vec<f64>>) -> Id {
        self.push(value.into(), Op::Leaf)
    }

    pub fn gather(&mut self, x: Id, at: Vec<usize>) -> Id {
        let value = at.iter().map(|&i| if i == ZERO { 0.0 } else { self.value(x)[i] }).collect();
        self.push(value, Op::Gather(x, at))
    }

    /// Sums of elements: element i goes to `to[i]` of `n`.
    pub fn scatter(&mut self, x: Id, n: usize, to: Vec<usize>) -> Id {
        assert_eq!(to.len(), self.len(x));
        let mut value = vec![0.0; n];
        self.value(x).iter().zip(&to).for_each(|(v, &i)| value[i] += v);
        self.push(value, Op::Scatter(x, to))
    }

    pub fn concat(&mut self, parts: Vec<Id>) -> Id {
        let value = parts.iter().flat_map(|&p| self.value(p)).copied().collect();
        self.push(value, Op::Concat(parts))
    }

    pub fn add(&mut self, a: Id, b: Id) -> Id {
        assert_eq!(self.len(a), self.len(b));
        let value = self.value(a).iter().zip(self.value(b)).map(|(a, b)| a + b).collect();
        self.push(value, Op::Add(a, b))
    }

    pub fn mul(&mut self, a: Id, b: Id) -> Id {
        assert_eq!(self.len(a), self.len(b));
        let value = self.value(a).iter().zip(self.value(b)).map(|(a, b)| a * b).collect();
        self.push(value, Op::Mul(a, b))
    }

    /// k·x + constant.
    pub fn affine(&mut self, x: Id, k: f64, constant: f64) -> Id {
        let value = self.value(x).iter().map(|v| k * v + constant).collect();
        self.push(value, Op::Affine(x, k))
    }

    pub fn sub(&mut self, a: Id, b: Id) -> Id {
        let minus = self.affine(b, -1.0, 0.0);
        self.add(a, minus)
    }

    /// Pointwise: `f` gives the value and the derivative.
    pub fn map(&mut self, x: Id, f: impl Fn(f64) -> (f64, f64)) -> Id {
        let (value, slope) = self.value(x).iter().map(|&v| f(v)).unzip();
        self.push(value, Op::Map(x, slope))
    }

    /// Values of any origin with a stated derivative at `x`.
    pub fn straight(&mut self, x: Id, value: Vec<f64>, slope: Vec<f64>) -> Id {
        assert_eq!((value.len(), slope.len()), (self.len(x), self.len(x)));
        self.push(value, Op::Map(x, slope))
    }

    pub fn exp(&mut self, x: Id) -> Id {
        self.map(x, |v| (v.exp(), v.exp()))
    }

    pub fn ln(&mut self, x: Id) -> Id {
        self.map(x, |v| (v.ln(), 1.0 / v))
    }

    pub fn reciprocal(&mut self, x: Id) -> Id {
        self.map(x, |v| (1.0 / v, -1.0 / (v * v)))
    }

    pub fn relu(&mut self, x: Id) -> Id {
        self.map(x, |v| if v > 0.0 { (v, 1.0) } else { (0.0, 0.0) })
    }

    /// What a neuron emits for u - v_th, with σ' as its derivative.
    pub fn fire(&mut self, over: Id, fire: Fire, surrogate: Surrogate, gamma: f64) -> Id {
        self.map(over, |v| (fire.emit(v), surrogate.slope(v, gamma)))
    }

    /// a [m, k]·b [n, k]ᵀ.
    pub fn product(&mut self, a: Id, b: Id, k: usize) -> Id {
        let mut value = Vec::with_capacity(self.len(a) / k * (self.len(b) / k));
        for row in self.value(a).chunks_exact(k) {
            value.extend(self.value(b).chunks_exact(k).map(|col| row.iter().zip(col).map(|(a, b)| a * b).sum::<f64>()));
        }
        self.push(value, Op::Product(a, b, k))
    }

    /// `v`, of C elements, repeated along the last axis to `n` elements.
    pub fn spread(&mut self, v: Id, n: usize) -> Id {
        let c = self.len(v);
        self.gather(v, (0..n).map(|i| i % c).collect())
    }

    /// x + v with v spread along the last axis.
    pub fn add_spread(&mut self, x: Id, v: Id) -> Id {
        let v = self.spread(v, self.len(x));
        self.add(x, v)
    }

    /// x·v with v spread along the last axis.
    pub fn mul_spread(&mut self, x: Id, v: Id) -> Id {
        let v = self.spread(v, self.len(x));
        self.mul(x, v)
    }

    /// The sum of each channel (the last axis, of C).
    pub fn channel_sums(&mut self, x: Id, c: usize) -> Id {
        let to = (0..self.len(x)).map(|i| i % c).collect();
        self.scatter(x, c, to)
    }

    /// The sum of each row of `k`.
    pub fn row_sums(&mut self, x: Id, k: usize) -> Id {
        let n = self.len(x);
        self.scatter(x, n / k, (0..n).map(|i| i / k).collect())
    }

    /// The sum of everything.
    pub fn sum(&mut self, x: Id) -> Id {
        self.channel_sums(x, 1)
    }

    /// Batch norm over [rows, C]; `running` is (mean, var). Also gives the (mean, biased variance) of the batch.
    pub fn norm(&mut self, x: Id, weight: Id, bias: Id, running: (&[f64], &[f64]), statistics: Statistics) -> (Id, Vec<f64>, Vec<f64>) {
        let c = self.len(weight);
        let per_row = c as f64 / self.len(x) as f64;
        let sums = self.channel_sums(x, c);
        let batch_mean = self.affine(sums, per_row, 0.0);
        let (minus_mean, var);
        let minus_batch_mean = self.affine(batch_mean, -1.0, 0.0);
        let centred = self.add_spread(x, minus_batch_mean);
        let squares = self.mul(centred, centred);
        let squares = self.channel_sums(squares, c);
        let batch_var = self.affine(squares, per_row, 0.0);
        if statistics == Statistics::Running {
            minus_mean = self.leaf(running.0.iter().map(|m| -m).collect::<Vec<_>>());
            var = self.leaf(running.1);
        } else {
            (minus_mean, var) = (minus_batch_mean, batch_var);
        }
        let scale = self.map(var, |v| ((v + 1e-5).powf(-0.5), -0.5 * (v + 1e-5).powf(-1.5)));
        let centred = self.add_spread(x, minus_mean);
        let hat = self.mul_spread(centred, scale);
        let y = self.mul_spread(hat, weight);
        let y = self.add_spread(y, bias);
        (y, self.value(batch_mean).to_vec(), self.value(batch_var).to_vec())
    }

    /// log softmax of rows of `k`.
    pub fn log_softmax(&mut self, z: Id, k: usize) -> Id {
        // Subtracting the row's maximum, a constant, changes nothing but the overflow.
        let shift: Vec<f64> = self.value(z).chunks(k).flat_map(|r| vec![-r.iter().copied().fold(f64::NEG_INFINITY, f64::max); k]).collect();
        let shift = self.leaf(shift);
        let z = self.add(z, shift);
        let e = self.exp(z);
        let sums = self.row_sums(e, k);
        let lse = self.ln(sums);
        let lse = self.gather(lse, (0..self.len(z)).map(|i| i / k).collect());
        self.sub(z, lse)
    }

    /// Mean cross entropy.
    pub fn cross_entropy(&mut self, z: Id, y: &[usize], k: usize) -> Id {
        let log_p = self.log_softmax(z, k);
        let own = self.gather(log_p, picks(y, k));
        let sum = self.sum(own);
        self.affine(sum, -1.0 / y.len() as f64, 0.0)
    }

    /// KL(softmax clean ‖ softmax adv), summed.
    pub fn kl_sum(&mut self, adv: Id, clean: Id, k: usize) -> Id {
        let (log_p, log_q) = (self.log_softmax(clean, k), self.log_softmax(adv, k));
        let p = self.exp(log_p);
        let ratio = self.sub(log_p, log_q);
        let terms = self.mul(p, ratio);
        self.sum(terms)
    }

    /// CE(clean) + λ·KL/B.
    pub fn trades(&mut self, adv: Id, clean: Id, y: &[usize], k: usize, lambda: f64) -> Id {
        let ce = self.cross_entropy(clean, y, k);
        let kl = self.kl_sum(adv, clean, k);
        let kl = self.affine(kl, lambda / y.len() as f64, 0.0);
        self.add(ce, kl)
    }

    /// The loss of MART (see `losses::mart`).
    pub fn mart(&mut self, adv: Id, clean: Id, y: &[usize], k: usize, lambda: f64) -> Id {
        let batch = y.len() as f64;
        let (log_p, log_q) = (self.log_softmax(clean, k), self.log_softmax(adv, k));
        let (p, q) = (self.exp(log_p), self.exp(log_q));
        let rivals = self.rivals(q, y, k);
        let rival = self.gather(q, rivals);
        let gap = self.affine(rival, -1.0, 1.0001 + 1e-12);
        let log_gap = self.ln(gap);
        let margin = self.sum(log_gap);
        let margin = self.affine(margin, -1.0 / batch, 0.0);
        let ce = self.cross_entropy(adv, y, k);
        let bce = self.add(ce, margin);
        let q = self.affine(q, 1.0, 1e-12);
        let log_q = self.ln(q);
        let ratio = self.sub(log_p, log_q);
        let terms = self.mul(p, ratio);
        let kl = self.row_sums(terms, k);
        let own = self.gather(p, picks(y, k));
        let weight = self.affine(own, -1.0, 1.0000001);
        let weighted = self.mul(kl, weight);
        let robust = self.sum(weighted);
        let robust = self.affine(robust, lambda / batch, 0.0);
        self.add(bce, robust)
    }

    /// The difference of logits ratio, summed.
    pub fn dlr_sum(&mut self, z: Id, y: &[usize], k: usize) -> Id {
        let (mut first, mut third) = (Vec::new(), Vec::new());
        for (b, row) in self.value(z).chunks(k).enumerate() {
            let mut order: Vec<usize> = (0..k).collect();
            order.sort_by(|&i, &j| row[j].total_cmp(&row[i]));
            first.push(b * k + order[0]);
            third.push(b * k + order[2]);
        }
        let rivals = self.rivals(z, y, k);
        let (own, rival) = (self.gather(z, picks(y, k)), self.gather(z, rivals));
        let (first, third) = (self.gather(z, first), self.gather(z, third));
        let (above, below) = (self.sub(rival, own), self.sub(first, third));
        let below = self.affine(below, 1.0, 1e-12);
        let below = self.reciprocal(below);
        let ratio = self.mul(above, below);
        self.sum(ratio)
    }

    fn rivals(&self, z: Id, y: &[usize], k: usize) -> Vec<usize> {
        self.value(z).chunks(k).zip(y).enumerate().map(|(b, (row, &y))| b * k + largest_except(row, y)).collect()
    }

    /// The gradient of the scalar `of` at every value.
    pub fn backward(&self, of: Id) -> Grads {
        assert_eq!(self.len(of), 1, "backward starts at a scalar");
        self.backward_from(of, &[1.0])
    }

    /// The gradient of `dy`·`of` at every value.
    pub fn backward_from(&self, of: Id, dy: &[f64]) -> Grads {
        let mut g: Vec<Vec<f64>> = self.values.iter().map(|v| vec![0.0; v.len()]).collect();
        g[of.0].copy_from_slice(dy);
        for at in (0..=of.0).rev() {
            let (before, rest) = g.split_at_mut(at);
            let dy = &rest[0];
            if dy.iter().all(|&d| d == 0.0) {
                continue;
            }
            match &self.ops[at] {
                Op::Leaf => {}
                Op::Gather(x, from) => from.iter().zip(dy).filter(|(i, _)| **i != ZERO).for_each(|(&i, d)| before[x.0][i] += d),
                Op::Scatter(x, to) => before[x.0].iter_mut().zip(to).for_each(|(dx, &i)| *dx += dy[i]),
                Op::Concat(parts) => {
                    let mut start = 0;
                    for part in parts {
                        let n = self.len(*part);
                        add_to(&mut before[part.0], dy[start..start + n].iter().copied());
                        start += n;
                    }
                }
                Op::Add(a, b) => {
                    add_to(&mut before[a.0], dy.iter().copied());
                    add_to(&mut before[b.0], dy.iter().copied());
                }
                Op::Mul(a, b) => {
                    add_to(&mut before[a.0], dy.iter().zip(self.value(*b)).map(|(d, v)| d * v));
                    add_to(&mut before[b.0], dy.iter().zip(self.value(*a)).map(|(d, v)| d * v));
                }
                Op::Affine(x, k) => add_to(&mut before[x.0], dy.iter().map(|d| k * d)),
                Op::Map(x, slope) => add_to(&mut before[x.0], dy.iter().zip(slope).map(|(d, s)| d * s)),
                Op::Product(a, b, k) => {
                    let n = self.len(*b) / k;
                    for (r, row) in dy.chunks_exact(n).enumerate() {
                        for (o, &d) in row.iter().enumerate().filter(|(_, d)| **d != 0.0) {
                            let (ra, rb) = (r * k..r * k + k, o * k..o * k + k);
                            add_to(&mut before[a.0][ra.clone()], self.value(*b)[rb.clone()].iter().map(|v| d * v));
                            add_to(&mut before[b.0][rb], self.value(*a)[ra].iter().map(|v| d * v));
                        }
                    }
                }
            }
        }
        Grads(g)
    }
}

fn add_to(into: &mut [f64], more: impl Iterator<Item = f64>) {
    into.iter_mut().zip(more).for_each(|(a, b)| *a += b);
}

fn picks(y: &[usize], k: usize) -> Vec<usize> {
    y.iter().enumerate().map(|(b, &y)| b * k + y).collect()
}
