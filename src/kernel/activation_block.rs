//! The activation block: the lifted variables of one hidden layer, the samples independent.
//!
//! ```text
//! min over x:  λ [f(x) − ⟨x, z⟩] + h(x),   h the terms of the layer above
//! ```
//!
//! f is strongly convex relative to itself, so h may be replaced by its linearisation at
//! x₀ = φ(z) (a Bregman proximal-gradient step; Bauschke, Bolte, Teboulle 2017). The minimiser is
//! then closed-form in pre-activation space, x = φ(z − ∇h(x₀)/λ). It needs φ and never φ′.

use crate::activation::Tie;
use crate::real::Real;
use ndarray::{ArrayView2, ArrayViewMut2};

/// Solves the linearised block for every row and returns what the weight block below needs.
///
/// * `z`: pre-activations, `(n_samples, n_units)`;
/// * `x`: φ(z), `(n_samples, n_units)`;
/// * `g`: on entry ∇h at x, on exit ∂(λD)/∂z at the solution x*, λ(φ(z) − x*) for the Fenchel divergence, `(n_samples, n_units)`.
///
/// Rows must be contiguous. As λ → ∞ the result tends to φ′(z)·g: the back-propagated gradient.
pub fn pull_back<T: Real>(
    tie: &Tie<T>,
    z: ArrayView2<'_, T>,
    x: ArrayView2<'_, T>,
    lambda: T,
    mut g: ArrayViewMut2<'_, T>,
) {
    for ((z, x), mut g) in z.rows().into_iter().zip(x.rows()).zip(g.rows_mut()) {
        if let (Some(z), Some(x), Some(g)) = (z.as_slice(), x.as_slice(), g.as_slice_mut()) {
            tie.pull_back(z, x, lambda, g);
        }
    }
}

/// u ← (λ z − g + κ u)/(λ + κ) over a row: a Bregman proximal-gradient step on the block, from the
/// point x = φ(u) at which `gradient` is ∇h.
///
/// Never raises the block's objective when κ is at least sup φ′ times the Lipschitz constant of ∇h:
/// h is then smooth relative to κ f (Bauschke, Bolte, Teboulle 2017).
pub fn bregman_step<T: Real>(z: &[T], gradient: &[T], lambda: T, kappa: T, u: &mut [T]) {
    let scale = (lambda + kappa).recip();
    for ((u, &z), &g) in u.iter_mut().zip(z).zip(gradient) {
        *u = (lambda * z - g + kappa * *u) * scale;
    }
}
