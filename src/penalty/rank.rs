//! A limit on the rank.

use super::{Penalty, slack};
use crate::error::Result;
use crate::linalg::{filter_singular_values, singular_values};
use crate::real::Real;
use ndarray::{ArrayView2, ArrayViewMut2};

/// 0 for matrices of at most this rank; not convex.
#[derive(Debug, Clone, Copy)]
pub struct RankLimit {
    limit: usize,
    slack: f64,
}

impl RankLimit {
    /// `limit` ≥ 1.
    pub fn new(limit: usize) -> Self {
        Self { limit, slack: 0.0 }
    }

    /// The rank allowed at this tightness, of a matrix of this shape.
    fn allowed(&self, shape: (usize, usize)) -> usize {
        let full = shape.0.min(shape.1);
        self.limit + (self.slack * full.saturating_sub(self.limit) as f64).ceil() as usize
    }
}

impl<T: Real> Penalty<T> for RankLimit {
    /// Singular values within the rounding of their computation count as 0.
    fn value(&self, weights: ArrayView2<'_, T>) -> Result<f64> {
        let allowed = self.allowed(weights.dim());
        let values = singular_values(weights)?;
        let sizes = weights.nrows().max(weights.ncols()) as f64;
        let noise = values.first().map_or(0.0, |first| first * sizes * T::epsilon().f64().max(1e-7));
        let beyond = values.iter().skip(allowed).any(|&value| value > noise);
        Ok(if beyond { f64::INFINITY } else { 0.0 })
    }

    /// The nearest matrix of that rank: the leading singular values (Eckart, Young 1936).
    fn prox(&mut self, _step: f64, weights: ArrayViewMut2<'_, T>) -> Result<f64> {
        let allowed = self.allowed(weights.dim());
        if allowed < weights.nrows().min(weights.ncols()) {
            filter_singular_values(weights, |values| {
                values.iter_mut().skip(allowed).for_each(|value| *value = 0.0);
            })?;
        }
        Ok(0.0)
    }

    fn tighten(&mut self, progress: f64) {
        self.slack = slack(progress);
    }

    fn is_elementwise(&self) -> bool {
        false
    }
    fn is_convex(&self) -> bool {
        false
    }
    fn is_constraint(&self) -> bool {
        true
    }
}
