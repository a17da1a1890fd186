//! How sure a measured accuracy is.

/// The 97.5 percentile of the standard normal distribution: 95 % lie within ± this.
const Z: f64 = 1.959_963_984_540_054;

/// The 95 % interval, in percent, of an accuracy of `percent` measured on so many `images`: Wilson's score interval.
/// Unlike percent ± 1.96 standard errors it stays within 0 and 100, and is of use at both ends and on few images.
/// None where there is no number or no image. Bounds are rounded to a ten-thousandth: more digits would say nothing.
///
/// With p = percent / 100 and z = 1.96: (p + z²/2n ± z·√(p(1 − p)/n + z²/4n²)) / (1 + z²/n).
///
/// # Source
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", J. Am. Stat. Assoc. 22 (1927) 209-212;
/// recommended by Brown, Cai & DasGupta, Statistical Science 16 (2001) 101-133.
pub fn wilson(percent: f64, images: usize) -> Option<[f64; 2]> {
    score(percent, images, Z).map(|bounds| bounds.map(|bound| (bound * 1e4).round() / 1e4))
}

/// The same, unrounded, within which a share of ± `z` standard deviations lies.
pub(super) fn score(percent: f64, images: usize, z: f64) -> Option<[f64; 2]> {
    if !percent.is_finite() || images == 0 {
        return None;
    }
    let (p, n) = ((percent / 100.0).clamp(0.0, 1.0), images as f64);
    let centre = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 100.0 / (1.0 + z * z / n);
    // None and all are their own bounds; rounding must not say otherwise.
    let low = if p == 0.0 { 0.0 } else { (centre - half) * scale };
    let high = if p == 1.0 { 100.0 } else { (centre + half) * scale };
    Some([low, high])
}

/// An accuracy with its interval, such as `84.0 (81.6-86.1)`, in percent.
pub fn with_interval(percent: f64, images: usize) -> String {
    match wilson(percent, images) {
        Some([low, high]) => format!("{percent:.1} ({low:.1}-{high:.1})"),
        None => format!("{percent:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
    #[test]
    fn the_published_intervals_come_out() {
        for (right, images, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let found = wilson(100.0 * f64::from(right) / images as f64, images).unwrap().map(|bound| (bound * 100.0).round() / 1e4);
            assert_eq!(found, [low, high], "{right} of {images}");
        }
    }

    #[test]
    fn it_is_symmetric_and_narrows_and_no_number_has_none() {
        for right in 0..=50 {
            let [low, high] = wilson(2.0 * f64::from(right), 50).unwrap();
            let [other_low, other_high] = wilson(100.0 - 2.0 * f64::from(right), 50).unwrap();
            assert!((low - (100.0 - other_high)).abs() < 2e-4 && (high - (100.0 - other_low)).abs() < 2e-4);
            assert!((0.0..=2.0 * f64::from(right)).contains(&low) && (2.0 * f64::from(right)..=100.0).contains(&high));
        }
        let width = |images| wilson(80.0, images).map(|[low, high]| high - low).unwrap();
        assert!(width(100) > 1.9 * width(400) && width(400) > 1.9 * width(1600));
        assert_eq!((wilson(f64::NAN, 9), wilson(50.0, 0)), (None, None));
        assert_eq!(with_interval(84.0, 1000), "84.0 (81.6-86.1)");
    }
}
