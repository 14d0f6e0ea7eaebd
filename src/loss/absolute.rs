//! Absolute loss by its conjugate.

use super::Separable;
use crate::real::Real;

/// ℓ(y, z) = Σ_j max over |p| ≤ 1 of p (z_j − y_j) − μp²/2, y real.
///
/// At μ = 0 this is ‖z − y‖₁: the absolute value is the support function of [−1, 1]. The quadratic
/// on the dual variable p makes it smooth (Nesterov 2005, *Smooth minimization of non-smooth
/// functions*) and costs at most μ/2 an output.
///
/// Domain: any number of outputs, any real y. Link: identity; predicts the median. Gradient
/// p* = clip((z − y)/μ, −1, 1). Curvature at most 1/μ. Nothing dropped.
#[derive(Debug, Clone, Copy)]
pub struct AbsoluteLoss {
    /// μ > 0, in the units of y.
    pub smoothing: f64,
}

impl Separable for AbsoluteLoss {
    fn value_and_slope<T: Real>(&self, y: T, z: T) -> (T, T) {
        let (residual, smoothing) = (z - y, T::of(self.smoothing));
        let dual = (residual / smoothing).max(-T::one()).min(T::one());
        (dual * residual - T::of(0.5) * smoothing * dual * dual, dual)
    }

    fn curvature_bound(&self) -> f64 {
        self.smoothing.recip()
    }
}
