//! What kernels that are written by registers need of a float.

use ndarray::NdFloat;
use pulp::Simd;
use pulp::bytemuck::Pod;
use std::cell::RefCell;

/// A float with the vectors that a processor has for it.
pub trait Lanes: NdFloat {
    /// A register of these floats.
    type Vector<S: Simd>: Pod;

    /// Floats in a register.
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Vector<S>>() / size_of::<Self>()
    }

    /// The whole registers that a slice holds.
    fn vectors<S: Simd>(values: &[Self]) -> &[Self::Vector<S>];

    /// The floats of registers.
    fn values<S: Simd>(vectors: &[Self::Vector<S>]) -> &[Self];

    /// The same value in every lane.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;

    /// a·b + c, lane by lane, rounded once.
    fn fused<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>)
    -> Self::Vector<S>;

    /// Calls `work` with so many numbers of this thread's own, of any value; not within itself.
    fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [Self]) -> R) -> R;
}

macro_rules! lanes {
    ($real:ty, $vector:ident, $as_simd:ident, $splat:ident, $mul_add:ident) => {
        impl Lanes for $real {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn vectors<S: Simd>(values: &[Self]) -> &[S::$vector] {
                S::$as_simd(values).0
            }

            #[inline(always)]
            fn values<S: Simd>(vectors: &[S::$vector]) -> &[Self] {
                pulp::bytemuck::cast_slice(vectors)
            }

            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> S::$vector {
                simd.$splat(value)
            }

            #[inline(always)]
            fn fused<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$mul_add(a, b, c)
            }

            fn with_scratch<R>(length: usize, work: impl FnOnce(&mut [Self]) -> R) -> R {
                thread_local!(static SCRATCH: RefCell<Vec<$real>> = const { RefCell::new(Vec::new()) });
                SCRATCH.with_borrow_mut(|scratch| {
                    if scratch.len() < length {
                        scratch.resize(length, 0.0);
                    }
                    work(&mut scratch[..length])
                })
            }
        }
    };
}

lanes!(f32, f32s, as_simd_f32s, splat_f32s, mul_add_f32s);
lanes!(f64, f64s, as_simd_f64s, splat_f64s, mul_add_f64s);
