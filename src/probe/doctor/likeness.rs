//! How alike two series of numbers are.

/// Means, variances and covariance of pairs, one after the other (Welford 1962), put together in parts (Chan, Golub & LeVeque 1979): no
/// sum of squares is ever subtracted from another.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Likeness {
    count: f64,
    mean: [f64; 2],
    /// Sums of squared distances from the mean.
    squares: [f64; 2],
    /// Sum of the products of both distances.
    product: f64,
}

impl Likeness {
    /// One more pair.
    pub fn push(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        let before = [x - self.mean[0], y - self.mean[1]];
        self.mean[0] += before[0] / self.count;
        self.mean[1] += before[1] / self.count;
        let after = [x - self.mean[0], y - self.mean[1]];
        self.squares[0] += before[0] * after[0];
        self.squares[1] += before[1] * after[1];
        self.product += before[0] * after[1];
    }

    /// All pairs of `other` too.
    pub fn merge(&mut self, other: &Likeness) {
        let count = self.count + other.count;
        if other.count == 0.0 {
            return;
        }
        let apart = [other.mean[0] - self.mean[0], other.mean[1] - self.mean[1]];
        let weight = self.count * other.count / count;
        for (side, apart) in apart.into_iter().enumerate() {
            self.squares[side] += other.squares[side] + apart * apart * weight;
            self.mean[side] += apart * other.count / count;
        }
        self.product += other.product + apart[0] * apart[1] * weight;
        self.count = count;
    }

    /// Pearson's correlation, -1 to 1. None where a side does not vary.
    pub fn correlation(&self) -> Option<f64> {
        let scale = (self.squares[0] * self.squares[1]).sqrt();
        (scale > 0.0).then(|| (self.product / scale).clamp(-1.0, 1.0))
    }

    /// The slope of the least-squares line of y over x. None where x does not vary.
    pub fn slope(&self) -> Option<f64> {
        (self.squares[0] > 0.0).then(|| self.product / self.squares[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs that depend on each other, far from 0.
    fn pairs(count: usize) -> Vec<(f64, f64)> {
        let mut state = 9_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as f64 / f64::from(1_u32 << 31)
        };
        (0..count).map(|_| (next(), next())).map(|(a, b)| (1e6 + a, -3e5 - 0.7 * a + 0.4 * b)).collect()
    }

    /// Correlation and slope from their definitions, in two passes.
    fn naive(pairs: &[(f64, f64)]) -> (f64, f64) {
        let n = pairs.len() as f64;
        let (mx, my) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
        let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|&(x, y)| f(x - mx, y - my)).sum::<f64>();
        let (xx, yy, xy) = (sum(&|x, _| x * x), sum(&|_, y| y * y), sum(&|x, y| x * y));
        (xy / (xx * yy).sqrt(), xy / xx)
    }

    fn of(pairs: &[(f64, f64)]) -> Likeness {
        let mut likeness = Likeness::default();
        pairs.iter().for_each(|&(x, y)| likeness.push(x, y));
        likeness
    }

    #[test]
    fn it_is_what_the_definitions_say_whole_and_in_parts() {
        let pairs = pairs(1000);
        let (correlation, slope) = naive(&pairs);
        assert!(correlation < -0.8 && slope < -0.5, "{correlation} {slope}");
        let mut parts = Likeness::default();
        for part in [&pairs[..1], &pairs[1..1], &pairs[1..700], &pairs[700..]] {
            parts.merge(&of(part));
        }
        for found in [of(&pairs), parts] {
            let [r, s] = [found.correlation().unwrap() - correlation, found.slope().unwrap() - slope];
            assert!(r.abs() < 1e-9 && s.abs() < 1e-9, "{r} {s}");
        }
    }

    #[test]
    fn what_does_not_vary_is_like_nothing() {
        assert_eq!((Likeness::default().correlation(), Likeness::default().slope()), (None, None));
        let flat = of(&[(1.0, 5.0), (2.0, 5.0), (4.0, 5.0)]);
        assert_eq!((flat.correlation(), flat.slope()), (None, Some(0.0)));
        assert_eq!(of(&[(3.0, 1.0), (3.0, 2.0)]).slope(), None);
        let line = of(&[(1.0, -2.0), (2.0, -4.0), (5.0, -10.0)]);
        assert!((line.correlation().unwrap() + 1.0).abs() < 1e-12 && (line.slope().unwrap() + 2.0).abs() < 1e-12);
    }
}
