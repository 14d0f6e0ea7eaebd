//! Activations as argmins: φ(z) = argmin_x f(x) − x·z, with f convex.
//!
//! Any non-decreasing φ arises so, with f′ = φ⁻¹ and φ = (f*)′. What ties a lifted variable x to
//! its pre-activation z is the Fenchel–Young divergence
//!
//! ```text
//! D(x, z) = f(x) + f*(z) − x·z  ≥ 0,  with equality exactly at x = φ(z).
//! ```
//!
//! One file per family. To add an activation: implement [`Activation`], add a row to
//! [`ActivationKind`]; the property tests in `tests/activation.rs` then cover it.

mod piecewise;
mod sigmoid;

use crate::error::{Error, Result};
use crate::real::Real;

pub use piecewise::{HardTanh, Identity, LeakyRelu, Relu};
pub use sigmoid::{Logistic, Tanh};
pub(crate) use sigmoid::{log1p_exp, logistic};

/// A non-decreasing function with its convex potentials; element-wise.
pub trait Activation<T: Real>: Send + Sync + std::fmt::Debug {
    /// f(x); +∞ outside the domain.
    fn potential(&self, x: T) -> T;

    /// f*(z) = ∫φ.
    fn conjugate(&self, z: T) -> T;

    /// φ(z) = argmin_x f(x) − x·z.
    fn phi(&self, z: T) -> T;

    /// sup φ′: the Lipschitz constant of φ, and the curvature bound of f*.
    fn slope_bound(&self) -> T;

    /// Closed interval that holds the domain of f.
    fn domain(&self) -> (T, T);

    /// D(x, z) = f(x) + f*(z) − x·z.
    fn divergence(&self, x: T, z: T) -> T {
        self.potential(x) + self.conjugate(z) - x * z
    }

    /// x ← φ(z) over a slice.
    fn apply(&self, z: &[T], x: &mut [T]) {
        for (x, &z) in x.iter_mut().zip(z) {
            *x = self.phi(z);
        }
    }

    /// g ← λ (x − φ(z − g/λ)) over a slice, where x = φ(z).
    ///
    /// The argument of φ is the solution of the linearised activation block, and the result is
    /// the gradient of λ·D(·, z) there: all that a weight block needs, from values of φ alone.
    fn pull_back(&self, z: &[T], x: &[T], lambda: T, g: &mut [T]) {
        let step = lambda.recip();
        for ((g, &z), &x) in g.iter_mut().zip(z).zip(x) {
            *g = lambda * (x - self.phi(z - *g * step));
        }
    }
}

/// Declares the user's choice of activation, its names, and the object behind each name.
macro_rules! activations {
    ($($(#[$doc:meta])* $kind:ident = $name:literal => $make:expr),+ $(,)?) => {
        /// The user's choice of activation: plain data, joined to its object by [`ActivationKind::make`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum ActivationKind {
            $($(#[$doc])* $kind),+
        }

        impl ActivationKind {
            /// Every activation, in the order of the documentation.
            pub const ALL: &'static [ActivationKind] = &[$(ActivationKind::$kind),+];

            /// The name by which users ask for it.
            pub fn name(self) -> &'static str {
                match self {
                    $(ActivationKind::$kind => $name),+
                }
            }

            /// The working object.
            pub fn make<T: Real>(self) -> Box<dyn Activation<T>> {
                match self {
                    $(ActivationKind::$kind => Box::new($make)),+
                }
            }
        }
    };
}

activations! {
    /// φ(z) = z.
    Identity = "identity" => Identity,
    /// φ(z) = max(0, z).
    Relu = "relu" => Relu,
    /// φ(z) = max(a z, z), a = 0.01.
    LeakyRelu = "leaky_relu" => LeakyRelu::new(T::of(0.01)),
    /// φ(z) = 1 / (1 + exp(−z)).
    Logistic = "logistic" => Logistic,
    /// φ(z) = tanh z.
    Tanh = "tanh" => Tanh,
    /// φ(z) = min(1, max(−1, z)).
    HardTanh = "hard_tanh" => HardTanh,
}

impl ActivationKind {
    /// Looks a name up.
    ///
    /// # Errors
    /// [`Error::NotAnArgmin`] for known non-monotone functions, [`Error::UnknownName`] otherwise.
    pub fn parse(name: &str) -> Result<Self> {
        if let Some(&kind) = Self::ALL.iter().find(|kind| kind.name() == name) {
            return Ok(kind);
        }
        let choices = Self::ALL.iter().map(|kind| kind.name()).collect();
        Err(match name {
            "gelu" | "silu" | "swish" | "mish" => {
                Error::NotAnArgmin { got: name.into(), nearest: vec!["relu", "leaky_relu"], choices }
            }
            _ => Error::UnknownName { name: "activation", got: name.into(), choices },
        })
    }

    /// Variance of initial weights times the number of inputs: He et al. (2015) for the rectifier
    /// family, LeCun's unit gain otherwise.
    pub fn init_gain(self) -> f64 {
        match self {
            ActivationKind::Relu | ActivationKind::LeakyRelu => 2.0,
            _ => 1.0,
        }
    }
}
