//! Huber's loss.

use super::Separable;
use crate::real::Real;

/// ℓ(y, z) = Σ_j ½r_j² where |r_j| ≤ ε, ε|r_j| − ½ε² beyond, r = z − y, y real (Huber 1964).
///
/// Domain: any number of outputs, any real y. Link: identity; predicts between mean and median.
/// Gradient clip(r, −ε, ε). Curvature at most 1. Nothing dropped.
#[derive(Debug, Clone, Copy)]
pub struct HuberLoss {
    /// ε > 0, in the units of y.
    pub epsilon: f64,
}

impl Separable for HuberLoss {
    fn value_and_slope<T: Real>(&self, y: T, z: T) -> (T, T) {
        let (residual, epsilon) = (z - y, T::of(self.epsilon));
        let slope = residual.max(-epsilon).min(epsilon);
        (slope * (residual - T::of(0.5) * slope), slope)
    }

    fn curvature_bound(&self) -> f64 {
        1.0
    }
}
