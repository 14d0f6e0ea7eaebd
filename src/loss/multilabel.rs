//! Binary cross-entropies of labels that do not exclude each other.

use super::{Loss, Targets, value_of};
use crate::activation::{log1p_exp, logistic};
use crate::real::Real;

/// ℓ(y, z) = Σ_j ln(1 + e^{z_j}) − q_j z_j, q_j = (1 − s) y_j + s/2, y_j ∈ {0, 1}.
///
/// s is the label smoothing, 0 without. Domain: any number of outputs, one a label. Gradient
/// logistic(z) − q. Its Hessian is diagonal, at
/// most ¼ I. Scores 1 where every label is right.
#[derive(Debug, Clone, Copy)]
pub struct MultilabelLoss {
    /// s, in [0, 1).
    pub smoothing: f64,
}

impl<T: Real> Loss<T> for MultilabelLoss {
    fn value_and_gradient(&self, targets: &Targets<'_, T>, row: usize, logits: &mut [T]) -> T {
        let half = T::of(0.5 * self.smoothing);
        let mut sum = T::zero();
        for (column, logit) in logits.iter_mut().enumerate() {
            let z = *logit;
            // As in the logistic loss: no cancellation for a confident right answer.
            if is_set(targets, row, column) {
                *logit = half - logistic(-z);
                sum += log1p_exp(-z) + half * z;
            } else {
                *logit = logistic(z) - half;
                sum += log1p_exp(z) - half * z;
            }
        }
        sum
    }

    fn value_at_zero(&self, _targets: &Targets<'_, T>, _row: usize, n_outputs: usize) -> T {
        T::of(n_outputs as f64 * std::f64::consts::LN_2)
    }

    fn curvature_bound(&self) -> T {
        T::of(0.25)
    }

    fn label_smoothing(&self) -> f64 {
        self.smoothing
    }

    fn score(&self, targets: &Targets<'_, T>, row: usize, logits: &[T]) -> T {
        let mut labels = logits.iter().enumerate();
        let right = labels.all(|(column, &z)| (z > T::zero()) == is_set(targets, row, column));
        if right { T::one() } else { T::zero() }
    }
}

fn is_set<T: Real>(targets: &Targets<'_, T>, row: usize, column: usize) -> bool {
    value_of(targets, row, column) > T::zero()
}
