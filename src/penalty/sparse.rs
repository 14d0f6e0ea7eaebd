//! A limit on the number of weights that are not 0.

use super::{Penalty, slack};
use crate::error::Result;
use crate::real::Real;
use ndarray::{ArrayView2, ArrayViewMut2};

/// 0 where at least a share of all the weights of the layer is exactly 0; not convex.
#[derive(Debug, Clone)]
pub struct Sparse<T> {
    share: f64,
    slack: f64,
    magnitudes: Vec<T>,
    /// The weights that the last projection kept, in row order.
    kept: Vec<bool>,
}

impl<T: Real> Sparse<T> {
    /// `share` in [0, 1).
    pub fn new(share: f64) -> Self {
        Self { share, slack: 0.0, magnitudes: Vec::new(), kept: Vec::new() }
    }

    /// The number of weights, of `all`, that need not be 0.
    fn allowed(&self, all: usize) -> usize {
        let zeros = self.share * (1.0 - self.slack) * all as f64;
        // The product of a share such as 0.07 may lie a rounding above a whole number.
        all.saturating_sub((zeros * (1.0 - 1e-12)).ceil() as usize)
    }

    /// Chooses the largest in magnitude; of equal ones the first.
    fn choose_largest(&mut self, weights: ArrayView2<'_, T>) {
        let all = weights.len();
        let allowed = self.allowed(all);
        self.kept.clear();
        self.magnitudes.clear();
        self.magnitudes.extend(weights.iter().map(|w| w.abs()));
        if allowed == 0 || allowed == all {
            self.kept.resize(all, allowed == all);
            return;
        }
        let by_size = |a: &T, b: &T| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal);
        let (larger, &mut least, _) = self.magnitudes.select_nth_unstable_by(allowed - 1, by_size);
        let mut ties = allowed - larger.iter().filter(|&&w| w > least).count();
        self.kept.extend(weights.iter().map(|w| {
            let tie = w.abs() == least && ties > 0;
            ties -= usize::from(tie);
            tie || w.abs() > least
        }));
    }

    fn hold(&self, mut weights: ArrayViewMut2<'_, T>) {
        for (w, &kept) in weights.iter_mut().zip(&self.kept) {
            // NaN must not be hidden.
            *w = if kept || w.is_nan() { *w } else { T::zero() };
        }
    }
}

impl<T: Real> Penalty<T> for Sparse<T> {
    fn value(&self, weights: ArrayView2<'_, T>) -> Result<f64> {
        let count = weights.iter().filter(|&&w| w != T::zero()).count();
        Ok(if count <= self.allowed(weights.len()) { 0.0 } else { f64::INFINITY })
    }

    /// Hard threshold: the nearest matrix with so many zeros.
    fn prox(&mut self, _step: f64, weights: ArrayViewMut2<'_, T>) -> Result<f64> {
        self.choose_largest(weights.view());
        self.hold(weights);
        Ok(0.0)
    }

    fn choose(&mut self, weights: ArrayView2<'_, T>) -> bool {
        self.choose_largest(weights);
        true
    }

    /// The weights chosen stay the same: a linear space.
    fn prox_again(&mut self, step: f64, weights: ArrayViewMut2<'_, T>) -> Result<f64> {
        if self.kept.len() != weights.len() {
            return self.prox(step, weights);
        }
        self.hold(weights);
        Ok(0.0)
    }

    fn tighten(&mut self, progress: f64) {
        self.slack = slack(progress);
    }

    fn is_elementwise(&self) -> bool {
        true
    }
    fn is_convex(&self) -> bool {
        false
    }
    fn is_constraint(&self) -> bool {
        true
    }
}
