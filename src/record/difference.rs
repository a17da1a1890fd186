//! By how much two accuracies differ, and whether chance alone explains it.

use super::interval::score;
use super::summary::spread;

/// The interval, in points of percent, of the difference `first - second` of two accuracies, each the percent right of so many
/// images: Newcombe's, made of both Wilson intervals. `alpha` is the chance that it misses.
///
/// It takes the two for independent. Networks that saw the same test images are not: where one fails the other is likelier to,
/// and the interval is then, if anything, too wide. What a paired test would need, each image's answer, is in no record.
///
/// # Source
/// R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17 (1998)
/// 873-890, method 10.
pub(super) fn of_shares(first: (f64, usize), second: (f64, usize), alpha: f64) -> Option<[f64; 2]> {
    let z = normal(alpha);
    let ([low, high], [other_low, other_high]) = (score(first.0, first.1, z)?, score(second.0, second.1, z)?);
    let difference = first.0 - second.0;
    Some([difference - (first.0 - low).hypot(other_high - second.0), difference + (high - first.0).hypot(second.0 - other_low)])
}

/// The interval of the difference of the means of two lists of accuracies, one a seed, as another set of seeds would have it on
/// the same images: Welch's where both have several, Student's where one has a single seed (whose spread is then taken for the
/// other's). None where neither has several, or where no two of a list differ.
///
/// # Source
/// B. L. Welch, "The generalization of 'Student's' problem when several different population variances are involved", Biometrika
/// 34 (1947) 28-35.
pub(super) fn of_means(first: &[f64], second: &[f64], alpha: f64) -> Option<[f64; 2]> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let ((mean, deviation), (other_mean, other_deviation)) = (spread(first), spread(second));
    let (n, m) = (first.len() as f64, second.len() as f64);
    let (variance, freedom) = match (deviation, other_deviation) {
        (Some(s), Some(r)) => {
            let (a, b) = (s * s / n, r * r / m);
            (a + b, (a + b).powi(2) / (a * a / (n - 1.0) + b * b / (m - 1.0)))
        }
        (Some(s), None) => (s * s * (1.0 / n + 1.0 / m), n - 1.0),
        (None, Some(r)) => (r * r * (1.0 / n + 1.0 / m), m - 1.0),
        (None, None) => return None,
    };
    (variance > 0.0).then(|| {
        let half = student(alpha, freedom) * variance.sqrt();
        [mean - other_mean - half, mean - other_mean + half]
    })
}

/// The z beyond whose ± a standard normal number lies with probability `alpha`.
///
/// The distribution is Marsaglia's series (J. Stat. Softw. 11 (2004) 4): Φ(z) = 1/2 + φ(z) (z + z³/3 + z⁵/(3·5) + …).
fn normal(alpha: f64) -> f64 {
    let beyond = |z: f64| {
        let (mut term, mut sum, mut odd) = (z, z, 1.0);
        while term > 1e-17 * sum {
            odd += 2.0;
            term *= z * z / odd;
            sum += term;
        }
        1.0 - 2.0 * sum * (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt()
    };
    crossing(beyond, alpha, 8.0)
}

/// The same of Student's t with `freedom` degrees, at least 1.
///
/// With t = √ν cot u the density is that of sin^(ν-1) u on (0, π/2), and with u = w² it is smooth at 0 for every ν.
fn student(alpha: f64, freedom: f64) -> f64 {
    const PIECES: usize = 400;
    let area = |end: f64| {
        let width = end.sqrt() / PIECES as f64;
        let height = |w: f64| (w * w).sin().powf(freedom - 1.0) * 2.0 * w;
        (0..PIECES).map(|piece| height((piece as f64 + 0.5) * width)).sum::<f64>() * width
    };
    let whole = area(std::f64::consts::FRAC_PI_2);
    crossing(|t| area((freedom.sqrt() / t).atan()) / whole, alpha, 1e7)
}

/// Where `beyond`, which falls from 1 at 0, is `alpha`, sought up to `most`.
fn crossing(beyond: impl Fn(f64) -> f64, alpha: f64, most: f64) -> f64 {
    let (mut low, mut high) = (0.0, most);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if beyond(middle) > alpha { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(found: f64, wanted: f64, within: f64) {
        assert!((found - wanted).abs() <= within, "{found}, not {wanted}");
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (alpha, z) in [(0.05, 1.959_964), (0.025, 2.241_403), (0.01, 2.575_829), (0.001, 3.290_527)] {
            near(normal(alpha), z, 1e-6);
        }
        for (alpha, freedom, t) in [
            (0.05, 1.0, 12.7062),
            (0.05, 2.0, 4.3027),
            (0.05, 4.0, 2.7764),
            (0.01, 5.0, 4.0321),
            (0.001, 10.0, 4.5869),
            (0.05, 1.5, 6.0167),
        ] {
            near(student(alpha, freedom), t, 3e-4 * t);
        }
    }

    /// Newcombe's table II, method 10.
    #[test]
    fn the_published_differences_come_out() {
        for (right, images, other_right, other_images, low, high) in [
            (56, 70, 48, 80, 0.0524, 0.3339),
            (9, 10, 3, 10, 0.1705, 0.8090),
            (5, 56, 0, 29, -0.0381, 0.1926),
            (10, 10, 0, 10, 0.6075, 1.0),
        ] {
            let share = |right: i32, images: usize| (100.0 * f64::from(right) / images as f64, images);
            let found = of_shares(share(right, images), share(other_right, other_images), 0.05).unwrap();
            near(found[0] / 100.0, low, 6e-5);
            near(found[1] / 100.0, high, 6e-5);
        }
        assert_eq!(of_shares((f64::NAN, 9), (50.0, 9), 0.05), None);
    }

    #[test]
    fn means_of_seeds_are_told_apart_by_their_spread() {
        // Means 80 and 84, variances 1 and 4 over 3: 4 degrees of freedom would be too many.
        let [low, high] = of_means(&[79.0, 80.0, 81.0], &[82.0, 84.0, 86.0], 0.05).unwrap();
        let freedom = (5.0f64 / 3.0).powi(2) / ((1.0 / 9.0 + 16.0 / 9.0) / 2.0);
        near((high - low) / 2.0, student(0.05, freedom) * (5.0f64 / 3.0).sqrt(), 1e-6);
        near((high + low) / 2.0, -4.0, 1e-9);
        // One against three: t of 2 degrees, 4.3027 √(1 + 1/3).
        let [low, high] = of_means(&[90.0], &[79.0, 80.0, 81.0], 0.05).unwrap();
        near(high - low, 2.0 * 4.3027 * (4.0f64 / 3.0).sqrt(), 5e-3);
        assert_eq!((of_means(&[1.0], &[2.0], 0.05), of_means(&[1.0, 1.0], &[2.0], 0.05)), (None, None));
    }
}
