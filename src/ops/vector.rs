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
