//! All randomness of the program: Philox4x32-10 by (seed, stream, index).
//!
//! A draw is a pure function of its coordinates, so it does not depend on threads, batch packing or
//! what was drawn before, and replays after a resume. Source: Salmon et al. 2011, "Parallel Random
//! Numbers: As Easy as 1, 2, 3"; `kernels/philox.cuh` computes the same bits.

use bytemuck::{Pod, Zeroable};

/// A family of independent draws: a seed and a stream, ready to be indexed (`Philox` in `kernels/philox.cuh`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Philox {
    key: [u32; 2],
    stream: [u32; 2],
}

/// Which purpose a stream serves; the first coordinate of [`Philox::stream`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights; coordinates: parameter.
    Init = 1,
    /// The order of the training images; coordinates: epoch.
    Shuffle = 2,
    /// Crop, flip and cutout; coordinates: epoch, index: image.
    Augment = 3,
    /// Dropout masks; coordinates: step, layer.
    Dropout = 4,
    /// An attack's noise; coordinates: image, attack, member, restart, iteration.
    Attack = 5,
    /// Calibration batches.
    Calibrate = 6,
    /// Choices made by tests.
    Test = 7,
    /// A target class; coordinates: image.
    Target = 8,
    /// Which training images are held out; coordinates: how many there are.
    Split = 9,
}

impl Philox {
    /// The stream for `purpose` and `coordinates` under `seed`.
    pub fn stream(seed: u64, purpose: Purpose, coordinates: &[u64]) -> Self {
        // The coordinates are folded by splitmix64's finaliser: any number of them, any order matters.
        let folded = coordinates.iter().fold(mix(purpose as u64), |state, &c| mix(state ^ mix(c.wrapping_add(0x9E37_79B9_7F4A_7C15))));
        Philox { key: [seed as u32, (seed >> 32) as u32], stream: [folded as u32, (folded >> 32) as u32] }
    }

    /// The stream `index` of `purpose` below this one.
    #[must_use]
    pub fn fork(&self, purpose: Purpose, index: u64) -> Self {
        let seed = u64::from(self.key[0]) | u64::from(self.key[1]) << 32;
        let parent = u64::from(self.stream[0]) | u64::from(self.stream[1]) << 32;
        Philox::stream(seed, purpose, &[parent, index])
    }

    /// The four words at counter `block`.
    #[inline]
    pub fn words(&self, block: u64) -> [u32; 4] {
        let mut c = [block as u32, (block >> 32) as u32, self.stream[0], self.stream[1]];
        let mut k = self.key;
        for _ in 0..10 {
            let p0 = u64::from(c[0]) * 0xD251_1F53;
            let p1 = u64::from(c[2]) * 0xCD9E_8D57;
            c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
            k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
        }
        c
    }

    /// The word at `index`: four indices share a block.
    #[inline]
    pub fn word(&self, index: u64) -> u32 {
        self.words(index / 4)[(index % 4) as usize]
    }

    /// Uniform in [0, 1) on the 2^-24 grid, at `index`.
    #[inline]
    pub fn uniform(&self, index: u64) -> f32 {
        unit(self.word(index))
    }

    /// The four uniforms of block `block`: indices 4·block to 4·block + 3.
    #[inline]
    pub fn uniforms(&self, block: u64) -> [f32; 4] {
        self.words(block).map(unit)
    }

    /// Uniform integer in 0..n at `index` (n ≥ 1; bias below n / 2^32).
    pub fn below(&self, index: u64, n: usize) -> usize {
        ((u64::from(self.word(index)) * n as u64) >> 32) as usize
    }

    /// Standard normal at `index` (Box-Muller: a block gives two pairs).
    #[inline]
    pub fn normal(&self, index: u64) -> f32 {
        let w = self.words(index / 4);
        let pair = ((index % 4) / 2) as usize * 2;
        let radius = (-2.0 * f64::from(1.0 - unit(w[pair])).ln()).sqrt();
        let angle = std::f64::consts::TAU * f64::from(unit(w[pair + 1]));
        (radius * if index.is_multiple_of(2) { angle.cos() } else { angle.sin() }) as f32
    }

    /// A permutation of 0..n (Fisher-Yates over indices 0..n of this stream).
    pub fn permutation(&self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i as u64, i + 1));
        }
        order
    }
}

/// The top 24 bits as a number in [0, 1).
#[inline]
fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

fn mix(mut z: u64) -> u64 {
    z ^= z >> 30;
    z = z.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z ^= z >> 27;
    z = z.wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of Random123's kat_vectors for philox4x32-10.
    #[test]
    fn philox_gives_the_published_words() {
        let zero = Philox { key: [0; 2], stream: [0; 2] };
        assert_eq!(zero.words(0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = Philox { key: [u32::MAX; 2], stream: [u32::MAX; 2] };
        assert_eq!(ones.words(u64::MAX), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = Philox { key: [0xa409_3822, 0x299f_31d0], stream: [0x1319_8a2e, 0x0370_7344] };
        assert_eq!(pi.words(0x85a3_08d3_243f_6a88), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn streams_differ_by_every_coordinate() {
        let stream = |c: &[u64]| Philox::stream(0, Purpose::Attack, c).words(0);
        assert_ne!(stream(&[0, 1]), stream(&[1, 0]));
        assert_ne!(stream(&[0]), stream(&[0, 0]));
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let p = Philox::stream(3, Purpose::Test, &[]);
        let (sum, squares) = (0..100_000).map(|i| f64::from(p.normal(i))).fold((0.0, 0.0), |(s, q), x| (s + x, q + x * x));
        assert!((sum / 1e5).abs() < 0.01, "mean {}", sum / 1e5);
        assert!((squares / 1e5 - 1.0).abs() < 0.02, "variance {}", squares / 1e5);
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut p = Philox::stream(1, Purpose::Shuffle, &[5]).permutation(1000);
        assert_ne!(p[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        p.sort_unstable();
        assert!(p.into_iter().eq(0..1000));
    }
}
