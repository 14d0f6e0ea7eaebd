//! Squared loss.

use super::{Loss, Targets};
use crate::real::Real;

/// ℓ(y, z) = ½‖z − y‖², y real.
///
/// Domain: any number of outputs. Gradient z − y. Curvature 1.
#[derive(Debug, Clone, Copy)]
pub struct SquaredLoss;

impl SquaredLoss {
    fn residual<T: Real>(targets: &Targets<'_, T>, row: usize, column: usize, z: T) -> T {
        match targets {
            Targets::Values(values) => z - values[[row, column]],
            Targets::Classes(_) => z,
        }
    }
}

impl<T: Real> Loss<T> for SquaredLoss {
    fn value_and_gradient(&self, targets: &Targets<'_, T>, row: usize, logits: &mut [T]) -> T {
        let mut sum = T::zero();
        for (column, z) in logits.iter_mut().enumerate() {
            *z = Self::residual(targets, row, column, *z);
            sum += *z * *z;
        }
        T::of(0.5) * sum
    }

    fn curvature_bound(&self) -> T {
        T::one()
    }

    fn score(&self, targets: &Targets<'_, T>, row: usize, logits: &[T]) -> T {
        let mut sum = T::zero();
        for (column, &z) in logits.iter().enumerate() {
            let residual = Self::residual(targets, row, column, z);
            sum += residual * residual;
        }
        T::of(-0.5) * sum
    }
}
