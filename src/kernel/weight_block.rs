//! The weight block: one layer's affine map, the lifted variables fixed.
//!
//! ```text
//! min over W:  mean_i s_i λ [f*(Wᵀx_i) − ⟨x⁺_i, Wᵀx_i⟩] + (α/2)‖W‖²,   x_i = (input_i, 1)
//! ```
//!
//! a generalised linear model with the matching loss of φ. Its Hessian is at most sup φ′·λ·G with
//! G = mean s_i x_i x_iᵀ, so a step in the metric G + damping descends (majorise–minimise). The
//! intercept is the last row of W; it is neither penalised nor damped beyond rounding.

use crate::linalg::{Threads, product};
use crate::real::Real;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, Zip, s};
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

/// [`gradient`] from parts that are summed as they are.
pub fn sum_parts<'p, T: Real>(
    parts: impl Iterator<Item = &'p Array2<T>>,
    weights: ArrayView2<'_, T>,
    ridge: T,
    mut gradient: ArrayViewMut2<'_, T>,
) {
    let n_inputs = weights.nrows() - 1;
    let (penalised, mut intercept) = gradient.view_mut().split_at(Axis(0), n_inputs);
    Zip::from(penalised).and(weights.slice(s![..n_inputs, ..])).for_each(|g, &w| *g = ridge * w);
    intercept.fill(T::zero());
    parts.for_each(|part| gradient += part);
}

/// The diagonal that damps the Gram matrix G of a layer's input with trailing ones, `(n_inputs + 1,
/// n_inputs + 1)`: ε·mean(diag G) + ridge, the intercept's entry left out of the mean and next to 0.
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

/// c G and the diagonal that, added to it, majorises the weight block with its ridge: `gram` = G of the
/// layer's input at the current lifted variables, c the curvature bound of the block's terms. The
/// intercept is not penalised. `jitter` multiplies what keeps a singular G a majoriser, 1 or more.
pub fn majoriser<T: Real>(
    gram: ArrayView2<'_, T>,
    curvature: f64,
    ridge: f64,
    jitter: f64,
) -> (Array2<T>, Vec<T>) {
    let n_inputs = gram.nrows() - 1;
    let gram = gram.mapv(|v| v * T::of(curvature));
    let trace: f64 = gram.diag().iter().map(|v| v.f64()).sum();
    // Beyond rounding.
    let jitter = jitter * (64.0 * T::epsilon().f64() * trace).max(1e-30);
    let mut diagonal = vec![T::of(ridge + jitter); n_inputs + 1];
    diagonal[n_inputs] = T::of(jitter);
    (gram, diagonal)
}
