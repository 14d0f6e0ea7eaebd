//! Squared loss.

use super::Separable;
use crate::real::Real;

/// ℓ(y, z) = ½‖z − y‖², y real.
///
/// Domain: any number of outputs, any real y. Link: identity; predicts the mean. Gradient z − y.
/// Curvature 1. Nothing dropped.
#[derive(Debug, Clone, Copy)]
pub struct SquaredLoss;

impl Separable for SquaredLoss {
    fn value_and_slope<T: Real>(&self, y: T, z: T) -> (T, T) {
        let residual = z - y;
        (T::of(0.5) * residual * residual, residual)
    }

    fn curvature_bound(&self) -> f64 {
        1.0
    }
}
