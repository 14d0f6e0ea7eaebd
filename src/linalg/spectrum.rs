//! Eigenpairs of symmetric positive semidefinite matrices and operators.

use super::lapack::lapack;
use super::product::{Threads, add_upper_gram, mirror, product};
use super::spd::lower_factor;
use crate::error::{Error, Result};
use crate::real::Real;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use ndarray_linalg::{Eigh, QR, UPLO};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Eigenvalues in descending order and their orthonormal eigenvectors.
#[derive(Debug, Clone)]
pub struct LeadingEigen {
    /// `(k,)`.
    pub values: Array1<f64>,
    /// `(d, k)`, one eigenvector a column.
    pub vectors: Array2<f64>,
}

/// Block subspace iteration with a Rayleigh–Ritz step at the end (Halko, Martinsson, Tropp 2011).
///
/// `apply(q)` returns G q for a block q of shape `(d, block)`. Of `block` Ritz pairs the trailing
/// ones are the least accurate: ask for more than you keep.
///
/// # Errors
/// [`Error::Factorisation`] when LAPACK fails.
pub fn leading_eigen(
    apply: impl Fn(&Array2<f64>) -> Array2<f64>,
    d: usize,
    block: usize,
    iterations: usize,
    rng: &mut impl Rng,
) -> Result<LeadingEigen> {
    let start = Array2::from_shape_simple_fn((d, block), || StandardNormal.sample(rng));
    let mut basis = orthonormal(&start)?;
    for _ in 1..iterations {
        basis = orthonormal(&apply(&basis))?;
    }
    let image = apply(&basis);
    let block = basis.ncols();
    let mut projected = Array2::zeros((block, block));
    product(1.0, basis.t(), image.view(), 0.0, projected.view_mut(), Threads::All);
    let (values, rotation) = lapack(|| projected.eigh(UPLO::Lower)).map_err(|error| failed(block, &error))?;
    // LAPACK sorts ascending.
    let mut vectors = Array2::zeros((d, block));
    product(1.0, basis.view(), rotation.slice(s![.., ..;-1]), 0.0, vectors.view_mut(), Threads::All);
    let values = values.slice(s![..;-1]).mapv(|v: f64| v.max(0.0));
    Ok(LeadingEigen { values, vectors })
}

/// A⁺ of a symmetric positive semidefinite A: eigenvalues of at most n·ε times the largest are 0.
///
/// # Errors
/// [`Error::Factorisation`] when A is not finite or LAPACK fails.
pub fn pseudo_inverse(a: &Array2<f64>) -> Result<Array2<f64>> {
    let n = a.nrows();
    if !a.iter().all(|v| v.is_finite()) {
        return Err(failed(n, &"not finite"));
    }
    let (values, mut vectors) = lapack(|| a.eigh(UPLO::Lower)).map_err(|error| failed(n, &error))?;
    let floor = n as f64 * f64::EPSILON * values.iter().fold(0.0, |top: f64, &v| top.max(v));
    vectors *= &values.mapv(|v| if v > floor { v.sqrt().recip() } else { 0.0 });
    let mut inverse = Array2::zeros((n, n));
    product(1.0, vectors.view(), vectors.t(), 0.0, inverse.view_mut(), Threads::All);
    Ok(inverse)
}

/// About an upper bound of the largest eigenvalue of a symmetric positive semidefinite matrix: a power
/// iteration and a twentieth, but no more than the largest sum of a row's absolute values.
pub fn spectral_bound<T: Real>(matrix: ArrayView2<'_, T>) -> f64 {
    const STEPS: usize = 20;
    let bound = matrix.rows().into_iter().map(|row| row.iter().map(|v| v.f64().abs()).sum::<f64>());
    let bound = bound.fold(0.0, f64::max);
    let n = matrix.nrows();
    // No eigenvector of any matrix that we meet is orthogonal to this.
    let mut v = Array2::from_shape_fn((n, 1), |(i, _)| T::of(1.0 + 0.5 * (1.7 * i as f64).sin()));
    let mut image = Array2::zeros((n, 1));
    let mut value = 0.0;
    for _ in 0..STEPS {
        let norm = v.iter().map(|v| v.f64() * v.f64()).sum::<f64>().sqrt();
        v.map_inplace(|v| *v /= T::of(norm));
        product(T::one(), matrix, v.view(), T::zero(), image.view_mut(), Threads::One);
        value = image.iter().zip(&v).map(|(a, b)| a.f64() * b.f64()).sum();
        std::mem::swap(&mut v, &mut image);
    }
    let guess: f64 = 1.05 * value;
    if guess.is_finite() && guess > 0.0 { guess.min(bound) } else { bound }
}

/// An orthonormal basis of what the columns of `block` span.
///
/// By the factor of their Gram matrix, twice, so that all but the factor are products; by
/// Householder's vectors in LAPACK where the columns depend on each other too much for that
/// (Yamamoto, Nakatsukasa, Yanagisawa and Fukaya 2015, "Roundoff error analysis of the
/// CholeskyQR2 algorithm").
fn orthonormal(block: &Array2<f64>) -> Result<Array2<f64>> {
    if let Some(basis) = cholesky_qr(block).and_then(|basis| cholesky_qr(&basis)) {
        return Ok(basis);
    }
    let (q, _) = lapack(|| block.qr()).map_err(|error| failed(block.ncols(), &error))?;
    Ok(q)
}

/// `a` times the inverse factor of its Gram matrix; `None` for columns so dependent that a second
/// round would not mend what this one loses.
fn cholesky_qr(a: &Array2<f64>) -> Option<Array2<f64>> {
    const LEAST_PIVOT: f64 = 1e-6;
    let mut gram = Array2::zeros((a.ncols(), a.ncols()));
    add_upper_gram(1.0, a.view(), gram.view_mut(), Threads::All);
    mirror(&mut gram);
    let lengths = gram.diag().mapv(f64::sqrt);
    gram /= &lengths;
    gram /= &lengths.view().insert_axis(Axis(1));
    let (lower, inverse) = lower_factor(&gram).ok()?;
    if !lower.diag().iter().all(|&pivot| pivot > LEAST_PIVOT) {
        return None;
    }
    let right = inverse.t().to_owned() / lengths.insert_axis(Axis(1));
    let mut basis = Array2::zeros(a.raw_dim());
    product(1.0, a.view(), right.view(), 0.0, basis.view_mut(), Threads::All);
    Some(basis)
}

fn failed(size: usize, reason: &dyn std::fmt::Display) -> Error {
    Error::Factorisation { size, reason: reason.to_string() }
}
