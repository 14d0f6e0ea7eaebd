//! The nuclear norm.

use super::Penalty;
use crate::error::Result;
use crate::linalg::{filter_singular_values, singular_values};
use crate::real::Real;
use ndarray::{ArrayView2, ArrayViewMut2};

/// P(W) = strength·Σ σ_i(W): the convex surrogate of a rank limit (Fazel 2002).
#[derive(Debug, Clone, Copy)]
pub struct Nuclear {
    strength: f64,
}

impl Nuclear {
    /// `strength` ≥ 0.
    pub fn new(strength: f64) -> Self {
        Self { strength }
    }
}

impl<T: Real> Penalty<T> for Nuclear {
    fn value(&self, weights: ArrayView2<'_, T>) -> Result<f64> {
        Ok(self.strength * singular_values(weights)?.iter().sum::<f64>())
    }

    /// Soft threshold of the singular values (Cai, Candès, Shen 2010).
    fn prox(&mut self, step: f64, weights: ArrayViewMut2<'_, T>) -> Result<f64> {
        let threshold = step * self.strength;
        let mut sum = 0.0;
        filter_singular_values(weights, |values| {
            for value in values {
                *value = (*value - threshold).max(0.0);
                sum += *value;
            }
        })?;
        Ok(self.strength * sum)
    }

    fn is_elementwise(&self) -> bool {
        false
    }
    fn is_convex(&self) -> bool {
        true
    }
    fn is_constraint(&self) -> bool {
        false
    }
}
