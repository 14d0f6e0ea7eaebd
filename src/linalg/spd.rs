//! Symmetric positive definite matrices: inverses by blocks, Cholesky factors.

use super::lapack::lapack;
use super::product::{Threads, product};
use crate::error::{Error, Result};
use crate::real::Real;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use ndarray_linalg::{Cholesky, InverseC, UPLO};

/// Order up to which LAPACK inverts; above, the work is matrix products.
const LEAF: usize = 64;

/// (A + diag(d))⁻¹ for symmetric positive semidefinite A and damping d > 0.
///
/// By blocks, with the Schur complement S = D − BᵀA⁻¹B: all but the leaves are products, which
/// LAPACK's own inverse would leave to the system's BLAS.
///
/// # Errors
/// [`Error::Factorisation`] when the damped matrix is not finite or not numerically positive
/// definite.
pub fn damped_inverse<T: Real>(a: ArrayView2<'_, T>, damping: &[T], threads: Threads) -> Result<Array2<T>> {
    let mut work = a.to_owned();
    for (v, &d) in work.diag_mut().iter_mut().zip(damping) {
        *v += d;
    }
    require_finite(work.view())?;
    invert(work.view_mut(), threads)?;
    Ok(work)
}

fn invert<T: Real>(mut a: ArrayViewMut2<'_, T>, threads: Threads) -> Result<()> {
    let n = a.nrows();
    if n <= LEAF {
        let inverse = lapack(|| a.mapv(T::f64).invc()).map_err(|error| failed(n, &error))?;
        a.zip_mut_with(&inverse, |v, &w| *v = T::of(w));
        return require_finite(a.view());
    }
    let half = n / 2;
    let (one, zero) = (T::one(), T::zero());
    let (mut top, mut bottom) = a.view_mut().split_at(ndarray::Axis(0), half);
    let b = top.slice(s![.., half..]).to_owned();
    invert(top.slice_mut(s![.., ..half]), threads)?;
    let a_inverse = top.slice(s![.., ..half]);
    let mut lifted = Array2::zeros(b.raw_dim());
    product(one, a_inverse, b.view(), zero, lifted.view_mut(), threads);
    product(-one, b.t(), lifted.view(), one, bottom.slice_mut(s![.., half..]), threads);
    invert(bottom.slice_mut(s![.., half..]), threads)?;
    let schur_inverse = bottom.slice(s![.., half..]);
    let mut right = Array2::zeros(b.raw_dim());
    product(-one, lifted.view(), schur_inverse, zero, right.view_mut(), threads);
    product(-one, right.view(), lifted.t(), one, top.slice_mut(s![.., ..half]), threads);
    bottom.slice_mut(s![.., ..half]).assign(&right.t());
    top.slice_mut(s![.., half..]).assign(&right);
    Ok(())
}

/// The lower Cholesky factor L of A = L Lᵀ, and L⁻¹.
///
/// # Errors
/// [`Error::Factorisation`] when A is not finite or not numerically positive definite.
pub fn lower_factor(a: &Array2<f64>) -> Result<(Array2<f64>, Array2<f64>)> {
    let n = a.nrows();
    require_finite(a.view())?;
    let factor = lapack(|| a.cholesky(UPLO::Lower)).map_err(|error| failed(n, &error))?;
    let inverse = invert_lower(factor.view());
    Ok((factor, inverse))
}

/// L⁻¹ by blocks: [L₁ 0; M L₂]⁻¹ = [L₁⁻¹ 0; −L₂⁻¹ M L₁⁻¹  L₂⁻¹].
fn invert_lower(l: ArrayView2<'_, f64>) -> Array2<f64> {
    let n = l.nrows();
    let mut inverse = Array2::zeros((n, n));
    if n <= 16 {
        for j in 0..n {
            inverse[[j, j]] = 1.0 / l[[j, j]];
            for i in j + 1..n {
                let sum: f64 = (j..i).map(|k| l[[i, k]] * inverse[[k, j]]).sum();
                inverse[[i, j]] = -sum / l[[i, i]];
            }
        }
        return inverse;
    }
    let half = n / 2;
    let first = invert_lower(l.slice(s![..half, ..half]));
    let second = invert_lower(l.slice(s![half.., half..]));
    let mut corner = Array2::zeros((n - half, half));
    product(1.0, l.slice(s![half.., ..half]), first.view(), 0.0, corner.view_mut(), Threads::All);
    product(-1.0, second.view(), corner.view(), 0.0, inverse.slice_mut(s![half.., ..half]), Threads::All);
    inverse.slice_mut(s![..half, ..half]).assign(&first);
    inverse.slice_mut(s![half.., half..]).assign(&second);
    inverse
}

/// LAPACK lets some NaN and infinities through: 1/∞ passes for an inverse.
fn require_finite<T: Real>(a: ArrayView2<'_, T>) -> Result<()> {
    if a.iter().all(|v| v.is_finite()) { Ok(()) } else { Err(failed(a.nrows(), &"not finite")) }
}

fn failed(size: usize, reason: &dyn std::fmt::Display) -> Error {
    Error::Factorisation { size, reason: reason.to_string() }
}
