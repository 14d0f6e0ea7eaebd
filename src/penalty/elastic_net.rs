//! Absolute values and squares of the weights.

use super::Penalty;
use crate::error::Result;
use crate::real::Real;
use ndarray::{ArrayView2, ArrayViewMut2};

/// P(W) = absolute·Σ|w| + square/2·Σw² (Zou, Hastie 2005); with `square` = 0 the l1 norm.
#[derive(Debug, Clone, Copy)]
pub struct ElasticNet {
    absolute: f64,
    square: f64,
}

impl ElasticNet {
    /// strength·[ratio·Σ|w| + (1 − ratio)/2·Σw²], as scikit-learn's.
    pub fn new(strength: f64, l1_ratio: f64) -> Self {
        Self { absolute: strength * l1_ratio, square: strength * (1.0 - l1_ratio) }
    }

    fn of<T: Real>(&self, weights: impl Iterator<Item = T>) -> f64 {
        let (absolute, square) = weights.map(T::f64).fold((0.0, 0.0), |(a, s), w| (a + w.abs(), s + w * w));
        self.absolute * absolute + 0.5 * self.square * square
    }
}

impl<T: Real> Penalty<T> for ElasticNet {
    fn value(&self, weights: ArrayView2<'_, T>) -> Result<f64> {
        Ok(weights.rows().into_iter().map(|row| self.of(row.iter().copied())).sum())
    }

    /// Soft threshold at step·absolute, then division by 1 + step·square.
    fn prox(&mut self, step: f64, mut weights: ArrayViewMut2<'_, T>) -> Result<f64> {
        let (threshold, shrink) = (T::of(step * self.absolute), T::of(1.0 / (1.0 + step * self.square)));
        weights.map_inplace(|w| {
            let kept = *w - w.max(-threshold).min(threshold);
            // The subtraction turns NaN of the clamp into a number.
            *w = if w.is_nan() { *w } else { kept * shrink };
        });
        self.value(weights.view())
    }

    fn is_elementwise(&self) -> bool {
        true
    }
    fn is_convex(&self) -> bool {
        true
    }
    fn is_constraint(&self) -> bool {
        false
    }
}
