//! Softmax cross-entropy.

use super::{Loss, Targets, class_of};
use crate::real::Real;

/// ℓ(y, z) = log Σ_j exp z_j − z_y, y a class index.
///
/// Domain: two or more outputs. Gradient softmax(z) − e_y. Its Hessian is at most ½ I
/// (Böhning 1992).
#[derive(Debug, Clone, Copy)]
pub struct SoftmaxLoss;

impl<T: Real> Loss<T> for SoftmaxLoss {
    fn value_and_gradient(&self, targets: &Targets<'_, T>, row: usize, logits: &mut [T]) -> T {
        let class = class_of(targets, row);
        let top = logits.iter().copied().fold(T::neg_infinity(), T::max);
        let shifted_target = logits[class] - top;
        let mut sum = T::zero();
        for z in logits.iter_mut() {
            *z = (*z - top).exp();
            sum += *z;
        }
        let inverse = sum.recip();
        for z in logits.iter_mut() {
            *z *= inverse;
        }
        logits[class] -= T::one();
        sum.ln() - shifted_target
    }

    fn value_at_zero(&self, _targets: &Targets<'_, T>, _row: usize, n_outputs: usize) -> T {
        T::of(n_outputs as f64).ln()
    }

    fn curvature_bound(&self) -> T {
        T::of(0.5)
    }

    fn score(&self, targets: &Targets<'_, T>, row: usize, logits: &[T]) -> T {
        let mut best = 0;
        for (j, &z) in logits.iter().enumerate() {
            if z > logits[best] {
                best = j;
            }
        }
        if best == class_of(targets, row) { T::one() } else { T::zero() }
    }
}
