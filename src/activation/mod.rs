//! Activations as argmins: φ(z) = argmin_x f(x) − ⟨x, z⟩, with f convex.
//!
//! Any non-decreasing φ arises so, with f′ = φ⁻¹ and φ = (f*)′. What ties a lifted variable x to
//! its pre-activation z is the Fenchel–Young divergence
//!
//! ```text
//! D(x, z) = f(x) + f*(z) − ⟨x, z⟩  ≥ 0,  with equality exactly at x = φ(z).
//! ```
//!
//! One file per family. To add an activation: implement [`Elementwise`] (or [`Activation`], for one
//! that couples the units of a layer), add a row to [`ActivationKind`]; the property tests in
//! `tests/activation.rs` then cover it. [`Tie`] joins an activation to a divergence.

mod kind;
mod piecewise;
mod sigmoid;
mod tie;

use crate::real::Real;

pub use kind::ActivationKind;
pub use piecewise::{HardTanh, Identity, LeakyRelu, Relu};
pub use sigmoid::{Logistic, Tanh};
pub(crate) use sigmoid::{log1p_exp, logistic};
pub use tie::{Divergence, Tie};

/// A monotone map with its convex potentials, on the units of one layer and sample.
pub trait Activation<T: Real>: Send + Sync + std::fmt::Debug {
    /// f(x); +∞ outside the domain.
    fn potential(&self, x: &[T]) -> f64;

    /// f*(z).
    fn conjugate(&self, z: &[T]) -> f64;

    /// D(x, z) = f(x) + f*(z) − ⟨x, z⟩.
    fn divergence(&self, x: &[T], z: &[T]) -> f64;

    /// x ← φ(z).
    fn apply(&self, z: &[T], x: &mut [T]);

    /// g ← φ(z − step·g).
    fn apply_moved(&self, z: &[T], step: T, g: &mut [T]);

    /// sup ‖φ′‖: the Lipschitz constant of φ, and the curvature bound of f*.
    fn slope_bound(&self) -> T;

    /// Closed interval that holds every coordinate of the domain of f.
    fn domain(&self) -> (T, T);
}

/// A non-decreasing function of one number with its convex potentials.
pub trait Elementwise<T: Real>: Send + Sync + std::fmt::Debug {
    /// f(x); +∞ outside the domain.
    fn potential(&self, x: T) -> T;

    /// f*(z) = ∫φ.
    fn conjugate(&self, z: T) -> T;

    /// φ(z) = argmin_x f(x) − x·z.
    fn phi(&self, z: T) -> T;

    /// sup φ′.
    fn slope_bound(&self) -> T;

    /// Closed interval that holds the domain of f.
    fn domain(&self) -> (T, T);

    /// D(x, z) = f(x) + f*(z) − x·z.
    fn divergence(&self, x: T, z: T) -> T {
        self.potential(x) + self.conjugate(z) - x * z
    }
}

impl<T: Real, A: Elementwise<T>> Activation<T> for A {
    fn potential(&self, x: &[T]) -> f64 {
        x.iter().map(|&x| Elementwise::potential(self, x).f64()).sum()
    }
    fn conjugate(&self, z: &[T]) -> f64 {
        z.iter().map(|&z| Elementwise::conjugate(self, z).f64()).sum()
    }
    fn divergence(&self, x: &[T], z: &[T]) -> f64 {
        x.iter().zip(z).map(|(&x, &z)| Elementwise::divergence(self, x, z).f64()).sum()
    }
    fn apply(&self, z: &[T], x: &mut [T]) {
        for (x, &z) in x.iter_mut().zip(z) {
            *x = self.phi(z);
        }
    }
    fn apply_moved(&self, z: &[T], step: T, g: &mut [T]) {
        for (g, &z) in g.iter_mut().zip(z) {
            *g = self.phi(z - step * *g);
        }
    }
    fn slope_bound(&self) -> T {
        Elementwise::slope_bound(self)
    }
    fn domain(&self) -> (T, T) {
        Elementwise::domain(self)
    }
}
