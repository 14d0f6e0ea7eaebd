//! Bounds on every weight.

use super::Penalty;
use crate::error::Result;
use crate::real::Real;
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2};

/// lower ≤ w ≤ upper, the same for all weights or for each of its own.
#[derive(Debug, Clone)]
pub struct Bounds<T> {
    /// `(1 or n_inputs, 1 or n_units)`.
    lower: Array2<T>,
    upper: Array2<T>,
}

impl<T: Real> Bounds<T> {
    /// The same bounds for every weight, rounded to this precision.
    pub fn new(lower: f64, upper: f64) -> Self {
        Self::scaled(lower, upper, None, None)
    }

    /// Bounds on w·row·column with factors of 0 or more; where one is 0, w is free.
    pub fn scaled(lower: f64, upper: f64, rows: Option<ArrayView1<'_, T>>, columns: Option<&[f64]>) -> Self {
        let rows = rows.map_or(vec![1.0], |rows| rows.iter().map(|v| v.f64()).collect());
        let columns = columns.unwrap_or(&[1.0]);
        let bound = |bound: f64, free: f64| {
            Array2::from_shape_fn((rows.len(), columns.len()), |(i, j)| {
                let scale = rows[i] * columns[j];
                T::of(if scale > 0.0 { bound / scale } else { free })
            })
        };
        Self { lower: bound(lower, f64::NEG_INFINITY), upper: bound(upper, f64::INFINITY) }
    }

    /// Calls `each` with the weights of a row and their bounds, one or as many.
    fn rows<R: Iterator>(&self, rows: R, mut each: impl FnMut(R::Item, &[T], &[T])) {
        let last = self.lower.nrows() - 1;
        for (i, row) in rows.enumerate() {
            let i = i.min(last);
            if let (Some(lower), Some(upper)) = (self.lower.row(i).to_slice(), self.upper.row(i).to_slice()) {
                each(row, lower, upper);
            }
        }
    }
}

impl<T: Real> Penalty<T> for Bounds<T> {
    fn value(&self, weights: ArrayView2<'_, T>) -> Result<f64> {
        let mut inside = true;
        self.rows(weights.rows().into_iter(), |row, lower, upper| {
            let bounds = lower.iter().zip(upper).cycle();
            inside &= row.iter().zip(bounds).all(|(w, (lower, upper))| lower <= w && w <= upper);
        });
        Ok(if inside { 0.0 } else { f64::INFINITY })
    }

    fn prox(&mut self, _step: f64, mut weights: ArrayViewMut2<'_, T>) -> Result<f64> {
        let clip = |w: &mut T, lower: T, upper: T| {
            *w = if *w < lower {
                lower
            } else if *w > upper {
                upper
            } else {
                *w
            };
        };
        self.rows(weights.rows_mut().into_iter(), |mut row, lower, upper| match (lower, upper) {
            (&[lower], &[upper]) => row.map_inplace(|w| clip(w, lower, upper)),
            _ => {
                for (w, (&lower, &upper)) in row.iter_mut().zip(lower.iter().zip(upper)) {
                    clip(w, lower, upper);
                }
            }
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
