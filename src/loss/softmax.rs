//! Softmax cross-entropy.

use super::{Loss, Targets, class_of};
use crate::real::Real;

/// ℓ(y, z) = log Σ_j exp z_j − ⟨q, z⟩, q = (1 − s) e_y + s/K, y one of K classes.
///
/// s is the label smoothing, 0 without (Szegedy et al. 2016, *Rethinking the inception
/// architecture*). Domain: two or more outputs. Gradient softmax(z) − q. Its Hessian is at most ½ I
/// (Böhning 1992).
#[derive(Debug, Clone, Copy)]
pub struct SoftmaxLoss {
    /// s, in [0, 1).
    pub smoothing: f64,
}

impl<T: Real> Loss<T> for SoftmaxLoss {
    fn value_and_gradient(&self, targets: &Targets<'_, T>, row: usize, logits: &mut [T]) -> T {
        let class = class_of(targets, row);
        let top = logits.iter().copied().fold(T::neg_infinity(), T::max);
        let mut shifted_target = logits[class] - top;
        let (smoothing, share) = (T::of(self.smoothing), T::of(self.smoothing / logits.len() as f64));
        if self.smoothing > 0.0 {
            let all: T = logits.iter().map(|&z| z - top).sum();
            shifted_target = (T::one() - smoothing) * shifted_target + share * all;
        }
        let mut sum = T::zero();
        for z in logits.iter_mut() {
            *z = (*z - top).exp();
            sum += *z;
        }
        let inverse = sum.recip();
        for z in logits.iter_mut() {
            *z *= inverse;
        }
        if self.smoothing > 0.0 {
            logits.iter_mut().for_each(|p| *p -= share);
        }
        logits[class] -= T::one() - smoothing;
        sum.ln() - shifted_target
    }

    fn value_at_zero(&self, _targets: &Targets<'_, T>, _row: usize, n_outputs: usize) -> T {
        T::of(n_outputs as f64).ln()
    }

    fn curvature_bound(&self) -> T {
        T::of(0.5)
    }

    fn label_smoothing(&self) -> f64 {
        self.smoothing
    }

    fn score(&self, targets: &Targets<'_, T>, row: usize, logits: &[T]) -> T {
        // Of equal logits the first wins. Without branches, whose outcome nothing predicts.
        let class = class_of(targets, row);
        let own = logits[class];
        let before = logits[..class].iter().fold(true, |wins, &z| wins & (own > z));
        let wins = logits[class..].iter().fold(before, |wins, &z| wins & (own >= z));
        if wins { T::one() } else { T::zero() }
    }
}
