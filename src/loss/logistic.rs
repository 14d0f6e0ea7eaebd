//! Binary cross-entropy on one output unit.

use super::{Loss, Targets, class_of};
use crate::activation::{log1p_exp, logistic};
use crate::real::Real;

/// ℓ(y, z) = ln(1 + e^z) − q z, q = (1 − s) y + s/2, y ∈ {0, 1}.
///
/// s is the label smoothing, 0 without. Domain: one output. Gradient logistic(z) − q. Curvature at
/// most ¼.
#[derive(Debug, Clone, Copy)]
pub struct LogisticLoss {
    /// s, in [0, 1).
    pub smoothing: f64,
}

impl<T: Real> Loss<T> for LogisticLoss {
    fn value_and_gradient(&self, targets: &Targets<'_, T>, row: usize, logits: &mut [T]) -> T {
        let z = logits[0];
        let half = T::of(0.5 * self.smoothing);
        // ln(1 + e^z) − z = ln(1 + e^{−z}): no cancellation for a confident right answer.
        if class_of(targets, row) == 1 {
            logits[0] = half - logistic(-z);
            log1p_exp(-z) + half * z
        } else {
            logits[0] = logistic(z) - half;
            log1p_exp(z) - half * z
        }
    }

    fn value_at_zero(&self, _targets: &Targets<'_, T>, _row: usize, _n_outputs: usize) -> T {
        T::of(std::f64::consts::LN_2)
    }

    fn curvature_bound(&self) -> T {
        T::of(0.25)
    }

    fn label_smoothing(&self) -> f64 {
        self.smoothing
    }

    fn score(&self, targets: &Targets<'_, T>, row: usize, logits: &[T]) -> T {
        let predicted = usize::from(logits[0] > T::zero());
        if predicted == class_of(targets, row) { T::one() } else { T::zero() }
    }
}
