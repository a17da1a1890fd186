//! Compile one loop for every instruction set and choose at run time.

/// `simd! { fn name(args) { body } }` makes `name(isa, args)`: the body compiled for AVX-512, AVX2 and the
/// baseline, the best of the machine called. Plain multiplies and adds are never contracted, so an element's
/// bits do not depend on the instruction set.
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $([$($generic:tt)*])? ($($arg:ident : $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)] // one slice an operand, as in the formula
        $vis fn $name $(<$($generic)*>)? (isa: $crate::device::Isa, $($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body $(<$($generic)*>)? ($($arg: $type),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx512 $(<$($generic)*>)? ($($arg: $type),*) $(-> $ret)? { body($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2 $(<$($generic)*>)? ($($arg: $type),*) $(-> $ret)? { body($($arg),*) }
                match isa {
                    // SAFETY: `Isa::detect` found these instructions on this machine.
                    $crate::device::Isa::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::device::Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::device::Isa::Portable => {}
                }
            }
            let _ = isa;
            body($($arg),*)
        }
    };
}
pub(crate) use simd;

/// Numbers handled together: one 512-bit vector. Loops over a few channels must be cut into these by hand; left to
/// itself the compiler unrolls four vectors wide, and sixteen channels run one by one.
pub(crate) const LANES: usize = 16;

/// Sixteen elements from the front of `from`, `T::default()` where it ends.
#[inline(always)]
pub(crate) fn load<T: Copy + Default>(from: &[T]) -> [T; LANES] {
    match from.first_chunk::<LANES>() {
        Some(full) => *full,
        None => load_part(from),
    }
}

/// As many of `vector` as `to` holds.
#[inline(always)]
pub(crate) fn store<T: Copy>(to: &mut [T], vector: &[T; LANES]) {
    match to.first_chunk_mut::<LANES>() {
        Some(full) => *full = *vector,
        None => store_part(to, vector),
    }
}

// Calls of their own: inlined, the compiler would join them with the whole vectors into one copy of unknown length.
#[inline(never)]
fn load_part<T: Copy + Default>(from: &[T]) -> [T; LANES] {
    let mut vector = [T::default(); LANES];
    vector[..from.len()].copy_from_slice(from);
    vector
}

#[inline(never)]
fn store_part<T: Copy>(to: &mut [T], vector: &[T; LANES]) {
    to.copy_from_slice(&vector[..to.len()]);
}

/// The ranges of sixteen (the last may be shorter) that make up `0..len`.
#[inline(always)]
pub(crate) fn lanes(len: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..len).step_by(LANES).map(move |start| start..(start + LANES).min(len))
}
