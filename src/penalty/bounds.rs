//! Bounds on every weight.

use super::Penalty;
use crate::error::Result;
use crate::real::Real;
use ndarray::{Array1, ArrayView1, ArrayView2, ArrayViewMut2, Axis, Zip};

/// lower ≤ w ≤ upper, the same for all weights or for each row of its own.
#[derive(Debug, Clone)]
pub struct Bounds<T> {
    /// One entry for all rows, or one a row.
    lower: Array1<T>,
    upper: Array1<T>,
}

impl<T: Real> Bounds<T> {
    /// The same bounds for every weight, rounded to this precision.
    pub fn new(lower: f64, upper: f64) -> Self {
        Self { lower: Array1::from_elem(1, T::of(lower)), upper: Array1::from_elem(1, T::of(upper)) }
    }

    /// Bounds on scale·w, where row i has scale `scale[i]` ≥ 0; a row of scale 0 is free.
    pub fn scaled(lower: f64, upper: f64, scale: ArrayView1<'_, T>) -> Self {
        let bound = |bound: f64, free: T| {
            scale.mapv(|scale| if scale > T::zero() { T::of(bound / scale.f64()) } else { free })
        };
        Self { lower: bound(lower, T::neg_infinity()), upper: bound(upper, T::infinity()) }
    }

    fn broadcast<'a>(bound: &'a Array1<T>, rows: usize) -> ArrayView1<'a, T> {
        let given: ArrayView1<'a, T> = bound.view();
        // One bound for all rows; other lengths are those of the weights.
        bound.broadcast(rows).unwrap_or(given)
    }
}

impl<T: Real> Penalty<T> for Bounds<T> {
    fn value(&self, weights: ArrayView2<'_, T>) -> Result<f64> {
        let rows = weights.nrows();
        let (lower, upper) = (Self::broadcast(&self.lower, rows), Self::broadcast(&self.upper, rows));
        let inside = weights
            .axis_iter(Axis(0))
            .zip(lower.iter().zip(upper))
            .all(|(row, (&lower, &upper))| row.iter().all(|&w| lower <= w && w <= upper));
        Ok(if inside { 0.0 } else { f64::INFINITY })
    }

    fn prox(&mut self, _step: f64, mut weights: ArrayViewMut2<'_, T>) -> Result<f64> {
        let rows = weights.nrows();
        let (lower, upper) = (Self::broadcast(&self.lower, rows), Self::broadcast(&self.upper, rows));
        Zip::from(weights.rows_mut()).and(lower).and(upper).for_each(|mut row, &lower, &upper| {
            row.map_inplace(|w| {
                *w = if *w < lower {
                    lower
                } else if *w > upper {
                    upper
                } else {
                    *w
                }
            });
        });
        Ok(0.0)
    }

    fn is_elementwise(&self) -> bool {
        true
    }
    fn is_convex(&self) -> bool {
        true
    }
    fn is_constraint(&self) -> bool {
        true
    }
}
