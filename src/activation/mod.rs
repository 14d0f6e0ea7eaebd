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
//! `tests/rust/activation.rs` then cover it. [`Tie`] joins an activation to a divergence; [`Parametric`] adds
//! what it takes to learn the parameter.

mod clip;
mod elu;
mod heavy;
mod jump;
mod kind;
mod learnable;
mod piecewise;
mod sigmoid;
mod softmax;
mod softplus;
mod stable;
mod tie;

use crate::linalg::sum_of_pairs;
use crate::real::Real;

pub use clip::Clip;
pub use elu::Elu;
pub use heavy::{Arctan, Softsign};
pub use jump::{Sign, Step};
pub use kind::{ActivationKind, Parameter};
pub use learnable::{Learnable, Moments, Parametric, learnable_names};
pub use piecewise::{Identity, LeakyRelu, Relu, SoftThreshold};
pub use sigmoid::{Logistic, Tanh};
pub(crate) use sigmoid::{log1p_exp, logistic};
pub use softmax::Softmax;
pub use softplus::Softplus;
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

/// The same function for every unit.
#[derive(Debug, Clone, Copy)]
pub struct Separate<A>(pub A);

impl<T: Real, A: Elementwise<T>> Activation<T> for Separate<A> {
    fn potential(&self, x: &[T]) -> f64 {
        x.iter().map(|&x| self.0.potential(x).f64()).sum()
    }
    fn conjugate(&self, z: &[T]) -> f64 {
        z.iter().map(|&z| self.0.conjugate(z).f64()).sum()
    }
    fn divergence(&self, x: &[T], z: &[T]) -> f64 {
        sum_of_pairs(x, z, |x, z| self.0.divergence(x, z).f64())
    }
    fn apply(&self, z: &[T], x: &mut [T]) {
        for (x, &z) in x.iter_mut().zip(z) {
            *x = self.0.phi(z);
        }
    }
    fn apply_moved(&self, z: &[T], step: T, g: &mut [T]) {
        for (g, &z) in g.iter_mut().zip(z) {
            *g = self.0.phi(z - step * *g);
        }
    }
    fn slope_bound(&self) -> T {
        self.0.slope_bound()
    }
    fn domain(&self) -> (T, T) {
        self.0.domain()
    }
}
