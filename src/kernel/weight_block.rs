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
use crate::linalg::{Threads, damped_inverse, product};
use crate::real::Real;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

/// gradient ← scale · Σ over chunks inputᵀ δ + ridge · W, the intercept unpenalised.
///
/// * `chunks`: pairs of inputs with trailing ones, `(n_samples, n_inputs + 1)`, and
///   δ = ∂(λD)/∂z or ∂ℓ/∂z, `(n_samples, n_units)`;
/// * `weights` and `gradient`: `(n_inputs + 1, n_units)`, rows contiguous.
pub fn gradient<'c, T: Real>(
    chunks: impl Iterator<Item = (ArrayView2<'c, T>, ArrayView2<'c, T>)> + Clone + Send + Sync,
    weights: ArrayView2<'_, T>,
    scale: T,
    ridge: T,
    mut gradient: ArrayViewMut2<'_, T>,
    threads: Threads,
) {
    /// Rows of the gradient in one task: fixed, so that the bits do not depend on the threads.
    const ROWS: usize = 64;
    let n_inputs = weights.nrows() - 1;
    let tile = |(t, (mut gradient, weights)): (usize, (ArrayViewMut2<'_, T>, ArrayView2<'_, T>))| {
        let start = t * ROWS;
        let rows = start..start + gradient.nrows();
        for (mut gradient, weights) in gradient.rows_mut().into_iter().zip(weights.rows()) {
            gradient.zip_mut_with(&weights, |g, &w| *g = ridge * w);
        }
        if rows.end == n_inputs + 1 {
            gradient.row_mut(n_inputs - start).fill(T::zero());
        }
        for (input, delta) in chunks.clone() {
            let input = input.slice_move(s![.., rows.clone()]);
            product(scale, input.t(), delta, T::one(), gradient.view_mut(), Threads::One);
        }
    };
    let gradients = gradient.axis_chunks_iter_mut(Axis(0), ROWS);
    let weights = weights.axis_chunks_iter(Axis(0), ROWS);
    match threads {
        Threads::One => gradients.into_iter().zip(weights).enumerate().for_each(tile),
        Threads::All => gradients.into_par_iter().zip(weights).enumerate().for_each(tile),
    }
}

/// (G + (ε·mean(diag G) + ridge)·I)⁻¹ for the Gram matrix of a layer's input with trailing ones.
///
/// `gram` is `(n_inputs + 1, n_inputs + 1)`; the mean leaves the intercept's entry out.
///
/// # Errors
/// [`crate::error::Error::Factorisation`] when G holds non-finite values.
pub fn inverse_metric<T: Real>(
    gram: ArrayView2<'_, T>,
    damping: f64,
    ridge: f64,
    threads: Threads,
) -> Result<Array2<T>> {
    damped_inverse(gram, &metric_damping(gram, damping, ridge), threads)
}

/// The diagonal that [`inverse_metric`] adds to G: (ε·mean(diag G) + ridge), next to nothing for the
/// intercept.
pub fn metric_damping<T: Real>(gram: ArrayView2<'_, T>, damping: f64, ridge: f64) -> Vec<T> {
    let n_inputs = gram.nrows() - 1;
    let trace: f64 = gram.diag().iter().take(n_inputs).map(|v| v.f64()).sum();
    let mean = trace / n_inputs as f64;
    // A layer whose units are all silent still needs a definite metric.
    let damping = (damping * mean).max(1e-6) + ridge;
    let mut diagonal = vec![T::of(damping); n_inputs + 1];
    diagonal[n_inputs] = T::of(1e-4);
    diagonal
}

/// (c G + ridge I)⁻¹ gradient, and ⟨gradient, step⟩: the step that minimises the majoriser of the
/// weight block, with `gram` = G of the layer's input at the current lifted variables and c the
/// curvature bound of the block's terms. The intercept is not penalised.
///
/// # Errors
/// [`crate::error::Error::Factorisation`] when G holds non-finite values.
pub fn majorised_step<T: Real>(
    gram: ArrayView2<'_, T>,
    gradient: ArrayView2<'_, T>,
    curvature: f64,
    ridge: f64,
    threads: Threads,
) -> Result<(Array2<T>, f64)> {
    let n_inputs = gram.nrows() - 1;
    let gram = gram.mapv(|v| v * T::of(curvature));
    let trace: f64 = gram.diag().iter().map(|v| v.f64()).sum();
    // Beyond rounding, so that a singular G still gives a majoriser.
    let jitter = (64.0 * T::epsilon().f64() * trace).max(1e-30);
    let inverse = |jitter: f64| {
        let mut diagonal = vec![T::of(ridge + jitter); n_inputs + 1];
        diagonal[n_inputs] = T::of(jitter);
        damped_inverse(gram.view(), &diagonal, threads)
    };
    // A few directions that dwarf the others need more of it.
    let inverse = inverse(jitter).or_else(|_| inverse(1e3 * jitter)).or_else(|_| inverse(1e6 * jitter))?;
    let mut step = Array2::zeros(gradient.raw_dim());
    product(T::one(), inverse.view(), gradient, T::zero(), step.view_mut(), threads);
    let length = step.iter().zip(gradient).map(|(&a, &b)| (a * b).f64()).sum::<f64>();
    Ok((step, length.max(0.0)))
}
