//! Registers of numbers, whatever the machine has.

/// Lanes of one register.
pub trait Lanes: Copy {
    /// Their number.
    const LANES: usize;
    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    /// `onto + code · self`.
    unsafe fn fan(self, code: *const f32, onto: Self) -> Self;
}

impl Lanes for [f32; 4] {
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise, of this and all below: four numbers lie there.
        unsafe { from.cast::<Self>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }
    #[inline(always)]
    unsafe fn fan(self, code: *const f32, onto: Self) -> Self {
        // SAFETY: as above.
        let code = unsafe { *code };
        std::array::from_fn(|i| onto[i] + code * self[i])
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lanes;
    use std::arch::x86_64::*;

    macro_rules! lanes {
        ($register:ty, $lanes:literal, $zero:ident, $load:ident, $store:ident, $add:ident, $fma:ident, $splat:ident) => {
            // SAFETY (all blocks): values exist only below the functions that have these instructions enabled; addresses are
            // the callers' promise.
            impl Lanes for $register {
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn zero() -> Self {
                    unsafe { $zero() }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    unsafe { $add(self, other) }
                }
                #[inline(always)]
                unsafe fn fan(self, code: *const f32, onto: Self) -> Self {
                    unsafe { $fma(self, $splat(*code), onto) }
                }
            }
        };
    }
    lanes!(__m512, 16, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_fmadd_ps, _mm512_set1_ps);
    lanes!(__m256, 8, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_fmadd_ps, _mm256_set1_ps);
}
