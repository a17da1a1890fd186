//! Sixteen numbers as one value, for the loops that the compiler does not turn into vectors by itself.
//!
//! A body generic over [`Wide`] is compiled by [`wide!`] for AVX-512, AVX2 and the baseline. Multiplies and adds are
//! never fused, so every instruction set gives the same bits.

use super::vector::{LANES, load, store};

/// Sixteen `f32` lanes. Values exist only inside bodies that [`wide!`] chose for this machine's instructions: that is
/// what makes the intrinsics below sound.
pub(crate) trait Wide: Copy {
    /// Sixteen truth values.
    type Mask: Copy;
    /// Sixteen `u32`.
    type Bits: Copy;

    fn splat(x: f32) -> Self;
    /// From the front of `from`, zeros where it ends.
    fn load(from: &[f32]) -> Self;
    /// As many lanes as `to` holds.
    fn store(self, to: &mut [f32]);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// The larger.
    fn max(self, other: Self) -> Self;
    fn abs(self) -> Self;
    fn ge(self, other: Self) -> Self::Mask;
    fn lt(self, other: Self) -> Self::Mask;
    /// `self` where the mask holds, else `other`.
    fn select(self, mask: Self::Mask, other: Self) -> Self;
    /// Zero where the mask holds, else `self`.
    fn zero_where(self, mask: Self::Mask) -> Self;
    /// 2^n for the integer n that `self` holds in the low bits of its mantissa (after adding 1.5 · 2^23).
    fn power_of_two(self) -> Self;
    fn no_bits() -> Self::Bits;
    /// Set `bit` where the mask holds.
    fn or_bit(bits: Self::Bits, mask: Self::Mask, bit: u32) -> Self::Bits;
    /// The low byte of each.
    fn store_bytes(bits: Self::Bits, to: &mut [u8]);
    /// Where any bit is set.
    fn any_bit(bits: Self::Bits) -> Self::Mask;
    /// Σ of the lanes in f64, in order.
    fn sum(self) -> f64 {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes);
        lanes.iter().map(|&x| f64::from(x)).sum()
    }
}

/// `wide! { fn name[generics](args) -> ret { body } }` makes `name(isa, args)`: the body, generic over `V: Wide`,
/// compiled for each instruction set, the best of the machine called.
macro_rules! wide {
    (fn $name:ident $([$($generic:ident : $bound:path),*])? ($($arg:ident : $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        #[allow(clippy::too_many_arguments)] // one slice an operand, as in the formula
        fn $name $(<$($generic: $bound),*>)? (isa: $crate::device::Isa, $($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body<V: $crate::ops::wide::Wide $(, $($generic: $bound),*)?>($($arg: $type),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::ops::wide::x86::{Pair256, One512};
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx512 $(<$($generic: $bound),*>)? ($($arg: $type),*) $(-> $ret)? { body::<One512 $(, $($generic),*)?>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2 $(<$($generic: $bound),*>)? ($($arg: $type),*) $(-> $ret)? { body::<Pair256 $(, $($generic),*)?>($($arg),*) }
                match isa {
                    // SAFETY: `Isa::detect` found these instructions on this machine.
                    $crate::device::Isa::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::device::Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::device::Isa::Portable => {}
                }
            }
            let _ = isa;
            body::<$crate::ops::wide::Lanes $(, $($generic),*)?>($($arg),*)
        }
    };
}
pub(crate) use wide;

/// e^x for x ≤ 0 to 3e-7 relative: 2^n · e^r, |r| ≤ ln2/2, Taylor to r^7.
#[inline(always)]
pub(crate) fn exp<V: Wide>(x: V) -> V {
    const MAGIC: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer in the low bits
    let x = x.max(V::splat(-87.0));
    let shifted = x.mul(V::splat(std::f32::consts::LOG2_E)).add(V::splat(MAGIC));
    let n = shifted.sub(V::splat(MAGIC));
    let r = x.sub(n.mul(V::splat(0.693_359_4))).sub(n.mul(V::splat(-2.121_944_4e-4)));
    let mut p = V::splat(1.0 / 5040.0);
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p.mul(r).add(V::splat(c));
    }
    p.mul(shifted.power_of_two())
}

/// The baseline: an array.
#[derive(Clone, Copy)]
pub(crate) struct Lanes([f32; LANES]);

impl Lanes {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Lanes(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Wide for Lanes {
    type Mask = [bool; LANES];
    type Bits = [u32; LANES];

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Lanes([x; LANES])
    }
    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        Lanes(load(from))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        store(to, &self.0);
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Lanes(self.0.map(f32::abs))
    }
    #[inline(always)]
    fn ge(self, other: Self) -> Self::Mask {
        std::array::from_fn(|i| self.0[i] >= other.0[i])
    }
    #[inline(always)]
    fn lt(self, other: Self) -> Self::Mask {
        std::array::from_fn(|i| self.0[i] < other.0[i])
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, other: Self) -> Self {
        Lanes(std::array::from_fn(|i| if mask[i] { self.0[i] } else { other.0[i] }))
    }
    #[inline(always)]
    fn zero_where(self, mask: Self::Mask) -> Self {
        Lanes(std::array::from_fn(|i| if mask[i] { 0.0 } else { self.0[i] }))
    }
    #[inline(always)]
    fn power_of_two(self) -> Self {
        Lanes(self.0.map(|x| f32::from_bits((x.to_bits().wrapping_add(127) << 23) & 0x7f80_0000)))
    }
    #[inline(always)]
    fn no_bits() -> Self::Bits {
        [0; LANES]
    }
    #[inline(always)]
    fn or_bit(bits: Self::Bits, mask: Self::Mask, bit: u32) -> Self::Bits {
        std::array::from_fn(|i| bits[i] | if mask[i] { bit } else { 0 })
    }
    #[inline(always)]
    fn store_bytes(bits: Self::Bits, to: &mut [u8]) {
        store(to, &bits.map(|bits| bits as u8));
    }
    #[inline(always)]
    fn any_bit(bits: Self::Bits) -> Self::Mask {
        bits.map(|bits| bits != 0)
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use super::super::vector::{LANES, store};
    use super::Wide;
    use std::arch::x86_64::*;

    /// One 512-bit register.
    #[derive(Clone, Copy)]
    pub(crate) struct One512(__m512);

    /// The first `len` of sixteen lanes.
    #[inline(always)]
    fn first(len: usize) -> __mmask16 {
        (0xffff_u32 >> (LANES - len.min(LANES))) as __mmask16
    }

    // SAFETY (all blocks of this impl): a value of this type exists only where `wide!` found AVX-512 F, BW, DQ and VL;
    // a slice shorter than a vector is reached through a mask. (No call serves that case: it would force every live
    // vector onto the stack. Whole vectors are stored without a mask, which some processors are slow at.)
    impl Wide for One512 {
        type Mask = __mmask16;
        type Bits = __m512i;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            One512(unsafe { _mm512_set1_ps(x) })
        }
        #[inline(always)]
        fn load(from: &[f32]) -> Self {
            One512(unsafe {
                if from.len() >= LANES { _mm512_loadu_ps(from.as_ptr()) } else { _mm512_maskz_loadu_ps(first(from.len()), from.as_ptr()) }
            })
        }
        #[inline(always)]
        fn store(self, to: &mut [f32]) {
            unsafe {
                if to.len() >= LANES {
                    _mm512_storeu_ps(to.as_mut_ptr(), self.0);
                } else {
                    _mm512_mask_storeu_ps(to.as_mut_ptr(), first(to.len()), self.0);
                }
            }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            One512(unsafe { _mm512_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            One512(unsafe { _mm512_sub_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            One512(unsafe { _mm512_mul_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            One512(unsafe { _mm512_max_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn abs(self) -> Self {
            One512(unsafe { _mm512_abs_ps(self.0) })
        }
        #[inline(always)]
        fn ge(self, other: Self) -> __mmask16 {
            unsafe { _mm512_cmp_ps_mask::<_CMP_GE_OQ>(self.0, other.0) }
        }
        #[inline(always)]
        fn lt(self, other: Self) -> __mmask16 {
            unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0) }
        }
        #[inline(always)]
        fn select(self, mask: __mmask16, other: Self) -> Self {
            One512(unsafe { _mm512_mask_blend_ps(mask, other.0, self.0) })
        }
        #[inline(always)]
        fn zero_where(self, mask: __mmask16) -> Self {
            One512(unsafe { _mm512_maskz_mov_ps(!mask, self.0) })
        }
        #[inline(always)]
        fn power_of_two(self) -> Self {
            One512(unsafe {
                let exponent = _mm512_slli_epi32::<23>(_mm512_add_epi32(_mm512_castps_si512(self.0), _mm512_set1_epi32(127)));
                _mm512_castsi512_ps(_mm512_and_si512(exponent, _mm512_set1_epi32(0x7f80_0000)))
            })
        }
        #[inline(always)]
        fn no_bits() -> __m512i {
            unsafe { _mm512_setzero_si512() }
        }
        #[inline(always)]
        fn or_bit(bits: __m512i, mask: __mmask16, bit: u32) -> __m512i {
            unsafe { _mm512_mask_or_epi32(bits, mask, bits, _mm512_set1_epi32(bit as i32)) }
        }
        #[inline(always)]
        fn store_bytes(bits: __m512i, to: &mut [u8]) {
            unsafe {
                if to.len() >= LANES {
                    _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(bits));
                } else {
                    _mm512_mask_cvtepi32_storeu_epi8(to.as_mut_ptr().cast(), first(to.len()), bits);
                }
            }
        }
        #[inline(always)]
        fn any_bit(bits: __m512i) -> __mmask16 {
            unsafe { _mm512_test_epi32_mask(bits, bits) }
        }
    }

    /// Two 256-bit registers.
    #[derive(Clone, Copy)]
    pub(crate) struct Pair256(__m256, __m256);

    impl Pair256 {
        #[inline(always)]
        fn zip(self, other: Self, f: impl Fn(__m256, __m256) -> __m256) -> Self {
            Pair256(f(self.0, other.0), f(self.1, other.1))
        }
    }

    /// The first `len` of sixteen lanes.
    #[inline(always)]
    fn first_pair(len: usize) -> (__m256i, __m256i) {
        // SAFETY: as in the impl below.
        unsafe {
            let (len, lane) = (_mm256_set1_epi32(len as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
            (_mm256_cmpgt_epi32(len, lane), _mm256_cmpgt_epi32(len, _mm256_add_epi32(lane, _mm256_set1_epi32(8))))
        }
    }

    // SAFETY (all blocks of this impl): a value of this type exists only where `wide!` found AVX2; a slice shorter than
    // a vector is reached through a mask, which touches no element beyond it.
    impl Wide for Pair256 {
        type Mask = (__m256, __m256);
        type Bits = (__m256i, __m256i);

        #[inline(always)]
        fn splat(x: f32) -> Self {
            let x = unsafe { _mm256_set1_ps(x) };
            Pair256(x, x)
        }
        #[inline(always)]
        fn load(from: &[f32]) -> Self {
            let at = from.as_ptr();
            unsafe {
                if from.len() >= LANES {
                    return Pair256(_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8)));
                }
                let (low, high) = first_pair(from.len());
                Pair256(_mm256_maskload_ps(at, low), _mm256_maskload_ps(at.wrapping_add(8), high))
            }
        }
        #[inline(always)]
        fn store(self, to: &mut [f32]) {
            let at = to.as_mut_ptr();
            unsafe {
                if to.len() >= LANES {
                    _mm256_storeu_ps(at, self.0);
                    _mm256_storeu_ps(at.add(8), self.1);
                } else {
                    let (low, high) = first_pair(to.len());
                    _mm256_maskstore_ps(at, low, self.0);
                    _mm256_maskstore_ps(at.wrapping_add(8), high, self.1);
                }
            }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            self.zip(other, |a, b| unsafe { _mm256_add_ps(a, b) })
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            self.zip(other, |a, b| unsafe { _mm256_sub_ps(a, b) })
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            self.zip(other, |a, b| unsafe { _mm256_mul_ps(a, b) })
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            self.zip(other, |a, b| unsafe { _mm256_max_ps(a, b) })
        }
        #[inline(always)]
        fn abs(self) -> Self {
            let sign = Self::splat(-0.0);
            self.zip(sign, |a, sign| unsafe { _mm256_andnot_ps(sign, a) })
        }
        #[inline(always)]
        fn ge(self, other: Self) -> Self::Mask {
            let Pair256(a, b) = self.zip(other, |a, b| unsafe { _mm256_cmp_ps::<_CMP_GE_OQ>(a, b) });
            (a, b)
        }
        #[inline(always)]
        fn lt(self, other: Self) -> Self::Mask {
            let Pair256(a, b) = self.zip(other, |a, b| unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) });
            (a, b)
        }
        #[inline(always)]
        fn select(self, mask: Self::Mask, other: Self) -> Self {
            unsafe { Pair256(_mm256_blendv_ps(other.0, self.0, mask.0), _mm256_blendv_ps(other.1, self.1, mask.1)) }
        }
        #[inline(always)]
        fn zero_where(self, mask: Self::Mask) -> Self {
            unsafe { Pair256(_mm256_andnot_ps(mask.0, self.0), _mm256_andnot_ps(mask.1, self.1)) }
        }
        #[inline(always)]
        fn power_of_two(self) -> Self {
            let one = |x| unsafe {
                let exponent = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_castps_si256(x), _mm256_set1_epi32(127)));
                _mm256_castsi256_ps(_mm256_and_si256(exponent, _mm256_set1_epi32(0x7f80_0000)))
            };
            Pair256(one(self.0), one(self.1))
        }
        #[inline(always)]
        fn no_bits() -> Self::Bits {
            let zero = unsafe { _mm256_setzero_si256() };
            (zero, zero)
        }
        #[inline(always)]
        fn or_bit(bits: Self::Bits, mask: Self::Mask, bit: u32) -> Self::Bits {
            let one =
                |bits, mask| unsafe { _mm256_or_si256(bits, _mm256_and_si256(_mm256_castps_si256(mask), _mm256_set1_epi32(bit as i32))) };
            (one(bits.0, mask.0), one(bits.1, mask.1))
        }
        #[inline(always)]
        fn store_bytes(bits: Self::Bits, to: &mut [u8]) {
            let mut words = [0u32; LANES];
            unsafe {
                _mm256_storeu_si256(words.as_mut_ptr().cast(), bits.0);
                _mm256_storeu_si256(words.as_mut_ptr().add(8).cast(), bits.1);
            }
            store(to, &words.map(|word| word as u8));
        }
        #[inline(always)]
        fn any_bit(bits: Self::Bits) -> Self::Mask {
            // Bits are bytes, so a signed comparison with 0 finds them.
            let one = |bits| unsafe { _mm256_castsi256_ps(_mm256_cmpgt_epi32(bits, _mm256_setzero_si256())) };
            (one(bits.0), one(bits.1))
        }
    }
}
