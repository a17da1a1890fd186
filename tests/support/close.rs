//! Comparisons that fail on NaN and say where, what and by how much.

/// An element is close when `|got - want| <= absolute + relative·|want|`.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    pub absolute: f64,
    pub relative: f64,
}

/// A bound of both kinds.
pub const fn bound(absolute: f64, relative: f64) -> Bound {
    Bound { absolute, relative }
}

/// Panics unless every element of `got` is within `bound` of `want`. NaN on either side fails;
/// where `want` is exactly 0 everywhere, `got` must be exactly 0 too.
#[track_caller]
pub fn assert_close<G: Copy + Into<f64>>(what: &str, got: &[G], want: &[f64], bound: Bound) {
    if let Err(text) = check_close(what, got, want, bound) {
        panic!("{text}");
    }
}

/// [`assert_close`] as a value: the text of the failure.
pub fn check_close<G: Copy + Into<f64>>(what: &str, got: &[G], want: &[f64], bound: Bound) -> Result<(), String> {
    if want.iter().all(|&w| w == 0.0) {
        return compare(&format!("{what} (want is 0 everywhere)"), got, want, Bound { absolute: 0.0, relative: 0.0 });
    }
    compare(what, got, want, bound)
}

fn compare<G: Copy + Into<f64>>(what: &str, got: &[G], want: &[f64], bound: Bound) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{what}: got {} elements, want {}", got.len(), want.len()));
    }
    let tolerance = |w: f64| bound.absolute + bound.relative * w.abs();
    let mut wrong = 0;
    let mut worst: Option<(usize, f64)> = None; // index, excess over the bound
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let diff = (g.into() - w).abs();
        let tol = tolerance(w);
        if !(diff <= tol) {
            wrong += 1;
            let excess = if diff.is_nan() { f64::INFINITY } else { diff / tol };
            if worst.is_none_or(|(_, e)| excess > e) {
                worst = Some((i, excess));
            }
        }
    }
    let Some((i, _)) = worst else { return Ok(()) };
    let (g, w): (f64, f64) = (got[i].into(), want[i]);
    Err(format!(
        "{what}: {wrong} of {} elements differ; worst at [{i}]: got {g:e}, want {w:e}, |diff| {:e} > bound {:e}",
        got.len(),
        (g - w).abs(),
        tolerance(w),
    ))
}

/// `‖got - want‖ / ‖want‖`; where `want` is exactly 0, 0 if `got` is and infinity if it is not.
#[track_caller]
pub fn relative_l2<G: Copy + Into<f64>>(got: &[G], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len(), "relative_l2: lengths");
    let error = got.iter().zip(want).map(|(&g, &w)| (g.into() - w).powi(2)).sum::<f64>().sqrt();
    let size = norm(want);
    match (size == 0.0, error == 0.0) {
        (true, true) => 0.0,
        (true, false) => f64::INFINITY,
        _ => error / size,
    }
}

/// Panics unless [`relative_l2`] is at most `tol` (NaN fails).
#[track_caller]
pub fn assert_relative_l2<G: Copy + Into<f64>>(what: &str, got: &[G], want: &[f64], tol: f64) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let error = relative_l2(got, want);
    if !(error <= tol) {
        let at = (0..got.len()).max_by(|&a, &b| {
            let diff = |i: usize| (got[i].into() - want[i]).abs();
            diff(a).total_cmp(&diff(b))
        });
        let place = at.map_or(String::new(), |i| format!("; worst at [{i}]: got {:e}, want {:e}", got[i].into(), want[i]));
        panic!("{what}: relative L2 {error:e} > bound {tol:e}{place}");
    }
}

/// The share of elements that differ by more than `tol` (NaN differs).
#[track_caller]
pub fn share_differing<G: Copy + Into<f64>>(got: &[G], want: &[f64], tol: f64) -> f64 {
    assert_eq!(got.len(), want.len(), "share_differing: lengths");
    let differing = got.iter().zip(want).filter(|&(&g, &w)| !((g.into() - w).abs() <= tol)).count();
    differing as f64 / got.len().max(1) as f64
}

/// The Euclidean norm.
pub fn norm(a: &[f64]) -> f64 {
    a.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The scalar product.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "dot: lengths");
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Holds the analytic gradient `g` of the scalar function `f` at `x` against central differences of
/// step `h`, at up to `most` evenly spread coordinates (always the first and the last).
#[track_caller]
pub fn assert_gradient(what: &str, x: &[f64], g: &[f64], h: f64, most: usize, bound: Bound, mut f: impl FnMut(&[f64]) -> f64) {
    assert_eq!(x.len(), g.len(), "{what}: gradient's length");
    let step = (x.len() - 1).div_ceil(most.max(2) - 1).max(1);
    let coordinates: Vec<usize> = (0..x.len()).step_by(step).chain([x.len() - 1]).collect();
    let mut moved = x.to_vec();
    let numeric: Vec<f64> = coordinates
        .iter()
        .map(|&i| {
            moved[i] = x[i] + h;
            let up = f(&moved);
            moved[i] = x[i] - h;
            let down = f(&moved);
            moved[i] = x[i];
            (up - down) / (2.0 * h)
        })
        .collect();
    let analytic: Vec<f64> = coordinates.iter().map(|&i| g[i]).collect();
    // A difference of 0 is no exact reference: the bound holds as it stands.
    if let Err(text) = compare(what, &analytic, &numeric, bound) {
        panic!("{text} (coordinates {coordinates:?}; got: analytic, want: central difference)");
    }
}
