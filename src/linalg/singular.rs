//! Singular values, through the Gram matrix of the smaller side in double precision.
//!
//! That squares the condition number: values below about 1e-8 of the largest are lost in rounding,
//! which neither thresholds nor truncations mind.

use super::lapack::lapack;
use super::product::{Threads, product};
use crate::error::{Error, Result};
use crate::real::Real;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, s};
use ndarray_linalg::{Eigh, UPLO};

/// The singular values of A in descending order; NaN for a matrix that is not finite.
///
/// # Errors
/// [`Error::Factorisation`] when LAPACK fails.
pub fn singular_values<T: Real>(a: ArrayView2<'_, T>) -> Result<Vec<f64>> {
    match right_side(tall(a).mapv(T::f64).view())? {
        Some((values, _)) => Ok(values.to_vec()),
        None => Ok(vec![f64::NAN]),
    }
}

/// A ← U diag(filter(σ)) Vᵀ for the decomposition A = U diag(σ) Vᵀ, σ in descending order.
///
/// `filter` changes the values in place, none upwards. A matrix that is not finite stays as it is.
///
/// # Errors
/// [`Error::Factorisation`] when LAPACK fails.
pub fn filter_singular_values<T: Real>(
    mut a: ArrayViewMut2<'_, T>,
    filter: impl FnOnce(&mut [f64]),
) -> Result<()> {
    let wide = tall(a.view()).mapv(T::f64);
    let Some((values, vectors)) = right_side(wide.view())? else { return Ok(()) };
    let mut filtered = values.to_vec();
    filter(&mut filtered);
    let ratio = |(&new, &old): (&f64, &f64)| if old > 0.0 { new / old } else { 0.0 };
    let kept = filtered.iter().rposition(|&value| value > 0.0).map_or(0, |last| last + 1);
    // A V diag(σ'/σ) Vᵀ: the left vectors are never formed.
    let vectors = vectors.slice(s![.., ..kept]);
    let mut scores = Array2::zeros((wide.nrows(), kept));
    product(1.0, wide.view(), vectors, 0.0, scores.view_mut(), Threads::All);
    scores *= &Array1::from_iter(filtered.iter().zip(&values).take(kept).map(ratio)).insert_axis(Axis(0));
    let mut result = Array2::zeros(wide.raw_dim());
    product(1.0, scores.view(), vectors.t(), 0.0, result.view_mut(), Threads::All);
    let mut target = if a.nrows() < a.ncols() { a.reversed_axes() } else { a.view_mut() };
    target.zip_mut_with(&result, |a, &r| *a = T::of(r));
    Ok(())
}

/// A or Aᵀ, whichever has at least as many rows as columns.
fn tall<T>(a: ArrayView2<'_, T>) -> ArrayView2<'_, T> {
    if a.nrows() < a.ncols() { a.reversed_axes() } else { a }
}

/// Singular values in descending order and right vectors, one a column; `None` if not finite.
fn right_side(a: ArrayView2<'_, f64>) -> Result<Option<(Array1<f64>, Array2<f64>)>> {
    let size = a.ncols();
    let largest = a.iter().fold(0.0, |top: f64, v| if v.is_nan() { f64::NAN } else { top.max(v.abs()) });
    if !largest.is_finite() || a.iter().any(|v| v.is_nan()) {
        return Ok(None);
    }
    // Scaled, so that no square leaves the range.
    let unit = if largest > 0.0 { largest } else { 1.0 };
    let mut gram = Array2::zeros((size, size));
    let scaled = a.mapv(|v| v / unit);
    product(1.0, scaled.t(), scaled.view(), 0.0, gram.view_mut(), Threads::All);
    let (squares, vectors) = lapack(|| gram.eigh(UPLO::Lower))
        .map_err(|error| Error::Factorisation { size, reason: error.to_string() })?;
    // LAPACK sorts ascending.
    let values = squares.slice(s![..;-1]).mapv(|v: f64| v.max(0.0).sqrt() * unit);
    Ok(Some((values, vectors.slice(s![.., ..;-1]).to_owned())))
}
