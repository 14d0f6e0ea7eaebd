//! What ties a lifted variable to its pre-activation: an activation and a divergence.
//!
//! Both divergences are of the form D(x, z) = f(x) + F(z) − ⟨x, z⟩ with the same argmin φ in x:
//!
//! * "fenchel" (Gu, Askari, El Ghaoui 2020): F = f*, so D = 0 exactly at x = φ(z);
//! * "euclidean" (Askari et al. 2018): F(z) = ‖z‖²/2, so D = ‖x − z‖²/2 on the domain of f. It is
//!   defined where φ is the projection onto that domain, and is not 0 where φ(z) ≠ z.

use super::{Activation, ActivationKind, Learnable, Moments};
use crate::error::{Error, Result};
use crate::real::Real;

/// The user's choice of divergence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divergence {
    /// f(x) + f*(z) − ⟨x, z⟩.
    Fenchel,
    /// ‖x − z‖²/2 on the domain of f.
    Euclidean,
}

impl Divergence {
    /// Every divergence, by the name by which users ask for it.
    pub const ALL: [(&'static str, Divergence); 2] =
        [("fenchel", Divergence::Fenchel), ("euclidean", Divergence::Euclidean)];

    /// Looks a name up.
    ///
    /// # Errors
    /// [`Error::UnknownName`].
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|&(_, divergence)| divergence).ok_or_else(
            || Error::UnknownName {
                name: "divergence",
                got: name.into(),
                choices: Self::ALL.iter().map(|&(known, _)| known).collect(),
            },
        )
    }

    /// Whether this divergence is defined for an activation.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn check(self, kind: ActivationKind) -> Result<()> {
        if self == Divergence::Fenchel || kind.is_projection() {
            return Ok(());
        }
        let projections: Vec<_> =
            ActivationKind::ALL.iter().filter(|kind| kind.is_projection()).map(|kind| kind.name()).collect();
        Err(Error::Parameter {
            name: "divergence",
            got: format!("'euclidean' with activation '{kind}'"),
            allowed: format!(
                "'fenchel' unless every activation is a projection ({})",
                projections.join(", ")
            )
            .into(),
        })
    }
}

/// An activation joined to a divergence; all methods work on one row of units.
#[derive(Debug)]
pub struct Tie<T> {
    forward: Box<dyn Activation<T>>,
    /// Where the potentials of `forward` are not smooth, a smooth neighbour.
    lifted: Option<Box<dyn Activation<T>>>,
    divergence: Divergence,
    /// The parameter as a variable, where it is one.
    learned: Option<Box<dyn Learnable<T>>>,
}

impl<T: Real> Tie<T> {
    /// Joins the two.
    pub fn new(kind: ActivationKind, divergence: Divergence) -> Self {
        let lifted = (kind.lifted() != kind).then(|| kind.lifted().make());
        Self { forward: kind.make(), lifted, divergence, learned: None }
    }

    /// Joins the two, with the activation's parameter as a variable where it can be one. The euclidean
    /// divergence depends on none.
    pub fn with_parameter(kind: ActivationKind, divergence: Divergence) -> Self {
        let learned = if divergence == Divergence::Fenchel { kind.learnable() } else { None };
        Self { learned, ..Self::new(kind, divergence) }
    }

    /// The parameter as a variable, where it is one.
    pub fn learned(&self) -> Option<&dyn Learnable<T>> {
        self.learned.as_deref()
    }

    /// x ← φ(z), the activation of the network itself.
    pub fn apply(&self, z: &[T], x: &mut [T]) {
        self.forward.apply(z, x);
    }

    /// The activation of the lifted problem, φ = argmin_x f(x) − ⟨x, z⟩.
    pub fn lifted(&self) -> &dyn Activation<T> {
        self.lifted.as_deref().unwrap_or(self.forward.as_ref())
    }

    /// Whether the lifted problem has a smooth neighbour in the place of the activation.
    pub fn has_stand_in(&self) -> bool {
        self.lifted.is_some()
    }

    /// D(x, z).
    pub fn divergence(&self, x: &[T], z: &[T]) -> f64 {
        match self.divergence {
            Divergence::Fenchel => self.lifted().divergence(x, z),
            Divergence::Euclidean => {
                let (low, high) = self.lifted().domain();
                let term = |(&x, &z): (&T, &T)| {
                    if x < low || x > high { f64::INFINITY } else { 0.5 * (x - z).f64().powi(2) }
                };
                x.iter().zip(z).map(term).sum()
            }
        }
    }

    /// out ← ∇F(z), so that ∂D/∂z = ∇F(z) − x.
    pub fn link(&self, z: &[T], out: &mut [T]) {
        match self.divergence {
            Divergence::Fenchel => self.lifted().apply(z, out),
            Divergence::Euclidean => out.copy_from_slice(z),
        }
    }

    /// out ← λ(∇F(z) − x), the gradient of λ·D(x, ·) at z.
    pub fn slope(&self, z: &[T], x: &[T], lambda: T, out: &mut [T]) {
        self.link(z, out);
        for (out, &x) in out.iter_mut().zip(x) {
            *out = lambda * (*out - x);
        }
    }

    /// [`Tie::slope`], and where the parameter is a variable what its block is made of.
    pub fn slope_and_moments(&self, z: &[T], x: &[T], lambda: T, out: &mut [T]) -> Moments {
        let Some(learned) = &self.learned else {
            self.slope(z, x, lambda, out);
            return Moments::default();
        };
        self.link(z, out);
        let moments = learned.moments(x, out, z);
        for (out, &x) in out.iter_mut().zip(x) {
            *out = lambda * (*out - x);
        }
        moments
    }

    /// Bound on the curvature of D in z.
    pub fn curvature(&self) -> T {
        match self.divergence {
            Divergence::Fenchel => self.lifted().slope_bound(),
            Divergence::Euclidean => T::one(),
        }
    }

    /// g ← λ(∇F(z) − φ(z − g/λ)), where x = φ(z) as [`Tie::apply`] gives it.
    ///
    /// The argument of φ is the solution of the linearised activation block, and the result is
    /// the gradient of λ·D(·, z) there: all that a weight block needs, from values of φ alone. Where the
    /// parameter is a variable, also what its block is made of.
    pub fn pull_back(&self, z: &[T], x: &[T], lambda: T, g: &mut [T]) -> Moments {
        if let Some(learned) = &self.learned {
            return learned.pull_back(z, x, lambda, g);
        }
        match self.divergence {
            Divergence::Fenchel => self.pull_back_loss(z, x, lambda, g),
            Divergence::Euclidean => {
                self.lifted().apply_moved(z, lambda.recip(), g);
                for (g, &z) in g.iter_mut().zip(z) {
                    *g = lambda * (z - *g);
                }
            }
        }
        Moments::default()
    }

    /// g ← λ(φ(z) − φ(z − g/λ)), whatever the divergence: the part of [`Tie::pull_back`] that is
    /// due to g. As λ → ∞ it tends to φ′(z)·g.
    pub fn pull_back_loss(&self, z: &[T], x: &[T], lambda: T, g: &mut [T]) {
        let step = lambda.recip();
        match &self.lifted {
            None => {
                self.forward.apply_moved(z, step, g);
                for (g, &x) in g.iter_mut().zip(x) {
                    *g = lambda * (x - *g);
                }
            }
            Some(lifted) => {
                // λ(φ(z) − φ(z − g/λ)) without a second buffer: the move, then the place it left.
                lifted.apply_moved(z, step, g);
                for (g, &z) in g.iter_mut().zip(z) {
                    let mut at = [T::zero()];
                    lifted.apply(&[z], &mut at);
                    *g = lambda * (at[0] - *g);
                }
            }
        }
    }
}
