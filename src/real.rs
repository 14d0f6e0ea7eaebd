//! The one float abstraction: everything numerical is generic over [`Real`].

use crate::lanes::Lanes;
use ndarray::{Array, ArrayBase, Data, Dimension};
use num_traits::FromPrimitive;

/// `f32` or `f64`.
pub trait Real: Lanes + FromPrimitive + Default + std::iter::Sum {
    /// The nearest value of this type.
    fn of(value: f64) -> Self;
    /// The same value in double precision.
    fn f64(self) -> f64;
}

/// The nearest values of another type.
pub(crate) fn cast<A: Real, B: Real, S: Data<Elem = A>, D: Dimension>(
    values: &ArrayBase<S, D>,
) -> Array<B, D> {
    values.mapv(|value| B::of(value.f64()))
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }
    fn f64(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn f64(self) -> f64 {
        self
    }
}
