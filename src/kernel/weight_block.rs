//! The weight block: one layer's affine map, the lifted variables fixed.
//!
//! ```text
//! min over W:  mean_i s_i λ [f*(Wᵀx_i) − ⟨x⁺_i, Wᵀx_i⟩] + (α/2)‖W‖²,   x_i = (input_i, 1)
//! ```
//!
//! a generalised linear model with the matching loss of φ. Its Hessian is at most sup φ′·λ·G with
//! G = mean s_i x_i x_iᵀ, so a step in the metric G + damping descends (majorise–minimise). The
//! intercept is the last row of W; it is neither penalised nor damped beyond rounding.

use crate::error::Result;
use crate::linalg::{Threads, damped_inverse};
use crate::real::Real;
use ndarray::{Array2, ArrayView2};

/// (G + ε·mean(diag G)·I)⁻¹ for the Gram matrix of a layer's input with trailing ones.
///
/// `gram` is `(n_inputs + 1, n_inputs + 1)`; the mean leaves the intercept's entry out.
///
/// # Errors
/// [`crate::error::Error::Factorisation`] when G holds non-finite values.
pub fn inverse_metric<T: Real>(gram: ArrayView2<'_, T>, damping: f64, threads: Threads) -> Result<Array2<T>> {
    let n_inputs = gram.nrows() - 1;
    let trace: f64 = gram.diag().iter().take(n_inputs).map(|v| v.f64()).sum();
    let mean = trace / n_inputs as f64;
    // A layer whose units are all silent still needs a definite metric.
    let damping = (damping * mean).max(1e-6);
    let mut diagonal = vec![T::of(damping); n_inputs + 1];
    diagonal[n_inputs] = T::of(1e-4);
    damped_inverse(gram, &diagonal, threads)
}
