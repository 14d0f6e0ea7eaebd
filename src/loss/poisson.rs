//! Half the Poisson deviance, with log link.

use super::Separable;
use crate::real::Real;

/// ℓ(y, z) = Σ_j exp(z_j) − y_j z_j + y_j ln y_j − y_j, y ≥ 0.
///
/// Domain: any number of outputs, y ≥ 0 (counts or rates, whole or not). Link: log; predicts the
/// mean exp(z). Gradient exp(z) − y. Dropped from the negative log-likelihood: the terms in y alone,
/// ln y!, for those that make the loss 0 at a perfect fit. Its curvature exp(z) has no bound.
///
/// Beyond z = ½ ln(largest number) the exponential goes on as its tangent, so that value and
/// gradient stay finite; no sensible rate is as large.
#[derive(Debug, Clone, Copy)]
pub struct PoissonLoss;

impl Separable for PoissonLoss {
    fn value_and_slope<T: Real>(&self, y: T, z: T) -> (T, T) {
        let top = T::of(0.5) * T::max_value().ln();
        // Comparisons that let NaN through.
        let (rate, beyond) = if z > top { (top.exp(), top.exp() * (z - top)) } else { (z.exp(), T::zero()) };
        if y <= T::zero() {
            return (rate + beyond, rate);
        }
        // y (eᵗ − 1 − t) with t = z − ln y: no cancellation near the perfect fit.
        let t = z - y.ln();
        let value =
            if z < top && t.abs() < T::one() { y * (t.exp_m1() - t) } else { rate + beyond - y - y * t };
        (value, rate - y)
    }

    fn curvature_bound(&self) -> f64 {
        f64::INFINITY
    }
}
