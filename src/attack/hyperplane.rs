//! The shortest way from a point of the box `[0,1]^n` to a hyperplane, inside the box (Croce & Hein 2020, equation 4).
//!
//! Say the hyperplane is w·z = b and the point exceeds it by e = w·x − b > 0 (e < 0 is the mirror image). Number i can only
//! help by moving against the sign of w_i, at most to its wall: by `room_i`. In l-inf the shortest way moves all numbers by
//! one distance r, in l2 by r·|w_i|, each until its wall stops it: by min(r·speed_i, room_i) with speed_i = 1 or |w_i|. What
//! they gain together, G(r) = Σ |w_i|·min(r·speed_i, room_i), is piecewise linear, increasing and concave, and r solves
//! G(r) = e. Newton's method from r = 0 walks such a function upward without overshooting: each step solves the linear
//! piece at hand, and ends where no further number has met its wall, after a few passes over the image. No sorting is needed.
//! Where even the farthest corner gains less than e, the hyperplane misses the box, and that corner is the answer.

use crate::ops::pixel::Norm;

/// A linear constraint on an image, seen from a point: its normal, and by how much the point exceeds it.
#[derive(Clone, Copy)]
pub struct Hyperplane<'a> {
    /// w.
    pub normal: &'a [f32],
    /// w·x − b at the point x.
    pub excess: f64,
}

impl Hyperplane<'_> {
    /// The displacement of `point` (inside the box) that takes it to the hyperplane, the shortest in `norm`.
    pub fn reach(self, norm: Norm, point: &[f32]) -> Vec<f64> {
        let (excess, side) = (self.excess.abs(), if self.excess < 0.0 { -1.0 } else { 1.0 });
        // (|w|, speed, room, direction) of each number; those with w = 0 have no room, since they gain nothing.
        let number = |(&w, &x): (&f32, &f32)| {
            let (w, x) = (f64::from(w) * side, f64::from(x));
            let weight = w.abs();
            let speed = match norm {
                Norm::Linf => 1.0,
                Norm::L2 => weight,
            };
            let (room, direction) = if w > 0.0 { (x, -1.0) } else { (1.0 - x, 1.0) };
            (weight, speed, if weight > 0.0 { room } else { 0.0 }, direction)
        };
        let numbers = || self.normal.iter().zip(point).map(number);
        let mut r = 0.0;
        for _ in 0..=point.len() {
            let (mut stopped, mut slope) = (0.0, 0.0);
            for (weight, speed, room, _) in numbers() {
                if r * speed < room {
                    slope += weight * speed;
                } else {
                    stopped += weight * room;
                }
            }
            let next = if slope > 0.0 { (excess - stopped) / slope } else { f64::INFINITY };
            if next.is_nan() || next <= r {
                break;
            }
            r = next;
        }
        let moved = |(_, speed, room, direction): (f64, f64, f64, f64)| {
            direction * if room > 0.0 && speed > 0.0 { (r * speed).min(room) } else { 0.0 }
        };
        numbers().map(moved).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{Philox, Purpose};

    fn dot(w: &[f32], z: impl Iterator<Item = f64>) -> f64 {
        w.iter().zip(z).map(|(&w, z)| f64::from(w) * z).sum()
    }

    /// A point of the box with some numbers on a wall, a normal with some zeros, and the drop to the farthest corner.
    fn example(seed: u64, n: usize) -> (Vec<f32>, Vec<f32>, f64) {
        let draw = Philox::stream(seed, Purpose::Test, &[]);
        let point: Vec<f32> = (0..n as u64).map(|i| (1.4 * draw.uniform(i) - 0.2).clamp(0.0, 1.0)).collect();
        let normal: Vec<f32> = (0..n as u64).map(|i| if i % 7 == 3 { 0.0 } else { draw.normal(1000 + i) }).collect();
        let most = normal.iter().zip(&point).map(|(&w, &x)| f64::from(w) * if w > 0.0 { f64::from(x) } else { f64::from(x) - 1.0 }).sum();
        (point, normal, most)
    }

    #[test]
    fn the_way_is_on_the_plane_in_the_box_and_no_other_is_shorter() {
        for seed in 0..20 {
            let (point, normal, most) = example(seed, 61);
            for (norm, share) in
                [(Norm::Linf, 0.01), (Norm::Linf, 0.6), (Norm::Linf, 0.999), (Norm::L2, 0.01), (Norm::L2, 0.6), (Norm::L2, 0.999)]
            {
                let excess = share * most;
                let way = Hyperplane { normal: &normal, excess }.reach(norm, &point);
                let landed: Vec<f64> = point.iter().zip(&way).map(|(&x, d)| f64::from(x) + d).collect();
                assert!(landed.iter().all(|z| (-1e-12..=1.0 + 1e-12).contains(z)), "seed {seed}, {norm}, {share}");
                let left = dot(&normal, way.iter().copied()) + excess;
                assert!(left.abs() < 1e-9 * most, "seed {seed}, {norm}, {share}: {left} left of {excess}");
                // The conditions of optimality: a number short of its wall moves by the same r (times |w| in l2) as all others, and
                // one at its wall would have moved by at least that.
                let pace = |i: usize| if norm == Norm::L2 { f64::from(normal[i].abs()) } else { 1.0 };
                let free = |i: usize| (1e-9..=1.0 - 1e-9).contains(&landed[i]) && normal[i] != 0.0;
                let r = (0..61).filter(|&i| free(i)).map(|i| way[i].abs() / pace(i)).fold(0.0, f64::max);
                for i in (0..61).filter(|&i| normal[i] != 0.0) {
                    let own = way[i].abs() / pace(i);
                    assert!(
                        if free(i) { (own - r).abs() < 1e-9 } else { own < r + 1e-9 },
                        "seed {seed}, {norm}, {share}, number {i}: {own}, {r}"
                    );
                    assert!(way[i] * f64::from(normal[i]) <= 0.0);
                }
                assert!((0..61).filter(|&i| normal[i] == 0.0).all(|i| way[i] == 0.0));
            }
        }
    }

    #[test]
    fn both_sides_mirror_and_a_plane_outside_the_box_gives_its_nearest_corner() {
        let (point, normal, most) = example(3, 40);
        let opposite: Vec<f32> = normal.iter().map(|w| -w).collect();
        for norm in [Norm::Linf, Norm::L2] {
            let way = Hyperplane { normal: &normal, excess: 0.3 * most }.reach(norm, &point);
            assert_eq!(way, Hyperplane { normal: &opposite, excess: -0.3 * most }.reach(norm, &point));
            let corner = Hyperplane { normal: &normal, excess: 1.5 * most }.reach(norm, &point);
            for ((d, &x), &w) in corner.iter().zip(&point).zip(&normal) {
                let want = if w > 0.0 {
                    -f64::from(x)
                } else if w < 0.0 {
                    1.0 - f64::from(x)
                } else {
                    0.0
                };
                assert!((d - want).abs() < 1e-12, "{d} {want}");
            }
            assert!(Hyperplane { normal: &[0.0; 40], excess: 1.0 }.reach(norm, &point).iter().all(|&d| d == 0.0));
            assert!(Hyperplane { normal: &normal, excess: 0.0 }.reach(norm, &point).iter().all(|&d| d == 0.0));
        }
    }
}
